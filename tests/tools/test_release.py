"""A release bumps version, set-up cells and tag together, or changes nothing."""

import nbformat
import pytest

from tools import release

pytestmark = pytest.mark.xdist_group("tools")


def refused(course, version: str, match: str) -> None:
    """Assert that a release is refused for this reason and leaves commits, tags and files as they were."""
    look = [("rev-parse", "HEAD"), ("tag", "--list"), ("status", "--porcelain"), ("diff",)]
    before = [course.git(*command) for command in look]
    with pytest.raises(SystemExit, match=match):
        course.tool("release").main([version])
    assert [course.git(*command) for command in look] == before


def test_a_release_changes_version_notebooks_and_tag_in_one_commit(course, capsys):
    before = course.git("rev-parse", "HEAD")
    course.tool("release").main(["9.1.0"])
    assert "git push --atomic origin main v9.1.0" in capsys.readouterr().out
    assert course.git("rev-parse", "HEAD^") == before
    assert course.git("cat-file", "-t", "v9.1.0") == "tag"  # annotated
    assert course.git("rev-parse", "v9.1.0^{commit}") == course.git("rev-parse", "HEAD")
    assert course.git("status", "--porcelain") == ""
    assert course.tool("project").version() == "9.1.0"
    lab = nbformat.read(course.folder / "labs" / "demo.ipynb", as_version=4)
    assert "@v9.1.0" in lab.cells[1].source
    assert lab.cells[1].outputs[0].text == "kept\n"
    changed = course.git("diff", "--unified=0", "HEAD^", "--", "pyproject.toml").splitlines()
    assert [line for line in changed if line.startswith("+")][1:] == ['+version = "9.1.0"']


def test_the_present_version_can_be_tagged_once(course):
    version, commit = course.tool("project").version(), course.git("rev-parse", "HEAD")
    course.tool("release").main([version])
    assert course.git("rev-parse", f"v{version}^{{commit}}", "HEAD").split() == [commit, commit]
    refused(course, version, f"The tag v{version} exists already")


@pytest.mark.parametrize("version", ["", "v0.2.0", "0.2.0rc1", "0.2.", "0.02", "1.0.dev1", "newest", "1.0+x"])
def test_only_final_versions_are_released(version):
    with pytest.raises(ValueError, match=r"such as 0\.2\.0; .*make release VERSION="):
        release.numbers(version)


def test_versions_are_compared_as_numbers():
    assert release.numbers("0.10.0") > release.numbers("0.9")
    assert release.numbers("1.0") == release.numbers("1")


def test_a_version_that_is_not_greater_is_refused(course):
    refused(course, "0.0.9", "Version 0.0.9 is not greater than the present one")


def test_other_branches_and_uncommitted_files_are_refused(course):
    course.git("switch", "--quiet", "--create", "draft")
    refused(course, "9.1.0", "on the branch main")
    course.git("switch", "--quiet", "main")
    (course.folder / "notes.txt").write_text("x")
    refused(course, "9.1.0", r"Not everything is committed: notes\.txt")


def test_an_existing_tag_is_refused(course):
    course.git("tag", "v9.1.0")
    refused(course, "9.1.0", r"The tag v9\.1\.0 exists already")


def test_an_unset_address_is_refused(course):
    course.replace("_config.yml", "https://github.com/me/course", course.tool("project").UNSET)
    course.commit()
    refused(course, "9.1.0", "address is not set")


def test_a_stale_lab_is_refused(course):
    course.replace("labs/demo.py", 'print("kept")', 'print("new")')
    course.commit()
    refused(course, "9.1.0", r"Stale: labs/demo\.py \(its code changed\)")


def test_a_stale_homework_is_refused(course):
    course.replace("solutions/demo.py", "**You need** nothing.", "**You need** paper.")
    course.commit()
    refused(course, "9.1.0", r"Stale homework: demo\.ipynb")


def test_a_release_that_fails_halfway_restores_the_files(course):
    hook = course.folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho the hook says no >&2\nexit 1\n")
    hook.chmod(0o755)
    refused(course, "9.1.0", "the hook says no")


def test_a_git_that_does_not_know_its_user_is_refused_before_anything_is_written(course):
    course.git("config", "user.useConfigOnly", "true")
    course.git("config", "user.name", "")
    refused(course, "9.1.0", "GIT_AUTHOR_IDENT")
