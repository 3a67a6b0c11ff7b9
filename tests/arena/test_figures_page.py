"""The figures that answer as a reader meets them: sliders, points to drag, words that follow."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.xdist_group("site")

NAMES = ("optimal-discriminator", "saturation", "divergences", "gaussian-fits", "dirac-gan", "transport")
GROUND = (
    '<meta name="color-scheme" content="light dark"><style>body { margin: 12px; }</style><h1>Figures</h1>'
)


def place(name: str) -> str:
    return f"""<div class='live' data-live='figures' data-props='{{"figure": "{name}"}}'></div>"""


@pytest.fixture
def figures(open_page):
    """Opens a page with the figures named, all of them without a name."""
    pages = []

    def open_(*names: str, **options: object):
        body = GROUND + "".join(map(place, names or NAMES)) + "<script src='/mount.js'></script>"
        page = open_page(body, "page.html", **options)
        page.wait_for_function(
            "document.querySelectorAll('.live-started').length === document.querySelectorAll('.live').length"
        )
        pages.append(page)
        return page

    yield open_
    for page in pages:
        assert page.complaints == []
        page.context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 360])
def test_they_are_accessible_and_fit(figures, width, mode):
    page = figures(viewport={"width": width, "height": 900}, color_scheme=mode)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [f"{v['id']}: {node['html'][:120]}" for v in found for node in v["nodes"]] == []


def test_every_control_changes_picture_and_words(figures):
    page = figures()
    for figure in page.locator(".gf").all():
        words, picture = figure.locator(".gf-text"), figure.locator("svg g").first
        before, drawn = words.inner_text(), picture.inner_html()
        controls = figure.locator("input")
        for i in range(controls.count()):
            controls.nth(i).focus()
            controls.nth(i).press("ArrowRight")
            controls.nth(i).press("ArrowRight")
        for grip in figure.locator(".handle").all()[:1]:
            grip.focus()
            page.keyboard.press("ArrowUp")
            page.keyboard.press("ArrowRight")
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert words.inner_text() != before
        assert picture.inner_html() != drawn
        assert not re.search("NaN|undefined", figure.inner_html())


def test_a_point_is_dragged_and_keeps_inside(figures):
    page = figures("transport")
    grip = page.get_by_role("button", name="Point 1 of P")
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 900, y + 20, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.handle').getAttribute('aria-label').includes('at 0.00')")
    said = re.findall(r"[\d.]+\d", page.locator(".gf-text").inner_text())
    assert said[0] == said[1]  # cost and dual value


def test_a_finger_hits_a_point_on_a_small_phone(figures):
    page = figures("gaussian-fits", "dirac-gan", "transport", viewport={"width": 320, "height": 700})
    for grip in page.locator(".handle").all():
        grip.scroll_into_view_if_needed()
        box = grip.bounding_box()
        assert min(box["width"], box["height"]) >= 24
    grip = page.get_by_role("button", name="Start of the orbit")
    grip.scroll_into_view_if_needed()
    box, before = grip.bounding_box(), grip.get_attribute("aria-label")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 2)  # beside what is drawn of it
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 60, steps=3)
    page.mouse.up()
    page.wait_for_function(
        "before => document.querySelectorAll('.handle')[1].getAttribute('aria-label') !== before", arg=before
    )


def test_a_point_does_not_jump_when_it_is_taken_at_its_rim(figures):
    page = figures("dirac-gan")
    grip = page.get_by_role("button", name="Start of the orbit")
    grip.scroll_into_view_if_needed()
    box = grip.bounding_box()
    x, y = box["x"] + 3, box["y"] + box["height"] / 2
    for which, moved in (("right", False), ("left", True)):
        page.mouse.move(x, y)
        page.mouse.down(button=which)
        page.mouse.move(x + 4, y)
        page.mouse.up(button=which)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found = float(re.search(r"at ([−\d.]+)", grip.get_attribute("aria-label"))[1].replace("−", "-"))
        assert (found != 1) == moved
        assert found == pytest.approx(1, abs=0.15)


def test_methods_and_laws_can_be_chosen(figures):
    page = figures("dirac-gan", "divergences")
    page.get_by_role("combobox", name="Method").select_option("r1")
    page.get_by_text("It comes to rest").wait_for()
    page.get_by_role("combobox", name="Method").select_option("simultaneous")
    page.get_by_text("It moves away").wait_for()
    page.get_by_role("combobox", name="Laws").select_option("uniform")
    page.get_by_text("KL ∞ and ∞").wait_for()


def test_a_figure_that_there_is_not_says_so(figures):
    page = figures("nonsense")
    assert "There is no figure “nonsense”" in page.get_by_role("alert").inner_text()
