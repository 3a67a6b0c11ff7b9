"""Grades a class: collects, runs the submissions side by side, records each at once, writes the reports."""

import queue
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from grading import gradebook, marking, report, running
from grading.collect import Handed, collect
from grading.notebooks import Release, Submission, Unreadable, is_answered, read, read_release
from grading.records import Record, Records, fingerprint
from grading.sandbox import NoSandbox, Workplace, probe
from solutions.checks import Exercise

ROOT = Path(__file__).resolve().parents[1]
RELEASES = ROOT / "labs" / "homework"
DECIDES = (
    "adapter.py",
    "marking.py",
    "notebooks.py",
    "plain.py",
    "running.py",
    "sandbox.py",
    "wire.py",
    "worker.py",
)


@dataclass
class Run:
    """What a run came to: all records of the homework, how many were made anew, what went wrong with whom."""

    records: dict[str, Record]
    fresh: int = 0
    faults: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Job:
    release: Release
    checks: list[Exercise]
    place: Workplace
    seed: int
    results: Path
    basis: str


def grade(
    homework: str,
    submissions: Path,
    results: Path,
    seconds: float = 60.0,
    workers: int = 1,
    seed: int | None = None,
    resume: bool = False,
    unsafe: bool = False,
    progress: bool = True,
) -> Run:
    """Grade what lies in `submissions` into `results`; ValueError or NoSandbox when it cannot begin.

    With `resume`, a submission is not run again when file, checks, seed and limits are those of its record.
    """
    checks = marking.exercises(homework)
    release = read_release(RELEASES / f"{homework}.ipynb")
    _compare(checks, release)
    submissions, results = submissions.resolve(), results.resolve()
    if results == submissions or results.is_relative_to(submissions):
        raise ValueError(
            f"The results cannot lie in {submissions}: nothing is ever written there. Name another TO."
        )
    handed = collect(submissions, homework)
    place = Workplace(
        seconds,
        locked=not unsafe,
        hidden=(ROOT / "solutions", ROOT / "grading", submissions, results),
    )
    store = Records(results, homework)
    with store.locked():
        if not unsafe:
            probe(place)
        seed = store.seed(seed)
        basis = fingerprint(
            *((ROOT / "solutions" / "checks" / f"{name}.py").read_bytes() for name in ("__init__", homework)),
            (RELEASES / f"{homework}.ipynb").read_bytes(),
            *((Path(__file__).with_name(name)).read_bytes() for name in DECIDES),
            (seed, float(seconds), unsafe),
        )
        known = store.load()
        job = _Job(release, checks, place, seed, results, basis)
        todo = [h for h in handed if not (resume and _is_done(known.get(h.student), h, basis))]
        run = _all(job, store, todo, workers, progress)
        run.records = store.load()
        given = gradebook.update(results, release, run.records.values())
        gone = run.records.keys() - {h.student for h in handed}
        report.write_all(store.folder, release, run.records, given, _facts(job, run.records), gone)
    return run


def _compare(checks: list[Exercise], release: Release) -> None:
    """ValueError unless hidden checks and released homework have the same exercises, with the same points."""
    ours = {check.grade_id: check.points for check in checks}
    released = {task.grade_id: task.points for task in release.tasks if task.function}
    differ = [
        f"{name}: {ours.get(name, 'no')} points in the check, {released.get(name, 'no')} in the release"
        for name in sorted(ours.keys() | released.keys())
        if ours.get(name) != released.get(name)
    ]
    if differ:
        raise ValueError(
            f"The hidden checks of {release.homework} do not agree with its released notebook: "
            f"{'; '.join(differ)}. "
            f"Mend solutions/checks/{release.homework}.py or the master, then run `make homework test`."
        )


def _is_done(record: Record | None, handed: Handed, basis: str) -> bool:
    return record is not None and record.fingerprint == _fingerprint(handed, basis)


def _fingerprint(handed: Handed, basis: str) -> str:
    files = ((file.path, file.digest, file.problem) for file in handed.files)
    return fingerprint(basis, *files, handed.notes, handed.others, handed.doubt)


