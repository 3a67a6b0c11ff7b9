"""Keeps the marks in nbgrader's gradebook, where texts are marked in its browser view.

A mark that a person gave there is never changed. The results folder is a course of nbgrader's, without a
folder `submitted`, so that its own autograder has nothing that it could run.
"""

import base64
import hashlib
import json
import os
import re
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from grading.marking import Mark
from grading.notebooks import Cell, Release, Submission, is_answered
from grading.records import Record, write

CONFIG = """\
# Written by the grader, for nbgrader's browser view.
from pathlib import Path

c = get_config()
c.CourseDirectory.course_id = "gancourse"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.db_url = f"sqlite:///{Path(__file__).resolve().parent / 'gradebook.db'}"
c.HTMLExporter.sanitize_html = True
"""
PICTURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
MAX_PICTURE = 16 * 2**20


@dataclass(frozen=True)
class Manual:
    """What a person gave for one exercise in the browser view: points, or None, and a comment."""

    points: float | None
    comment: str


def update(results: Path, release: Release, records: Iterable[Record]) -> dict[tuple[str, str], Manual]:
    """Enter the marks of the code, and return what persons entered, by student and grade_id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy's about nbgrader's models
        from nbgrader.api import Gradebook

    # nbgrader calls the programme alembic, which stands beside Python in a virtual environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    homework = release.homework
    database = f"sqlite:///{(results / 'gradebook.db').resolve()}"
    write(results / "nbgrader_config.py", CONFIG)
    text = json.dumps(release.notebook, ensure_ascii=False, indent=1)
    for folder in ("source", "release"):
        write(results / folder / homework / f"{homework}.ipynb", text)
    manual = {}
    with Gradebook(database) as gradebook, gradebook.db.no_autoflush:
        _define(gradebook, release)
        for record in records:
            given = _enter(gradebook, release, record)
            manual.update({(record.student, grade_id): mark for grade_id, mark in given.items()})
        gradebook.db.commit()
    return manual


def _define(gradebook: Any, release: Release) -> None:
    """The homework's structure: one notebook with its graded cells and the cells that students fill in."""
    homework = release.homework
    gradebook.update_or_create_assignment(homework)
    gradebook.update_or_create_notebook(homework, homework)
    for raw in release.notebook["cells"]:
        about = raw["metadata"].get("nbgrader")
        if not about:
            continue
        name, where = about["grade_id"], (homework, homework)
        if about["grade"]:
            gradebook.update_or_create_grade_cell(
                name, *where, max_score=about["points"], cell_type=raw["cell_type"]
            )
        if about["solution"]:
            gradebook.update_or_create_solution_cell(name, *where)
        gradebook.update_or_create_source_cell(
            name, *where, cell_type=raw["cell_type"], source="".join(raw["source"]), locked=about["locked"]
        )


def _enter(gradebook: Any, release: Release, record: Record) -> dict[str, Manual]:
    homework = release.homework
    gradebook.update_or_create_student(record.student, last_name=record.name)
    submission = gradebook.update_or_create_submission(
        homework, record.student, timestamp=datetime.fromisoformat(record.date).replace(tzinfo=None)
    )
    (notebook,) = submission.notebooks
    comments = {comment.name: comment for comment in notebook.comments}
    marks = {mark.grade_id: mark for mark in record.marks}
    manual = {}
    for task in release.tasks:
        grade = next(grade for grade in notebook.grades if grade.name == task.grade_id)
        mark = marks.get(task.grade_id)
        comment = comments.get(task.cell)
        if mark is None:
            _await(grade, comment, record, task.grade_id)
        elif record.is_open(mark):
            # No points rather than zero points: nobody knows what the code is worth.
            grade.auto_score = None
            grade.needs_manual_grade = grade.manual_score is None
        else:
            grade.auto_score = mark.earned
            grade.needs_manual_grade = False
        if mark is not None and comment is not None:
            comment.auto_comment = f"{mark.status}: {mark.message}"
        said = (comment.manual_comment if comment is not None else None) or ""
        if grade.manual_score is not None or said:
            points = grade.manual_score
            if points is not None and grade.extra_credit is not None:
                points += grade.extra_credit
            manual[task.grade_id] = Manual(points, said)
    return manual


