"""What the table and the overview say of records, without running anything."""

import csv
import io

import pytest

from grading import marking, report
from grading.records import Record
from tests.grading.submissions import STEM

TEXT = "minimal_risk"


def record_of(student="ann", status="ok", **more) -> Record:
    """A record with one status for all of the code, and an answer that waits for a person."""
    marks = [
        marking.Mark(each.grade_id, each.points, each.points if status == "ok" else 0, status, "Said.")
        for each in marking.exercises(STEM)
    ]
    about = {"answers": {TEXT: "By convexity."}, "date": "2026-01-01T00:00:00+00:00", "path": "a.ipynb"}
    return Record(student=student, name=student, fingerprint="", marks=marks, **about | more)


@pytest.fixture
def seen(release):
    """The row of the last record, and the overview's list of those to look at."""

    def look(*records, given=None):
        rows = csv.DictReader(io.StringIO(report.table(release, records, given or {})))
        page = report.overview(release, list(records), given or {}, {})
        return list(rows)[-1], page.split("<h2>To look at</h2>")[1].split("<h2>")[0], page

    return look


def test_a_doubt_whose_files_these_are_is_in_table_and_overview(seen):
    row, listed, _ = seen(record_of(doubt="These may be of several people."))
    assert row["to_look_at"] == f"{TEXT}: no mark yet; These may be of several people."
    assert "These may be of several people." in listed
