"""One class with every broken and every hostile kind of submission, graded once for all tests here."""

import fnmatch
import hashlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from grading.grade import RELEASES, Run, grade
from grading.notebooks import Release, read_release
from grading.records import Record
from grading.sandbox import NoSandbox, Workplace, probe
from tests.grading.hostile import HOSTILE, MARKER
from tests.grading.submissions import BROKEN, STEM, Kind

# Of computing; by the clock it may be `PATIENCE` times as long, so that a busy machine fails nobody.
SECONDS = 8.0


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skip where submissions cannot be locked in; fail where CI is set."""
    try:
        probe(Workplace(SECONDS))
    except NoSandbox as problem:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no sandbox here: {problem}")


@pytest.fixture(scope="session")
def release() -> Release:
    return read_release(RELEASES / f"{STEM}.ipynb")


@dataclass(frozen=True)
class Graded:
    """The class after its run: where it was, where the results are, and what was seen around it."""

    folder: Path
    results: Path
    run: Run
    before: dict[str, str]
    seconds: float

    def record(self, kind: Kind) -> Record:
        pattern = kind.student or kind.name.replace("_", "-")
        (found,) = [r for r in self.run.records.values() if fnmatch.fnmatch(r.student, pattern)]
        return found


def fingerprints(folder: Path) -> dict[str, str]:
    """What stands in a folder: kinds, sizes, times, targets of links, and the content of ordinary files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        content = ""
        if path.is_file() and not path.is_symlink() and about.st_size < 2**26:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path)] = f"{about.st_mode} {about.st_size} {about.st_mtime_ns} {target} {content}"
    return found


def left_running() -> list[str]:
    """The processes that bear the mark of the class's background process, or that workers' users own."""
    listed = subprocess.run(["ps", "-eo", "uid,args"], capture_output=True, text=True, check=True).stdout
    return [
        line
        for line in listed.splitlines()[1:]
        if MARKER in line or 61184 <= int(line.split()[0]) < 61184 + 256
    ]


@pytest.fixture(scope="session")
def graded(tmp_path_factory: pytest.TempPathFactory, sandbox: None) -> Graded:
    folder = tmp_path_factory.mktemp("submissions")
    results = tmp_path_factory.mktemp("results")
    for kind in [*BROKEN, *HOSTILE]:
        kind.lay(folder)
    before = fingerprints(folder)
    begun = time.monotonic()
    run = grade(STEM, folder, results, seconds=SECONDS, workers=2, seed=5, progress=False)
    return Graded(folder, results, run, before, time.monotonic() - begun)
