"""A class with everything that can go wrong and everything that can be tried: marks, harm, leaks, traces."""

import csv
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grading.records import FAILED
from tests.grading.conftest import SECONDS, Graded, fingerprints, left_running
from tests.grading.hostile import HOSTILE, MARKER
from tests.grading.submissions import BROKEN, FUNCTIONS, STEM, Kind

# The first test waits for the whole class, on a busy machine too.
pytestmark = [pytest.mark.xdist_group("grading"), pytest.mark.timeout(1800)]
KINDS = [*BROKEN, *HOSTILE]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def test_enough_kinds_are_tried():
    assert len(BROKEN) >= 25
    assert len(HOSTILE) >= 25
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@every_kind
def test_each_exercise_has_the_right_status_and_no_point_too_many(kind: Kind, graded: Graded):
    record = graded.record(kind)
    got = {mark.grade_id.removeprefix("check_"): mark for mark in record.marks}
    assert {name: mark.status for name, mark in got.items()} == kind.expected(), (record.marks, record.notes)
    for name, mark in got.items():
        assert mark.earned == (FUNCTIONS[name] if mark.status == "ok" else 0)
        assert mark.points == FUNCTIONS[name]
    assert bool(record.unreadable) == (kind.everything == "unreadable")


@every_kind
def test_no_submission_takes_longer_than_its_one_limit(kind: Kind, graded: Graded):
    assert graded.record(kind).seconds <= SECONDS + 4  # beside a start of the worker that was under way


def test_nobody_is_lost_and_no_fault_is_left(graded: Graded):
    assert graded.run.faults == {}
    neighbours = 1  # the honest one whom the thief links to
    assert len(graded.run.records) == len(KINDS) + neighbours


def test_nothing_is_left_running_and_nothing_was_written_outside(graded: Graded):
    assert left_running() == []
    assert list(Path("/tmp").glob(f"{MARKER}*")) == []


def test_the_submissions_are_as_they_were(graded: Graded):
    assert fingerprints(graded.folder) == graded.before


def test_no_memory_beyond_the_limit_was_held(graded: Graded):
    assert 0 < max(record.memory for record in graded.run.records.values()) < 3.5 * 2**30


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad_json", "not valid JSON"),
        ("empty_file", "The file is empty"),
        ("web_page", "a web page"),
        ("script", "not a notebook: the file has the suffix .py"),
        ("empty_folder", "The folder is empty"),
        ("giant_file", "larger than 32 MiB"),
        ("linked_folder", "links are not followed"),
        ("pipe_in_folder", "not a file|device"),
        ("zip_bomb", "larger than the limit"),
        ("zip_that_escapes", "leads out of the zip file"),
        ("nested_json", "nested too deeply|not valid JSON"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, said: str, graded: Graded):
    (kind,) = [kind for kind in KINDS if kind.name == name]
    assert re.search(said, graded.record(kind).unreadable)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("duplicated_cells", "unused copy"),
        ("stripped_metadata", "had lost the marks of its cells"),
        ("old_format", "old version of the notebook format"),
        ("windows_line_ends", "Windows line ends"),
        ("byte_order_mark", "byte-order mark"),
        ("damaged_cells", "damaged cells were left out"),
        ("checks_changed", "the given code is not that of the homework as it is handed out now"),
        ("two_files", r"Several notebooks.*The newest counts"),
        ("newest_damaged", "not valid JSON"),
        ("installs_packages", "not executed.*pip install"),
        ("failing_cell", "failed in line 1 with ModuleNotFoundError; the lines below were run"),
        ("input_in_a_cell", "nobody is there to answer"),
        ("loop_in_a_cell", "was stopped"),
    ],
)
def test_what_was_repaired_or_skipped_is_told(name: str, said: str, graded: Graded):
    (kind,) = [kind for kind in KINDS if kind.name == name]
    assert re.search(said, " ".join(graded.record(kind).notes)), graded.record(kind).notes


def test_written_answers_survive_whatever_happened_to_the_notebook(graded: Graded):
    for name in ("stripped_metadata", "old_format", "from_colab", "endless_loop", "zip_file"):
        (kind,) = [kind for kind in KINDS if kind.name == name]
        assert "less two divergences" in graded.record(kind).answers["minimal_risk"], name


# --- what is written about them ---------------------------------------------------------------------------


def feedback(graded: Graded, name: str) -> str:
    (kind,) = [kind for kind in KINDS if kind.name == name]
    student = graded.record(kind).student
    return (graded.results / STEM / "feedback" / f"{student}.html").read_text(encoding="utf-8")


def test_hidden_inputs_do_not_leak_through_what_a_student_says(graded: Graded):
    for kind in KINDS:
        if kind.name.startswith("leaks_"):
            page = feedback(graded, kind.name).split('class="asked"')[0]
            record = graded.record(kind)
            assert "LEAK" not in " ".join([*record.notes, *(m.message + m.detail for m in record.marks)])
            assert "LEAK" not in page


def test_what_went_wrong_with_visible_inputs_is_told_in_full(graded: Graded):
    def mark(name: str):
        (kind,) = [kind for kind in KINDS if kind.name == name]
        return next(m for m in graded.record(kind).marks if m.grade_id == "check_density_ratio")

    assert mark("wrong_signature").message == "`density_ratio` raised TypeError."
    assert "takes 1 positional argument but 2 were given" in mark("wrong_signature").detail
    assert mark("nothing_solved").detail == "NotImplementedError: solve density_ratio"
    assert mark("raises_on_hidden_inputs_only").message.endswith("With the visible check it does not.")
    assert mark("raises_on_hidden_inputs_only").detail == ""


