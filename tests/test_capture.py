"""Recording a step, on an emulation of CUDA graphs that runs on the CPU."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancourse import training
from gancourse.capture import PROOF, SHORTEST, WARM_UP, Captured, _Saved
from gancourse.networks import MovingAverage, mlp
from gancourse.penalties import zero_centered_penalty
from gancourse.targets import ring
from gancourse.training import State, run


class Tape(TorchDispatchMode):
    """Notes every operation with its arguments and results, and refuses what a capture refuses."""

    def __init__(self, generators):
        super().__init__()
        self.generators, self.notes = generators, []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing\nmore lines")
        drawn = named.get("generator")
        if drawn is not None and not any(_same(drawn, generator) for generator in self.generators):
            raise RuntimeError("a generator that is not registered with the graph")
        results = function(*arguments, **named)
        self.notes.append((function, arguments, named, results))
        return results

    def replay(self):
        for function, arguments, named, results in self.notes:
            for old, new in zip(
                tree_leaves(results), tree_leaves(function(*arguments, **named)), strict=True
            ):
                if isinstance(old, torch.Tensor):
                    old.detach().copy_(new.detach())


def _same(drawn, generator):
    # Operations get a new Python object for the same generator.
    return torch.equal(drawn.get_state(), generator.get_state())


class Emulated:
    """Records on the CPU. A real recording computes nothing, so this one puts back what it changed."""

    def __init__(self, parts):
        self.parts, self.recorded, self.replayed, self.warmed = parts, 0, 0, 0

    def aside(self, function):
        self.warmed += 1
        return function()

    def record(self, function, generators):
        self.recorded += 1
        for part in self.parts.values():
            if isinstance(part, torch.optim.Adam) and not all(g["capturable"] for g in part.param_groups):
                raise RuntimeError("param_groups' capturable is False.")
        saved = _Saved(self.parts)
        try:
            with Tape(generators) as tape:
                row = function()
        finally:
            saved.restore()

        def replay():
            self.replayed += 1
            with torch.no_grad():
                tape.replay()

        return replay, row


def new_state(**optimizer):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    discriminator = mlp((2, 16, 1))
    optimizer = {"lr": 1e-3, "betas": (0.5, 0.9), "fused": True} | optimizer
    return State(
        generator=generator,
        discriminator=discriminator,
        average=MovingAverage(generator),
        generator_optimizer=torch.optim.Adam(generator.parameters(), **optimizer),
        discriminator_optimizer=torch.optim.Adam(discriminator.parameters(), **optimizer),
        noise=torch.Generator().manual_seed(1),
    )


def step(state, real):
    fake = state.generator(torch.randn(len(real), 2, generator=state.noise))
    loss = softplus(-state.discriminator(real)).mean() + softplus(state.discriminator(fake.detach())).mean()
    state.discriminator_optimizer.zero_grad()
    loss.backward()
    state.discriminator_optimizer.step()
    fooled = softplus(-state.discriminator(fake)).mean()
    state.generator_optimizer.zero_grad()
    fooled.backward()
    state.generator_optimizer.step()
    state.average.update(state.generator)
    return {"V": -loss, "fooled": fooled}


STEPS = SHORTEST + 40


def train(monkeypatch, captured, state=None, step=step, folder=None, steps=STEPS, **settings):
    state = state or new_state()
    graphs = Emulated(vars(state))
    monkeypatch.setattr(training, "_graphs", lambda device: graphs if captured else None)
    settings = {"batch_size": 32, "name": "toy", "folder": folder} | settings
    return graphs, state, run(step, state, ring(), steps=steps, **settings)


def everything(state):
    saved = state.state_dict()
    return [leaf for leaf in tree_leaves(saved) if isinstance(leaf, torch.Tensor)]


def assert_same(one, other):
    (_, state, result), (_, plain_state, plain) = one, other
    assert all(np.array_equal(result.history[key], plain.history[key]) for key in plain.history)
    assert all(torch.equal(a, b) for a, b in zip(everything(state), everything(plain_state), strict=True))


def penalised(state, real):
    real.requires_grad_()
    penalty = zero_centered_penalty(state.discriminator(real), real, 1.0)
    state.discriminator_optimizer.zero_grad()
    penalty.backward()
    state.discriminator_optimizer.step()
    return step(state, real) | {"R1": penalty}


@pytest.mark.parametrize(
    ("step", "precision"), [(step, "float32"), (step, "bfloat16"), (penalised, "float32")]
)
def test_a_recorded_run_has_the_bits_of_a_plain_one(monkeypatch, capsys, step, precision):
    monkeypatch.setattr(training, "has_bfloat16", lambda device: True)
    one = train(monkeypatch, captured=True, step=step, precision=precision)
    assert one[0].warmed == WARM_UP
    assert one[0].recorded == 1
    assert one[0].replayed == PROOF + STEPS - WARM_UP
    assert not one[1].generator_optimizer.param_groups[0]["capturable"]
    assert_same(one, train(monkeypatch, captured=False, step=step, precision=precision))
    assert capsys.readouterr().out == ""


def test_python_runs_no_more_once_a_step_is_recorded(monkeypatch):
    calls = []

    def counted(state, real):
        calls.append(None)
        return step(state, real)

    train(monkeypatch, captured=True, step=counted)
    assert len(calls) == WARM_UP + 1 + PROOF


def test_a_recorded_run_continues_a_plain_one_and_the_other_way_round(monkeypatch, tmp_path):
    class Stop(Exception):
        pass

    def stop(state):
        raise Stop

    whole = train(monkeypatch, captured=False, steps=2 * STEPS)
    for first in (True, False):
        folder = tmp_path / str(first)
        settings = {"folder": folder, "steps": 2 * STEPS, "checkpoint_seconds": 0, "snapshot_at": [STEPS]}
        with pytest.raises(Stop):
            train(monkeypatch, captured=first, snapshot=stop, **settings)
        graphs, state, result = train(
            monkeypatch,
            captured=not first,
            snapshot=lambda state: state.average(torch.ones(1, 2)),
            **settings,
        )
        assert 0 < result.resumed_at < STEPS
        assert bool(graphs.replayed) is not first
        assert_same((graphs, state, result), whole)


def reads_a_value(state, real):
    values = step(state, real)
    return values | {"size": real * values["V"].item() if values["V"] > 0 else values["V"]}


COUNT = 0


def reads_a_count(state, real):
    global COUNT
    COUNT += 1
    return step(state, real * (1 + (COUNT % 16 == 0)))


def draws_elsewhere(state, real):
    return step(state, real + 0.1 * torch.randn(real.shape, generator=ELSEWHERE))


ELSEWHERE = torch.Generator().manual_seed(5)
HIDDEN = [0]


def counts_in_a_list(state, real):
    HIDDEN[0] += 1
    return step(state, real * HIDDEN[0])


def adds_up_gradients(state, real):
    loss = (state.discriminator(real) - 1).square().mean()
    loss.backward()
    state.discriminator_optimizer.step()
    return {"loss": loss}


def reset():
    global COUNT
    COUNT = HIDDEN[0] = 0
    ELSEWHERE.manual_seed(5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": reads_a_value}, "operation not permitted when stream is capturing"),
        ({"step": reads_a_count}, "a Python variable that the step reads has changed; keep it in the state"),
        ({"step": draws_elsewhere}, "a generator that is not registered with the graph"),
        ({"step": counts_in_a_list}, "the recorded step does not give the bits of the plain one"),
        ({"optimizer": {"fused": False}}, "param_groups' capturable is False."),
        ({"schedule": True}, "'schedule' is a StepLR, and the numbers it sets would stand still"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_step_that_cannot_be_recorded_stays_plain_and_one_line_says_why(
    monkeypatch, capsys, changes, reason
):
    def once(captured):
        reset()
        state = new_state(**changes.get("optimizer", {}))
        if "schedule" in changes:
            state.schedule = torch.optim.lr_scheduler.StepLR(state.generator_optimizer, 20)
        return train(monkeypatch, captured, state=state, step=changes.get("step", step))

    one = once(captured=True)
    assert capsys.readouterr().out == f"toy: steps are not recorded as a CUDA graph: {reason}\n"
    assert one[0].warmed == WARM_UP
    if changes.get("step") not in (draws_elsewhere, counts_in_a_list):  # the proof itself moved these on
        assert_same(one, once(captured=False))


def test_gradients_that_live_on_from_step_to_step_are_not_lost(monkeypatch, capsys):
    one = train(monkeypatch, captured=True, step=adds_up_gradients)
    assert "does not give the bits of the plain one" in capsys.readouterr().out
    assert_same(one, train(monkeypatch, captured=False, step=adds_up_gradients))


def test_a_short_run_is_not_recorded(monkeypatch):
    graphs, _, _ = train(monkeypatch, captured=True, steps=SHORTEST - 1)
    assert (graphs.warmed, graphs.recorded) == (0, 0)


def test_a_recording_that_lies_is_found_out():
    """Such as one that draws the same noise at every replay, or no longer sees its batch."""
    state = new_state()
    graphs, told = Emulated(vars(state)), []
    faithful = graphs.record

    def frozen(function, generators):
        replay, row = faithful(function, generators)

        def forgetful():
            state.noise.manual_seed(0)
            replay()

        return forgetful, row

    graphs.record = frozen
    advance = Captured(
        lambda real: torch.stack(list(step(state, real).values())), vars(state), str, told.append, graphs
    )
    for _ in range(WARM_UP + 3):
        advance(torch.ones(8, 2))
    assert told == ["the recorded step does not give the bits of the plain one"]
    assert advance.replay is None


def test_divergence_of_a_recorded_run_is_told_by_the_loop(monkeypatch):
    def diverging(state, real):
        values = step(state, real)
        steps = state.generator_optimizer.state[state.generator[0].weight]["step"]
        return values | {"odd": torch.where(steps == WARM_UP + 60, torch.nan, 1.0)}

    with pytest.raises(training.TrainingDiverged, match=f"Step {WARM_UP + 60}: 'odd' is nan"):
        train(monkeypatch, captured=True, step=diverging)
