"""The homework as its tests need it: the master, the student copy, and functions exec'ed from either."""

import ast
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import torch

from grading import adapter, marking
from tests.homework.answers import STEMS
from tools.homework import MASTERS, RELEASES
from tools.notebooks import from_source


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)  # these networks are so small that a second thread costs twenty times


@pytest.fixture(scope="session", params=STEMS)
def stem(request: pytest.FixtureRequest) -> str:
    """The topic of the homework; every test that asks for one of the fixtures below runs for each."""
    return request.param


@pytest.fixture(scope="session")
def master_path(stem: str) -> Path:
    return MASTERS / f"{stem}.py"


@pytest.fixture(scope="session")
def master(master_path: Path) -> nbformat.NotebookNode:
    return from_source(master_path)


@pytest.fixture(scope="session")
def released(stem: str) -> nbformat.NotebookNode:
    return nbformat.read(RELEASES / f"{stem}.ipynb", as_version=4)


@pytest.fixture(scope="session")
def parts(master: nbformat.NotebookNode) -> SimpleNamespace:
    """The master's code: `setup`, and by function name the `solution` and the visible `check`."""
    cells = {c.metadata.nbgrader.grade_id: c.source for c in master.cells if c.cell_type == "code"}
    checks = {name.removeprefix("check_"): cells[name] for name in cells if name.startswith("check_")}
    return SimpleNamespace(setup=cells["setup"], solution={n: cells[n] for n in checks}, check=checks)


@pytest.fixture(scope="session")
def namespace(parts: SimpleNamespace) -> Callable[..., dict[str, Any]]:
    """Build what a submission defines: the master's functions, then the code given in their place."""

    def build(*code: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        for source in [parts.setup, *parts.solution.values(), *code]:
            exec(source, names)
        return names

    return build


@pytest.fixture(scope="session")
def checks(stem: str) -> dict[str, Any]:
    """The hidden checks by the function that they judge."""
    return {check.grade_id.removeprefix("check_"): check for check in marking.exercises(stem)}


@pytest.fixture(scope="session")
def parameters(parts: SimpleNamespace) -> dict[str, list[str]]:
    """Names of the parameters of each function."""
    functions = {name: ast.parse(code).body[0] for name, code in parts.solution.items()}
    return {name: [a.arg for a in function.args.args] for name, function in functions.items()}


@pytest.fixture(scope="session")
def adapters(checks: dict[str, Any]) -> dict[str, str]:
    """How each function is called: with arrays, with tensors that need gradients, as a training step."""
    kinds = {}

    def send(request: dict[str, Any]) -> dict[str, Any]:
        kinds[request["function"]] = request["adapter"]
        return {"status": "missing"}

    marking.mark(list(checks.values()), marking.caller(send), seed=0)
    return kinds


def caller(names: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """Call the functions of a submission in this process, by value as ever."""
    return marking.caller(lambda request: adapter.answer(names, request))
