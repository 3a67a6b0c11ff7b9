"""Runs beside the hidden checks: marks the functions of one submission, which it sees only by value."""

import builtins
import hashlib
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grading.plain import NotPlain, plain
from solutions.checks import Call, CallFailed, Exercise, Wrong

# An answer comes from a process that knows the hidden inputs and may hide them in whatever it says. So its
# words never reach a page: a name is repeated when it stands in these lists, which no student writes.
EXCEPTIONS = frozenset(
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception
) | {"SystemExit", "KeyboardInterrupt"}
TYPES = frozenset(name for name, kind in vars(builtins).items() if isinstance(kind, type)) | {
    "complex64", "complex128", "function", "generator", "method", "module", "Parameter",
}  # fmt: skip
RETURNED = re.compile(r"returned (a value of type|an array of dtype|a dict with a key of type) (\w+);.*")


@dataclass(frozen=True)
class Mark:
    """What one exercise earned.

    `status` is `ok`, `wrong`, `raised`, `missing`, or what else the transport says of a call that failed.
    `message` is for the student and holds nothing of inputs or expected values; `detail` is what the
    student's own code said where it had not seen a hidden input, such as the text of its exception.
    """

    grade_id: str
    points: int
    earned: int
    status: str
    message: str
    detail: str = ""


def exercises(homework: str) -> list[Exercise]:
    """The hidden checks of a homework; ValueError when there is none of that name."""
    name = f"solutions.checks.{homework}"
    try:
        return list(importlib.import_module(name).EXERCISES)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        raise ValueError(
            f"no hidden checks for {homework!r}: expected solutions/checks/{homework}.py"
        ) from None


def mark(checks: list[Exercise], call: Call, seed: int) -> list[Mark]:
    """Mark every exercise on inputs drawn from `seed`: all of its points or none.

    Each exercise draws from a stream of its own, so the result of one never depends on another.
    """
    return [_mark_one(exercise, call, seed) for exercise in checks]


def _mark_one(exercise: Exercise, call: Call, seed: int) -> Mark:
    own = int.from_bytes(hashlib.sha256(exercise.grade_id.encode()).digest()[:4], "big")
    try:
        exercise.check(call, np.random.default_rng([seed, own]))
    except Wrong as wrong:
        return Mark(exercise.grade_id, exercise.points, 0, "wrong", str(wrong))
    except CallFailed as failed:
        return Mark(exercise.grade_id, exercise.points, 0, failed.status, str(failed))
    return Mark(exercise.grade_id, exercise.points, exercise.points, "ok", "Right.")


def caller(send: Callable[[dict[str, Any]], Any]) -> Call:
    """Turn `send`, which carries a request to the student's process and brings its answer, into a `Call`.

    Both ways only plain data passes; an answer whose form does not fit the request has the status `wrong`.
    `send` raises CallFailed when no answer comes, with the status that says why. In the answer of a `Call`,
    `inputs_changed` says whether the arrays that were given came back changed.
    """

    def call(function: str, *values: Any, adapter: str = "arrays") -> dict[str, Any]:
        request = plain({"function": function, "adapter": adapter, "values": list(values)})
        unreadable = CallFailed("wrong", f"The answer of `{function}` cannot be read.")
        try:
            answer = plain(send(plain(request)))
        except NotPlain:
            raise unreadable from None
        if not isinstance(answer, dict):
            raise unreadable
        status, kinds = answer.get("status"), answer.get("kinds")
        if status == "missing":
            raise CallFailed("missing", f"There is no function `{function}`.")
        if status == "raised" and _is_list(kinds, lambda kind: type(kind) is str) and kinds:
            kind = next((kind for kind in kinds if kind in EXCEPTIONS), "an exception")
            raise CallFailed("raised", f"`{function}` raised {kind}.", tuple(kinds))
        if status == "wrong":
            what = _returned(answer.get("detail"))
            raise CallFailed("wrong", f"`{function}` returned {what} instead of numbers or arrays.")
        if status != "ok" or not _fits(answer.get("value"), request):
            raise unreadable
        given, after = _inputs(request), answer["value"]["inputs"]
        return {**answer["value"], "inputs_changed": not all(map(_same, given, after))}

    return call


def _returned(detail: Any) -> str:
    """What came back, in words of this module: those of the other side may hold the inputs."""
    said = RETURNED.fullmatch(detail) if isinstance(detail, str) else None
    if said and said[2] in TYPES:
        return f"{said[1]} {said[2]}"
    too_much = isinstance(detail, str) and detail.startswith("returned more than ")
    return "too much data" if too_much else "something else"


def _fits(value: Any, request: dict[str, Any]) -> bool:
    """Whether an answer has the form that its adapter gives, so that no check trips over a forged one."""
    if not isinstance(value, dict):
        return False
    if not _is_list(value.get("inputs"), lambda a: isinstance(a, np.ndarray), len(_inputs(request))):
        return False
    if request["adapter"] == "step":
        (game,) = request["values"]
        modules = value.get("modules")
        return (
            _is_list(value.get("returned"), lambda returned: True, len(game["calls"]))
            and isinstance(modules, dict)
            and modules.keys() == game["modules"].keys()
            and all(_is_state(modules[name], game["modules"][name]["parameters"]) for name in modules)
        )
    if request["adapter"] == "differentiable":
        gradients, given = value.get("gradients"), len(_inputs(request))
        known = _is_list(gradients, lambda g: g is None or isinstance(g, np.ndarray), given)
        return "result" in value and type(value.get("tensor")) is bool and known
    return "result" in value


def _inputs(request: dict[str, Any]) -> list[np.ndarray]:
    """The arrays that a request hands to the student's function."""
    values = request["values"]
    if request["adapter"] == "step":
        values = [value for call in values[0]["calls"] for value in call]
    return [value for value in values if isinstance(value, np.ndarray)]


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f")


def _is_state(state: Any, parameters: list[np.ndarray]) -> bool:
    return (
        isinstance(state, dict)
        and type(state.get("training")) is bool
        and _is_list(state.get("trainable"), lambda flag: type(flag) is bool, len(parameters))
        and _is_list(state.get("parameters"), lambda p: isinstance(p, np.ndarray), len(parameters))
        and _is_list(
            state.get("gradients"), lambda g: g is None or isinstance(g, np.ndarray), len(parameters)
        )
        and all(new.shape == old.shape for new, old in zip(state["parameters"], parameters, strict=True))
    )


def _is_list(value: Any, fits: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and length in (None, len(value)) and all(fits(item) for item in value)
