"""What a lab asserts of its training must be able to fail: three slips in the step turn `smoke` red."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tests.notebooks.test_sources import LABS
from tools import notebooks

# lab -> name of the slip -> (text of the step, what stands there by mistake)
SLIPS = {
    "optimal_discriminator": {
        "sign": ("loss = loss_of_logits(logits)", "loss = -loss_of_logits(logits)"),
        "missing detach": ("    fake = fake.detach()\n", ""),
        "frozen generator": ("    state.generator_optimizer.step()\n", ""),
    },
    "jensen_shannon_identity": {
        "sign": ("loss = loss_of_logits(logits)", "loss = -loss_of_logits(logits)"),
        "missing detach": (
            "sample_generator(state, len(real)).detach()",
            "sample_generator(state, len(real))",
        ),
        "frozen generator": ("    state.generator_optimizer.step()\n", ""),
    },
    "direction_of_kl": {
        "sign": ("loss = loss_of_outputs(outputs)", "loss = -loss_of_outputs(outputs)"),
        "missing detach": (
            "sample_generator(state, len(real)).detach()",
            "sample_generator(state, len(real))",
        ),
        "frozen generator": ("    update(state.generator_optimizer, state.generator, loss)\n", ""),
    },
    "wasserstein_duality": {
        "sign": (
            "loss = -state.critic(sample_generator(state, n)).mean()",
            "loss = state.critic(sample_generator(state, n)).mean()",
        ),
        "missing detach": (
            "sample_generator(state, len(real)).detach()",
            "sample_generator(state, len(real))",
        ),
        "frozen generator": ("    state.generator_optimizer.step()\n", ""),
    },
    "bilevel_actor_critic": {
        "sign": ("loss = functional.softplus(-logits).mean()", "loss = -functional.softplus(-logits).mean()"),
        "missing detach": (
            "state.generator(noise_for(state, len(real))).detach()",
            "state.generator(noise_for(state, len(real)))",
        ),
        "frozen generator": ("    state.generator_optimizer.step()\n", ""),
    },
}


def training_cells(source) -> nbformat.NotebookNode:
    notebook = notebooks.from_source(source)
    notebook.cells = [cell for cell in notebook.cells if "training" in cell.metadata.get("tags", [])]
    return notebook


def test_every_lab_has_its_three_slips():
    assert {source.stem for source in LABS} == set(SLIPS), "SLIPS names three slips for every lab"
    assert {stem: len(slips) for stem, slips in SLIPS.items()} == dict.fromkeys(SLIPS, 3)


RUN = """
def turns_red(slip, cells):
    names = {"__name__": "__main__"}
    try:
        for cell in cells:
            exec(cell, names)
    except AssertionError as error:
        print("red:", error)
        return
    raise RuntimeError(f"{slip}: nothing that is asserted noticed it")
"""


def try_out(cells: list[str], slips: dict[str, tuple[str, str]]) -> None:
    """Run cells once with each slip, in one kernel, because starting one takes long; no names are shared.

    Raises:
        CellExecutionError: a slip went unnoticed, or ended otherwise than by an assertion.
    """
    trial = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(RUN)])
    for slip, (right, wrong) in slips.items():
        found = sum(cell.count(right) for cell in cells)
        assert found == 1, f"{slip}: {right!r} occurs {found} times in the cells tagged `training`, not once"
        mutant = [cell.replace(right, wrong) for cell in cells]
        trial.cells.append(nbformat.v4.new_code_cell(f"turns_red({slip!r}, {mutant!r})"))
    notebooks.execute(trial, profile="smoke")
    for slip, cell in zip(slips, trial.cells[1:], strict=True):
        assert "red: " in "".join(output.get("text", "") for output in cell.outputs), slip


@pytest.mark.parametrize("stem", SLIPS)
def test_slips_in_the_step_turn_the_lab_red(stem):
    cells = training_cells(notebooks.ROOT / "labs" / f"{stem}.py").cells
    try_out([cell.source for cell in cells], SLIPS[stem])


@pytest.mark.parametrize(
    ("wrong", "said"), [("x = 2", "a slip: nothing that is asserted noticed it"), ("x = y", "NameError")]
)
def test_a_slip_that_no_assertion_notices_is_told(wrong, said):
    with pytest.raises(CellExecutionError, match=said):
        try_out(["x = 1", "assert x > 0"], {"a slip": ("x = 1", wrong)})
