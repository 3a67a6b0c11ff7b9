"""The student edition holds no solution, no grading, no history, and its own tests can be collected."""

import os
import shutil
import subprocess
import sys

import pytest

from tools import project, student_edition

pytestmark = pytest.mark.xdist_group("tools")


def files_of(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }


def test_the_edition_is_the_course_without_solutions_grading_and_history(course, tmp_path, capsys):
    target = tmp_path / "for students"
    course.tool("student_edition").main([str(target)])
    assert "no solutions" in capsys.readouterr().out
    kept = files_of(course.folder) - {path for path in files_of(course.folder) if "__pycache__" in path}
    missing = kept - files_of(target)
    assert missing == {
        "solutions/demo.py",
        "solutions/checks/demo.py",
        "grading/marks.py",
        "tests/homework/test_demo.py",
    }
    assert files_of(target) <= kept
    log = subprocess.run(
        ["git", "log", "--format=%an: %s%d"], cwd=target, capture_output=True, text=True, check=True
    )
    (line,) = log.stdout.splitlines()
    assert line.startswith("The gancourse contributors: gancourse")
    for page in student_edition.NOTED:
        here, there = ((folder / page).read_text(encoding="utf-8") for folder in (course.folder, target))
        assert there.replace(f"\n{student_edition.NOTE}\n", "", 1) == here
        assert there.split("\n")[2] == student_edition.NOTE
    assert f"tag: {project.tag()}" in line
    status = subprocess.run(["git", "status", "--porcelain"], cwd=target, capture_output=True, check=True)
    assert status.stdout == b""


def test_homework_cannot_be_released_there_and_says_why(course, tmp_path):
    target = tmp_path / "students"
    course.tool("student_edition").write_edition(str(target))
    shutil.copytree(target, tmp_path / "elsewhere")
    stamps = tmp_path / "elsewhere" / ".venv"
    (stamps / "bin").mkdir(parents=True)
    (stamps / "bin" / "python").symlink_to(sys.executable)
    (stamps / ".book").touch()
    (stamps / ".test").write_text(f"{(tmp_path / 'elsewhere').resolve()}\n")
    done = subprocess.run(
        ["make", "homework"], cwd=tmp_path / "elsewhere", capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stdout == "The masters of the homework (solutions/) are not part of the student edition.\n"


@pytest.mark.parametrize(
    "secret",
    [
        "the_secret_of_doubling_a_value = value + value + 0 * value",
        '"""No student may read the sentence that stands here, in this file."""',
    ],
)
@pytest.mark.parametrize("place", ["src/gancourse/hint.py", "labs/demo.ipynb", "README.md"])
def test_a_solution_that_would_leak_stops_it(course, tmp_path, secret, place):
    path = course.folder / place
    if path.suffix == ".ipynb":
        quoted = secret.replace('"', '\\"')
        course.replace(place, '"outputs"', f'"note": ["    {quoted}\\n"], "outputs"')
    else:
        path.write_text(f"x\n    {secret}\n", encoding="utf-8")
    course.commit()
    target = tmp_path / "students"
    with pytest.raises(SystemExit, match="Nothing was written: a line of a solution stands in") as refusal:
        course.tool("student_edition").main([str(target)])
    assert place in str(refusal.value)
    assert not target.exists()


def test_what_is_released_is_no_secret(course):
    hidden = course.tool("student_edition").secrets()
    assert hidden == {
        "the_secret_of_doubling_a_value = value + value + 0 * value",
        '"""No student may read the sentence that stands here, in this file."""',
    }


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("", "Name an empty or new folder"),
        ("{root}/inside", "lies inside this repository"),
        ("{outside}/full", "not an empty folder; nothing was written"),
        ("{outside}/full/file", "not an empty folder"),
    ],
)
def test_other_targets_are_refused(tmp_path, name, match):
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").touch()
    with pytest.raises(ValueError, match=match):
        student_edition.target_folder(name.format(root=project.ROOT, outside=tmp_path))
    assert [path.name for path in full.iterdir()] == ["file"]


def test_an_uncommitted_file_stops_it(course, tmp_path):
    (course.folder / "draft.py").touch()
    with pytest.raises(SystemExit, match=r"Not everything is committed: draft\.py"):
        course.tool("student_edition").main([str(tmp_path / "students")])


def test_the_tests_of_the_real_edition_can_be_collected_and_linted(tmp_path, git_identity, tools_of, course):
    """The tree as it stands, committed in a copy, so that this also runs before a commit."""
    folder, target = tmp_path / "real", tmp_path / "real for students"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (project.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project.ROOT / name, folder / name)
    course.folder = folder
    course.git("init", "--quiet", "--initial-branch=main")
    course.commit()
    tools_of(folder)
    course.tool("student_edition").write_edition(str(target))
    assert not any(student_edition.is_left_out(name) for name in files_of(target))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    for command in (["ruff", "check", "--no-cache"], ["pytest", "--collect-only", "-q"]):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=target,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
