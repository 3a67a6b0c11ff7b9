"""The lab's control, turned by a browser in a real JupyterLab."""

import pytest

from tests.jupyterlab import serve
from tools import notebooks

pytestmark = pytest.mark.xdist_group("site")


@pytest.fixture
def address(tmp_path):
    """A JupyterLab that shows the cells of a lab up to its control."""
    notebook = notebooks.from_source(notebooks.ROOT / "labs" / "optimal_discriminator.py")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    control = [cell for cell in code if "draw_optimum" in cell.source]
    notebook.cells = [*code[:2], *control]
    assert any("interact(" in cell.source for cell in control)
    with serve(notebook, tmp_path, GANCOURSE_PROFILE="smoke") as opened:
        yield opened


def test_moving_the_slider_redraws_the_picture(browser, address):
    page = browser.new_page(viewport={"width": 1400, "height": 2600})
    page.goto(address)
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
