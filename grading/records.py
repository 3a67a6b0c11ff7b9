"""What is known of each student's submission, one JSON file a student, replaced whole or not at all."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from grading.marking import Mark

FAILED = ("timeout", "memory", "died", "syntax", "unreadable")
"""Statuses of a run that came to no result: what it would have earned is not known."""


@dataclass(frozen=True)
class Record:
    """One student's marks for one homework.

    `fingerprint` is of all that decides the marks: file, hidden checks, seed, limits. `unreadable` says why a
    submission could not be read, `stranger` that nothing of this homework was in it. `answers` holds the
    texts for a person to mark, `others` the files beside the notebook, in which a text may be, `code` the
    student's own cells. `doubt` says why the files may not be those of one person. `locked` is false for a
    run without a sandbox. `platform` is the learning platform that named the download, `number` the student's
    number there.
    """

    student: str
    name: str
    fingerprint: str
    path: str
    marks: list[Mark]
    date: str
    unreadable: str = ""
    stranger: bool = False
    notes: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    seconds: float = 0.0
    memory: int = 0
    seed: int = 0
    doubt: str = ""
    locked: bool = True
    platform: str = ""
    number: str = ""

    def is_open(self, mark: Mark) -> bool:
        """Whether nobody knows what an exercise is worth: its run failed, or it is another notebook."""
        return mark.status in FAILED or self.stranger


class Records:
    """The records of one homework in a results folder."""

    def __init__(self, results: Path, homework: str) -> None:
        self.folder = results / homework
        self._records = self.folder / "records"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second grader out; ValueError when one is at work here."""
        self._records.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"Another grader is at work in {self.folder}; wait until it is done."
                ) from None
            yield

    def seed(self, wished: int | None) -> int:
        """The seed of this homework's marks: the wished one, else the one of before, else a fresh one."""
        path = self.folder / "seed"
        if wished is None and path.exists():
            return int(path.read_text(encoding="ascii"))
        seed = wished if wished is not None else int.from_bytes(os.urandom(4), "big")
        write(path, f"{seed}\n")
        return seed

    def load(self) -> dict[str, Record]:
        """All records, by student; a damaged file is an error, never a missing mark."""
        found = {}
        for path in sorted(self._records.glob("*.json")):
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                record = Record(**{**raw, "marks": [Mark(**mark) for mark in raw["marks"]]})
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{path} is damaged ({error}); restore it or remove it, then run again."
                ) from None
            found[record.student] = record
        return found

    def save(self, record: Record) -> None:
        """Put a record in the place of the student's older one, which is kept under its fingerprint."""
        path = self._records / f"{record.student}.json"
        if path.exists():
            old = json.loads(path.read_text(encoding="utf-8"))
            if old["fingerprint"] != record.fingerprint:
                write(
                    self.folder / "replaced" / record.student / f"{old['fingerprint'][:16]}.json",
                    json.dumps(old),
                )
        write(path, json.dumps(asdict(record), ensure_ascii=False, indent=1))


def fingerprint(*parts: Any) -> str:
    """A hash of bytes and of plain values."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part if isinstance(part, bytes) else repr(part).encode()).digest())
    return digest.hexdigest()


def write(path: Path, text: str | bytes) -> None:
    """Write a file so that whoever is interrupted leaves the old one or the new one, and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if path.exists() and path.read_bytes() == content:
        return
    fresh = path.with_name(f".{path.name}.new")
    with open(fresh, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
