"""What the table and the overview say of records, without running anything."""

import csv
import io
import time
import zipfile

import pytest

from grading import marking, report
from grading.gradebook import Manual
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
    return Record(**{"student": student, "name": student, "fingerprint": "", "marks": marks, **about, **more})


@pytest.fixture
def seen(release):
    """The row of the last record, and the overview's list of those to look at."""

    def look(*records, given=None, gone=()):
        rows = csv.DictReader(io.StringIO(report.table(release, records, given or {}, gone)))
        page = report.overview(release, list(records), given or {}, {}, gone)
        return list(rows)[-1], page.split("<h2>To look at</h2>")[1].split("<h2>")[0], page

    return look


def test_a_doubt_whose_files_these_are_is_in_table_and_overview(seen):
    row, listed, _ = seen(record_of(doubt="These may be of several people."))
    assert row["to_look_at"] == f"{TEXT}: no mark yet; These may be of several people."
    assert "These may be of several people." in listed


def test_a_text_that_may_be_in_a_file_beside_the_notebook_is_open_and_not_a_zero(seen, release):
    record = record_of(answers={}, others=["ann/derivation.pdf", "ann/photo.jpg"])
    row, listed, _ = seen(record)
    assert (row[TEXT], row["total"]) == ("to mark", "")
    for place in (row["to_look_at"], listed):
        assert f"{TEXT}: no text in the notebook, but maybe in ann/derivation.pdf, ann/photo.jpg" in place
    assert "A person looks at the files beside it." in report.feedback(release, record, {})
    row, listed, _ = seen(record, given={("ann", TEXT): Manual(3, "")})
    assert (row[TEXT], row["total"], row["to_look_at"]) == ("3", "19", "")
    assert "ann" not in listed


def test_no_text_and_no_other_file_is_a_zero(seen):
    row, listed, _ = seen(record_of(answers={}))
    assert (row[TEXT], row["total"], row["to_look_at"]) == ("missing", "16", "")
    assert "ann" not in listed


@pytest.mark.parametrize("about", [{"status": "died"}, {"status": "unreadable", "unreadable": "No JSON."}])
def test_who_was_marked_by_hand_is_no_longer_to_be_looked_at_and_counts(seen, release, about):
    record = record_of(**about)
    _, listed, page = seen(record_of("bob"), record)
    assert "ann" in listed
    assert "of the 1 whose code is all marked" in page
    given = {("ann", task.grade_id): Manual(1, "") for task in release.tasks}
    row, listed, page = seen(record_of("bob"), record, given=given)
    assert (row["total"], row["to_look_at"]) == ("7", "")
    assert "ann" not in listed
    assert "of the 2 whose code is all marked" in page
    assert "1 with 7 points" in page


def test_who_is_no_longer_among_the_submissions_is_told(seen):
    row, listed, _ = seen(record_of("bob"), record_of(), gone={"ann"})
    said = "no longer among the submissions; the marks are those of before"
    assert row["to_look_at"] == f"{TEXT}: no mark yet; {said}"
    assert listed.count(said) == 1
    assert "bob" not in listed


def test_pages_are_packed_under_the_names_by_which_moodle_knows_its_students(tmp_path, release, monkeypatch):
    moodle = record_of("jane-4711", name="Jäne d'Arc_../\\Doe <b>", platform="Moodle", number="4711")
    others = [record_of("doe-5", platform="Canvas", number="5"), record_of("bob")]
    records = {record.student: record for record in (moodle, *others)}
    report.write_all(tmp_path, release, records, {}, {}, ())
    packed = (tmp_path / "feedback-moodle.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        (name,) = archive.namelist()
        page = archive.read(name).decode("utf-8")
    # What Moodle reads: a number behind the first line, and the kind of file.
    assert name == f"Jäne d'Arc .. Doe b_4711_assignfeedback_file_{STEM}.html"
    assert page == (tmp_path / "feedback" / "jane-4711.html").read_text(encoding="utf-8")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    report.write_all(tmp_path, release, records, {}, {}, ())
    assert (tmp_path / "feedback-moodle.zip").read_bytes() == packed


def test_the_table_has_the_platforms_numbers_and_says_how_its_letters_are_written(tmp_path, release):
    records = [record_of("ann", platform="Canvas", number="0012"), record_of("bob")]
    report.write_all(tmp_path, release, {record.student: record for record in records}, {}, {}, ())
    assert not (tmp_path / "feedback-moodle.zip").exists()
    content = (tmp_path / "marks.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbfstudent,name,number,")
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
    assert [row["number"] for row in rows] == ["0012", ""]
