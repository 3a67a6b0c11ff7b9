"""The directive `live`: a still picture in the page, a module beside it, and a browser that starts it."""

import shutil

import pytest
from small_books import Book, text

from tools.project import ROOT

MODULE = """export default { render({ model, el }) {
  el.innerHTML = "<button>" + model.get("word") + "</button>";
  if (model.get("word") === "fail") throw new Error("on purpose");
} };"""
PAGE = """:::{live} demo
:props: {"word": "it moves"}
:picture: still-light.svg
:alt: A still picture.

It stands still.
:::
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'


@pytest.fixture
def moving(book: Book) -> Book:
    book.extensions = ("myst_nb", "figure_pairs", "live")
    modules, static = book.folder / "src" / "gancourse" / "arena", book.folder / "static"
    modules.mkdir(parents=True)
    static.mkdir()
    (modules / "demo.mjs").write_text(MODULE, encoding="utf-8")
    for name in ("mount.js", "site.css"):
        shutil.copy(ROOT / "book" / "assets" / "web" / name, static)
    book.write("book/evidence", "# Other\n\nNothing moves.\n")
    book.chapter(PAGE)
    for mode in ("light", "dark"):
        (book.folder / "book" / f"still-{mode}.svg").write_text(SVG, encoding="utf-8")
    return book


def build(book: Book):
    settings = {"html_static_path": ["static"], "html_css_files": ["site.css"]}
    return book.build(myst_enable_extensions=["colon_fence", "dollarmath"], **settings)


def test_the_page_holds_a_still_picture_its_text_and_the_script(moving: Book):
    result = build(moving)
    assert result.status == 0, result
    page = moving.page("book/chapter")
    place = page.select_one("div.live")
    assert place["data-live"] == "demo"
    assert place["data-props"] == '{"word": "it moves"}'
    assert [image["alt"] for image in place.select(".live-still img")] == ["A still picture."] * 2
    assert text(place) == "It stands still."
    assert page.select("script[src*='mount.js']")
    assert not moving.page("book/evidence").select("script[src*='mount.js']")
    static = moving.folder / "_build" / "html" / "_static"
    assert (static / "demo.mjs").read_text(encoding="utf-8") == MODULE


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("{live} demo", "{live} missing"), "There is no module"),
        ((":alt: A still picture.\n", ""), "missing: alt"),
        ((":picture: still-light.svg\n", ""), "missing: picture"),
        (('{"word": "it moves"}', '{"word"'), "it is no JSON"),
        (('{"word": "it moves"}', "[1]"), "must be a JSON object"),
    ],
)
def test_what_is_wrong_is_said_and_fails_the_build(moving: Book, change, complaint):
    moving.chapter(PAGE.replace(*change))
    result = build(moving)
    assert result.status == 1
    assert complaint in str(result)


@pytest.mark.xdist_group("site")
def test_a_page_opened_as_a_file_moves_and_without_scripts_it_stands_still(moving: Book, browser):
    moving.chapter(PAGE + "\n" + PAGE.replace("it moves", "fail"))
    assert build(moving).status == 0
    address = (moving.folder / "_build" / "html" / "book" / "chapter.html").as_uri()
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("button", name="it moves").wait_for()
    stills = page.locator(".live-still")
    assert not stills.first.is_visible()
    # What cannot start leaves its still picture as it was.
    page.wait_for_function("document.querySelectorAll('.live-moving').length === 1")
    assert stills.last.is_visible()
    page.emulate_media(media="print")
    assert stills.first.is_visible()
    assert not page.locator(".live-moving").is_visible()

    bare = browser.new_context(java_script_enabled=False).new_page()
    bare.goto(address)
    assert bare.get_by_text("It stands still.").first.is_visible()
    assert bare.locator(".live-still").first.is_visible()
