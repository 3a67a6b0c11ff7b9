"""Recording a step, with graphs that are emulated on the CPU."""

import contextlib
import copy
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.utils._pytree import tree_leaves

from gancourse import training
from gancourse.capture import AGAIN, SHORTEST, WARM_UP, Captured, CudaGraphs, _Saved
from gancourse.networks import MovingAverage, mlp
from gancourse.penalties import zero_centered_penalty
from gancourse.targets import ring
from gancourse.training import State, run
from tests.emulated_graphs import Emulated


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
PROOFS = [number for number in range(AGAIN, STEPS - WARM_UP) if number.bit_count() == 1]


def alone(step, steps, state=None, constants=str, registers=True, between=None, sabotage=None):
    """Steps on fresh batches without the loop: the recorder, its graphs, its state, rows, what was told."""
    reset()
    state = state or new_state()
    graphs, told = Emulated(vars(state), registers), []
    if sabotage:
        graphs.record = sabotage(graphs.record, state)
    advance = Captured(
        lambda real: torch.stack([value.detach() for value in step(state, real).values()]),
        vars(state), constants, told.append, graphs,
    )  # fmt: skip
    batches = torch.Generator().manual_seed(3)
    rows = []
    for number in range(steps):
        if between:
            between(state, number)
        rows.append(advance(torch.randn(8, 2, generator=batches)))
    return advance, graphs, state, torch.stack(rows), told


def alone_and_plain(monkeypatch, *arguments, **named):
    """What was told, when the recorded steps and their state have the bits of plain ones."""
    _, graphs, state, rows, told = alone(*arguments, **named)
    with monkeypatch.context() as patched:
        patched.setattr(Captured, "__call__", lambda self, real: self.advance(real))
        _, _, plain_state, plain_rows, _ = alone(*arguments, **named)
    assert torch.equal(rows, plain_rows)
    assert all(torch.equal(a, b) for a, b in zip(everything(state), everything(plain_state), strict=True))
    return graphs, told


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
    assert one[0].replayed == 3 + STEPS - WARM_UP + len(PROOFS)
    assert not one[1].generator_optimizer.param_groups[0]["capturable"]
    assert_same(one, train(monkeypatch, captured=False, step=step, precision=precision))
    assert capsys.readouterr().out == ""


def test_python_runs_no_more_once_a_step_is_recorded(monkeypatch, capsys):
    def told(state, real):
        print("step")
        return step(state, real)

    train(monkeypatch, captured=True, step=told)
    rehearsal = recording = 1
    assert capsys.readouterr().out.count("step\n") == WARM_UP + rehearsal + recording + 3 + len(PROOFS)


def test_a_recorded_run_continues_a_plain_one_and_the_other_way_round(monkeypatch, tmp_path):
    class Stop(Exception):
        pass

    def stop(progress, snapshot):
        raise Stop

    def snapshot(state):
        return state.average(torch.ones(1, 2))

    whole = train(monkeypatch, captured=False, steps=2 * STEPS)
    for first in (True, False):
        folder = tmp_path / str(first)
        settings = {"folder": folder, "steps": 2 * STEPS, "checkpoint_seconds": 0}
        settings |= {"snapshot": snapshot, "snapshot_at": [STEPS]}
        with monkeypatch.context() as patch:
            patch.setattr(training._Progress, "take_snapshot", stop)
            with pytest.raises(Stop):
                train(monkeypatch, captured=first, **settings)
        graphs, state, result = train(monkeypatch, captured=not first, **settings)
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


def flips_signs(state, real):
    return step(state, -real if random.random() < 0.1 else real)


def draws_by_numpy(state, real):
    return step(state, real * (1 + 0.1 * np.random.randn()))


def lowers_its_rate(state, real):
    state.generator_optimizer.param_groups[0]["lr"] *= 0.99
    return step(state, real)


def pauses_batch_norm(state, real):
    state.generator.train(not state.generator.training)
    return step(state, real)


def binds_anew(state, real):
    state.mean = 0.9 * state.mean + 0.1 * real.mean()
    return step(state, real) | {"mean": state.mean}


def adds_up_gradients(state, real):
    loss = (state.discriminator(real) - 1).square().mean()
    loss.backward()
    state.discriminator_optimizer.step()
    return {"loss": loss}


def reset():
    global COUNT
    COUNT = HIDDEN[0] = 0
    ELSEWHERE.manual_seed(5)
    random.seed(0)
    np.random.seed(0)