def test_no_page_holds_markup_of_a_student_or_asks_for_anything_outside(graded: Graded):
    pages = sorted((graded.results / STEM).rglob("*.html"))
    assert len(pages) == len(graded.run.records) + 1
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text, page
        assert "<img" not in text, page
        assert not re.search(
            r"""(src|href)=["']?(?!feedback/)[^"'>]""", re.sub(r"<pre>.*?</pre>", "", text, flags=re.S)
        ) or ("&lt;img" in text), page
        assert "default-src 'none'" in text


def test_pages_of_the_hostile_stay_silent_in_a_browser(graded: Graded):
    from tests.browser import chromium_path, launch

    (kind,) = [kind for kind in KINDS if kind.name == "markup"]
    pages = [
        graded.results / STEM / "overview.html",
        graded.results / STEM / "feedback" / f"{graded.record(kind).student}.html",
    ]
    with launch(chromium_path()) as browser:
        page = browser.new_page()
        asked, dialogs = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        for path in pages:
            page.goto(path.as_uri())
            page.wait_for_timeout(300)
            assert page.title().startswith(("Overview", "Feedback"))
        assert dialogs == []
        assert [url for url in asked if not url.startswith("file:")] == []
        assert "<script>document.title='taken'</script>" in page.inner_text("body")


def test_the_table_has_a_row_each_and_no_failed_run_looks_like_a_zero(graded: Graded):
    with open(graded.results / STEM / "marks.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows.keys() == graded.run.records.keys()
    for student, record in graded.run.records.items():
        row = rows[student]
        for mark in record.marks:
            shown = row[mark.grade_id.removeprefix("check_")]
            assert shown == (str(mark.earned) if mark.status in ("ok", "wrong") else mark.status)
        if any(mark.status in FAILED for mark in record.marks) or record.stranger:
            assert row["total"] == ""
        assert not any(value[:1] in "=+-@" for value in row.values() if value)


def test_the_gradebook_agrees_and_leaves_failed_runs_open(graded: Graded):
    with sqlite3.connect(graded.results / "gradebook.db") as database:
        rows = database.execute(
            "select sa.student_id, c.name, g.auto_score, g.needs_manual_grade from grade g "
            "join base_cell c on c.id = g.cell_id join submitted_notebook n on n.id = g.notebook_id "
            "join submitted_assignment sa on sa.id = n.assignment_id"
        ).fetchall()
    scores = {(student, name): (score, bool(manual)) for student, name, score, manual in rows}
    assert len(scores) == 7 * len(graded.run.records)
    for student, record in graded.run.records.items():
        for mark in record.marks:
            expected = (None, True) if mark.status in FAILED or record.stranger else (mark.earned, False)
            assert scores[student, mark.grade_id] == expected
        assert scores[student, "minimal_risk"][1] == bool(
            record.answers or record.unreadable or record.stranger
        )


def test_the_overview_says_who_wrote_the_same(graded: Graded):
    text = (graded.results / STEM / "overview.html").read_text(encoding="utf-8")
    same = text.split("Nearly the same")[1].split("</ul>")[0]
    assert "returns none" in same
    assert "endless loop" in same
    assert "honest neighbour" not in same
    assert text.count("<svg") == 2


def test_views_for_the_browser_hold_no_working_markup(graded: Graded):
    (kind,) = [kind for kind in KINDS if kind.name == "markup"]
    path = graded.results / "autograded" / graded.record(kind).student / STEM / f"{STEM}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (answer,) = [c for c in cells if c["metadata"].get("nbgrader", {}).get("grade_id") == "minimal_risk"]
    source = "".join(answer["source"])
    assert "<" not in source
    assert "javascript:" not in source
    assert "192.0.2.1/a" not in source


def test_nbgraders_browser_view_lists_the_class_and_shows_an_answer_to_be_marked(graded: Graded):
    from tests.browser import chromium_path, launch

    students = {}
    with formgrader(graded.results) as address, launch(chromium_path()) as browser:
        page = browser.new_page()
        dialogs = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(f"{address}/gradebook?token=rehearsal")
        page.wait_for_selector("#main-table a")
        assert STEM in page.inner_text("#main-table")
        for row in page.request.get(f"{address}/api/submitted_notebooks/{STEM}/{STEM}").json():
            students[row["student"]] = row
        assert students.keys() == graded.run.records.keys()
        for name, score, answer in (
            ("zip_file", 16, "The best discriminator pays"),
            ("markup", 14, "<img src=x onerror=alert(1)>"),
        ):
            (kind,) = [kind for kind in KINDS if kind.name == name]
            row = students[graded.record(kind).student]
            assert (row["score"], row["needs_manual_grade"]) == (score, True)
            page.goto(f"{address}/submissions/{row['id']}", wait_until="domcontentloaded")
            assert answer in page.inner_text("body")
            assert page.locator("input.score").count() == len(FUNCTIONS) + 1
            assert page.title() == STEM
        assert dialogs == []


@contextmanager
def formgrader(course: Path) -> Iterator[str]:
    """nbgrader's browser view of a course, without JupyterLab around it; yields its address."""
    log = course / "server.log"
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += ["--port=0", "--IdentityProvider.token=rehearsal", f"--ServerApp.root_dir={course}"]
    command += ["--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}"]
    settings = {**os.environ, "HOME": str(course), "JUPYTER_PLATFORM_DIRS": "0"}
    with log.open("w") as said:
        process = subprocess.Popen(command, cwd=course, env=settings, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"{found[0]}formgrader"
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.unlink()
