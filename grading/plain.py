"""Plain data: all that passes between a student's process and the grader's.

Plain are None, bool, int, float, str, NumPy arrays of numbers or truth values, and lists and dicts (with
text as keys) of these, exactly of these types: a subclass could bring its own methods along.
"""

from contextlib import suppress
from typing import Any

import numpy as np

MAX_BYTES = 16 * 2**20
MAX_ITEMS = 10_000
MAX_DEPTH = 20


class NotPlain(ValueError):
    """A value cannot be passed on; the message says what it is and what is allowed."""


def plain(value: Any) -> Any:
    """Copy a value as plain data: tuples become lists, NumPy scalars Python's, tensors arrays.

    Raises NotPlain for anything else, and for what is larger than `MAX_BYTES`, `MAX_ITEMS` or `MAX_DEPTH`.
    """
    return _copy(value, [MAX_BYTES, MAX_ITEMS], 0)


def kinds_of(error: BaseException | None) -> list[str]:
    """The names of an exception's classes, the most special first; MemoryError where torch lacks memory."""
    kinds = ["Exception"]
    # A student's class may have names, and a text, that raise in their turn.
    with suppress(BaseException):
        kinds = [str(kind.__name__) for kind in type(error).__mro__]
        if "can't allocate memory" in str(error):
            kinds.insert(0, "MemoryError")
    return kinds


def _copy(value: Any, left: list[int], depth: int) -> Any:
    left[1] -= 1
    if left[1] < 0 or depth > MAX_DEPTH:
        raise NotPlain(f"more than {MAX_ITEMS} items, or nested more than {MAX_DEPTH} deep")
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        # An int has no size limit of its own, and turning a huge one into text takes for ever.
        _spend(left, len(value) if kind is str else value.bit_length() // 8 if kind is int else 8)
        return value
    if kind in (list, tuple):
        return [_copy(item, left, depth + 1) for item in value]
    if kind is dict:
        return {_key(key, left): _copy(item, left, depth + 1) for key, item in value.items()}
    if kind is np.ndarray:
        if value.dtype.kind not in "biuf":
            raise NotPlain(f"an array of dtype {value.dtype}; allowed are arrays of real numbers")
        _spend(left, value.nbytes)
        return np.array(value, order="C")
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if _is_tensor(value):
        _spend(left, value.nelement() * value.element_size())
        return _copy(value.detach().cpu().numpy(), left, depth + 1)
    raise NotPlain(f"a value of type {kind.__name__}; allowed are numbers, text, arrays, lists and dicts")


def _key(key: Any, left: list[int]) -> str:
    if type(key) is not str:
        raise NotPlain(f"a dict with a key of type {type(key).__name__}; keys are text")
    _spend(left, len(key))
    return key


def _spend(left: list[int], size: int) -> None:
    left[0] -= size
    if left[0] < 0:
        raise NotPlain(f"more than {MAX_BYTES // 2**20} MiB of data")


def _is_tensor(value: Any) -> bool:
    kind = type(value)
    return kind.__module__ == "torch" and kind.__name__ == "Tensor"
