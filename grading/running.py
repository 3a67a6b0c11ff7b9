"""Runs one submission in a worker and marks its exercises, each at its place in the notebook.

One time limit holds for the whole submission. What ends the worker or takes too long costs its own exercise:
the worker is started again, and the rest is marked in the time that is left.

What a student's code says, it may say of the hidden inputs. So its words are passed on only from a worker
that has not been given any: where something fails later, the notebook is run once more, in a fresh worker and
with the visible checks in the place of the hidden ones, to find out what there is to tell.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from grading import marking
from grading.marking import Mark
from grading.notebooks import Cell, Release, Submission, Task
from grading.sandbox import Lost, Worker, Workplace
from solutions.checks import CallFailed, Exercise

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
LEAST = 0.05
"""Seconds that a cell or an exercise gets even where hardly any are left."""


@dataclass
class Outcome:
    """What became of a submission: its marks, what happened to cells on the way, and what it took."""

    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class _Fate:
    """What became of a cell that stopped: a status, and words for the student."""

    status: str
    message: str
    detail: str = ""


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
        self.visible = {cell.grade_id: cell.source for cell in release.cells if cell.kind == "code"}
        self.marks: dict[str, Mark] = {}
        # By their place among the steps: given cells and the student's are numbered each for themselves.
        self.python: dict[int, str] = {}
        self.fates: dict[int, _Fate] = {}
        self.stopped: set[int] = set()
        self.untold: set[int] = set()
        self.said: dict[str, _Fate | None] = {}
        self.notes: list[str] = []
        self.worker: Worker | None = None
        self.seen_inputs = False
        self.spent = 0.0
        self.peak = 0

    def outcome(self) -> Outcome:
        while len(self.marks) < len(self.checks) and self._left() > 0:
            self._in_a_worker(self._pass)
        late = (
            f"The {self.place.seconds:.0f} seconds for the whole notebook were used up before it was marked."
        )
        for name, check in self.checks.items():
            self.marks.setdefault(name, Mark(name, check.points, 0, "timeout", late))
        if (self.untold or self._failed()) and self._left() > 0:
            self._in_a_worker(self._explain)
        marks = [self._worded(self.marks[name]) for name in self.checks]
        told = [fate for place, fate in sorted(self.fates.items()) if place not in self.untold]
        notes = [*self.notes, *(f"{fate.message} {fate.detail}".strip() for fate in told)]
        if any(fate.status == "syntax" for fate in self.fates.values()):
            marks = [_perhaps_for_want(mark) for mark in marks]
        return Outcome(marks, list(dict.fromkeys(notes)), self.spent, self.peak)

    # --- the worker and the time ---

    def _in_a_worker(self, work: Callable[[], None]) -> None:
        """Start a worker and do some work with it, until that is done or the worker is lost."""
        again, begun = self.worker is not None, self.spent
        with self.place.start(self.slot) as self.worker:
            # The first start is the grader's doing; the others are that of whoever ended the one before.
            self.spent = begun + (self.worker.starting if again else 0.0)
            self.seen_inputs = False
            with suppress(Lost):
                work()
        self.peak = max(self.peak, self.worker.peak)

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's answer; Lost when there is none."""
        before = self.worker.charged
        try:
            answer = self.worker.ask(request, max(LEAST, seconds))
        finally:
            self.spent += self.worker.charged - before
        return answer if isinstance(answer, dict) else {}

    def _left(self) -> float:
        return self.place.seconds - self.spent

    def _share(self) -> float:
        """The seconds that the next cell or exercise may take: an even part of what is left."""
        return self._left() / max(1, len(self.checks) - len(self.marks))

    # --- marking ---

    def _pass(self) -> None:
        """Go through the notebook once; Lost when the worker does not live to the end."""
        self._read()
        for place, step in enumerate(self.submission.steps):
            if len(self.marks) == len(self.checks) or self._left() <= 0:
                return
            if isinstance(step, str):
                if step in self.checks and step not in self.marks:
                    self._mark(step)
            elif place not in self.stopped:
                self._execute(place, step)

    def _read(self) -> None:
        """Find out, before any code of the student runs, what of each cell is Python."""
        for place, step in enumerate(self.submission.steps):
            if isinstance(step, str) or place in self.python or place in self.stopped:
                continue
            try:
                answer = self._ask({"read": step.source}, self._share())
            except Lost as lost:
                self._stop(place, step, lost)
                raise
            self.python[place] = answer.get("python", step.source)
            ignored = answer.get("ignored")
            if ignored:
                lines = ", ".join(f"`{line[:60]}`" for line in ignored[:3])
                said = "not executed, because it is for the shell or for IPython"
                self.notes.append(f"{self._name(step)}: {said}: {lines}")

    def _execute(self, place: int, cell: Cell) -> None:
        try:
            answer = self._run(place, cell, self._share())
        except Lost as lost:
            # In the next worker it comes before all hidden inputs. Only what it does there is told.
            if not self.seen_inputs:
                self._stop(place, cell, lost)
            raise
        if answer.get("status") == "ok":
            return
        if not self.seen_inputs:
            self.untold.discard(place)
            self.fates[place] = self._fate(cell, answer)
        elif place not in self.fates:
            self.untold.add(place)
            self.fates[place] = _Fate(_status(cell, answer), f"{self._name(cell)} stopped.")

    def _run(self, place: int, cell: Cell, seconds: float) -> dict[str, Any]:
        """Have a cell executed; an error ends it only where it holds an exercise."""
        to_end = not any(_holds(cell, task) for task in self.tasks.values())
        return self._ask({"run": self.python[place], "to_end": to_end}, seconds)

    def _stop(self, place: int, cell: Cell, lost: Lost) -> None:
        self.stopped.add(place)
        self.fates[place] = _Fate(lost.status, f"{self._name(cell)} was stopped: {_lower(str(lost))}")

    def _mark(self, grade_id: str) -> None:
        until = self.spent + self._share()
        gone: list[Lost] = []
        self.seen_inputs = True

        def send(request: dict[str, Any]) -> Any:
            try:
                answer = self._ask({"call": request}, until - self.spent)
            except Lost as lost:
                gone.append(lost)
                raise CallFailed(lost.status, self._of_exercise(lost)) from None
            if answer.get("status") == "raised" and _is_memory(answer):
                raise CallFailed("memory", "It asked for more memory than it may have.")
            return answer

        (self.marks[grade_id],) = marking.mark([self.checks[grade_id]], marking.caller(send), self.seed)
        if gone:
            raise gone[0]

    # --- what is told ---

    def _failed(self) -> set[str]:
        return {name for name, mark in self.marks.items() if mark.status in ("raised", "wrong")}

    def _explain(self) -> None:
        """Run the notebook without a hidden input, and note what it says where it failed before."""
        waiting = self._failed()
        for place, step in enumerate(self.submission.steps):
            if not (waiting or self.untold) or self._left() <= 0:
                return
            share = self._left() / (1 + len(waiting) + len(self.untold))
            if isinstance(step, str):
                if step in waiting:
                    waiting.discard(step)
                    answer = self._ask({"run": self.visible[step]}, share)
                    failed = answer.get("status") != "ok"
                    self.said[step] = _Fate("raised", *_error(answer)) if failed else None
            elif place not in self.stopped:
                answer = self._run(place, step, share)
                if place in self.untold and answer.get("status") != "ok":
                    self.untold.discard(place)
                    self.fates[place] = replace(self._fate(step, answer), status=self.fates[place].status)

    def _worded(self, mark: Mark) -> Mark:
        """A mark with what there is to tell: where its cell stopped, or what its code said."""
        if mark.status == "missing":
            task = self.tasks[mark.grade_id]
            for place, step in enumerate(self.submission.steps):
                fate = self.fates.get(place)
                if fate and _holds(step, task):
                    message = f"{fate.message} So there is no function `{task.function}`."
                    return replace(mark, status=fate.status, message=message, detail=fate.detail)
        if mark.grade_id in self.said:
            said = self.said[mark.grade_id]
            if said is None:
                less = (
                    "The visible check finds nothing."
                    if mark.status == "wrong"
                    else ("With the visible check it does not.")
                )
                return replace(mark, message=f"{mark.message} {less}")
            return replace(mark, detail=f"{said.message}: {said.detail}".rstrip(": "))
        return mark

    def _name(self, cell: Cell) -> str:
        return "Given code" if cell.grade_id in self.given else f"Cell {cell.number}"

    def _fate(self, cell: Cell, answer: dict[str, Any]) -> _Fate:
        kind, detail = _error(answer)
        line = answer.get("line")
        at = f" in line {line}" if type(line) is int and 0 < line < 10**6 else ""
        if answer.get("went_on") is True:
            message = f"{self._name(cell)} failed{at} with {kind}; the lines below were run all the same."
        else:
            message = f"{self._name(cell)} stopped{at} with {kind}."
        status = _status(cell, answer)
        if status == "syntax":
            message += f" It ran in the notebook, perhaps with a newer Python than {VERSION} here."
        return _Fate(status, message, detail)

    def _of_exercise(self, lost: Lost) -> str:
        if lost.status != "timeout":
            return str(lost)
        whole = f"the {self.place.seconds:.0f} seconds for the whole notebook"
        return f"It was still running when its share of {whole} was over."


