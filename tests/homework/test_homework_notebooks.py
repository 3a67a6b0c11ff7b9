"""The homework as students and instructors run it: in a kernel, from top to bottom."""

import ast
import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.homework.right_solutions import RIGHT
from tests.homework.wrong_solutions import WRONG
from tools import homework


@pytest.fixture(scope="session")
def solved(master, released):
    """The student copy with the master's solutions filled in."""
    answers = {c.metadata.nbgrader.grade_id: c.source for c in master.cells if "nbgrader" in c.metadata}
    notebook = nbformat.from_dict(released)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers[cell.metadata.nbgrader.grade_id]
    return notebook


def test_master_and_solved_copy_pass_nbval_in_full(master, solved, tmp_path):
    nbformat.write(master, tmp_path / "master.ipynb")
    nbformat.write(solved, tmp_path / "solved.ipynb")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", "--rootdir=.", "-q"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    codes = sum(c.cell_type == "code" for nb in (master, solved) for c in nb.cells)
    assert f"{codes} passed" in run.stdout
    assert codes == 26


def test_student_copy_stops_at_the_first_unsolved_exercise(released, tmp_path):
    notebook = nbformat.from_dict(released)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    with pytest.raises(CellExecutionError) as stop:
        client.execute()
    assert (stop.value.ename, stop.value.evalue) == ("NotImplementedError", "solve class_weighted_loss")
    ran = [c.metadata.nbgrader.grade_id for c in notebook.cells if c.get("execution_count")]
    assert ran == ["setup", "class_weighted_loss", "check_class_weighted_loss"]


@pytest.mark.parametrize("number", range(6))
def test_a_partly_solved_copy_stops_at_the_next_exercise(number, released, parts):
    functions = list(parts.solution)
    names = {}
    for cell in released.cells:
        if cell.cell_type != "code":
            continue
        name = cell.metadata.nbgrader.grade_id
        if name == f"check_{functions[number]}":
            with pytest.raises(NotImplementedError, match=rf"^solve {functions[number]}$"):
                exec(cell.source, names)
            return
        exec(parts.solution[name] if name in functions[:number] else cell.source, names)
    pytest.fail("it ran to its end")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("style", RIGHT)
def test_visible_checks_accept_other_styles(style, parts):
    names = {}
    exec(parts.setup + RIGHT[style], names)
    for check in parts.check.values():
        exec(check, names)


@pytest.mark.filterwarnings("ignore")  # wrong solutions divide by zero
def test_visible_checks_say_in_words_what_is_wrong(namespace, parts):
    caught, missed = {}, []
    for function, slip, code in WRONG:
        try:
            exec(parts.check[function], namespace(code))
        except AssertionError as told:
            caught[function, slip] = str(told)
        except Exception:  # PyTorch or NumPy say it themselves
            caught[function, slip] = "an error of its own, in so many words"
        else:
            missed.append((function, slip))
    assert all(len(told) > 20 for told in caught.values())
    assert len(caught) >= 0.75 * len(WRONG), missed
    assert {function for function, _ in caught} == parts.check.keys()


def test_visible_checks_do_not_give_the_answer_away(parts):
    for check in parts.check.values():
        tree = ast.parse(check)
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert all(node.msg is not None for node in asserts)
        for secret in (
            "softplus", "logsigmoid", "logaddexp", "log1p", "zero_grad", ".detach()\n", "binary_cross",
            "autograd.grad(loss, weights", "np.exp(log", "prior / (", "/ prior", "retain",
            "requires_grad_(False",
        ):  # fmt: skip
            assert secret not in check


def test_a_wrong_answer_fails_nbval_too(namespace, parts):
    """What the green runs above rest on: a check cell does raise."""
    slip = next(code for function, slip, code in WRONG if (function, slip) == ("density_ratio", "inverted"))
    with pytest.raises(AssertionError, match="The surer the discriminator"):
        exec(parts.check["density_ratio"], namespace(slip))


def test_masters_are_sources_only():
    assert {p.suffix for p in homework.MASTERS.iterdir() if p.is_file()} == {".py"}
