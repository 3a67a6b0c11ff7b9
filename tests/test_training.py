import copy
import functools
import hashlib
import io
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn

from gancourse import checkpoints, training
from gancourse.checkpoints import CheckpointError
from gancourse.objectives import (
    OBJECTIVES,
    Objective,
    blind,
    discriminator_loss,
    minimax_generator_loss,
    nonsaturating_generator_loss,
)
from gancourse.targets import ring
from gancourse.training import State, TrainingDiverged, run

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
    at = [number for number in (0, 60, 120) if number <= steps]
    settings |= {"snapshot": lambda s: s.network.eval()(torch.ones(1, 2)), "snapshot_at": at}
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
    assert "this run has ended before; its result is shown" in capsys.readouterr().out


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


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign", "old"])
def test_a_damaged_checkpoint_is_an_error_and_stays_as_it_is(tmp_path, damage):
    path = train(tmp_path)[1].folder / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "empty":
        content = b""
    elif damage == "old":
        content = content.replace(checkpoints._MAGIC, b"gancourse checkpoint 2\n")
    else:
        content = b"PK" + bytes(1000)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged.*move or delete it") as told:
        train(tmp_path)
    assert ("another version of the library wrote it" in str(told.value)) == (damage == "old")
    assert path.read_bytes() == bytes(content)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before_and_training_goes_on(
    tmp_path, monkeypatch, capsys, call
):
    works, calls = getattr(os, call), 0

    def fail(*arguments):
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError("No space left on device")
        return works(*arguments)

    monkeypatch.setattr(training, "FLUSH_SECONDS", math.inf)
    monkeypatch.setattr(os, call, fail)
    state, result = train(tmp_path, snapshot_at=[])
    assert "one before is kept (No space left on device)" in capsys.readouterr().out
    assert [path.name for path in result.folder.iterdir()] == ["checkpoint.pt"]
    assert torch.equal(weights(state), weights(train(snapshot_at=[])[0]))
    monkeypatch.undo()
    again, resumed = train(tmp_path, snapshot_at=[])
    assert resumed.resumed_at == 50
    assert torch.equal(weights(again), weights(state))


def test_a_folder_that_cannot_be_written_is_told_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    state = new_state()
    before = weights(state)
    with pytest.raises(CheckpointError, match=r"No checkpoint can be written in .*file.*GANCOURSE_RUNS"):
        train(tmp_path / "file", state=state)
    assert torch.equal(weights(state), before)


