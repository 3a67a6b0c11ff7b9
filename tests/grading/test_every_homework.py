"""Every homework goes through the grader: whatever its checks call and its notebook imports works there."""

import json

import pytest

from grading import marking, report, running
from grading.grade import RELEASES
from grading.notebooks import _cells, align, parse, read_release
from grading.records import Record
from grading.sandbox import Workplace
from tests.grading.submissions import add_before, dumped
from tests.homework.answers import STEMS, right

pytestmark = pytest.mark.xdist_group("grading")


@pytest.mark.parametrize("stem", STEMS)
def test_right_answers_get_all_points_that_code_can_get(stem: str, sandbox: None):
    path = RELEASES / f"{stem}.ipynb"
    release, notebook = read_release(path), json.loads(path.read_text(encoding="utf-8"))
    about = [cell["metadata"].get("nbgrader", {}) for cell in notebook["cells"]]
    first = next(a["grade_id"] for a in about if a.get("solution"))
    # The cells for the answers stay as they were: what was written elsewhere outranks their placeholders.
    add_before(notebook, first, next(iter(right(stem).values())))
    submission = align("ann.ipynb", _cells(parse(dumped(notebook), []), []), release, [])
    outcome = running.run(submission, release, marking.exercises(stem), Workplace(60.0), seed=3)
    assert {mark.status for mark in outcome.marks} == {"ok"}, (outcome.marks, outcome.notes)
    by_code = sum(a["points"] for a in about if a.get("grade") and not a["solution"])
    assert sum(mark.earned for mark in outcome.marks) == by_code
    record = Record("ann", "Ann", "", "ann.ipynb", outcome.marks, "")
    assert f"<strong>{by_code} of 20 points</strong>" in report.feedback(release, record, {})
