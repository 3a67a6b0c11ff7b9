"""Runs one submission in a worker and marks its exercises, each at its place in the notebook.

One time limit holds for the whole submission. What ends the worker or takes too long costs its own exercise:
the worker is started again, and the rest is marked in the time that is left.
"""

import re
import time
from dataclasses import dataclass, field, replace
from typing import Any

from grading import marking
from grading.marking import Mark
from grading.notebooks import Cell, Release, Submission
from grading.sandbox import Lost, Worker, Workplace
from solutions.checks import CallFailed, Exercise

# A digit inside a name, as in `x2`, and the names of types may stay.
NUMBER = re.compile(
    r"\b(?:b?float|u?int|complex)(?:8|16|32|64|128)\b|(?<![^\W\d_])[-+]?\.?\d[\d_.]*(?:e[-+]?\d+)?j?|\d[\d_.]+",
    re.I,
)


@dataclass
class Outcome:
    """What became of a submission: its marks, what happened to cells on the way, and what it took."""

    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class _Fate:
    """What became of a cell that stopped: a status and words for the student."""

    status: str
    message: str
    detail: str = ""


def without_numbers(text: str) -> str:
    """A message of the student's code with its numbers taken out: they may be hidden inputs."""
    return NUMBER.sub(lambda found: found[0] if found[0][0].isalpha() else "…", text)[:300]


def unmarked(checks: list[Exercise], status: str, message: str) -> list[Mark]:
    """The marks of a submission that was not run."""
    return [Mark(c.grade_id, c.points, 0, status, message) for c in checks]


def run(
    submission: Submission,
    release: Release,
    checks: list[Exercise],
    place: Workplace,
    seed: int,
    slot: int = 0,
) -> Outcome:
    """Run a submission and mark its exercises on inputs drawn from `seed`.

    Raises NoSandbox when no worker can be started.
    """
    return _Run(submission, release, checks, place, seed, slot).outcome()


