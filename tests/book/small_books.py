"""Small books for the tests of our Sphinx extension, built in this process in a fraction of a second."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx
from sphinx.util.console import strip_colors
from sphinx.util.docutils import docutils_namespace, patch_docutils

sys.path.append(str(Path(__file__).parents[2] / "book" / "_ext"))

RECORD = {
    "label": "first",
    "routes": ["closed form", "quadrature"],
    "error": 2.3e-12,
    "tolerance": 1e-06,
    "tolerance_stated": "1e-06",
    "control": "a sign turned",
    "control_error": 0.25,
}


def record(label: str = "first", **changed: object) -> dict[str, object]:
    """A record as `gancourse.checks.check` leaves it."""
    return RECORD | {"label": label} | changed


@dataclass
class Result:
    """How a build ended."""

    status: int
    warnings: list[str]

    def __str__(self) -> str:
        return "\n".join(self.warnings)


class Book:
    """A book in a temporary folder: a chapter, a lab and the page with all evidence."""

    extensions = ("myst_nb", "sphinx_proof", "ledger")

    def __init__(self, folder: Path):
        self.folder = folder
        self.write(
            "index", "# Book\n\n```{toctree}\n:numbered: 1\nbook/chapter\nlabs/lab\nbook/evidence\n```\n"
        )
        self.chapter("```{prf:theorem} Title with $x$\n:label: first\nIt holds.\n```\n")
        self.write("book/evidence", "# Evidence\n\n```{evidence-table}\n```\n\n```{exemption-list}\n```\n")
        self.lab(record())

    def write(self, docname: str, text: str) -> None:
        path = self.folder / f"{docname}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def chapter(self, body: str) -> None:
        self.write("book/chapter", f"# Chapter\n\n{body}")

    def lab(self, *records: object, stem: str = "lab") -> None:
        """A notebook with one cell for each record."""
        cells = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": f"# The {stem}"}]
        for index, stored in enumerate(records):
            output = {
                "output_type": "display_data",
                "data": {"text/plain": "✓ checked"},
                "metadata": {"gancourse": stored},
            }
            cell = {"cell_type": "code", "execution_count": 1, "id": f"cell-{index}", "metadata": {}}
            cells.append(cell | {"source": "check()", "outputs": [output]})
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
        path = self.folder / "labs" / f"{stem}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")

    def build(self, builder: str = "html", **settings: object) -> Result:
        """Build strictly, as `jupyter-book build -W -n --keep-going` does."""
        said = io.StringIO()
        out = self.folder / "_build"
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                self.folder,
                None,
                out / builder,
                out / ".doctrees",
                builder,
                confoverrides={
                    "extensions": list(self.extensions),
                    "exclude_patterns": ["_build"],
                    "html_theme": "basic",
                    "myst_enable_extensions": ["dollarmath"],
                    "nb_execution_mode": "off",
                    "nitpicky": True,
                    "numfig": True,
                }
                | settings,
                status=None,
                warning=said,
                warningiserror=True,
                keep_going=True,
            )
            app.build()
        lines = strip_colors(said.getvalue()).splitlines()
        return Result(app.statuscode, [line for line in lines if line.strip()])

    def page(self, docname: str, builder: str = "html") -> BeautifulSoup:
        path = self.folder / "_build" / builder / f"{docname}.html"
        return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def text(tag: Tag) -> str:
    """The words of an element with single spaces."""
    return " ".join(tag.get_text().split())