DICE = "the step draws Python's or numpy's random numbers; use a torch.Generator"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": reads_a_value}, "the step reads a value on the host"),
        ({"step": reads_a_count}, "a Python variable that the step reads has changed; keep it in the state"),
        ({"step": flips_signs}, DICE),
        ({"step": draws_by_numpy}, DICE),
        (
            {"step": lowers_its_rate},
            "'generator_optimizer.lr' changed from 0.00099 to 0.0009801; a recording would keep the first",
        ),
        (
            {"step": pauses_batch_norm},
            "'generator.training' changed from False to True; a recording would keep the first",
        ),
        ({"step": binds_anew}, "'mean' of the state was bound anew; change a tensor in place"),
        (
            {"optimizer": {"fused": False}},
            "'generator_optimizer' counts its steps on the host; write Adam(..., fused=True)",
        ),
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
        if changes.get("step") is binds_anew:
            state.mean = torch.zeros(())
        return train(monkeypatch, captured, state=state, step=changes.get("step", step))

    one = once(captured=True)
    assert capsys.readouterr().out == f"toy: steps are plain, not a recorded CUDA graph: {reason}\n"
    assert one[0].warmed <= WARM_UP
    assert (one[0].recorded, one[0].replayed) == (0, 0)
    assert_same(one, once(captured=False))


@pytest.mark.parametrize(
    ("step", "registers", "reason"),
    [
        (draws_elsewhere, True, "a generator that is not registered with the graph"),
        (draws_elsewhere, False, "from one state the plain step itself does not give the same bits twice"),
        (counts_in_a_list, True, "from one state the plain step itself does not give the same bits twice"),
    ],
)
def test_a_step_that_moves_what_no_one_can_put_back_is_not_blamed_on_the_recording(step, registers, reason):
    advance, _, _, _, told = alone(step, WARM_UP + 3, registers=registers)
    assert len(told) == 1
    assert told[0].startswith(reason)
    assert advance.replay is None


def test_an_optimiser_without_a_fused_kind_is_told_its_own_word():
    state = new_state()
    state.generator_optimizer = torch.optim.RMSprop(state.generator.parameters())
    told = alone(step, WARM_UP + 1, state=state)[-1]
    assert told == ["'generator_optimizer' counts its steps on the host; write RMSprop(..., capturable=True)"]


@pytest.mark.parametrize("error", [ValueError, KeyError, torch.OutOfMemoryError])
def test_any_error_while_recording_leaves_the_run_plain_and_whole(monkeypatch, error):
    def broken(faithful, state):
        def record(function, generators):
            function()
            state.extra = torch.ones(3)
            state.generator.eval()
            raise error("only while recording\nmore lines")

        return record

    _, told = alone_and_plain(monkeypatch, step, WARM_UP + 5, sabotage=broken)
    assert told[0].strip("'").startswith("only while recording")


def test_an_error_of_the_step_itself_is_the_callers():
    def wrong(state, real):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        alone(wrong, 1)


def test_the_first_of_several_errors_is_told():
    def broken(faithful, state):
        def record(function, generators):
            try:
                raise RuntimeError("the reason\nmore lines")
            finally:
                raise RuntimeError("operation failed due to a previous error during capture")

        return record

    with contextlib.suppress(KeyError):
        try:
            raise KeyError("of someone who handles it by training")
        except KeyError:
            assert alone(step, WARM_UP + 1, sabotage=broken)[-1] == ["the reason"]


def test_gradients_that_live_on_from_step_to_step_are_not_lost(monkeypatch, capsys):
    one = train(monkeypatch, captured=True, step=adds_up_gradients)
    assert "does not give the bits of the plain one" in capsys.readouterr().out
    assert_same(one, train(monkeypatch, captured=False, step=adds_up_gradients))


def test_a_short_run_is_not_recorded(monkeypatch):
    graphs, _, _ = train(monkeypatch, captured=True, steps=SHORTEST - 1)
    assert (graphs.warmed, graphs.recorded) == (0, 0)


def draws_the_same(faithful, state):
    def record(function, generators):
        replay, row = faithful(function, generators)

        def forgetful():
            state.noise.manual_seed(0)
            replay()

        return forgetful, row

    return record


def test_a_recording_that_lies_is_found_out(monkeypatch):
    graphs, told = alone_and_plain(monkeypatch, step, WARM_UP + 4, sabotage=draws_the_same)
    assert told == ["the recorded step does not give the bits of the plain one"]
    assert 0 < graphs.replayed <= 3


