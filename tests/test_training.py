import copy
import multiprocessing
import os
import random
import re
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn

from gancourse import training
from gancourse.objectives import (
    OBJECTIVES,
    Objective,
    blind,
    discriminator_loss,
    minimax_generator_loss,
    nonsaturating_generator_loss,
)
from gancourse.targets import ring
from gancourse.training import CheckpointError, State, TrainingDiverged, run

RATE = 1e-2


def new_state(seed=0, rate=RATE, activation=nn.ReLU):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, 8), activation(), nn.Dropout(0.2), nn.Linear(8, 1))
    return State(
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=rate, fused=True),
        noise=torch.Generator().manual_seed(seed),
        counter=torch.zeros(()),
    )


def step(state, real):
    noise = 0.1 * torch.randn(real.shape, generator=state.noise)
    loss = (state.network(real + noise).squeeze() - real[:, 0]).square().mean()
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    state.counter += 1
    return {"loss": loss, "counter": state.counter}


def other_step(state, real):
    return {**step(state, real), "size": real.norm()}


def train(folder=None, state=None, steps=120, **changes):
    state = state or new_state()
    settings = {"steps": steps, "batch_size": 16, "name": "toy", "folder": folder, "checkpoint_seconds": 0}
    settings |= {"snapshot": lambda s: s.network.eval()(torch.ones(1, 2)) * 1.0, "snapshot_at": [0, 60, 120]}
    return state, run(changes.pop("step", step), state, changes.pop("data", ring()), **(settings | changes))


def weights(state):
    return torch.cat([parameter.detach().flatten() for parameter in state.network.parameters()])


def test_it_trains_and_keeps_one_number_a_step():
    _, result = train()
    assert result.history["loss"].shape == (120,)
    assert result.history["counter"].tolist() == list(range(1, 121))
    assert result.mean("loss", last=20) < 0.5 * result.history["loss"][:20].mean()
    assert sorted(result.snapshots) == [0, 60, 120]
    assert result.mean("counter", last=1) == 120
    assert (result.folder, result.resumed_at) == (None, 0)


def test_the_same_seed_gives_the_same_weights_and_another_seed_does_not():
    assert torch.equal(weights(train()[0]), weights(train()[0]))
    assert not torch.equal(weights(train()[0]), weights(train(seed=1)[0]))


def test_a_tensor_of_data_is_drawn_from_with_replacement():
    seen = []

    def look(state, real):
        seen.append(real)
        return {"zero": torch.zeros(())}

    run(look, new_state(), torch.arange(50.0)[:, None], steps=200, batch_size=10, name="look")
    counts = torch.cat(seen).flatten().long().bincount(minlength=50)
    assert counts.sum() == 2000
    assert counts.min() > 10  # mean 40, standard deviation 6.3
    assert counts.max() < 75


LONG = {"steps": 5000, "snapshot_at": [0, 2500, 5000]}


def _train_until_killed(folder):
    torch.set_num_threads(1)
    train(folder, **LONG)


def test_killed_twenty_times_it_ends_as_if_it_had_never_stopped(tmp_path):
    """Checkpoints follow each other so closely here that many kills fall into the writing of one."""
    torch.set_num_threads(1)
    reference, expected = train(tmp_path / "whole", **LONG)
    # Forked from a clean process: in a copy of this one, whose threads are gone, torch may wait for ever.
    context, rng = multiprocessing.get_context("forkserver"), random.Random(0)
    context.set_forkserver_preload(["gancourse.training", "gancourse.targets", "pytest", "torch._dynamo"])

    def checkpoint():
        return [path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*/checkpoint.pt")]

    for _ in range(20):
        process = context.Process(target=_train_until_killed, args=(tmp_path / "killed",))
        before = checkpoint()
        process.start()
        while checkpoint() == before and process.is_alive():
            time.sleep(0.001)
        process.join(rng.uniform(0, 0.03))
        assert process.exitcode is None, "training ended before it was killed: give it more steps"
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    state, result = train(tmp_path / "killed", **LONG)
    assert 0 < result.resumed_at < 5000
    assert torch.equal(weights(state), weights(reference))
    assert all(np.array_equal(result.history[key], expected.history[key]) for key in expected.history)
    assert all(torch.equal(result.snapshots[at], expected.snapshots[at]) for at in LONG["snapshot_at"])


def test_an_exception_in_the_step_costs_only_what_came_after_the_last_checkpoint(tmp_path):
    calls = 0

    def fragile(state, real):
        nonlocal calls
        calls += 1
        if calls == 130:
            raise KeyboardInterrupt
        return step(state, real)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, steps=200, step=fragile)
    calls = -1000
    state, result = train(tmp_path, steps=200, step=fragile)
    assert result.resumed_at == 0 or result.resumed_at >= 100
    whole, _ = train(steps=200)
    assert torch.equal(weights(state), weights(whole))


