"""Grade the homework of a class: `python -m grading HOMEWORK SUBMISSIONS`.

SUBMISSIONS is a folder, or a zip file, with one notebook, folder or zip file for each student, as Moodle,
Canvas or a mail programme leave it. It is only read. The results are the gradebook for nbgrader, and in a
folder of the homework's name marks.csv, overview.html and a page of feedback for each student.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grading", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("homework", help="the homework's name, such as optimal_discriminator")
    parser.add_argument("submissions", help="folder or zip file with what was handed in")
    parser.add_argument(
        "--to", type=Path, default=Path("grades"), help="folder of the results (default: grades)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="run only what has no record yet, or was changed"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of computing, for one whole submission (default: 60)"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="how many at once (default: cores)"
    )
    parser.add_argument(
        "--seed", type=int, help="of the hidden inputs (default: that of the last run, or a new one)"
    )
    parser.add_argument(
        "--unsafe", action="store_true", help="run students' code without a sandbox, with all your rights"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Grade, print what came of it, return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.homework.isidentifier() or not options.submissions:
        parser.error("name homework and folder: make grade HOMEWORK=optimal_discriminator SUBMISSIONS=folder")
    if not 1 <= options.seconds <= 3600:
        parser.error("--seconds must lie between 1 and 3600")
    if not 1 <= options.workers <= 256:
        parser.error("--workers must lie between 1 and 256")
    if options.seed is not None and options.seed < 0:
        parser.error("--seed must not be negative")
    import torch

    from grading.grade import grade
    from grading.sandbox import NoSandbox

    torch.set_num_threads(1)
    try:
        run = grade(
            options.homework,
            Path(options.submissions),
            options.to,
            options.seconds,
            options.workers,
            options.seed,
            options.resume,
            options.unsafe,
        )
    except NoSandbox as problem:
        print(f"Nothing was run: students' code cannot be locked in here.\n{problem}", file=sys.stderr)
        print(
            "With --unsafe it runs all the same, with all your rights; the report will say so.",
            file=sys.stderr,
        )
        return 1
    except (ValueError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What was marked is recorded; go on with --resume.", file=sys.stderr)
        sys.stderr.flush()
        os._exit(130)  # without waiting for the workers, which end with this process
    folder = options.to / options.homework
    counts = Counter(mark.status for record in run.records.values() for mark in record.marks)
    said = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    print(f"{run.fresh} submissions run, {len(run.records)} in all. Exercises: {said}.")
    print(f"Marks:    {folder / 'marks.csv'}")
    print(f"Overview: {folder / 'overview.html'}")
    print(f"Feedback: {folder / 'feedback'}")
    for name, fault in run.faults.items():
        print(f"\nNot marked, by no fault of the student: {name}\n{fault}", file=sys.stderr)
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main())
