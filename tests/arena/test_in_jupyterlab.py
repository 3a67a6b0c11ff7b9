"""The arena and a figure in a real JupyterLab: shown, steered from Python, and read back."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.jupyterlab import serve

pytestmark = pytest.mark.xdist_group("site")

CELLS = [
    "from gancourse.arena import Arena, Figure\narena = Arena(batch=8, width=8, seed=3)\narena",
    "Figure('dirac-gan')",
    "arena.loss = 'minimax'\narena.steps = 25",
    "print('shape', arena.samples.shape, 'step', arena.measures['step'], arena.loss)",
]


@pytest.fixture
def address(tmp_path):
    """A JupyterLab with a notebook of the cells above, not yet run."""
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in CELLS], metadata=kernel)
    with serve(notebook, tmp_path) as opened:
        yield opened


def test_it_trains_in_a_notebook_and_python_reads_it(address, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 2600})
    page.goto(address)
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
