"""Running the grader again: after a crash, after marks by hand, after a new version, and for no reason."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from grading import grade as grade_module
from grading import gradebook, marking
from grading import records as storage
from grading.__main__ import main
from grading.grade import grade
from grading.records import Records
from tests.grading.conftest import fingerprints, left_running
from tests.grading.submissions import RATIO, STEM, put, solved, write
from tests.grading.test_report import record_of
from tools import project

pytestmark = pytest.mark.xdist_group("grading")


def again(folder: Path, results: Path, **options):
    return grade(STEM, folder, results, seconds=30, workers=2, progress=False, **options)


def rows(results: Path) -> dict[str, dict[str, str]]:
    with open(results / STEM / "marks.csv", encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def needs_marking(results: Path, student: str) -> bool:
    with Gradebook(f"sqlite:///{results / 'gradebook.db'}") as gradebook:
        return gradebook.find_grade("minimal_risk", STEM, STEM, student).needs_manual_grade


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, sandbox):
    """A class whose grader was killed after the first record."""
    folder, results = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("marks")
    write(folder / "ann.ipynb", solved("library"))
    wrong = solved("short")
    put(wrong, "density_ratio", RATIO + "return logits")
    write(folder / "bob.ipynb", wrong)
    write(folder / "cleo.ipynb", solved("loops"))
    (folder / "dan.ipynb").write_text("{")
    process = subprocess.Popen(
        [sys.executable, "-m", "grading", STEM, str(folder), "--to", str(results), "--workers", "1",
         "--seconds", "30"],
        cwd=project.ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((results / STEM / "records").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return folder, results


def test_grading_goes_on_where_it_was_killed_and_later_runs_change_nothing(interrupted):
    folder, results = interrupted
    deadline = time.monotonic() + 10
    while left_running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_running() == []
    kept = fingerprints(results / STEM / "records")
    done = [Path(path).name for path in kept if path.endswith(".json")]
    assert 1 <= len([name for name in done if not name.startswith(".")]) < 4

    run = again(folder, results, resume=True)
    assert run.fresh == 4 - len([name for name in done if not name.startswith(".")])
    now = fingerprints(results / STEM / "records")
    assert all(now[path] == kept[path] for path in kept if not Path(path).name.startswith("."))
    marks = rows(results)
    assert [marks[s]["density_ratio"] for s in ("ann", "bob", "cleo", "dan")] == ["2", "0", "2", "unreadable"]

    before = fingerprints(results)
    assert again(folder, results, resume=True).fresh == 0
    after = fingerprints(results)
    assert {p: v for p, v in after.items() if "gradebook.db" not in p} == {
        p: v for p, v in before.items() if "gradebook.db" not in p
    }

    # By hand, in the gradebook that the browser view writes.
    with Gradebook(f"sqlite:///{results / 'gradebook.db'}") as gradebook:
        mark = gradebook.find_grade("minimal_risk", STEM, STEM, "ann")
        mark.manual_score, mark.needs_manual_grade = 2.5, False
        gradebook.find_comment("minimal_risk", STEM, STEM, "ann").manual_comment = "<b>Part 3</b> is missing"
        gradebook.find_grade("check_density_ratio", STEM, STEM, "dan").manual_score = 1
        gradebook.db.commit()
    seed = (results / STEM / "seed").read_text()
    run = again(folder, results)
    assert run.fresh == 4
    assert (results / STEM / "seed").read_text() == seed
    marks = rows(results)
    assert (marks["ann"]["minimal_risk"], marks["ann"]["total"]) == ("2.5", "18.5")
    assert marks["dan"]["density_ratio"] == "1"
    assert marks["dan"]["total"] == ""
    assert not needs_marking(results, "ann")
    assert needs_marking(results, "cleo")
    page = (results / STEM / "feedback" / "ann.html").read_text(encoding="utf-8")
    assert "18.5 of 20 points" in page
    assert "&lt;b&gt;Part 3&lt;/b&gt; is missing" in page

    # A new version: only this student is run, the old record is kept, the text waits for a person again.
    write(folder / "ann.ipynb", solved("library", answer="A better derivation."))
    assert again(folder, results, resume=True).fresh == 1
    assert needs_marking(results, "ann")
    assert rows(results)["ann"]["minimal_risk"] == "2.5"
    assert len(list((results / STEM / "replaced" / "ann").glob("*.json"))) == 1

    # Another seed: other inputs, the same marks, and nobody forgotten who is no longer in the folder.
    (folder / "bob.ipynb").unlink()
    again(folder, results, seed=77)
    marks = rows(results)
    assert marks.keys() == {"ann", "bob", "cleo", "dan"}
    assert marks["ann"]["density_ratio"] == "2"
    told = [student for student in marks if "no longer among the subm" in marks[student]["to_look_at"]]
    assert told == ["bob"]

    # Who is really gone goes with the record.
    (results / STEM / "records" / "bob.json").unlink()
    assert again(folder, results, resume=True).fresh == 0
    assert rows(results).keys() == {"ann", "cleo", "dan"}
    assert ">bob<" not in (results / STEM / "overview.html").read_text(encoding="utf-8")


def test_two_graders_do_not_work_in_one_folder(tmp_path):
    refusal = pytest.raises(ValueError, match="Another grader is at work")
    with Records(tmp_path, STEM).locked(), refusal, Records(tmp_path, STEM).locked():
        pass


def test_a_damaged_record_is_an_error_and_no_missing_mark(tmp_path):
    path = tmp_path / STEM / "records" / "ann.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"student": "ann"')
    with pytest.raises(ValueError, match=r"ann\.json is damaged.*restore it or remove it"):
        Records(tmp_path, STEM).load()


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.write(path, "old")
    monkeypatch.setattr(storage.os, "replace", lambda *paths: (_ for _ in ()).throw(OSError("power")))
    with pytest.raises(OSError, match="power"):
        storage.write(path, "new")
    assert path.read_text() == "old"


def test_a_fault_of_a_check_is_nobodys_zero(tmp_path, sandbox, monkeypatch):
    checks = grade_module.marking.exercises(STEM)

    def broken(call, rng):
        raise ZeroDivisionError("our own")

    monkeypatch.setattr(
        grade_module.marking, "exercises", lambda name: [replace(checks[0], check=broken), *checks[1:]]
    )
    folder, results = tmp_path / "in", tmp_path / "out"
    write(folder / "ann.ipynb", solved())
    run = again(folder, results)
    assert run.records == {}
    assert "ZeroDivisionError" in run.faults["ann"]


# --- the command ------------------------------------------------------------------------------------------


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "grading", *arguments],
        cwd=project.ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_help_names_every_option():
    said = command("--help").stdout
    for option in ("--to", "--resume", "--seconds", "--workers", "--seed", "--unsafe"):
        assert option in said
    assert "Moodle" in said


def test_bad_requests_are_refused_in_words(tmp_path, capsys):
    folder = tmp_path / "in"
    write(folder / "ann.ipynb", solved())
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, said in (
        (("nothing", str(folder)), "no hidden checks for 'nothing'"),
        ((STEM, str(tmp_path / "nowhere")), "There is no"),
        ((STEM, str(empty)), "holds no submissions"),
        ((STEM, str(folder / "ann.ipynb")), "neither a folder nor a zip file"),
        ((STEM, str(folder), "--to", str(folder / "grades")), "nothing is ever written there"),
        ((STEM, str(folder), "--seconds", "0"), "between 1 and 3600"),
        ((STEM, ""), "HOMEWORK=optimal_discriminator SUBMISSIONS=folder"),
        (("../" + STEM, str(folder)), "name homework and folder"),
    ):
        try:
            status = main(list(arguments))
        except SystemExit as refused:
            status = refused.code
        assert status in (1, 2)
        assert said in capsys.readouterr().err
    assert [path.name for path in folder.iterdir()] == ["ann.ipynb"]


def test_without_a_sandbox_it_refuses_and_unsafe_is_written_into_the_report(tmp_path, capsys, monkeypatch):
    folder, results = tmp_path / "in", tmp_path / "out"
    write(folder / "ann.ipynb", solved())
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = [STEM, str(folder), "--to", str(results)]
    assert main(arguments) == 1
    assert "bubblewrap is not installed" in capsys.readouterr().err
    assert not list(results.rglob("*.json"))
    assert main([*arguments, "--unsafe"]) == 0
    assert "1 submissions run, 1 in all. Exercises: 6 ok." in capsys.readouterr().out
    overview = (results / STEM / "overview.html").read_text(encoding="utf-8")
    assert "Run with --unsafe." in overview
    assert json.loads((results / STEM / "records" / "ann.json").read_text())["locked"] is False


def test_a_text_beside_the_notebook_waits_once_for_each_version_of_it(tmp_path, release):
    def enter(*others):
        record = record_of(answers={}, others=list(others))
        return gradebook.update(tmp_path, release, [record])

    enter()
    assert not needs_marking(tmp_path, "ann")
    enter("a.pdf")
    assert needs_marking(tmp_path, "ann")
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as book:
        mark = book.find_grade("minimal_risk", STEM, STEM, "ann")
        mark.manual_score, mark.needs_manual_grade = 2, False
        book.db.commit()
    assert enter("a.pdf")["ann", "minimal_risk"].points == 2
    assert not needs_marking(tmp_path, "ann")
    enter("a.pdf", "b.pdf")
    assert needs_marking(tmp_path, "ann")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda checks: [replace(checks[0], points=9), *checks[1:]],
            "9 points .*, 3 in the release",
        ),
        (lambda checks: checks[1:], "no points in the check, 3 in the release"),
        (lambda checks: [*checks, replace(checks[0], grade_id="new")], "new: 3 points .*, no in the release"),
    ],
)
def test_checks_that_are_not_those_of_the_release_are_refused(tmp_path, monkeypatch, change, said):
    checks = change(marking.exercises(STEM))
    monkeypatch.setattr(marking, "exercises", lambda homework: checks)
    monkeypatch.setattr(grade_module, "collect", lambda *source: pytest.fail("it went on"))
    with pytest.raises(ValueError, match=f"do not agree .*: .*{said}"):
        again(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()