def test_a_recording_that_no_longer_sees_its_batch_is_found_out(monkeypatch):
    def through_numpy(state, real):
        return step(state, torch.from_numpy(real.numpy().copy()))

    _, told = alone_and_plain(monkeypatch, through_numpy, WARM_UP + 4)
    assert told == ["the recorded step does not give the bits of the plain one"]


def test_a_recording_that_goes_wrong_later_is_found_out_and_the_check_leaves_no_trace():
    scale = torch.ones(())  # the step multiplies by a number that stood still in the recording

    def scaled(state, real):
        return step(state, real * float(scale.numpy()))

    def change(state, number):
        scale.fill_(2.0 if number >= WARM_UP + AGAIN + 5 else 1.0)
        if number == WARM_UP + 2 * AGAIN:
            before.append(copy.deepcopy(state.state_dict()))

    before = []
    advance, graphs, _, rows, told = alone(scaled, WARM_UP + 2 * AGAIN + 1, between=change)
    assert told == [
        "the recorded step does not give the bits of the plain one; the last 16 steps may be wrong"
    ]
    assert advance.is_plain
    assert graphs.replayed == 3 + 1 + 1 + 2 * AGAIN
    # The step that follows is the plain one from where the check began.
    state = new_state()
    state.load_state_dict(before[0])
    batches = torch.Generator().manual_seed(3)
    for _ in rows:
        real = torch.randn(8, 2, generator=batches)
    assert torch.equal(rows[-1], torch.stack([*scaled(state, real).values()]))


def test_what_the_page_changes_between_steps_ends_the_replay(monkeypatch):
    def evaluates(state, number):
        if number == WARM_UP + 5:
            state.generator.eval()

    def lowers(state, number):
        if number == WARM_UP + 5:
            state.generator_optimizer.param_groups[0]["lr"] = 1e-4

    def binds(state, number):
        if number == WARM_UP + 5:
            state.average = MovingAverage(state.generator)

    for between, reason in (
        (evaluates, "'generator.training' changed from True to False; a recording would keep the first"),
        (lowers, "'generator_optimizer.lr' changed from 0.001 to 0.0001; a recording would keep the first"),
        (binds, "'average' of the state was bound anew; change a tensor in place"),
    ):
        graphs, told = alone_and_plain(monkeypatch, step, WARM_UP + 10, between=between)
        assert told == [reason]
        assert graphs.replayed == 3 + 5


