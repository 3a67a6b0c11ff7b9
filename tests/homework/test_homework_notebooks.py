"""The homework as students and instructors run it: in a kernel, from top to bottom."""

import ast
import os
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.homework.answers import STEMS, right, secrets, wrong
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
    assert codes > 4


def test_student_copy_stops_at_the_first_unsolved_exercise(released, parts, tmp_path):
    first = next(iter(parts.solution))
    notebook = nbformat.from_dict(released)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    with pytest.raises(CellExecutionError) as stop:
        client.execute()
    assert (stop.value.ename, stop.value.evalue) == ("NotImplementedError", f"solve {first}")
    ran = [c.metadata.nbgrader.grade_id for c in notebook.cells if c.get("execution_count")]
    assert ran == ["setup", first, f"check_{first}"]


def test_a_partly_solved_copy_stops_at_the_next_exercise(released, parts):
    codes = [(c.metadata.nbgrader.grade_id, c.source) for c in released.cells if c.cell_type == "code"]
    functions = list(parts.solution)
    for number, unsolved in enumerate(functions):
        names, stop = {}, [name for name, _ in codes].index(f"check_{unsolved}")
        for name, source in codes[:stop]:
            exec(parts.solution[name] if name in functions[:number] else source, names)
        with pytest.raises(NotImplementedError, match=rf"^solve {unsolved}$"):
            exec(codes[stop][1], names)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("stem", "style"), [(stem, style) for stem in STEMS for style in right(stem)], indirect=["stem"]
)
def test_visible_checks_accept_other_styles(stem, style, parts):
    names = {}
    exec(parts.setup + right(stem)[style], names)
    for check in parts.check.values():
        exec(check, names)


@pytest.mark.filterwarnings("ignore")  # wrong solutions divide by zero
def test_visible_checks_say_in_words_what_is_wrong(stem, namespace, parts):
    caught, missed = {}, []
    for function, slip, code in wrong(stem):
        try:
            exec(parts.check[function], namespace(code))
        except AssertionError as told:
            caught[function, slip] = str(told)
        except Exception:  # PyTorch or NumPy say it themselves
            caught[function, slip] = "an error of its own, in so many words"
        else:
            missed.append((function, slip))
    assert all(len(told) > 20 for told in caught.values())
    assert len(caught) >= 0.75 * len(wrong(stem)), missed
    assert {function for function, _ in caught} == parts.check.keys()


def test_visible_checks_do_not_give_the_answer_away(stem, parts):
    assert secrets(stem)
    for check in parts.check.values():
        tree = ast.parse(check)
        asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        assert all(node.msg is not None for node in asserts)
        for secret in secrets(stem):
            assert secret not in check


def test_masters_are_sources_only():
    assert {p.suffix for p in homework.MASTERS.iterdir() if p.is_file()} == {".py"}