def test_two_processes_may_keep_the_same_run(tmp_path, monkeypatch):
    """The second writes while the first stands between writing and renaming."""
    replace = os.replace

    def late(half, path):
        if os.getpid() == here:
            monkeypatch.setattr(os, "getpid", lambda: here + 1)
            checkpoints.Keeper.write(keeper)
            monkeypatch.setattr(os, "getpid", lambda: here)
        replace(half, path)

    here = os.getpid()
    progress = training._Progress(new_state(), torch.Generator())
    keeper = checkpoints.Keeper(tmp_path, "toy", progress, (step, None, ring(), ()))
    monkeypatch.setattr(os, "replace", late)
    keeper.write()
    assert checkpoints._read(keeper.path)["done"] == 0
    assert [path.name for path in keeper.path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_divergence_names_the_step_and_the_quantity_and_keeps_the_last_good_checkpoint(tmp_path, value):
    def diverging(state, real):
        values = step(state, real)
        return {**values, "odd": torch.where(state.counter == 73, value, 1.0)}

    with pytest.raises(TrainingDiverged, match=rf"Step 73: 'odd' is {value}.*smaller learning rate") as error:
        train(tmp_path, step=diverging)
    assert error.value.run.history["counter"].tolist() == list(range(1, 73))
    assert sorted(error.value.run.snapshots) == [0, 60]
    assert len(list(tmp_path.glob("toy-*/checkpoint.pt"))) == 1
    with pytest.raises(TrainingDiverged, match="Step 73"):
        train(tmp_path, step=diverging)


def test_what_a_step_returns_is_checked():
    with pytest.raises(ValueError, match="at least one"):
        train(step=lambda state, real: {})
    with pytest.raises(ValueError, match="'loss' has more than one number"):
        train(step=lambda state, real: {"loss": real})
    with pytest.raises(ValueError, match="'loss' is a NoneType"):
        train(step=lambda state, real: {"loss": None})
    for wrong in (None, torch.zeros(()), 1.0):
        with pytest.raises(ValueError, match="returns named scalars"):
            train(step=lambda state, real, wrong=wrong: wrong)
    names = iter("ab")
    with pytest.raises(ValueError, match="same named scalars"):
        train(step=lambda state, real: {next(names): real.sum()})


def test_numbers_of_python_are_recorded_as_they_are():
    values = {"float": 0.1, "int": 3, "bool": True, "half": torch.tensor(0.5, dtype=torch.float16)}
    history = train(step=lambda state, real: values | {"numpy": np.float64(0.1)})[1].history
    assert {key: found[-1] for key, found in history.items()} == values | {"numpy": 0.1}


def test_impossible_settings_are_told():
    for wrong in ({"steps": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="at least one step and one example"):
            train(**wrong)
    with pytest.raises(ValueError, match="one of float32, bfloat16; got 'float16'"):
        train(precision="float16")
    with pytest.raises(TypeError, match="'rate' is a float"):
        State(rate=0.1)
    with pytest.raises(TypeError, match="'count' is a int"):
        new_state().count = 0
    with pytest.raises(ValueError, match="hold no example"):
        train(data=torch.zeros(0, 2))
    with pytest.raises(TypeError, match=r"have `.sample\(n, generator\)`; got a ndarray"):
        train(data=np.zeros((3, 2)))
    for wrong in ({"snapshot_at": [121]}, {"snapshot_at": [-1]}, {"snapshot": None}):
        with pytest.raises(ValueError, match="Snapshots need a function and steps from 0 to 120"):
            train(**wrong)
    with pytest.raises(ValueError, match="A snapshot is a tensor; got a tuple"):
        train(snapshot=lambda state: (1, 2))
    with pytest.raises(ValueError, match=r"no slashes; got '\.\./toy'"):
        train("runs", name="../toy")


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


def test_an_interruption_inside_a_network_leaves_no_trace(tmp_path, monkeypatch):
    class Slow(nn.Linear):
        calls = 0

        def forward(self, x):
            Slow.calls += 1
            if Slow.calls == 75:
                raise KeyboardInterrupt
            return super().forward(x)

    def fresh():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Sequential(Slow(8, 1)))
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        return State(network=network, optimizer=optimizer)

    def descend(state, real):
        loss = (state.network(real) - 1).square().mean()
        state.optimizer.zero_grad()
        loss.backward()
        state.optimizer.step()
        return {"loss": loss}

    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    same = {"step": descend, "precision": "bfloat16", "snapshot_at": []}
    state = fresh()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, state=state, **same)
    assert not torch.is_autocast_enabled("cpu")
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert not any(module._forward_hooks for module in state.network.modules())
    _, result = train(tmp_path, state=state, **same)
    Slow.calls = 100
    assert np.array_equal(result.history["loss"], train(state=fresh(), **same)[1].history["loss"])


def test_parts_of_a_network_that_a_step_calls_compute_coarsely_as_well(monkeypatch):
    inside, outside = [], []

    class Layer(nn.Linear):
        def forward(self, x):
            inside.append(super().forward(x).dtype)
            return super().forward(x)

    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(Layer(2, 4), nn.ReLU())
            self.last = Layer(4, 1)

        def forward(self, x):
            return self.last(self.features(x))

    def look(state, real):
        for network in (state.critic, state.critic.features, state.many["layer"], state.players[0]):
            outside.append(network(real).dtype)
        return {"one": 1.0}

    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    many = {"many": nn.ModuleDict({"layer": Layer(2, 1)}), "players": nn.ModuleList([Layer(2, 1)])}
    state = State(critic=Critic(), **many)
    run(look, state, ring(), steps=1, batch_size=4, name="parts", precision="bfloat16")
    assert inside == 5 * [torch.bfloat16]
    assert outside == 4 * [torch.float32]


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, on import
@pytest.mark.parametrize("compiled", ["all", "a part"])
def test_networks_compiled_in_place_compute_coarsely_as_well(tmp_path, monkeypatch, compiled):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    class Twice(nn.Module):  # PyTorch compiles no nn.Sequential in place
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return 2 * self.inner(x)

    def fresh(*, compile_it):
        torch.manual_seed(0)
        network = Twice(Twice(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))))
        if compile_it:
            (network if compiled == "all" else network.inner).compile(backend=backend)
        return State(network=network, optimizer=torch.optim.SGD(network.parameters(), lr=RATE))

    def descend(state, real):
        output = state.network(real)
        assert output.dtype == torch.float32
        state.optimizer.zero_grad()
        (output - 1).square().mean().backward()
        state.optimizer.step()
        return {"mean": output.mean()}

    def fail(state, real):
        return {"mean": state.network(real.repeat(1, 2)).mean()}

    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    same = {"step": descend, "precision": "bfloat16", "snapshot_at": []}
    _, plain = train(tmp_path, state=fresh(compile_it=False), **same)
    state = fresh(compile_it=True)
    calls = [module._compiled_call_impl for module in state.network.modules()]
    with pytest.raises(RuntimeError, match="same reduction dim"):
        train(state=state, **same | {"step": fail})
    assert [module._compiled_call_impl for module in state.network.modules()] == calls
    assert not torch.is_autocast_enabled("cpu")
    _, result = train(state=state, **same)
    assert np.array_equal(result.history["mean"], plain.history["mean"])
    assert graphs
    # Compiled or not, it is one run.
    assert train(tmp_path, state=fresh(compile_it=True), **same)[1].resumed_at == len(plain.history["mean"])


