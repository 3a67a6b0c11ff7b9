"""The training of every lab on a device that is not the CPU: a pretended one, see `tests/pretend_cuda.py`.

How well a lab trains, its run on the CPU shows, and this device computes the same. Here it trains for a
quarter of the steps, and what it asserts of its training is computed and not asked.
"""

import ast
import re

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell

from tests.notebooks.test_mutants import training_cells
from tests.notebooks.test_sources import lab
from tools import notebooks, project

BEGIN = f"""
import sys
sys.path.insert(0, {str(project.ROOT)!r})
from tests import pretend_cuda
pretend_cuda.begin()
from gancourse.notebook import Session

def quarter(self, *, smoke, cpu, gpu):
    return smoke // 4 if type(smoke) is int and smoke >= 100 else smoke

Session.pick = quarter  # in the profile `gpu`
"""
END = "print('steps replayed:', pretend_cuda.replayed)"


class Unasserted(ast.NodeTransformer):
    """Assertions become expressions: what they compare is still computed, wherever it lies."""

    def visit_Assert(self, node: ast.Assert) -> ast.Expr:
        return ast.copy_location(ast.Expr(node.test), node)


def on_cuda(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    for cell in notebook.cells:
        cell.source = ast.unparse(Unasserted().visit(ast.parse(cell.source)))
    notebook.cells.insert(0, new_code_cell(BEGIN))
    notebook.cells.append(new_code_cell(END))
    return notebook


@lab
def test_lab_trains_on_cuda_and_its_steps_are_recorded(source, compiled):
    said = printed(notebooks.execute(on_cuda(training_cells(source)), profile="gpu"))
    assert "a pretended device · profile gpu" in said
    assert "steps are plain" not in said, said
    assert int(re.search(r"steps replayed: (\d+)", said)[1]) > 50, said


def test_two_devices_in_what_an_assertion_compares_are_noticed(compiled):
    wrong = nbformat.v4.new_notebook(
        cells=[new_code_cell("import torch\nassert torch.ones(1).cuda() + torch.ones(2) > 0")]
    )
    with pytest.raises(CellExecutionError, match="same device"):
        notebooks.execute(on_cuda(wrong), profile="gpu")


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
