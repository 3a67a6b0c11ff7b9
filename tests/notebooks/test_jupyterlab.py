"""The lab's control, turned by a browser in a real JupyterLab."""

import os
import re
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from tools import notebooks

pytestmark = pytest.mark.xdist_group("site")
TOKEN = "rehearsal"


@pytest.fixture
def jupyterlab(tmp_path):
    """A JupyterLab that shows the cells of a lab up to its control; yields its address."""
    notebook = notebooks.from_source(notebooks.ROOT / "labs" / "optimal_discriminator.py")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    control = [cell for cell in code if "draw_optimum" in cell.source]
    notebook.cells = [*code[:2], *control]
    assert any("interact(" in cell.source for cell in control)
    nbformat.write(notebook, tmp_path / "lab.ipynb")
    log = (tmp_path / "server.log").open("w")
    settings = {"HOME": str(tmp_path), "GANCOURSE_PROFILE": "smoke", "JUPYTER_PLATFORM_DIRS": "0"}
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            "--port=0",
            f"--IdentityProvider.token={TOKEN}",
            f"--ServerApp.root_dir={tmp_path}",
            "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ],
        env={**os.environ, **settings},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield _address(tmp_path / "server.log", process)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _address(log, process) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if found:
            with urllib.request.urlopen(f"{found[0]}api?token={TOKEN}") as answer:
                assert answer.status == 200
            return found[0]
        time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_moving_the_slider_redraws_the_picture(browser, jupyterlab):
    page = browser.new_page(viewport={"width": 1400, "height": 2600})
    page.goto(f"{jupyterlab}lab/tree/lab.ipynb?token={TOKEN}")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=60_000)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    slider = page.locator(".jp-OutputArea .widget-slider .noUi-handle").first
    slider.wait_for(timeout=90_000)
    picture = page.locator(".jupyter-widgets.widget-output img, .widget-output img").last
    picture.wait_for(timeout=30_000)
    before = picture.get_attribute("src")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    page.wait_for_function(
        "before => [...document.querySelectorAll('.widget-output img')].at(-1)?.src !== before",
        arg=before,
        timeout=30_000,
    )
    readout = page.locator(".jp-OutputArea .widget-readout").first.inner_text()
    assert float(readout.replace("−", "-")) == pytest.approx(1.5)
    assert not page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count()
    page.close()