def test_a_run_in_bfloat16_resumes_bit_for_bit(tmp_path, monkeypatch, interrupt):
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    whole, expected = train(precision="bfloat16", snapshot_at=[])
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, precision="bfloat16", snapshot_at=[])
    state, result = train(tmp_path, precision="bfloat16", snapshot_at=[])
    assert result.resumed_at == 50
    assert torch.equal(weights(state), weights(whole))
    assert np.array_equal(result.history["loss"], expected.history["loss"])


def test_an_interrupted_cell_that_is_run_again_continues_its_run(tmp_path, interrupt, capsys):
    whole, expected = train()
    state = new_state()
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, state=state)
    torch.randn(5, generator=state.noise)  # a page may draw from it
    _, result = train(tmp_path, state=state)
    assert "continuing the run" in capsys.readouterr().out
    assert result.resumed_at == 60
    assert torch.equal(weights(state), weights(whole))
    assert np.array_equal(result.history["loss"], expected.history["loss"])
    _, again = train(tmp_path, state=state)
    assert again.resumed_at == 120
    assert "ended before" in capsys.readouterr().out
    assert torch.equal(weights(state), weights(whole))


def test_another_run_of_a_trained_state_goes_on_from_there(tmp_path):
    state = train(tmp_path)[0]
    trained = weights(state)
    further = train(tmp_path, state=state, name="further", snapshot=lambda s: weights(s), snapshot_at=[0])[1]
    assert further.resumed_at == 0
    assert torch.equal(further.snapshots[0], trained)
    fresh = train(tmp_path, name="further", snapshot=lambda s: weights(s), snapshot_at=[0])[1]
    assert (fresh.resumed_at, fresh.folder != further.folder) == (0, True)


def test_a_changed_step_with_networks_that_are_trained_already_is_told(tmp_path, capsys):
    state = train(tmp_path)[0]
    train(tmp_path, state=state, step=other_step)
    assert "it goes on from the weights that the earlier one left" in capsys.readouterr().out
    train(tmp_path, state=state, name="further")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("look", [lambda n: n.eval(), lambda n: n(torch.ones(3, 2))], ids=["eval", "forward"])
def test_looking_at_networks_after_a_run_loses_nothing(tmp_path, interrupt, look):
    def fresh():
        state = new_state()
        state.network[2] = nn.BatchNorm1d(8)
        return state

    whole, expected = train(state=fresh(), snapshot_at=[])
    state = fresh()
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, state=state, snapshot_at=[])
    look(state.network)
    assert train(tmp_path, state=state, snapshot_at=[])[1].resumed_at == 50
    look(state.network)
    _, result = train(tmp_path, state=state, snapshot_at=[])
    assert result.resumed_at == 120
    assert torch.equal(weights(state), weights(whole))
    assert np.array_equal(result.history["loss"], expected.history["loss"])


def test_trained_networks_in_a_new_state_are_told(tmp_path, capsys):
    state = train(tmp_path)[0]
    optimizer = torch.optim.Adam(state.network.parameters(), lr=RATE, fused=True)
    parts = {"noise": torch.Generator(), "counter": torch.zeros(())}
    train(tmp_path, state=State(network=state.network, optimizer=optimizer, **parts))
    assert "goes on from the weights" in capsys.readouterr().out


def test_lazy_layers_are_told(tmp_path):
    with pytest.raises(ValueError, match="'network' has layers without sizes yet"):
        train(tmp_path, state=State(network=nn.LazyLinear(1)))


