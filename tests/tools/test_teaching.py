"""What teaching.md tells instructors to type exists: targets, options, files."""

import re
import subprocess
import sys

import pytest

from tools import project

PAGE = (project.ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
GRADER = project.ROOT / "grading"


def test_every_target_of_make_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (project.ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"make ([a-z-]+)", " ".join(re.findall(r"`[^`]*make [^`]*`", PAGE))))
    named |= set(re.findall(r"^make ([a-z-]+)", PAGE, re.M))
    assert {"grade", "grade-demo", "homework", "release"} <= named
    assert named <= targets


def test_the_schedule_has_every_topic_with_the_times_that_it_states():
    row = re.compile(r"^\| \[[^\]]+\]\((\w+)\.md\) \|.*\| (\d+) minutes \| ([^|]+) \|$", re.M)
    scheduled = {topic: (int(reading), homework) for topic, reading, homework in row.findall(PAGE)}
    stated = {}
    for path in sorted((project.ROOT / "labs" / "homework").glob("*.ipynb")):
        chapter = (project.ROOT / "book" / f"{path.stem}.md").read_text(encoding="utf-8")
        reading = re.search(r"(\d+) with all proofs", chapter)
        assert reading, f"book/{path.stem}.md does not say how long it takes: 'N with all proofs'"
        homework = re.search(r"20 points, about ([\w ]+)\.\*\*", path.read_text(encoding="utf-8"))
        stated[path.stem] = (int(reading[1]), homework[1])
    assert scheduled == stated, "the rows of the schedule in book/teaching.md"


@pytest.mark.skipif(not GRADER.exists(), reason="the student edition has no grader")
def test_the_grader_has_the_options_that_are_named():
    said = subprocess.run(
        [sys.executable, "-m", "grading", "--help"],
        cwd=project.ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in ("--to", "--unsafe"):
        assert option in PAGE
        assert option in said
    for status in ("ok", "wrong", "raised", "missing", "timeout", "memory", "died", "syntax", "unreadable"):
        assert f"`{status}`" in PAGE


@pytest.mark.skipif(not GRADER.exists(), reason="the student edition has no grader")
def test_the_container_file_copies_what_exists_and_starts_the_grader():
    text = (GRADER / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line and not line.startswith("#")]
    assert {name for name, _ in lines} == {"FROM", "RUN", "WORKDIR", "COPY", "ENTRYPOINT"}
    assert lines[0][0] == "FROM"
    assert re.fullmatch(r"docker\.io/library/python:3\.1[123]-slim-\w+", lines[0][1])
    for name, rest in lines:
        if name == "COPY":
            assert all((project.ROOT / source).exists() for source in rest.split()[:-1]), rest
    assert any("bubblewrap" in rest for name, rest in lines if name == "RUN")
    assert lines[-1] == ["ENTRYPOINT", '[".venv/bin/python", "-m", "grading"]']
    assert f"--file {(GRADER / 'Containerfile').relative_to(project.ROOT)}" in PAGE
    ignored = (project.ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".git", ".venv", "grades"} <= set(ignored)
