"""What of a notebook's code is run: nothing that a student wrote is lost for where it stands."""

import numpy as np
import pytest

from grading import collect, worker
from grading.grade import RELEASES
from grading.notebooks import read, read_release
from tests.grading.submissions import (
    RATIO,
    STEM,
    add_before,
    cell,
    put,
    released,
    solved,
    write,
)

CHECK = "".join(cell(released(), "check_density_ratio")["source"])
SETUP = "".join(cell(released(), "setup")["source"])
USES = RATIO + "return math.exp(0) * np.exp(logits) * (1 / prior - 1)"


@pytest.fixture
def run(tmp_path):
    """Run a notebook's cells as the worker does, in order; returns the names they leave, and the notes.

    `marked` collects what `density_ratio` answers where it is to be marked.
    """

    def handed_in(notebook):
        write(tmp_path / "jane.ipynb", notebook)
        release = read_release(RELEASES / f"{STEM}.ipynb")
        submission = read(collect.collect(tmp_path, STEM)[0], release)
        names, lacking = {}, {}
        for step in submission.steps:
            if isinstance(step, str):
                if step == "check_density_ratio":
                    names["marked"] = worker.run("density_ratio(np.zeros(2), 0.5)", names, lacking, False)
            else:
                worker.run(worker.without_magics(step.source)[0], names, lacking, False)
        return names, submission.notes

    return handed_in


@pytest.mark.parametrize(
    "source",
    [
        f"import math\n{SETUP}",
        f"{SETUP}\nimport math",
        SETUP.replace("import numpy as np", "import math, numpy as np"),
        "import math",
    ],
    ids=["above", "below", "inside", "instead"],
)
def test_what_was_added_to_given_code_is_run_and_the_given_code_again(run, source):
    notebook = solved()
    put(notebook, "setup", source + "\nnp = None")
    put(notebook, "density_ratio", USES)
    names, notes = run(notebook)
    assert names["marked"] == {"status": "ok"}
    assert names["np"] is np
    assert any(
        "Cell 2: the given code is not that of the homework as it is handed out now" in said for said in notes
    )


@pytest.mark.parametrize("stripped", [False, True])
def test_what_was_written_around_the_tests_is_run_before_the_exercise_is_marked(run, stripped):
    notebook = solved()
    put(notebook, "density_ratio", USES)
    put(notebook, "check_density_ratio", f"import math\n\n{CHECK}  \nafter = 1")
    if stripped:
        for each in notebook["cells"]:
            each["metadata"] = {}
    names, _ = run(notebook)
    assert names["marked"] == {"status": "ok"}
    assert names["after"] == 1
    assert "visible_checks" not in names


def test_a_changed_check_that_fails_costs_nothing(run):
    notebook = solved()
    put(notebook, "check_density_ratio", "raise SystemExit\n" + CHECK.replace("np.array", "np.nothing"))
    names, notes = run(notebook)
    assert names["marked"] == {"status": "ok"}
    assert any("the given code is not that" in said for said in notes)


@pytest.mark.parametrize("stripped", [False, True])
def test_a_cell_that_is_indented_as_a_whole_is_run(run, stripped):
    notebook = solved()
    lines = cell(notebook, "density_ratio")["source"].split("\n")
    put(notebook, "density_ratio", " \n\n" + "\n".join(f"    {line}" for line in lines) + "\n\n# done")
    if stripped:
        for each in notebook["cells"]:
            each["metadata"] = {}
    names, _ = run(notebook)
    assert names["marked"] == {"status": "ok"}


def test_what_is_timed_is_run(run):
    notebook = solved()
    add_before(notebook, "density_ratio", "%time import math")
    put(notebook, "density_ratio", USES)
    names, notes = run(notebook)
    assert names["marked"] == {"status": "ok"}
    assert notes == ()