class _Run:
    def __init__(
        self,
        submission: Submission,
        release: Release,
        checks: list[Exercise],
        place: Workplace,
        seed: int,
        slot: int,
    ) -> None:
        self.submission, self.place, self.seed, self.slot = submission, place, seed, slot
        self.checks = {check.grade_id: check for check in checks}
        self.tasks = {task.grade_id: task for task in release.tasks}
        self.given = {cell.grade_id for cell in release.given()}
        self.marks: dict[str, Mark] = {}
        self.fates: dict[int, _Fate] = {}
        self.notes: dict[str, None] = {}
        self.stopped: set[int] = set()
        self.ends = 0.0
        self.peak = 0

    def outcome(self) -> Outcome:
        begun = None
        while len(self.marks) < len(self.checks):
            if begun is not None and self._left() <= 0:
                self._out_of_time()
                break
            with self.place.start(self.slot) as worker:
                if begun is None:  # how long this machine takes to import torch is not the student's doing
                    begun = time.monotonic()
                    self.ends = begun + self.place.seconds
                self._pass(worker)
                self.peak = max(self.peak, worker.peak)
        marks = [self.marks[name] for name in self.checks]
        spent = time.monotonic() - begun if begun is not None else 0.0
        return Outcome(marks, list(self.notes), spent, self.peak)

    def _left(self) -> float:
        return self.ends - time.monotonic()

    def _share(self) -> float:
        """The seconds that the next cell or exercise may take: an even part of what is left."""
        return max(0.05, self._left() / max(1, len(self.checks) - len(self.marks)))

    def _pass(self, worker: Worker) -> None:
        """Go through the notebook once, until the end or until the worker is lost."""
        for step in self.submission.steps:
            if len(self.marks) == len(self.checks) or self._left() <= 0:
                return
            if isinstance(step, str):
                if step in self.checks and step not in self.marks and not self._mark(worker, step):
                    return
            elif step.number not in self.stopped and not self._execute(worker, step):
                return

    def _execute(self, worker: Worker, cell: Cell) -> bool:
        """Run a cell; whether the worker is still there."""
        where = "Given code" if cell.grade_id in self.given else f"Cell {cell.number}"
        try:
            answer = worker.ask({"run": cell.source}, self._share())
        except Lost as lost:
            fate = _Fate(lost.status, f"{where} was stopped: {_lower(str(lost))}")
            self.stopped.add(cell.number)
            self._stopped(cell, fate)
            return False
        if not isinstance(answer, dict):
            answer = {}
        ignored = answer.get("ignored")
        if isinstance(ignored, list) and ignored and all(isinstance(line, str) for line in ignored):
            lines = ", ".join(f"`{without_numbers(line[:60])}`" for line in ignored[:3])
            self.notes[f"{where}: not executed, because it is for the shell or for IPython: {lines}"] = None
        if answer.get("status") != "ok":
            kind, detail = _error(answer)
            line = answer.get("line")
            at = f" in line {line}" if type(line) is int and 0 < line < 10**6 else ""
            status = "memory" if _is_memory(kind, detail) else "raised"
            self._stopped(cell, _Fate(status, f"{where} stopped{at} with {kind}.", detail))
        return True

    def _stopped(self, cell: Cell, fate: _Fate) -> None:
        self.fates[cell.number] = fate
        self.notes[f"{fate.message} {fate.detail}".strip()] = None

    def _mark(self, worker: Worker, grade_id: str) -> bool:
        """Mark one exercise; whether the worker is still there."""
        until = time.monotonic() + self._share()
        gone: list[Lost] = []

        def send(request: dict[str, Any]) -> Any:
            try:
                answer = worker.ask({"call": request}, max(0.05, until - time.monotonic()))
            except Lost as lost:
                gone.append(lost)
                raise CallFailed(lost.status, _of_exercise(lost, self.place.seconds)) from None
            if isinstance(answer, dict) and answer.get("status") == "raised":
                kind, detail = _error(answer)
                kinds = answer["kinds"] if isinstance(answer.get("kinds"), list) else []
                answer.update(kinds=[kind, *kinds[1:]], detail=detail)
                if _is_memory(kind, detail):
                    raise CallFailed("memory", "It asked for more memory than it may have.")
            return answer

        (mark,) = marking.mark([self.checks[grade_id]], marking.caller(send), self.seed)
        if mark.status == "missing":
            mark = self._why_missing(mark)
        self.marks[grade_id] = replace(mark, detail=without_numbers(mark.detail))
        return not gone

    def _why_missing(self, mark: Mark) -> Mark:
        """Where the cell that should define a function stopped, say so rather than that there is none."""
        task = self.tasks[mark.grade_id]
        for cell in self.submission.code():
            fate = self.fates.get(cell.number)
            if fate and (cell.grade_id == task.cell or f"def {task.function}(" in cell.source):
                message = f"{fate.message} So there is no function `{task.function}`."
                return replace(mark, status=fate.status, message=message, detail=fate.detail)
        return mark

    def _out_of_time(self) -> None:
        message = (
            f"The {self.place.seconds:.0f} seconds for the whole notebook were used up before it was marked."
        )
        for name, check in self.checks.items():
            if name not in self.marks:
                self.marks[name] = Mark(name, check.points, 0, "timeout", message)


def _error(answer: dict[str, Any]) -> tuple[str, str]:
    """Name and text of the exception in an answer, as far as they can be believed."""
    kinds, detail = answer.get("kinds"), answer.get("detail")
    kind = kinds[0] if isinstance(kinds, list) and kinds and isinstance(kinds[0], str) else ""
    detail = without_numbers(detail) if isinstance(detail, str) else ""
    fits = kind.isidentifier() and len(kind) < 80 and not re.search(r"\d", kind)
    return (kind if fits else "an exception"), detail


def _is_memory(kind: str, detail: str) -> bool:
    return (
        kind in ("MemoryError", "OutOfMemoryError", "_ArrayMemoryError") or "can't allocate memory" in detail
    )


def _of_exercise(lost: Lost, seconds: float) -> str:
    if lost.status != "timeout":
        return str(lost)
    return (
        f"It was still running when its share of the {seconds:.0f} seconds for the whole notebook was over."
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
