"""`.ci/run` and the workflows call `make` and install only what is missing."""

import os
import shutil
import subprocess

import pytest
import yaml

from tools import project

RUN = project.ROOT / ".ci" / "run"
WORKFLOWS = project.ROOT / ".github" / "workflows"


@pytest.fixture
def machine(tmp_path):
    """A checkout beside a PATH of stand-ins that write down how they were called."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "dirname", "cat"):
        (commands / name).symlink_to(shutil.which(name))
    for name in ("make", "git", "chromium", "g++", "bwrap", "python3", "apt-get"):
        command = commands / name
        log = tmp_path / "calls"
        command.write_text(
            f'#!/bin/bash\necho "{name} $* CI=$CI DATA=$GANCOURSE_DATA" >> "{log}"\n'
            f'[ ! -e "{tmp_path}/{name} fails" ]\n'
        )
        command.chmod(0o755)
    checkout = tmp_path / "check out" / ".ci"
    checkout.mkdir(parents=True)
    shutil.copy2(RUN, checkout / "run")
    return tmp_path


def calls(machine, **environment):
    """The calls of everything but python3, and the exit status."""
    done = subprocess.run(
        [machine / "check out" / ".ci" / "run"],
        env={"PATH": str(machine / "bin"), **environment},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (machine / "calls").read_text().splitlines()
    return [line for line in lines if not line.startswith("python3")], done.returncode


def test_with_everything_there_it_only_tests(machine):
    assert os.access(RUN, os.X_OK)
    assert calls(machine) == (["make test CI=true DATA="], 0)


def test_missing_packages_come_from_apt_before_the_tests(machine):
    (machine / "bin" / "chromium").unlink()
    (machine / "bin" / "g++").unlink()
    (machine / "bin" / "bwrap").unlink()
    (machine / "python3 fails").touch()
    (update, install, test), status = calls(machine)
    assert update.startswith("apt-get update")
    assert install.startswith("apt-get install")
    assert "chromium g++ bubblewrap python3-venv " in install
    assert (test, status) == ("make test CI=true DATA=", 0)


def test_data_beside_the_checkout_are_used_unless_others_are_named(machine):
    data = machine / "shared" / "data"
    data.mkdir(parents=True)
    assert calls(machine)[0] == [f"make test CI=true DATA={data}"]
    assert calls(machine, GANCOURSE_DATA="/mine")[0][-1] == "make test CI=true DATA=/mine"


def test_failing_tests_fail_it(machine):
    (machine / "make fails").touch()
    assert calls(machine)[1] != 0


def steps(name, job):
    return yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))["jobs"][job]["steps"]


def test_the_test_workflow_calls_the_same_script_on_the_oldest_and_newest_python():
    workflow = yaml.safe_load((WORKFLOWS / "test.yml").read_text(encoding="utf-8"))
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads the key `on` as true
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert steps("test.yml", "test")[-1] == {"run": ".ci/run"}


def test_the_site_is_published_from_main_as_make_builds_it():
    workflow = yaml.safe_load((WORKFLOWS / "publish.yml").read_text(encoding="utf-8"))
    assert workflow[True]["push"] == {"branches": ["main"]}
    build = steps("publish.yml", "build")
    assert [step["run"] for step in build if "run" in step] == ["make book", "touch _build/html/.nojekyll"]
    assert build[-1]["with"] == {"path": "_build/html", "include-hidden-files": True}
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
