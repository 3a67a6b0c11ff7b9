"""Links to the repository and to Colab, under this book's settings, before and after `make address`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from small_books import Book, text

ROOT = Path(__file__).parents[2]
UNSET = "https://github.com/OWNER/REPOSITORY"
ADDRESS = "https://github.com/some-one/my.course"
COLAB = "https://colab.research.google.com/github/some-one/my.course/blob/main"
TOC = """
format: jb-book
root: book/index
chapters:
  - file: book/chapter
  - file: labs/lab
  - file: labs/own_link
  - file: labs/homework/exercise
"""
NOTEBOOKS = ["labs/lab", "labs/own_link", "labs/homework/exercise"]


def notebook(path: Path, lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cell = f'{{"cell_type": "markdown", "id": "a", "metadata": {{}}, "source": "{lines}"}}'
    path.write_text(f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}')


def build(folder: Path, address: str) -> dict[str, BeautifulSoup]:
    """A small book with the settings of this one and another address."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = address
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "_toc.yml").write_text(TOC, encoding="utf-8")
    for part in ("_ext", "assets"):
        ignored = shutil.ignore_patterns("__pycache__", "figures")
        shutil.copytree(ROOT / "book" / part, folder / "book" / part, ignore=ignored)
    (folder / "book" / "references.bib").write_text("")
    (folder / "book" / "index.md").write_text("# Book\n")
    (folder / "book" / "chapter.md").write_text("# Chapter\n")
    notebook(folder / "labs" / "lab.ipynb", "# Lab\\n\\nText.")
    notebook(folder / "labs" / "homework" / "exercise.ipynb", "# Homework\\n\\nText.")
    own = f"\\n\\n[Colab]({COLAB}/labs/own_link.ipynb)" if address == ADDRESS else ""
    notebook(folder / "labs" / "own_link.ipynb", f"# Its own link{own}")
    command = "from jupyter_book.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "build", "-W", "-n", "--keep-going", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    html = folder / "_build" / "html"
    return {
        path.relative_to(html).with_suffix("").as_posix(): BeautifulSoup(path.read_text(), "html.parser")
        for path in html.rglob("*.html")
        if "_static" not in path.parts
    }


@pytest.fixture(scope="module")
def unset(tmp_path_factory) -> dict[str, BeautifulSoup]:
    return build(tmp_path_factory.mktemp("unset"), UNSET)


@pytest.fixture(scope="module")
def address_set(tmp_path_factory) -> dict[str, BeautifulSoup]:
    return build(tmp_path_factory.mktemp("set"), ADDRESS)


def links(page: BeautifulSoup) -> list[str]:
    return [link["href"] for link in page.select("a[href]")]


def test_without_an_address_no_page_links_to_a_repository(unset):
    for name, page in unset.items():
        assert not [link for link in links(page) if "github" in link or "colab" in link], name
        assert not page.select(".dropdown-launch-buttons, .dropdown-source-buttons"), name


def test_without_an_address_notebooks_carry_a_notice_and_chapters_do_not(unset):
    for name in NOTEBOOKS:
        notice = unset[name].select_one("h1 + .colab-unset")
        assert text(notice) == (
            "Links to Colab appear here once the address of this copy is set with make address."
        )
    assert not unset["book/chapter"].select(".colab-unset, .colab")


@pytest.mark.parametrize("name", ["labs/lab", "labs/homework/exercise"])
def test_with_an_address_notebooks_open_in_colab(address_set, name):
    page = address_set[name]
    visible = page.select_one("h1 + .colab a")
    assert visible["href"] == f"{COLAB}/{name}.ipynb"
    assert text(visible) == "Open in Colab"
    rocket = page.select_one(".dropdown-launch-buttons a")
    assert rocket["href"] == f"{COLAB}/{name}.ipynb"
    assert not page.select(".colab-unset")


def test_with_an_address_pages_link_to_the_repository_and_its_issues(address_set):
    buttons = [link["href"] for link in address_set["book/chapter"].select(".dropdown-source-buttons a")]
    assert buttons[0] == ADDRESS
    assert buttons[1].startswith(f"{ADDRESS}/issues/new")
    assert not [link for link in links(address_set["book/chapter"]) if "colab" in link]


def test_a_notebook_with_its_own_link_gets_no_second_one(address_set):
    page = address_set["labs/own_link"]
    assert len(page.select("article a[href^='https://colab']")) == 1
    assert not page.select(".colab, .colab-unset")


@pytest.mark.parametrize(
    "address",
    ["https://github.com/some-one/course/", "https://gitlab.com/some-one/course", "git@github.com:a/b", ""],
)
def test_a_malformed_address_fails_and_says_how_to_write_it(book: Book, address):
    book.extensions = ("myst_nb", "address")
    book.chapter("Text.\n")
    book.write("book/evidence", "# Evidence\n")
    result = book.build("dummy", html_theme_options={"repository_url": address})
    assert result.status == 1
    assert f"the address of the repository is {address!r}; write it as {UNSET}" in str(result)