def test_a_finished_run_is_not_trained_again(tmp_path):
    train(tmp_path)
    state, result = train(tmp_path)
    assert result.resumed_at == 120
    assert len(result.history["loss"]) == 120
    assert torch.equal(weights(state), weights(train()[0]))


@pytest.mark.parametrize(
    "changes",
    [
        {"state": lambda: new_state(rate=2e-2)},
        {"state": lambda: new_state(seed=1)},
        {"state": lambda: new_state(activation=nn.Tanh)},
        {"step": lambda: other_step},
        {"seed": lambda: 5},
        {"batch_size": lambda: 17},
        {"steps": lambda: 121},
        {"precision": lambda: "bfloat16"},
        {"data": lambda: ring(modes=7)},
        {"data": lambda: torch.ones(30, 2)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_whatever_is_changed_starts_afresh_and_keeps_the_old_run(tmp_path, capsys, monkeypatch, changes):
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    _, first = train(tmp_path)
    before = (first.folder / "checkpoint.pt").read_bytes()
    capsys.readouterr()
    _, second = train(tmp_path, **{key: make() for key, make in changes.items()})
    assert second.resumed_at == 0
    assert second.folder != first.folder
    assert (first.folder / "checkpoint.pt").read_bytes() == before
    assert "starts afresh; 1 earlier run(s) kept" in capsys.readouterr().out
    assert train(tmp_path)[1].resumed_at == 120
    assert "continuing the run" in capsys.readouterr().out


def test_a_constant_that_the_step_reads_is_part_of_the_run(tmp_path, monkeypatch):
    def scaled(state, real):
        return step(state, RATE * real)

    first = train(tmp_path, step=scaled)[1]
    monkeypatch.setitem(globals(), "RATE", 0.5)
    second = train(tmp_path, step=scaled, state=new_state(rate=1e-2))[1]
    assert second.resumed_at == 0
    assert first.folder != second.folder


def step_for(loss):
    def chosen(state, real):
        return {**step(state, real), "other": loss(real[:, 0])}

    return chosen


def step_of(objective):
    def chosen(state, real):
        return {**step(state, real), "other": objective.generator_loss(None, real[:, 0])}

    return chosen


@pytest.mark.parametrize(
    ("make", "one", "other"),
    [
        (step_for, minimax_generator_loss, nonsaturating_generator_loss),
        (step_of, OBJECTIVES["minimax"], OBJECTIVES["hinge"]),
        (
            step_of,
            Objective("mine", discriminator_loss, blind(minimax_generator_loss)),
            Objective("mine", discriminator_loss, blind(nonsaturating_generator_loss)),
        ),
    ],
    ids=["library function", "objective", "objective of the same name"],
)
def test_a_loss_that_the_step_was_made_for_is_part_of_the_run(tmp_path, make, one, other):
    first = train(tmp_path, step=make(one))[1]
    assert train(tmp_path, step=make(other))[1].resumed_at == 0
    again = train(tmp_path, step=make(copy.deepcopy(one)))[1]
    assert (again.resumed_at, again.folder) == (120, first.folder)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_checkpoint_is_an_error_and_stays_as_it_is(tmp_path, damage):
    path = train(tmp_path)[1].folder / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content = b""
    else:
        content = b"PK" + bytes(1000)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged.*move or delete it"):
        train(tmp_path)
    assert path.read_bytes() == bytes(content)


def test_a_half_written_checkpoint_is_never_used(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("disk full")

    _, first = train(tmp_path, steps=100)
    before = (first.folder / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        train(tmp_path, steps=101)
    assert (first.folder / "checkpoint.pt").read_bytes() == before
    monkeypatch.undo()
    assert train(tmp_path, steps=101)[1].resumed_at == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_divergence_names_the_step_and_the_quantity_and_keeps_the_last_good_checkpoint(tmp_path, value):
    def diverging(state, real):
        values = step(state, real)
        return {**values, "odd": torch.where(state.counter == 73, value, 1.0)}

    with pytest.raises(TrainingDiverged, match=rf"Step 73: 'odd' is {value}.*smaller learning rate"):
        train(tmp_path, step=diverging)
    assert len(list(tmp_path.glob("toy-*/checkpoint.pt"))) == 1
    with pytest.raises(TrainingDiverged, match="Step 73"):
        train(tmp_path, step=diverging)


def test_what_a_step_returns_is_checked():
    with pytest.raises(ValueError, match="at least one"):
        train(step=lambda state, real: {})
    with pytest.raises(ValueError, match="'loss' has more than one number"):
        train(step=lambda state, real: {"loss": real})
    names = iter("ab")
    with pytest.raises(ValueError, match="same named scalars"):
        train(step=lambda state, real: {next(names): real.sum()})


def test_impossible_settings_are_told():
    for wrong in ({"steps": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="at least one step and one example"):
            train(**wrong)
    with pytest.raises(ValueError, match="one of float32, bfloat16; got 'float16'"):
        train(precision="float16")
    with pytest.raises(TypeError, match="'rate' is a float"):
        State(rate=0.1)


def watched(seen):
    """A step that notes the precision of the products, of what a network returns, and of what it learns."""

    def watching(state, real):
        hook = state.network[0].register_forward_hook(lambda *call: seen.append(call[2].dtype))
        logits = state.network(real)
        hook.remove()
        before = state.network(real[:1]).detach()
        state.optimizer.zero_grad()
        logits.square().mean().backward()
        state.optimizer.step()
        weight = state.network[0].weight
        seen.extend([logits.dtype, weight.dtype, weight.grad.dtype])
        seen.append(bool((state.network(real[:1]) != before).any()))
        return {"loss": logits.mean()}

    return watching


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_only_the_networks_compute_coarsely_and_an_update_shows_at_once(monkeypatch, precision):
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    seen = []
    state = new_state()
    state.network.eval()  # without dropout, so that only an update can change an output
    _, result = train(
        state=state,
        steps=1,
        step=watched(seen),
        precision=precision,
        snapshot=lambda s: s.network(torch.full((1, 2), 1 / 3)),
        snapshot_at=[1],
    )
    assert seen == [getattr(torch, precision), torch.float32, torch.float32, torch.float32, True]
    assert torch.equal(result.snapshots[1], state.network(torch.full((1, 2), 1 / 3)))
    assert not state.network._forward_hooks
    assert not torch.is_autocast_enabled("cpu")


def test_a_step_that_fails_in_bfloat16_leaves_no_trace(monkeypatch):
    def wrong(state, real):
        return {"loss": state.network(real.repeat(1, 2)).mean()}

    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    state = new_state()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(state=state, step=wrong, precision="bfloat16")
    assert not state.network._forward_hooks
    assert not torch.is_autocast_enabled("cpu")


def test_a_run_in_bfloat16_resumes_bit_for_bit(tmp_path, monkeypatch):
    def stop(state):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    whole, expected = train(precision="bfloat16", snapshot_at=[100])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, precision="bfloat16", snapshot_at=[100], snapshot=stop)
    state, result = train(tmp_path, precision="bfloat16", snapshot_at=[100])
    assert result.resumed_at == 50
    assert torch.equal(weights(state), weights(whole))
    assert np.array_equal(result.history["loss"], expected.history["loss"])


def test_without_the_hardware_all_is_float32_and_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "has_bfloat16", lambda device: False)
    state, result = train(tmp_path, precision="bfloat16")
    assert capsys.readouterr().out == "toy: this CPU does not multiply in bfloat16, so all is float32\n"
    assert torch.equal(weights(state), weights(train()[0]))
    assert train(tmp_path)[1].folder == result.folder


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("model name\t: bf16 is only in my name", False),
    ],
)
def test_the_hardware_is_asked_for_bfloat16(monkeypatch, line, found):
    monkeypatch.setattr(training.Path, "exists", lambda path: True)
    monkeypatch.setattr(training.Path, "read_text", lambda path, encoding: f"processor\t: 0\n{line}\n")
    assert training.has_bfloat16(torch.device("cpu")) is found


def test_the_bar_shows_the_quantities_and_the_time_left(capsys):
    train()
    assert re.search(r"120/120 \[\d\d:\d\d<\d\d:\d\d, .*step/s, loss=\d\.\d{3}", capsys.readouterr().err)


def test_a_state_holds_what_cannot_be_seen_from_outside():
    state = new_state()
    step(state, torch.ones(4, 2))
    state.network.eval()
    saved = copy.deepcopy(state.state_dict())
    twin = new_state(seed=9)
    twin.load_state_dict(saved)
    real = torch.randn(8, 2)
    assert not twin.network.training
    assert step(state, real)["loss"] == step(twin, real)["loss"]
    assert torch.equal(weights(state), weights(twin))
