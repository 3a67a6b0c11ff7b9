"""The site in a real browser: quiet, accessible, never wider than the window, and everything on it works."""

import re

import pytest
from playwright.sync_api import Browser, Page
from visits import NARROW, WIDE, Site, Visitor

pytestmark = pytest.mark.xdist_group("site")

CHAPTER = "book/optimal_discriminator"
LAB = "labs/optimal_discriminator"
KINDS = [
    "book/index",
    CHAPTER,
    LAB,
    "labs/homework/optimal_discriminator",
    "book/evidence",
    "book/labs",
    "book/glossary",
    "book/notation",
    "book/references",
    "search",
]
LOOKS = [(width, mode) for width in (WIDE, NARROW) for mode in ("light", "dark")]

TOO_WIDE = """() => {
  const limit = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= limit) return [];
  const over = (element) => element.getBoundingClientRect().right > limit + 1;
  const names = [...document.querySelectorAll("body *")].filter(over).map((e) => e.outerHTML.slice(0, 160));
  return ["the page is wider than the window", ...names.slice(-3)];
}"""
CUT_OFF = """() => [...document.querySelectorAll(".prev-next-area a")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => "cut off: " + e.innerText)"""
BROKEN_PICTURES = """() => [...document.images]
  .filter((e) => e.checkVisibility() && !(e.complete && e.naturalWidth > 0)).map((e) => e.src)"""
WIDE_CARDS = """() => [...document.querySelectorAll("table.cards")]
  .filter((e) => e.scrollWidth > e.parentElement.clientWidth + 1).map((e) => e.textContent.slice(0, 80))"""
SHOWN_FIGURES = """() => [...document.querySelectorAll("article figure")].map((figure) =>
  [...figure.querySelectorAll("img")].filter((e) => e.checkVisibility()).map((e) => e.src))"""
# Formulas that are too wide for their box and cannot be reached with the keyboard, and the opposite.
UNREACHABLE = """() => [...document.querySelectorAll("article .math mjx-math")].filter((formula) => {
  const box = formula.closest("span.math, mjx-container[display]");
  const scrolls = box.clientWidth > 0 && formula.getBoundingClientRect().width > box.clientWidth + 1;
  return scrolls !== (box.tabIndex === 0);
}).map((formula) => formula.textContent)"""
# An error is shown as a box, an unknown macro as red text.
BROKEN_FORMULAS = """() =>
  [...document.querySelectorAll("mjx-merror, [data-mjx-error], mjx-mtext[style*=red]")]
    .map((part) => part.textContent)"""
# A statement must be read whole, on a phone too; in a proof a formula may scroll.
CUT_STATEMENTS = """() => [...document.querySelectorAll("div.proof:not(.proof-body) mjx-container.scrolls")]
  .map((formula) => formula.textContent)"""
# A formula whose comma begins the next line, but for those that fill a line.
TORN_APART = """() => [...document.querySelectorAll(".whole:not(.apart)")]
  .filter((part) => part.getClientRects().length > 1).map((part) => part.textContent)"""
FADED_FORMULAS = """() => {
  const colour = (element) => getComputedStyle(element).color;
  return [...document.querySelectorAll("mjx-math")]
    .filter((drawing) => colour(drawing) !== colour(drawing.closest("mjx-container").parentElement))
    .map((drawing) => drawing.textContent);
}"""


@pytest.mark.parametrize(("width", "mode"), LOOKS)
@pytest.mark.parametrize("path", KINDS)
def test_a_page_of_every_kind_is_sound(visitor: Visitor, violations, path, width, mode):
    seen = visitor.open(f"{path}.html", width, mode)
    page = seen.page
    assert page.evaluate("document.documentElement.dataset.theme") == mode
    found = {
        "asked another host": list(seen.foreign),
        "got no answer": list(seen.failed),
        "console": list(seen.complaints),
        "too wide": page.evaluate(TOO_WIDE),
        "link is cut off": page.evaluate(CUT_OFF),
        "table does not fold": page.evaluate(WIDE_CARDS),
        "picture does not load": page.evaluate(BROKEN_PICTURES),
        "formula is broken": page.evaluate(BROKEN_FORMULAS),
        "statement is cut off": page.evaluate(CUT_STATEMENTS),
        "formula without its comma": page.evaluate(TORN_APART),
        "formula cannot be reached": page.evaluate(UNREACHABLE),
        "formula has a colour of its own": page.evaluate(FADED_FORMULAS),
    }
    for pictures in page.evaluate(SHOWN_FIGURES):
        assert len(pictures) == 1, "A figure is shown once."
        assert pictures[0].endswith(f"-{mode}.svg")
    assert all(caption.is_visible() for caption in page.locator("figcaption").all())
    found["accessibility"] = violations(page)
    assert not {what: where for what, where in found.items() if where}


def test_every_other_page_is_quiet_and_fits_a_phone(site: Site, visitor: Visitor):
    found = {}
    for path in set(site.pages()) - {*KINDS, "index"}:
        seen = visitor.open(f"{path}.html", NARROW)
        problems = [*seen.foreign, *seen.failed, *seen.complaints, *seen.page.evaluate(TOO_WIDE)]
        for script in (BROKEN_PICTURES, BROKEN_FORMULAS, CUT_STATEMENTS, TORN_APART, CUT_OFF):
            problems += seen.page.evaluate(script)
        seen.page.close()
        if problems:
            found[path] = problems
    assert not found