def test_what_goes_on_from_a_run_is_found_again_also_when_that_run_was_loaded(tmp_path):
    def both():
        state = train(tmp_path, name="first")[0]
        return train(tmp_path, state=state, name="second")[1].resumed_at

    assert [both(), both()] == [0, 120]


def test_a_folder_that_was_moved_holds_the_same_runs(tmp_path):
    train(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert train(tmp_path / "there")[1].resumed_at == 120


def all_there_is(state, real):
    """Uses all that a checkpoint must hold besides networks and optimisers."""
    if not hasattr(state, "average"):
        state.average = torch.zeros(2)
    state.average = 0.9 * state.average + real.mean(dim=0)  # rebound, not changed in place
    state.seen = torch.cat([getattr(state, "seen", real[:0]), real[:1]])  # another shape at each step
    state.network[0].times.add_(1)
    chance = random.random() + np.random.rand()
    loss = chance * (state.network(real) - state.shift - state.average.sum()).square().mean()
    (loss / state.network[0].times).backward()
    if state.counter % 3 == 2:  # gradients add up over three steps
        state.optimizer.step()
        state.schedule.step()
        state.optimizer.zero_grad()
    state.counter += 1
    return {"loss": loss, "shift": state.shift}


def rich_state():
    state = new_state()
    state.network[0].register_buffer("times", torch.zeros(()), persistent=False)
    state.shift = torch.zeros((), requires_grad=True)
    state.optimizer = torch.optim.Adam(
        [*state.network.parameters(), state.shift], lr=np.float64(0.01), weight_decay=np.float32(0.1)
    )
    state.schedule = torch.optim.lr_scheduler.ExponentialLR(state.optimizer, np.float64(0.99))
    return state


def test_a_checkpoint_holds_all_that_a_step_changes(tmp_path, interrupt, capsys):
    def started():
        random.seed(3)
        np.random.seed(4)
        torch.manual_seed(5)
        return {"state": rich_state(), "step": all_there_is, "snapshot_at": []}

    whole, expected = train(**started())
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, **started())
    state, result = train(tmp_path, **started())
    assert result.resumed_at == 50
    assert all(np.array_equal(result.history[key], expected.history[key]) for key in expected.history)
    assert torch.equal(state.seen, whole.seen)
    assert torch.equal(state.average, whole.average)
    assert "exactly" not in capsys.readouterr().out


def frozen(state, real):
    if len(state.seen) == 70:
        state.shift.requires_grad_(False)
    return all_there_is(state, real)


def queued(state, real):
    network = state.network
    network.queue = torch.cat([network.queue, real[:1]])[-70:]
    network.mean = real.mean(dim=0) if network.mean is None else 0.9 * network.mean + 0.1 * real.mean(dim=0)
    return step(state, real - network.mean + network.queue.mean(dim=0))


def with_a_queue():
    state = new_state()
    state.network.register_buffer("queue", torch.zeros(0, 2))
    state.network.register_buffer("mean", None)
    return state


def with_milestones():
    state, rates = new_state(), torch.optim.lr_scheduler
    optimizer = state.optimizer
    later = rates.MultiStepLR(optimizer, [10, 10, 20])
    state.schedule = rates.SequentialLR(optimizer, [rates.LinearLR(optimizer), later], [60])
    return state


def scheduled(state, real):
    values = step(state, real)
    state.schedule.step()
    return values


def frozen_state():
    state = rich_state()
    state.seen = torch.zeros(0, 2)
    return state


@pytest.mark.parametrize(
    ("start", "stepping"),
    [(frozen_state, frozen), (with_a_queue, queued), (with_milestones, scheduled)],
    ids=["a tensor that is frozen", "buffers that grow and appear", "milestones in a sequence"],
)
def test_what_a_step_changes_the_kind_of_is_held_as_well(tmp_path, interrupt, capsys, start, stepping):
    def again(folder=None):
        random.seed(3)
        np.random.seed(4)
        return train(folder, state=start(), step=stepping, snapshot_at=[])

    whole, expected = again()
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        again(tmp_path)
    state, result = again(tmp_path)
    assert result.resumed_at == 50
    assert torch.equal(weights(state), weights(whole))
    assert np.array_equal(result.history["loss"], expected.history["loss"])
    told = capsys.readouterr().out
    assert "exactly" not in told
    assert again(tmp_path)[1].resumed_at == 120


