"""The real site, built strictly once, served on this machine and looked at in a real browser."""

import functools
import http.server
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from visits import ROOT, Site, Visitor


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    out = tmp_path_factory.mktemp("site")
    command = "from jupyter_book.cli.main import main; main()"
    built = subprocess.run(
        [sys.executable, "-c", command, "build", "-W", "-n", "--keep-going", "--path-output", str(out), "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, f"The strict build failed:\n{built.stdout}\n{built.stderr}"
    folder = out / "_build" / "html"
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()


@pytest.fixture(scope="session")
def windows(site: Site, browser: Browser) -> Iterator[Visitor]:
    visitor = Visitor(site, browser)
    yield visitor
    visitor.forget()


@pytest.fixture
def visitor(windows: Visitor) -> Iterator[Visitor]:
    yield windows
    windows.close_pages()


# What costs axe most of its time without telling it anything: drawn formulas, thousands of elements that are
# hidden from assistive technology (the MathML beside each of them stays), and words of code in colours that
# it has seen before on the same ground.
SPARE_AXE = """() => {
  document.querySelectorAll("mjx-math").forEach((drawing) => drawing.replaceChildren());
  const look = (word) => {
    const { color, backgroundColor, fontSize, fontWeight } = getComputedStyle(word);
    return [color, backgroundColor, fontSize, fontWeight, word.closest("pre").parentElement.className].join();
  };
  const words = [...document.querySelectorAll(".highlight pre span")].map((word) => [word, look(word)]);
  const met = new Set();
  for (const [word, its] of words) {
    if (met.has(its)) word.replaceWith(...word.childNodes);
    met.add(its);
  }
  document.querySelectorAll(".highlight pre").forEach((code) => code.normalize());
}"""


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], list[str]]:
    """What axe-core finds on an open page: rule, and where. The page is of little use afterwards."""
    axe = Axe()

    def find(page: Page) -> list[str]:
        page.evaluate(SPARE_AXE)
        answer = axe.run(page, options={"resultTypes": ["violations"], "preload": False}).response
        return [f"{v['id']}: {node['html'][:160]}" for v in answer["violations"] for node in v["nodes"]]

    return find
