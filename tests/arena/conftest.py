"""The arena's modules in a real browser, on an empty page or on pages that hold nothing else."""

import mimetypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "src" / "gancourse" / "arena"
LOADER = ROOT / "book" / "assets" / "web"
ORIGIN = "http://arena.test/"
HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Arena</title>'
EMPTY = HEAD + "<body><main>{}</main></body></html>"


@pytest.fixture(scope="session")
def open_page(browser: Browser) -> Callable[..., Page]:
    """Opens a page that holds `body` and can import the modules; what it complains of is in `complaints`."""

    def open_(body: str = "", address: str = "", **options: object) -> Page:
        page = browser.new_context(**options).new_page()
        page.complaints = []

        def answer(route: Route) -> None:
            name = route.request.url.removeprefix(ORIGIN).partition("?")[0]
            found = [folder / name for folder in (MODULES, LOADER) if name and (folder / name).is_file()]
            if found:
                kind = "text/javascript" if name.endswith("js") else mimetypes.guess_type(name)[0]
                route.fulfill(
                    body=found[0].read_text(encoding="utf-8"), content_type=f"{kind}; charset=utf-8"
                )
            elif name in ("", "page.html"):
                route.fulfill(body=EMPTY.format(body), content_type="text/html; charset=utf-8")
            else:
                route.fulfill(status=404 if name != "favicon.ico" else 204)

        page.route(f"{ORIGIN}**", answer)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and page.complaints.append(line.text))
        page.goto(ORIGIN + address)
        return page

    return open_


@pytest.fixture(scope="session")
def core(open_page) -> Iterator[Page]:
    """A page on which `A` is the arena's module and `F` the one of the small figures."""
    page = open_page()
    page.evaluate(
        """async () => Object.assign(window,
          { A: await import("/arena.mjs"), F: await import("/figures.mjs") })"""
    )
    yield page
    page.context.close()