def test_a_part_of_a_big_tensor_is_kept_alone(tmp_path):
    images = torch.zeros(1000, 1000)
    state = new_state()
    state.shown = images[:3]
    _, result = train(tmp_path, state=state, snapshot_at=[])
    assert (result.folder / "checkpoint.pt").stat().st_size < 100_000


def counts_in_the_network(state, real):
    state.network.count = getattr(state.network, "count", 0) + 1
    return step(state, real)


def puts_a_network_in(state, real):
    if not hasattr(state, "probe"):
        state.probe = nn.Linear(2, 1)
    return step(state, real)


def with_a_probe(state, real):
    probe = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(probe.parameters(), lr=0.1)
    for _ in range(2):
        probe(real).sum().backward()
        optimizer.step()
    return step(state, real)


def keeps_a_list_in_the_network(state, real):
    state.network.pool = [*getattr(state.network, "pool", []), real[:1]][-5:]
    return step(state, real)


def keeps_a_tensor_in_the_network(state, real):
    state.network.mean = real.mean(dim=0)
    return step(state, real)


def counts_in_the_optimiser(state, real):
    state.optimizer.count = getattr(state.optimizer, "count", 0) + 1
    return step(state, real)


def adds_weights(state, real):
    if len(state.optimizer.param_groups) == 1:
        state.optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    return step(state, real)


def steps_by_a_schedule(state, real):
    optimizer = state.schedule.optimizer
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
    optimizer.step()
    return step(state, real)


STEPS = []


def counting(state, real):
    STEPS.append(0)
    return step(state, real)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: counting, "changes something outside the state"),
        (
            lambda: step_with(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)),
            "an optimiser, SGD, is not in the state",
        ),
        (lambda: counts_in_the_network, "changes something outside the state"),
        (lambda: puts_a_network_in, "'probe' was put into the state by the step"),
        (lambda: keeps_a_list_in_the_network, "changes something outside the state"),
        (lambda: keeps_a_tensor_in_the_network, "changes something outside the state"),
        (lambda: counts_in_the_optimiser, "changes something outside the state"),
        (lambda: adds_weights, "the step gives 'optimizer' other weights"),
        (lambda: step, None),
        (lambda: with_a_probe, None),
    ],
    ids=[
        "a list",
        "an optimiser",
        "a module's attribute",
        "a network",
        "a module's list",
        "a module's tensor",
        "an optimiser's attribute",
        "a group of weights",
        "nothing",
        "a passing optimiser",
    ],
)
def test_what_a_checkpoint_does_not_hold_is_told_once(tmp_path, capsys, make, message):
    STEPS.clear()
    train(tmp_path, step=make())
    told = capsys.readouterr().out
    notes = ("so a killed run will not continue exactly", "no checkpoint can bring")
    assert sum(told.count(note) for note in notes) == (message is not None)
    assert message is None or message in told


def step_with(optimizer):
    def stepping(state, real):
        optimizer.param_groups[0]["params"][0].grad = torch.ones(1)
        optimizer.step()
        return step(state, real)

    return stepping


def test_a_schedule_in_the_state_does_not_hide_that_its_optimiser_is_not(tmp_path, capsys):
    state = new_state()
    other = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    state.schedule = torch.optim.lr_scheduler.ExponentialLR(other, 0.9)
    train(tmp_path, state=state, step=steps_by_a_schedule)
    assert "an optimiser, SGD, is not in the state" in capsys.readouterr().out


def test_weights_that_a_norm_computes_and_lists_of_layers_are_no_news(tmp_path, capsys):
    state = new_state()
    torch.nn.utils.spectral_norm(state.network[0])
    state.network.layers = [state.network[0], state.network[2]]
    state.optimizer = torch.optim.Adam(state.network.parameters(), lr=RATE)

    def with_a_look(state, real):
        with torch.no_grad():
            state.network(real)
        return step(state, real)

    train(tmp_path, state=state, step=with_a_look)
    assert capsys.readouterr().out == ""


def test_a_cell_stopped_before_its_second_checkpoint_is_run_again(tmp_path, interrupt):
    def started():
        random.seed(3)
        np.random.seed(4)
        torch.manual_seed(5)

    started()
    _, expected = train(state=rich_state(), step=all_there_is, snapshot_at=[])
    started()
    state = rich_state()
    interrupt(after=50)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, state=state, step=all_there_is, snapshot_at=[])
    assert hasattr(state, "average")  # which the checkpoint of step 0 does not hold
    _, result = train(tmp_path, state=state, step=all_there_is, snapshot_at=[])
    assert result.resumed_at == 0
    assert np.array_equal(result.history["loss"], expected.history["loss"])


