"""The arena and a figure in a real JupyterLab: shown, steered from Python, and read back."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.xdist_group("site")

TOKEN = "arena"
CELLS = [
    "from gancourse.arena import Arena, Figure\narena = Arena(batch=8, width=8, seed=3)\narena",
    "Figure('dirac-gan')",
    "arena.loss = 'minimax'\narena.steps = 25",
    "print('shape', arena.samples.shape, 'step', arena.measures['step'], arena.loss)",
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab with a notebook of the cells above, not yet run."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS], metadata=kernel)
    nbformat.write(notebook, tmp_path / "lab.ipynb")
    log = tmp_path / "server.log"
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={tmp_path}", "--LabApp.news_url="]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    settings = {**os.environ, "HOME": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "0"}
    with log.open("w") as said:
        process = subprocess.Popen(command, env=settings, stdout=said, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield found[0]
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_it_trains_in_a_notebook_and_python_reads_it(address, chromium):
    page = chromium.new_page(viewport={"width": 1400, "height": 2600})
    page.goto(f"{address}lab/tree/lab.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.wait_for_timeout(500)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    page.locator(".ga-plane").wait_for(timeout=60_000)
    page.locator(".gf svg").first.wait_for(timeout=60_000)
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(
        "document.querySelector('.ga-numbers')?.innerText.includes('paused')", timeout=60_000
    )
    assert page.locator(".ga-numbers dd").first.inner_text() == "25"
    page.wait_for_timeout(1500)  # what the browser tells the kernel takes its time
    page.keyboard.press("Shift+Enter")
    page.get_by_text("shape (256, 2) step 25 minimax").wait_for(timeout=30_000)
    page.close()
