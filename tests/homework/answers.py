"""Answers to every homework, right and wrong, as the tests try them: one module per topic and kind.

`right/STEM.py` holds `RIGHT`: style -> code of all functions. `wrong/STEM.py` holds `WRONG`: a list of
(function, slip, code), and `SECRETS`: what the visible checks must not say, because it is the answer.
"""

from importlib import import_module
from textwrap import dedent
from types import ModuleType

from tools.homework import MASTERS

STEMS = sorted(path.stem for path in MASTERS.glob("*.py"))


def right(stem: str) -> dict[str, str]:
    return _answers("right", stem).RIGHT


def wrong(stem: str) -> list[tuple[str, str, str]]:
    return _answers("wrong", stem).WRONG


def secrets(stem: str) -> tuple[str, ...]:
    return _answers("wrong", stem).SECRETS


def _answers(kind: str, stem: str) -> ModuleType:
    try:
        return import_module(f"tests.homework.{kind}.{stem}")
    except ModuleNotFoundError as missing:
        raise FileNotFoundError(
            f"write tests/homework/{kind}/{stem}.py; answers.py says what it holds"
        ) from missing


def slips(function: str, arguments: str, **bodies: str) -> list[tuple[str, str, str]]:
    """(function, slip, code) for each slip, the code being the whole function around the given body."""
    head = f"def {function}({arguments}):\n"
    return [
        (function, slip, head + "".join(f"    {line}\n" for line in dedent(body).strip().splitlines()))
        for slip, body in bodies.items()
    ]