def _all(job: _Job, store: Records, todo: list[Handed], workers: int, progress: bool) -> Run:
    """Run what is to do, `workers` at a time; each record is on disk before the next submission begins."""
    slots: queue.SimpleQueue[int] = queue.SimpleQueue()
    for slot in range(workers):
        slots.put(slot)

    def one(handed: Handed) -> None:
        slot = slots.get()
        try:
            record, view = _record(job, handed, slot)
        finally:
            slots.put(slot)
        gradebook.save_view(job.results, job.release, record.student, view)
        store.save(record)

    run = Run({})
    bar = tqdm(total=len(todo), unit="submission", disable=not progress, file=sys.stderr)
    pool = ThreadPoolExecutor(workers)
    futures = {pool.submit(one, handed): handed for handed in todo}
    try:
        with bar:
            for future in as_completed(futures):
                handed = futures[future]
                try:
                    future.result()
                    run.fresh += 1
                except NoSandbox as problem:
                    run.faults[handed.name] = str(problem)
                except Exception:
                    run.faults[handed.name] = traceback.format_exc()
                bar.update()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C nobody waits for what is still running
    return run


def _record(job: _Job, handed: Handed, slot: int) -> tuple[Record, str]:
    """Run and mark one submission: its record, and the notebook for nbgrader's browser view."""
    submission: Submission | None = None
    reason = ""
    try:
        submission = read(handed, job.release)
    except Unreadable as problem:
        reason = str(problem)
        outcome = running.Outcome(running.unmarked(job.checks, "unreadable", "There was nothing to run."))
    else:
        if submission.found:
            outcome = running.run(submission, job.release, job.checks, job.place, job.seed, slot)
        else:
            said = "The notebook has nothing of this homework in it."
            outcome = running.Outcome(running.unmarked(job.checks, "missing", said), [said])
    notes = [*handed.notes, *(submission.notes if submission else ()), *outcome.notes]
    for cell in submission.answers.values() if submission else ():
        if lost := len(cell.attachments) - len(gradebook.readable_pictures(cell)):
            told = "A picture" if lost == 1 else f"{lost} pictures"
            notes.append(f"{told} in a written answer cannot be shown: only JPEG and PNG can.")
    record = Record(
        student=handed.student,
        name=handed.name,
        fingerprint=_fingerprint(handed, job.basis),
        path=submission.path if submission else handed.files[0].path,
        marks=outcome.marks,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        unreadable=reason,
        stranger=submission is not None and not submission.found,
        notes=notes,
        doubt=handed.doubt,
        platform=handed.platform,
        number=handed.number,
        answers=_answers(submission, job.release),
        others=list(handed.others),
        code=[cell.source for cell in submission.code() if cell not in job.release.given()]
        if submission
        else [],
        seconds=round(outcome.seconds, 2),
        memory=outcome.memory,
        seed=job.seed,
        locked=job.place.locked,
    )
    return record, gradebook.notebook_for_view(job.release, submission, outcome.marks, reason)


def _answers(submission: Submission | None, release: Release) -> dict[str, str]:
    """The written answers by the grade_id of what they answer, pictures as a word."""
    answers = {}
    for task in release.tasks:
        cell = submission.answers.get(task.cell) if submission and not task.function else None
        if cell is not None and is_answered(cell, release):
            pictures = f"\n\n[{len(cell.attachments)} attached]" if cell.attachments else ""
            answers[task.grade_id] = cell.source[:100_000] + pictures
    return answers


def _facts(job: _Job, records: dict[str, Record]) -> dict[str, str]:
    longest = max((record.seconds for record in records.values()), default=0)
    largest = max((record.memory for record in records.values()), default=0)
    return {
        "Last submission marked": max((record.date for record in records.values()), default="none"),
        "Seed of the hidden inputs": str(job.seed),
        "Time limit": f"{job.place.seconds:g} seconds of computing for a whole submission",
        "Sandbox": "bubblewrap, probed before the run" if job.place.locked else "none (--unsafe)",
        "Longest submission": f"{longest:.1f} seconds",
        "Largest worker": f"{largest / 2**20:.0f} MiB",
    }