def _holds(cell: Cell, task: Task) -> bool:
    return cell.grade_id == task.cell or f"def {task.function}(" in cell.source


def _error(answer: dict[str, Any]) -> tuple[str, str]:
    """Name and text of the exception in an answer; whatever else stands there counts for nothing."""
    kinds, detail = answer.get("kinds"), answer.get("detail")
    kind = kinds[0] if isinstance(kinds, list) and kinds and isinstance(kinds[0], str) else ""
    detail = detail[:300] if isinstance(detail, str) else ""
    return (kind if kind.isidentifier() and len(kind) < 80 else "an exception"), detail


def _perhaps_for_want(mark: Mark) -> Mark:
    """The mark of an exercise in a notebook of which a cell could not be read: what raised may need it."""
    if mark.status != "raised":
        return mark
    said = "A cell that ran in the notebook is no Python here, and this may come of it."
    return replace(mark, status="syntax", message=f"{mark.message} {said}")


def _status(cell: Cell, answer: dict[str, Any]) -> str:
    """The status of exercises whose cell stopped.

    `syntax` is no fault of a student: what ran in the notebook is Python, if not of this version.
    """
    if _is_memory(answer):
        return "memory"
    return "syntax" if cell.ran and _error(answer)[0] == "SyntaxError" else "raised"


def _is_memory(answer: dict[str, Any]) -> bool:
    kinds = answer.get("kinds")
    return isinstance(kinds, list) and ("MemoryError" in kinds or "OutOfMemoryError" in kinds)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
