"""Colab without Colab: a clean environment, an empty folder, and the repository's address redirected."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools import project

ROOT = project.ROOT


@dataclass(frozen=True)
class Rehearsal:
    """A Python without gancourse, and the variables under which it sees the course as published."""

    python: Path
    environment: dict[str, str]

    def nbval(self, folder: Path, *notebooks: str, **environment: str) -> subprocess.CompletedProcess:
        """Run notebooks in a folder and compare every output that is not tagged to be ignored."""
        command = [self.python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--rootdir=.", "--nbval"]
        command += ["--nbval-current-env", "--nbval-cell-timeout=300", *notebooks]
        return subprocess.run(
            command,
            cwd=folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=600,
        )


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=rehearsal", "-c", "user.email=rehearsal@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """The course as it stands in this checkout, in a repository that carries the release's tag."""
    folder = tmp_path_factory.mktemp("published")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", "as it stands")
    _git(folder, "tag", project.tag())
    return folder


@pytest.fixture
def rehearsal(published, tmp_path) -> Rehearsal:
    """A fresh environment of its own for each test: what one installs, no other has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "clean"], check=True)
    python = tmp_path / "clean" / "bin" / "python"
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # Packages are seen through this line, but an editable gancourse, itself such a line, is not.
    Path(place, "colab.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GANCOURSE_", "PYTEST_", "PIP_", "GIT_")) and key != "PYTHONPATH"
    }
    environment |= {
        "GANCOURSE_PROFILE": "smoke",
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this switch as its negation
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{published.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": project.repository(),
    }
    return Rehearsal(python, environment)
