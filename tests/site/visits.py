"""What the tests of the site handle: the built files, and pages opened in a browser."""

import functools
from dataclasses import dataclass, field
from pathlib import Path

from bs4 import BeautifulSoup
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
WIDE, NARROW = 1280, 360
SETTLED = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}"""


@dataclass(frozen=True)
class Site:
    """The built site: where its files lie and where they are served."""

    folder: Path
    url: str

    def pages(self) -> list[str]:
        """The paths of all pages without their ending."""
        files = (file.relative_to(self.folder) for file in self.folder.rglob("*.html"))
        return sorted(file.with_suffix("").as_posix() for file in files if file.parts[0] != "_static")

    @functools.cache  # noqa: B019 (one site lives as long as the session)
    def soup(self, page: str) -> BeautifulSoup:
        text = (self.folder / f"{page}.html").read_text(encoding="utf-8")
        return BeautifulSoup(text, "html.parser")


@dataclass
class Seen:
    """What a browser met while it loaded a page, and the page itself."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Visitor:
    """Opens pages of the site, in one window for each width and colour scheme."""

    def __init__(self, site: Site, browser: Browser):
        self.site, self.browser, self.windows = site, browser, {}

    def open(self, path: str, width: int = WIDE, mode: str = "light") -> Seen:
        """Load a page and wait until formulas and fonts have settled."""
        if (width, mode) not in self.windows:
            self.windows[width, mode] = self.browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=mode,
                permissions=["clipboard-read", "clipboard-write"],
            )
        page = self.windows[width, mode].new_page()
        seen = Seen(page)
        page.on("request", lambda request: self._note_request(seen, request.url))
        page.on("response", lambda answer: answer.status >= 400 and seen.failed.append(answer.url))
        page.on("requestfailed", lambda request: seen.failed.append(request.url))
        page.on("console", lambda line: self._note_line(seen, line.type, line.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.goto(self.site.url + path)
        page.evaluate(SETTLED)
        return seen

    def _note_request(self, seen: Seen, url: str) -> None:
        if not url.startswith((self.site.url, "data:", "blob:")):
            seen.foreign.append(url)

    def _note_line(self, seen: Seen, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            seen.complaints.append(text)

    def close_pages(self) -> None:
        """Close all pages; the windows keep their caches, and what pages stored in them."""
        for window in self.windows.values():
            for page in window.pages:
                page.close()

    def forget(self) -> None:
        """Close all windows, with what pages stored in them."""
        for window in self.windows.values():
            window.close()
        self.windows.clear()