def _await(grade: Any, comment: Any, record: Record, grade_id: str) -> None:
    """A text, or what may be one, waits for a person, once for each version of it; no text is no work."""
    answer = record.answers.get(grade_id, "")
    beside = not answer and bool(record.others)
    unknown = bool(record.unreadable or record.stranger) or beside
    grade.auto_score = None if answer or unknown else 0
    if comment is None:
        return
    before = (comment.auto_comment or "").partition("version ")[2].rstrip(".")
    version = _version("\n".join(record.others) if beside else answer)
    if not answer and not unknown:
        grade.needs_manual_grade = False
    elif grade.manual_score is None or (before and before != version):
        grade.needs_manual_grade = True
    where = "No text in the notebook, but files beside it. " if beside else ""
    waits = f"{where}To be marked by a person, version {version}."
    comment.auto_comment = waits if answer or beside else "No answer."


def _version(answer: str) -> str:
    return hashlib.sha256(answer.encode("utf-8", "replace")).hexdigest()[:8]


# --- the notebook that the browser view shows -------------------------------------------------------------


def notebook_for_view(release: Release, submission: Submission | None, marks: list[Mark], reason: str) -> str:
    """The student's notebook as the browser view needs it: released cells, with what the student wrote.

    The text of students is shown, never obeyed: no HTML, no link that runs something, no address outside.
    """
    by_id = {mark.grade_id: mark for mark in marks}
    own: dict[str | None, list[Cell]] = {}
    for cell in submission.code() if submission else []:
        own.setdefault(cell.grade_id, []).append(cell)
    known = {cell.grade_id for cell in release.cells}
    added = [cell for name, cells in own.items() if name not in known or name is None for cell in cells]
    answers = submission.answers if submission else {}
    cells = []
    if reason:
        cells.append(nbformat.v4.new_markdown_cell(f"**This submission could not be read.** {_tame(reason)}"))
    for raw in release.notebook["cells"]:
        about = raw["metadata"].get("nbgrader", {})
        name, source = about.get("grade_id"), "".join(raw["source"])
        if raw["cell_type"] == "code":
            if about.get("solution") and name in own:
                source = "\n\n\n".join(cell.source for cell in own[name])
            cell = nbformat.v4.new_code_cell(source, metadata=raw["metadata"])
            if name in by_id:
                mark = by_id[name]
                said = f"{mark.earned}/{mark.points} {mark.status}: {mark.message} {mark.detail}".strip()
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=said + "\n")]
        else:
            cell = nbformat.v4.new_markdown_cell(source, metadata=raw["metadata"])
            if name in answers and is_answered(answers[name], release):
                cell.source = _tame(answers[name].source)
                pictures = readable_pictures(answers[name])
                if pictures:
                    cell.attachments = pictures
        cells.append(cell)
    if added:
        cells.append(nbformat.v4.new_markdown_cell("## Cells that the student added"))
        cells += [nbformat.v4.new_code_cell(cell.source) for cell in added]
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"
    view = nbformat.v4.new_notebook(cells=cells, metadata=release.notebook["metadata"])
    return nbformat.writes(view) + "\n"


def _tame(text: str) -> str:
    """Markdown without HTML, and with links and pictures that lead nowhere but to attachments."""
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    text = re.sub(r"(\]\s*\(\s*)(?!attachment:)[^)\s]*", r"\1#", text)
    return re.sub(r"^([ \t]*\[[^\]\n]{0,200}\]:).*$", r"\1 #", text, flags=re.M)


def readable_pictures(cell: Cell) -> dict[str, dict[str, str]]:
    """The attached pictures that are what they say."""
    kept: dict[str, dict[str, str]] = {}
    for name, kinds in cell.attachments.items():
        for kind, data in kinds.items() if isinstance(kinds, dict) else ():
            data = "".join(data) if isinstance(data, list) and all(isinstance(d, str) for d in data) else data
            if kind not in PICTURES or not isinstance(data, str) or len(data) > MAX_PICTURE:
                continue
            try:
                raw = base64.b64decode(data)
            except ValueError:
                continue
            if raw.startswith(PICTURES[kind]):
                kept[str(name)[:100]] = {kind: base64.b64encode(raw).decode("ascii")}
    return kept


def save_view(results: Path, release: Release, student: str, text: str) -> None:
    """Put the notebook where nbgrader's browser view looks for it."""
    write(results / "autograded" / student / release.homework / f"{release.homework}.ipynb", text)
