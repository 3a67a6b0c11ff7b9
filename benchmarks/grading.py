"""Time the grader beside nbgrader's own autograder: `python -m benchmarks.grading`.

Both mark the same right submissions, one after the other in one run. nbgrader executes the visible checks of
the release, the grader its hidden ones. Then the grader alone marks classes of growing size. What was
measured is printed as Markdown, with machine, date and command, for benchmarks/grading.md.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from grading.grade import grade
from tests.grading.submissions import STEM, released, solved, write
from tests.homework.right.optimal_discriminator import RIGHT


def lay(folder: Path, number: int, nested: bool) -> None:
    """Right submissions in all styles, as files or in nbgrader's folders."""
    for index in range(number):
        name = f"student{index:04d}"
        path = folder / name / STEM / f"{STEM}.ipynb" if nested else folder / f"{name}.ipynb"
        write(path, solved(list(RIGHT)[index % len(RIGHT)]))


def with_nbgrader(number: int) -> float:
    """Seconds that `nbgrader autograde` takes for a class."""
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
        begun = time.monotonic()
        nbgrader("autograde", "--create")
        return time.monotonic() - begun


def with_grader(number: int, workers: int) -> tuple[float, int]:
    """Seconds that the grader takes for a class, its probe and reports included, and a worker's bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        lay(Path(scratch, "in"), number, nested=False)
        begun = time.monotonic()
        run = grade(STEM, Path(scratch, "in"), Path(scratch, "out"), workers=workers, progress=False)
        seconds = time.monotonic() - begun
    marks = [mark for record in run.records.values() for mark in record.marks]
    if len(run.records) != number or any(mark.status != "ok" for mark in marks):
        sys.exit("A right submission did not get its marks; is the machine too busy for the time limit?")
    return seconds, max(record.memory for record in run.records.values())


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
    ours, memory = with_grader(number, workers)
    theirs = with_nbgrader(number)
    print(f"`{' '.join(['python -m benchmarks.grading', *arguments])}`")
    print(f"on {datetime.date.today().isoformat()}, {platform.machine()} with {workers} cores,", end=" ")
    print(f"Python {platform.python_version()}, load before the run {load:.1f}.\n")
    print("| | Submissions a minute | Seconds for the class |\n|---|---|---|")
    print(f"| This grader, {workers} workers, {number} submissions | {60 * number / ours:.1f} | {ours:.0f} |")
    print(f"| `nbgrader autograde`, {number} submissions | {60 * number / theirs:.1f} | {theirs:.0f} |")
    print(f"\nRatio: {theirs / ours:.1f}. Memory of a worker: {memory / 2**20:.0f} MiB at most.\n")
    print("| Class | Seconds | Seconds a submission |\n|---|---|---|")
    for size in options.growth:
        seconds, _ = with_grader(size, workers)
        print(f"| {size} | {seconds:.0f} | {seconds / size:.2f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
