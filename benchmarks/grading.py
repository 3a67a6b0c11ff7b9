"""Time the grader beside nbgrader's own autograder: `python -m benchmarks.grading`.

Both mark the same right submissions, one after the other in one run. nbgrader executes the visible checks of
the release, the grader its hidden ones. Then the grader alone marks classes of growing size. What was
measured is printed as Markdown, with machine, date and command, for benchmarks/grading.md.
Computing is processor time of all processes, which other work on the machine changes less than the clock.
"""

import argparse
import datetime
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from grading.grade import grade
from grading.sandbox import Workplace
from tests.grading.submissions import STEM, released, solved, write
from tests.homework.right.optimal_discriminator import RIGHT


def lay(folder: Path, number: int, nested: bool) -> None:
    """Right submissions in all styles, as files or in nbgrader's folders."""
    for index in range(number):
        name = f"student{index:04d}"
        path = folder / name / STEM / f"{STEM}.ipynb" if nested else folder / f"{name}.ipynb"
        write(path, solved(list(RIGHT)[index % len(RIGHT)]))


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, seconds of computing, and the largest worker's bytes where that is known."""

    clock: float
    computing: float
    memory: int = 0


@contextmanager
def timed(found: list[Took]) -> Iterator[None]:
    """Add to `found` what the block takes."""
    clock, computing = time.monotonic(), _computing()
    yield
    found.append(Took(time.monotonic() - clock, _computing() - computing))


def _computing() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def with_nbgrader(number: int) -> Took:
    """What `nbgrader autograde` takes for a class."""
    found: list[Took] = []
    with tempfile.TemporaryDirectory() as scratch:
        course = Path(scratch)
        write(course / "source" / STEM / f"{STEM}.ipynb", released())
        lay(course / "submitted", number, nested=True)
        (course / "nbgrader_config.py").write_text("c = get_config()\n", encoding="utf-8")
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

        def nbgrader(*arguments: str) -> None:
            command = [sys.executable, "-m", "nbgrader", *arguments, STEM]
            subprocess.run(command, cwd=course, env=environment, check=True, capture_output=True)

        nbgrader("generate_assignment", "--create", "--force")
        with timed(found):
            nbgrader("autograde", "--create")
    return found[0]


def with_grader(number: int, workers: int) -> Took:
    """What the grader takes for a class, its probe and reports included."""
    found: list[Took] = []
    with tempfile.TemporaryDirectory() as scratch:
        lay(Path(scratch, "in"), number, nested=False)
        with timed(found):
            run = grade(STEM, Path(scratch, "in"), Path(scratch, "out"), workers=workers, progress=False)
    marks = [mark for record in run.records.values() for mark in record.marks]
    if len(run.records) != number or any(mark.status != "ok" for mark in marks):
        sys.exit("A right submission did not get its marks; is the machine too busy for the time limit?")
    return replace(found[0], memory=max(record.memory for record in run.records.values()))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grading", description=__doc__)
    parser.add_argument("--class-size", type=int, default=50, help="submissions for the comparison")
    parser.add_argument(
        "--growth", type=int, nargs="*", default=[50, 500], help="sizes of the growing classes"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    number, workers = options.class_size, os.cpu_count() or 1
    load = os.getloadavg()[0]
    with Workplace(60.0).start() as worker:
        start = worker.starting
    ours = with_grader(number, workers)
    theirs = with_nbgrader(number)
    print(f"`{' '.join(['python -m benchmarks.grading', *arguments])}`")
    print(f"on {datetime.date.today().isoformat()}, {platform.machine()} with {workers} cores,", end=" ")
    print(f"Python {platform.python_version()}, load before the run {load:.1f}.\n")
    print("| | Submissions a minute | Seconds for the class | Seconds of computing |\n|---|---|---|---|")
    for name, took in (
        (f"This grader, {workers} workers, {number} submissions", ours),
        (f"`nbgrader autograde`, {number} submissions", theirs),
    ):
        print(f"| {name} | {60 * number / took.clock:.1f} | {took.clock:.0f} | {took.computing:.0f} |")
    print(f"\nRatio: {theirs.clock / ours.clock:.1f} by the clock,", end=" ")
    print(f"{theirs.computing / ours.computing:.1f} in computing.", end=" ")
    print(f"Memory of a worker: {ours.memory / 2**20:.0f} MiB at most.", end=" ")
    print(f"Starting one takes {start:.2f} seconds of computing.\n")
    print("| Class | Seconds | Seconds a submission | Seconds of computing a submission |\n|---|---|---|---|")
    for size in options.growth:
        took = ours if size == number else with_grader(size, workers)
        each = took.computing / size
        print(f"| {size} | {took.clock:.0f} | {took.clock / size:.2f} | {each:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
