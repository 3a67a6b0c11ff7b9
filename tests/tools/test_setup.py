"""The Makefile: what it installs when, and what it says to a Python that will not do."""

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from threading import Thread

import pytest

from tools import project, requirements, serve, virtual_environment

MAKEFILE = (project.ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)[1].split()
TARGETS.remove("moved")


@pytest.fixture
def checkout(tmp_path):
    """A checkout with everything installed, as make sees it: a `.venv` with both stamps."""
    folder = tmp_path / "a b"
    shutil.copytree(project.ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(project.ROOT / name, folder / name)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (folder / ".venv" / ".book").touch()
    (folder / ".venv" / ".test").write_text(f"{folder.resolve()}\n")
    return folder


def make(folder, *arguments):
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def plan(folder, target):
    """The commands that make would run."""
    done = make(folder, "--dry-run", target)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bare_make_lists_every_target_in_a_line(checkout):
    lines = make(checkout).stdout.splitlines()
    assert [line.split()[1] for line in lines] == TARGETS
    assert all(len(line) <= 110 for line in lines)


def test_the_readme_explains_every_target():
    readme = (project.ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in TARGETS if name != "help" and f"make {name}" not in readme] == []


@pytest.mark.parametrize("target", ["book", "test", "labs"])
def test_what_is_installed_is_not_installed_again(checkout, target):
    assert "pip install" not in plan(checkout, target)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
@pytest.mark.parametrize(("target", "installs"), [("book", 1), ("test", 3)])
def test_changed_requirements_are_installed(checkout, name, target, installs):
    later = time.time() + 10
    os.utime(checkout / name, (later, later))
    assert plan(checkout, target).count("pip install") == installs


def test_the_book_is_installed_without_the_library(checkout):
    (checkout / ".venv" / ".book").unlink()
    (checkout / ".venv" / ".test").unlink()
    commands = plan(checkout, "book")
    assert "--requirement .venv/book.txt" in commands
    assert "--editable" not in commands


def test_a_moved_checkout_installs_the_library_again_and_nothing_else(checkout, tmp_path):
    moved = tmp_path / "else where"
    checkout.rename(moved)
    assert "pip install" not in plan(moved, "book")
    commands = plan(moved, "test")
    assert "--editable" in commands
    assert "--requirement" not in commands


def test_no_command_depends_on_a_script_with_an_absolute_first_line():
    scripts = re.findall(r"^\t@?(?:\$\(BIN\)|\.venv/bin/(?!python\b))\S*", MAKEFILE, re.M)
    assert scripts == []


def test_an_unfit_python_gives_one_line_and_makes_nothing(checkout):
    shutil.rmtree(checkout / ".venv")
    script = checkout / "tools" / "virtual_environment.py"
    script.write_text(script.read_text().replace("sys.version_info, sys", "(3, 10, 4), sys"))
    done = make(checkout, "book", f"PYTHON={sys.executable}")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert line.startswith("gancourse needs Python 3.11, 3.12 or 3.13;")
    assert "is Python 3.10.4." in line
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 8, 18), (3, 10, 13), (3, 14, 0), (4, 0, 0)])
def test_other_pythons_are_refused(version):
    said = virtual_environment.refusal(version, "/usr/bin/python", True)
    assert said.startswith("gancourse needs Python 3.11, 3.12 or 3.13; /usr/bin/python is Python")
    assert "make book PYTHON=" in said


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 1), (3, 13, 9)])
def test_three_pythons_are_taken_and_a_missing_ensurepip_is_named(version):
    assert virtual_environment.refusal(version, "/usr/bin/python3", True) is None
    assert "sudo apt install python3-venv" in virtual_environment.refusal(version, "/usr/bin/python3", False)


def test_the_oldest_python_agrees_with_the_package():
    with open(project.ROOT / "pyproject.toml", "rb") as file:
        declared = tomllib.load(file)["project"]["requires-python"]
    assert declared == f">={'.'.join(map(str, virtual_environment.OLDEST))}"


def test_requirements_are_those_of_the_extra_alone():
    lines = requirements.requirements("book")
    assert "jupyter-book<2" in lines
    assert not any(line.startswith("torch") for line in lines)
    with pytest.raises(ValueError, match=r"no extra nonsense; it has book"):
        requirements.requirements("nonsense")


def test_the_site_is_served_on_this_machine_only(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "SITE", tmp_path)
    with pytest.raises(ValueError, match="not built yet; run: make book"):
        serve.server("0")
    (tmp_path / "index.html").write_text("the site")
    with serve.server("0") as site:
        assert site.server_address[0] == "127.0.0.1"
        thread = Thread(target=site.serve_forever)
        thread.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{site.server_port}/", timeout=10) as page:
            assert page.read() == b"the site"
        with pytest.raises(ValueError, match=r"cannot be used .*Take another: make serve PORT="):
            serve.server(str(site.server_port))
        site.shutdown()
        thread.join()


@pytest.mark.parametrize("port", ["", "http", "-1", "65536", "80.5"])
def test_a_port_is_a_number(port):
    with pytest.raises(ValueError, match="A port is a number up to 65535"):
        serve.server(port)