def test_without_scripts_every_figure_is_shown_once_on_the_light_ground(site: Site, browser: Browser):
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{site.url}{CHAPTER}.html")
    for dark in page.locator("article .only-dark").all():
        assert not dark.is_visible()
    assert page.locator("article .only-light").first.is_visible()
    assert "shown as TeX" in page.locator("article").inner_text()
    proved = page.locator("div.theorem").first
    assert proved.evaluate("e => getComputedStyle(e).borderLeftColor") == "rgb(90, 63, 181)"
    context.close()


def test_paper_is_light_in_the_dark_theme_too(visitor: Visitor):
    page = visitor.open(f"{CHAPTER}.html", WIDE, "dark").page
    page.emulate_media(media="print")
    look = """([part, kind]) => getComputedStyle(document.querySelector(part))[kind]"""
    for part in ("article p", "article h2", "div.theorem .admonition-title"):
        assert max(map(int, re.findall(r"\d+", page.evaluate(look, [part, "color"]))[:3])) < 200
    assert page.evaluate(look, ["div.theorem", "backgroundColor"]) == "rgb(247, 245, 253)"
    assert page.evaluate(look, ["body", "backgroundColor"]) == "rgb(255, 255, 255)"
    for pictures in page.evaluate(SHOWN_FIGURES):
        assert len(pictures) == 1
        assert pictures[0].endswith("-light.svg")


def test_the_bare_address_leads_to_the_front_page(visitor: Visitor):
    page = visitor.browser.new_page()
    page.goto(visitor.site.url)
    page.wait_for_url("**/book/index.html")
    page.close()


def test_the_open_side_bar_of_a_phone_is_accessible(visitor: Visitor, violations):
    page = visitor.open("book/glossary.html", NARROW).page
    page.locator("button.primary-toggle").first.click()
    page.get_by_role("link", name="Evidence").first.wait_for(state="visible")
    page.wait_for_timeout(400)  # it slides in
    assert not violations(page)
    assert not page.evaluate(TOO_WIDE)


def test_search_finds_a_word_of_the_chapter(visitor: Visitor):
    seen = visitor.open("book/glossary.html")
    page = seen.page
    page.keyboard.press("Control+k")
    page.keyboard.type("softplus")
    page.keyboard.press("Enter")
    page.locator(f"#search-results a[href*='{CHAPTER}.html']").first.wait_for(timeout=10_000)
    assert not seen.foreign
    assert not seen.complaints


def test_the_colour_mode_can_be_chosen_and_is_kept(visitor: Visitor):
    page = visitor.open("book/glossary.html", WIDE, "light").page
    background = "getComputedStyle(document.body).backgroundColor"
    theme = "document.documentElement.dataset.theme"
    bright = page.evaluate(background)
    for _ in range(3):  # it goes round system, light, dark
        if page.evaluate(theme) == "dark":
            break
        page.locator(".theme-switch-button").first.click()
    assert page.evaluate(theme) == "dark"
    assert page.evaluate(background) != bright
    other = visitor.open("book/evidence.html", WIDE, "light").page
    assert other.evaluate(theme) == "dark"
    visitor.forget()


def test_code_is_copied_and_printed_whole(visitor: Visitor):
    page = visitor.open(f"{LAB}.html").page
    cells = page.locator(".cell_input .highlight")
    assert cells.count() == page.locator(".cell_input button.copybtn").count()
    cells.first.hover()
    page.locator(".cell_input button.copybtn").first.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == cells.first.locator("pre").inner_text().strip()

    page.emulate_media(media="print")
    for part in (".bd-sidebar-primary", ".bd-header-article", ".copybtn", ".prev-next-area", ".colab-unset"):
        assert not any(element.is_visible() for element in page.locator(part).all()), part
    assert cells.first.locator("pre").evaluate("e => getComputedStyle(e).whiteSpace") == "pre-wrap"


def preview(page: Page):
    return page.locator("#preview[role=tooltip]")


def test_in_a_chapter_solutions_unfold_and_links_show_their_targets(visitor: Visitor):
    seen = visitor.open(f"{CHAPTER}.html")
    page = seen.page
    solution = page.locator(".solution.admonition").first
    body = solution.locator("section, p:not(.admonition-title)").first
    assert not body.is_visible()
    solution.locator("button.toggle-button").click()
    body.wait_for(state="visible")

    link = page.locator("article a.internal[href$='#optimal-discriminator']").first
    link.hover()
    preview(page).wait_for()
    assert "Theorem" in preview(page).inner_text()
    assert preview(page).locator("mjx-container").count() > 0
    assert preview(page).locator("[id]").count() == 0
    assert link.get_attribute("aria-describedby") == "preview"
    page.keyboard.press("Escape")
    assert preview(page).count() == 0
    assert link.get_attribute("aria-describedby") is None

    page.mouse.move(0, 0)
    page.locator("article a.internal[href*='#equation-']").first.focus()
    preview(page).locator("mjx-container").first.wait_for()
    assert not seen.foreign
    assert not seen.complaints


def test_a_link_to_another_page_shows_its_target(visitor: Visitor):
    seen = visitor.open(f"{LAB}.html")
    seen.page.locator(".checked-statement a[href$='#optimal-discriminator']").first.focus()
    preview(seen.page).wait_for()
    assert "Theorem" in preview(seen.page).inner_text()
    seen.page.mouse.click(5, 5)
    preview(seen.page).wait_for(state="detached")
    assert not seen.foreign
    assert not seen.complaints


def test_a_preview_stays_inside_a_narrow_window(visitor: Visitor):
    page = visitor.open(f"{LAB}.html", NARROW).page
    page.locator(".checked-statement a").last.focus()
    preview(page).locator("mjx-container").first.wait_for()
    page.wait_for_timeout(200)
    assert not page.evaluate(TOO_WIDE)
    box = preview(page).bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= NARROW