def test_a_constant_that_changes_later_ends_the_replay_at_the_next_proof():
    constant = [1]
    told = alone(
        step,
        WARM_UP + AGAIN + 1,
        constants=lambda: constant[0],
        between=lambda state, number: constant.__setitem__(0, number // (WARM_UP + 5)),
    )[-1]
    assert told == ["a Python variable that the step reads has changed; keep it in the state"]


def test_a_constant_that_comes_and_goes_is_seen_before_recording():
    number = [0]

    def alternating(state, real):
        number[0] += 1
        return step(state, real)

    _, graphs, _, _, told = alone(alternating, WARM_UP + 1, constants=lambda: number[0] % 2)
    assert told == ["a Python variable that the step reads has changed; keep it in the state"]
    assert graphs.recorded == 0


def test_a_batch_of_another_shape_ends_the_replay():
    advance, *_, told = alone(step, WARM_UP + 2)
    advance(torch.ones(4, 2))
    assert told == ["a batch has another shape than those before"]


def test_gradients_stay_where_a_page_reads_them(monkeypatch):
    def norms(state, number):
        if number > 1:
            read.append([p.grad.norm() for p in state.discriminator.parameters()])
            if number == WARM_UP + 4:
                state.discriminator.zero_grad()

    read = []
    _, told = alone_and_plain(monkeypatch, step, WARM_UP + AGAIN + 3, between=norms)
    assert told == []
    recorded, plain = torch.tensor(read).chunk(2)
    assert torch.equal(recorded, plain)
    assert (recorded > 0).all()


def test_all_that_a_step_can_change_is_put_back():
    state = new_state()
    state.mean = torch.zeros(())
    step(state, torch.ones(8, 2))
    group = state.generator_optimizer.param_groups[0]
    weight = state.generator[0].weight
    before = [tensor.clone() for tensor in everything(state)]
    gradient, mean, running = weight.grad.clone(), state.mean, state.generator[1].running_mean
    dice = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()

    saved = _Saved(vars(state))
    step(state, torch.randn(8, 2))
    state.mean, state.extra = torch.ones(()), torch.ones(())
    state.generator[1].running_mean = running + 1
    group["lr"], group["weight_decay"] = 1.0, 0.5
    state.generator_optimizer.state[weight]["memory"] = torch.ones(2)
    state.generator_optimizer.state[torch.ones(1)]["step"] = 3
    state.generator.eval()
    random.random(), np.random.rand()
    saved.restore()

    assert state.mean is mean
    assert state.generator[1].running_mean is running
    assert not hasattr(state, "extra")
    assert (group["lr"], group["weight_decay"]) == (1e-3, 0)
    assert state.generator.training
    assert all(torch.equal(a, b) for a, b in zip(everything(state), before, strict=True))
    assert torch.equal(weight.grad, gradient)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == dice[:2]
    assert torch.equal(torch.get_rng_state(), dice[2])


class FakeStream:
    waits: ClassVar[list] = []

    def __init__(self, of="side"):
        self.of = of

    def wait_stream(self, other):
        self.waits.append((self.of, other.of))


class FakeCuda:
    """What `CudaGraphs` asks of `torch.cuda`, with a capture that breaks as the real one does."""

    def __init__(self, monkeypatch):
        self.current, self.mode, self.broken = "default", 0, False
        self.follows, self.registered = [], []
        replaced = {
            "Stream": FakeStream,
            "current_stream": lambda: FakeStream(self.current),
            "set_stream": lambda stream: setattr(self, "current", stream.of),
            "stream": lambda stream: contextlib.nullcontext(),
            "get_sync_debug_mode": lambda: self.mode,
            "set_sync_debug_mode": lambda mode: setattr(self, "mode", mode),
            "CUDAGraph": lambda: type("Graph", (), {"register_generator_state": self.registered.append})(),
            "graph": self.capture,
        }  # fmt: skip
        for name, value in replaced.items():
            monkeypatch.setattr(torch.cuda, name, value)
        monkeypatch.setattr(
            torch.autograd.graph, "set_override_stale_capture_stream", self.follows.append, raising=False
        )

    @contextlib.contextmanager
    def capture(self, graph, stream):
        self.current = "capturing"
        try:
            yield
        finally:
            if self.broken:
                raise RuntimeError("operation failed due to a previous error during capture")
            self.current = "default"

    def item(self):
        if self.mode == "error":
            raise RuntimeError("called a synchronizing CUDA operation")


def test_on_cuda_a_step_that_reads_a_value_is_found_before_anything_is_captured(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    cuda.item()
    FakeStream.waits.clear()
    with pytest.raises(RuntimeError, match=r"the step reads a value on the host, as \.item\(\)"):
        CudaGraphs().rehearse(cuda.item)
    assert cuda.mode == 0
    assert FakeStream.waits == [("side", "default"), ("default", "side")]


def test_on_cuda_a_broken_capture_leaves_nothing_behind(monkeypatch):
    cuda = FakeCuda(monkeypatch)

    def wrong():
        cuda.broken = True
        raise RuntimeError("the reason")

    with pytest.raises(RuntimeError, match="operation failed") as caught:
        CudaGraphs().record(wrong, [torch.Generator()])
    assert str(caught.value.__context__) == "the reason"
    assert (cuda.current, cuda.follows, cuda.registered) == ("default", [True, False], [])


def test_divergence_of_a_recorded_run_is_told_by_the_loop(monkeypatch):
    def diverging(state, real):
        values = step(state, real)
        steps = state.generator_optimizer.state[state.generator[0].weight]["step"]
        return values | {"odd": torch.where(steps == WARM_UP + 60, torch.nan, 1.0)}

    with pytest.raises(training.TrainingDiverged, match=f"Step {WARM_UP + 60}: 'odd' is nan"):
        train(monkeypatch, captured=True, step=diverging)


def test_batches_of_several_tensors_are_not_recorded(monkeypatch, capsys):
    class Labelled:
        def sample(self, n, generator):
            return ring().sample(n, generator), torch.zeros(n)

    def labelled(state, batch):
        return step(state, batch[0])

    state, graphs = new_state(), Emulated({})
    monkeypatch.setattr(training, "_graphs", lambda device: graphs)
    training.run(labelled, state, Labelled(), steps=STEPS, batch_size=32, name="toy")
    assert capsys.readouterr().out == (
        "toy: steps are plain, not a recorded CUDA graph: a batch is a tuple, not one tensor\n"
    )
    assert graphs.recorded == 0
