"""The training of every lab on a device that is not the CPU: a pretended one, see `tests/pretend_cuda.py`."""

import nbformat
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
Session.pick = lambda self, *, smoke, cpu, gpu: smoke  # the sizes of `smoke` in the profile `gpu`
"""


@lab
def test_lab_trains_on_cuda_and_its_steps_are_recorded(source, compiled):
    notebook = training_cells(source)
    notebook.cells.insert(0, new_code_cell(BEGIN))
    notebook.cells.append(new_code_cell("assert pretend_cuda.replayed > 50, pretend_cuda.replayed"))
    notebooks.execute(notebook, profile="gpu")
    assert "a pretended device · profile gpu" in printed(notebook)
    assert "steps are plain" not in printed(notebook)


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
