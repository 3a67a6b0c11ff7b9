"""Release labs/homework/ from the masters in solutions/: `python -m tools.homework`.

nbgrader takes the solutions out, in a scratch folder, so that nothing beside a master can leak. The same
master gives the same bytes. With `--check` nothing is written: it prints what is stale and fails if
anything is.
"""

import argparse
import logging
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import GenerateAssignment
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import ClearSolutions, NbGraderPreprocessor
from traitlets.config import Config

from tools.notebooks import from_source

MASTERS = Path(__file__).resolve().parents[1] / "solutions"
RELEASES = MASTERS.parent / "labs" / "homework"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
POINTS = 20
FIRST = ("# Homework: ", f"{POINTS} points", "You need", "How it is marked")
"""What the first cell tells students, beside how long it takes."""


class NameTheExercise(NbGraderPreprocessor):
    """Let the placeholder of an unsolved exercise say which one it is."""

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int) -> tuple[NotebookNode, dict]:
        name = re.search(r"^def (\w+)", cell.source, re.M)
        if name:
            placeholder = f'raise NotImplementedError("solve {name[1]}")'
            cell.source = cell.source.replace("raise NotImplementedError()", placeholder)
        return cell, resources


def validate(master: Path, notebook: NotebookNode) -> None:
    """Raise ValueError, naming the cell, when a master would release a solution, lose points or confuse."""
    _check_frame(master, notebook)
    seen, function = set(), ""
    for number, cell in enumerate(notebook.cells, start=1):
        about = cell.metadata.get("nbgrader")
        where = f"{master.name}, cell {number}"
        begun, ended = cell.source.count(BEGIN), cell.source.count(END)
        solution = about is not None and about["solution"]
        if begun != ended or begun > 1:
            raise ValueError(f"{where}: {begun} lines `{BEGIN}` and {ended} `{END}`; expected one of each.")
        if solution and not begun:
            raise ValueError(
                f"{where}: a solution cell without `{BEGIN}`; put it around what students write."
            )
        if begun and not solution:
            raise ValueError(
                f"{where}: a solution region, but the cell's nbgrader metadata lack solution: true."
            )
        if cell.cell_type == "code" and about is None:
            raise ValueError(f"{where}: a code cell without nbgrader metadata; say whether it is a solution.")
        if about is None:
            continue
        if about["grade_id"] in seen:
            raise ValueError(f"{where}: the grade_id {about['grade_id']!r} occurs twice; choose another.")
        seen.add(about["grade_id"])
        if about["grade"] and not about.get("points"):
            raise ValueError(f"{where}: a graded cell without points; add them to its nbgrader metadata.")
        functions = re.findall(r"^def (\w+)", cell.source, re.M)
        if solution and cell.cell_type == "code":
            if len(functions) != 1:
                raise ValueError(
                    f"{where}: a solution cell must define one function, whose name the placeholder bears; "
                    f"found {len(functions)}."
                )
            (function,) = functions
        if cell.cell_type == "code" and (solution or about["grade"]):
            expected = function if solution else f"check_{function}"
            if about["grade_id"] != expected:
                raise ValueError(
                    f"{where}: the grade_id is {about['grade_id']!r}, expected {expected!r}: a function's "
                    "cell bears its name, that of its visible checks, which follows, has `check_` before it."
                )
    _check_points(master, notebook)


def _check_frame(master: Path, notebook: NotebookNode) -> None:
    """What stands before and after the exercises."""
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    if missing := [part for part in FIRST if part not in first]:
        raise ValueError(f"{master.name}, cell 1: lacks {missing[0]!r}; it tells students what awaits them.")
    if not re.search(r"about (\d+ hours? )?\d+ minutes|about \d+ hours?\b", first):
        raise ValueError(
            f"{master.name}, cell 1: does not say how long it takes: 'about 2 hours 25 minutes'."
        )
    number, setup = next((n, c) for n, c in enumerate(notebook.cells, start=1) if c.cell_type == "code")
    if setup.metadata.get("nbgrader", {}).get("grade_id", "setup") != "setup":
        raise ValueError(
            f"{master.name}, cell {number}: the first code cell imports; its grade_id is 'setup'."
        )
    if not last.startswith("## How to submit") or f"`{master.stem}.ipynb`" not in last:
        raise ValueError(
            f"{master.name}, cell {len(notebook.cells)}: the last cell is '## How to submit' and names "
            f"`{master.stem}.ipynb`, the file to hand in."
        )


def _check_points(master: Path, notebook: NotebookNode) -> None:
    """What the exercises earn, and who says so."""
    graded = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    total = sum(cell.metadata.nbgrader.points for cell in graded)
    if total != POINTS:
        raise ValueError(f"{master.name}: the exercises earn {total} points; a homework has {POINTS}.")
    if not any(cell.cell_type == "markdown" for cell in graded):
        raise ValueError(
            f"{master.name}: no written answer; a derivation, a Markdown cell with points, is marked by hand."
        )


def release(master: Path) -> str:
    """The text of the notebook that students get; ValueError when the master is not well formed."""
    notebook = from_source(master)
    validate(master, notebook)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "source", master.stem)
        source.mkdir(parents=True)
        nbformat.write(notebook, source / f"{master.stem}.ipynb")
        config = Config(
            {
                "CourseDirectory": {"root": scratch, "assignment_id": master.stem},
                "GenerateAssignment": {"no_database": True, "force": True},
                "SaveCells": {"enabled": False},
                "ClearSolutions": {"text_stub": "*Write your answer here.*"},
            }
        )
        converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
        steps = list(converter.preprocessors)
        steps.insert(steps.index(ClearSolutions) + 1, NameTheExercise)
        converter.preprocessors = steps
        log = logging.getLogger("traitlets")
        level = log.level
        log.setLevel(logging.ERROR)  # nbgrader narrates every file at the level INFO
        try:
            converter.start()
        finally:
            log.setLevel(level)
        released = nbformat.read(Path(scratch, "release", master.stem, f"{master.stem}.ipynb"), as_version=4)
    return nbformat.writes(released).rstrip("\n") + "\n"


def stale(masters: Path, releases: Path) -> list[str]:
    """What is wrong with the released notebooks, one line each; empty when all are up to date."""
    problems = []
    sources = sorted(masters.glob("*.py"))
    for master in sources:
        target = releases / f"{master.stem}.ipynb"
        if not target.exists():
            problems.append(f"{target.name}: not released; run `make homework`")
        elif target.read_text(encoding="utf-8") != release(master):
            problems.append(f"{target.name}: differs from what {master.name} releases; run `make homework`")
    expected = {f"{master.stem}.ipynb" for master in sources}
    for path in sorted(releases.glob("*")) if releases.exists() else []:
        if path.name not in expected and path.name != ".ipynb_checkpoints":
            problems.append(f"{path.name}: has no master in {masters.name}/; remove it or write its master")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """Release every homework, or with `--check` only say what is stale. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.homework", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a release is stale")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            problems = stale(MASTERS, RELEASES)
            print("\n".join(problems) or "all released notebooks are up to date")
            return int(bool(problems))
        for master in sorted(MASTERS.glob("*.py")):
            target, text = RELEASES / f"{master.stem}.ipynb", release(master)
            if not target.exists() or target.read_text(encoding="utf-8") != text:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
                print(f"{target.name}: released")
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
