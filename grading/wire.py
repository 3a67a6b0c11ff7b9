"""One line of JSON for each message between the grader and a worker; arrays ride along as base64.

The other end may be anybody, so decoding builds plain data only, of bounded size, and never runs anything.
"""

import base64
import json
import math
import re
from typing import Any

import numpy as np

from grading.plain import MAX_BYTES, MAX_ITEMS, NotPlain

# Base64 takes four bytes for three; the rest is for what stands around it.
MAX_LINE = MAX_BYTES * 4 // 3 + 2**20
DTYPE = re.compile(r"[<>=|][biuf](1|2|4|8|16)")


def encode(value: Any) -> bytes:
    """A line, with its end, for a plain value; NotPlain for a whole number too long to write."""
    try:
        return json.dumps(_pack(value), separators=(",", ":")).encode("ascii") + b"\n"
    except ValueError:
        raise NotPlain("a whole number with thousands of digits") from None


def decode(line: bytes) -> Any:
    """The value of a line; NotPlain when it is not one."""
    # Checked before the line is parsed: millions of empty lists would fill the memory.
    if len(line) > MAX_LINE or line.count(b",") + line.count(b"[") + line.count(b"{") > 10 * MAX_ITEMS:
        raise NotPlain("more data than may pass")
    try:
        return _unpack(json.loads(line.decode("ascii")))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise NotPlain("something that is no message") from None


def _pack(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(value.tobytes()).decode("ascii")
        return {"array": [value.dtype.str, list(value.shape), data]}
    if isinstance(value, dict):
        return {"dict": {key: _pack(item) for key, item in value.items()}}
    if isinstance(value, list):
        return [_pack(item) for item in value]
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "dict":
        return {key: _unpack(item) for key, item in content.items()}
    if kind != "array":
        raise ValueError(kind)
    name, shape, data = content
    if not DTYPE.fullmatch(name) or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(name)
    dtype, raw = np.dtype(name), base64.b64decode(data, validate=True)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError("the data do not fill the array")
    return np.frombuffer(raw, dtype).reshape(shape).copy()