def test_a_tensor_may_change_its_type(tmp_path, interrupt):
    def widening(state, real):
        values = step(state, real)
        state.counter = state.counter.double() * 0.9 + values["loss"].detach()
        return values | {"counter": state.counter}

    _, expected = train(step=widening, snapshot_at=[])
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, step=widening, snapshot_at=[])
    _, result = train(tmp_path, step=widening, snapshot_at=[])
    assert result.resumed_at == 50
    assert np.array_equal(result.history["counter"], expected.history["counter"])


def test_a_state_that_could_not_be_read_again_is_told_before_the_first_step(tmp_path):
    state = new_state()
    state.optimizer.param_groups[0]["note"] = object()
    with pytest.raises(CheckpointError, match="could not be read again"):
        train(tmp_path, state=state)


def test_a_checkpoint_is_damaged_also_where_it_is_a_folder_or_holds_something_else(tmp_path):
    path = train(tmp_path)[1].folder / "checkpoint.pt"
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="is damaged"):
        train(tmp_path)
    assert path.is_dir()
    path.rmdir()
    body = io.BytesIO()
    torch.save({"done": 3}, body)
    path.write_bytes(checkpoints._MAGIC + hashlib.sha256(body.getvalue()).digest() + body.getvalue())
    with pytest.raises(CheckpointError, match=r"does not fit this run: KeyError\('state'\)"):
        train(tmp_path)


def test_what_killed_processes_left_half_written_is_cleared_away(tmp_path):
    folder = train(tmp_path)[1].folder
    for name, age in (("old", 100), ("new", 0)):
        half = folder / f"checkpoint.{name}.half"
        half.write_bytes(b"")
        os.utime(half, (time.time() - age, time.time() - age))
    train(tmp_path)
    assert {path.name for path in folder.iterdir()} == {"checkpoint.pt", "checkpoint.new.half"}


def test_a_cell_run_again_after_its_checkpoint_was_deleted_goes_on_and_says_so(tmp_path, capsys):
    state, first = train(tmp_path)
    shutil.rmtree(first.folder)
    assert train(tmp_path, state=state)[1].resumed_at == 0
    assert "goes on from the weights" in capsys.readouterr().out
    assert train(tmp_path)[1].resumed_at == 0  # a fresh start finds none of it


def test_snapshots_are_copies_and_leave_the_modes_as_they_are():
    state, result = train(snapshot=lambda s: s.network.eval()[0].weight)
    assert state.network.training
    assert not torch.equal(result.snapshots[0], result.snapshots[120])
    assert torch.equal(result.snapshots[120], state.network[0].weight)


def test_a_snapshot_that_fails_leaves_the_modes_as_they_are():
    def wrong(state):
        state.network.eval()
        raise ZeroDivisionError

    state = new_state()
    with pytest.raises(ZeroDivisionError):
        train(state=state, snapshot=wrong)
    assert state.network.training


def test_the_bar_is_drawn_now_and_then(capsys):
    begun = time.monotonic()
    train(steps=1000, snapshot_at=[])
    assert capsys.readouterr().err.count("step/s") <= 4 + (time.monotonic() - begun) / 0.5


def test_slow_steps_are_shown_before_fifty_are_done(monkeypatch):
    recorded = []
    record = training._Progress.record
    monkeypatch.setattr(
        training._Progress, "record", lambda p, rows: (recorded.append(len(rows)), record(p, rows))
    )
    monkeypatch.setattr(training, "FLUSH_SECONDS", 0)
    train(steps=10, snapshot_at=[])
    assert recorded == [1] * 10


def test_a_network_may_return_several_tensors_in_bfloat16(monkeypatch):
    class Two(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            return y, {"features": [y]}

    def look(state, real):
        y, more = state.network(real)
        assert (y.dtype, more["features"][0].dtype) == (torch.float32, torch.float32)
        return {"loss": y.mean()}

    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    run(look, State(network=Two(2, 3)), ring(), steps=1, batch_size=4, name="two", precision="bfloat16")


def test_any_callable_is_a_step(tmp_path):
    class Step:
        def __call__(self, state, real):
            return step(state, real)

    scope = {"step": step}
    exec("def typed(state, real): return step(state, real)", scope)  # as under %%time: without a source
    for way in (functools.partial(step), Step(), scope["typed"]):
        assert train(tmp_path, step=way)[1].resumed_at == 0
        assert train(tmp_path, step=way)[1].resumed_at == 120


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
