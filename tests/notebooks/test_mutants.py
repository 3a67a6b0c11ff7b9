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
    assert {source.stem for source in LABS} == set(SLIPS)
    assert all(set(slips) == {"sign", "missing detach", "frozen generator"} for slips in SLIPS.values())


@pytest.mark.parametrize(
    ("stem", "slip"), [(stem, slip) for stem, slips in SLIPS.items() for slip in slips], ids=lambda name: name
)
def test_a_slip_in_the_step_turns_the_lab_red(stem, slip, tmp_path, monkeypatch):
    notebook = training_cells(notebooks.ROOT / "labs" / f"{stem}.py")
    right, wrong = SLIPS[stem][slip]
    assert sum(cell.source.count(right) for cell in notebook.cells) == 1
    for cell in notebook.cells:
        cell.source = cell.source.replace(right, wrong)
    with pytest.raises(CellExecutionError) as stop:
        notebooks.execute(notebook, profile="smoke")
    assert stop.value.ename == "AssertionError"
