"""The hidden checks of the homework, one module per topic, and the few words that they share.

A check runs on the trusted side. It never holds a student's function: it calls it by name and by value,
gets plain data back and judges it by properties and against its own reference, on inputs drawn from `rng`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Wrong(Exception):
    """The answer is wrong. The message is for the student: no hidden input, no expected value."""


class CallFailed(Exception):
    """A student's function gave no value.

    `status` says why: `raised`, `missing`, `wrong` (it returned what is no plain data), or what else the
    transport knows, such as `timeout`. `kinds` names the classes of the exception that it raised, the most
    special first. The message is for the student and holds nothing that the student's code said.
    """

    def __init__(self, status: str, message: str, kinds: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status, self.kinds = status, kinds


# call(function, *values, adapter=...) runs one function of the submission; see grading/adapter.py.
Call = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Exercise:
    """One exercise: the id of the notebook cell that carries its points, the points, and its check."""

    grade_id: str
    points: int
    check: Callable[[Call, np.random.Generator], None]
