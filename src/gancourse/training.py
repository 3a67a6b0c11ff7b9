"""The loop around a lab's training step: batches, progress, history, snapshots and checkpoints.

A lab writes `step(state, real)`, a plain PyTorch function; `run` calls it. Everything that a step changes is
in a `State`, so a run that was killed continues from its last checkpoint as if it had never stopped.
"""

import contextlib
import dataclasses
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from gancourse import products
from gancourse.capture import SHORTEST, Captured, CudaGraphs, Graphs
from gancourse.checkpoints import Keeper, State, device_of, networks_of, reads

FLUSH = 50
FLUSH_SECONDS = 0.5
CHECKPOINT_SECONDS = 15.0
PRECISIONS = ("float32", "bfloat16")


class TrainingDiverged(RuntimeError):
    """A quantity of the step became NaN or infinite.

    Attributes:
        run: the `Run` up to the step before, to look at.
    """

    run: "Run"


class Sampler(Protocol):
    """A law that can be sampled, such as those in `gancourse.targets`."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...


Step = Callable[[State, Tensor], dict[str, Tensor]]


@dataclasses.dataclass
class Run:
    """What a training run left behind.

    Attributes:
        history: name of a quantity -> its value at every step, shape (steps,).
        snapshots: step -> what the snapshot function returned after that many steps, on the CPU.
        folder: where the checkpoint is, or None.
        resumed_at: the step the last call started from; 0 for a fresh run.
    """

    history: dict[str, np.ndarray]
    snapshots: dict[int, Tensor]
    folder: Path | None = None
    resumed_at: int = 0

    def mean(self, name: str, last: int = 100) -> float:
        """Mean of a quantity over the last steps."""
        return float(self.history[name][-last:].mean())


def run(
    step: Step,
    state: State,
    data: Tensor | Sampler,
    *,
    steps: int,
    batch_size: int,
    name: str,
    folder: Path | None = None,
    seed: int = 0,
    precision: str = "float32",
    snapshot: Callable[[State], Tensor] | None = None,
    snapshot_at: Iterable[int] = (),
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Run:
    """Train: call `step(state, real)` `steps` times on fresh batches.

    On CUDA the step becomes one recorded graph where that gives the same bits (see `gancourse.capture`);
    where it does not, one line says why and the steps stay plain. Convolutions there are made by those of
    cuDNN's kernels that give the same bits each time. On processors for which PyTorch's float32
    products of matrices are slow, another library makes them for big networks (see `gancourse.products`).

    Args:
        step: the training step on the lab's page. It changes what is in `state` and returns named scalars.
        state: everything that changes.
        data: a tensor whose first axis counts examples, already on the device, from which batches are drawn
            with replacement; or a law with `.sample(n, generator)`.
        steps: how many steps the whole run has.
        batch_size: examples in a batch.
        name: what the progress bar and the folder of the run are called.
        folder: where runs are kept. A run is identified by all that decides how it ends: the code of step and
            snapshot with everything that they reach (see `gancourse.fingerprint`), the start values in
            `state`, data, batch size, steps, seed and precision. The same run continues where it stopped,
            also when its cell is run again after an interruption; a changed one starts afresh beside it. The
            process's own random numbers (`torch.manual_seed`) are kept, but tell no runs apart. None keeps
            nothing.
        seed: of the batches.
        precision: "bfloat16" lets the networks in `state` multiply in bfloat16 while a step calls them, or
            calls parts of them that have several layers.
            Weights, what the networks return, losses, penalties, optimisers and snapshots stay in float32.
            Where the hardware has no such instructions, one line says so and all is float32.
        snapshot: called without gradients after the steps in `snapshot_at` (0 is before the first); returns a
            tensor. The networks' training modes are put back after it.
        snapshot_at: steps at which to call it.
        checkpoint_seconds: at least so many seconds between two checkpoints.

    Raises:
        TrainingDiverged: a recorded quantity is NaN or infinite; names the step and what to try.
        CheckpointError: the run's checkpoint is damaged, and is not overwritten; or none can be written.
        ValueError: no steps, an empty batch, no data, an unknown precision, a snapshot outside the run, or a
            step that does not return scalars.
        TypeError: data that cannot be drawn from.
    """
    if steps < 1 or batch_size < 1:
        raise ValueError(f"Training needs at least one step and one example; got {steps=}, {batch_size=}.")
    if precision not in PRECISIONS:
        raise ValueError(f"The precision is one of {', '.join(PRECISIONS)}; got {precision!r}.")
    _check_data(data)
    device = data.device if isinstance(data, Tensor) else device_of(*networks_of(state))
    if precision == "bfloat16" and not has_bfloat16(device):
        print(f"{name}: this {device.type.upper()} does not multiply in bfloat16, so all is float32")
        precision = "float32"
    batches = torch.Generator(device).manual_seed(seed)
    at = {int(number) for number in snapshot_at}
    if at and (snapshot is None or not at <= set(range(steps + 1))):
        raise ValueError(f"Snapshots need a function and steps from 0 to {steps}; got {sorted(at)}.")
    progress = _Progress(state, batches)
    keeper = None
    if folder is not None:
        settings = (name, steps, batch_size, seed, precision, sorted(at))
        keeper = Keeper(Path(folder), name, progress, (step, snapshot, data, settings))
        keeper.begin(steps)
    resumed_at = progress.done

    def advance(real: Tensor) -> Tensor:
        with _computing_in(precision, state, device):
            return progress.row(step(state, real))

    graphs = _graphs(device)
    if graphs is not None and steps - progress.done >= SHORTEST:
        advance = Captured(
            advance, vars(state), lambda: reads(state, step).hexdigest(), _plainly(name), graphs
        )

    buffer: list[Tensor] = []
    saved_at = flushed_at = time.monotonic()
    with (
        keeper or contextlib.nullcontext(),
        _fast_products(precision, state, batch_size, device),
        _repeatable(device),
        tqdm(total=steps, initial=progress.done, desc=name, unit="step", mininterval=0.5, leave=False) as bar,
    ):
        if 0 in at and progress.done == 0:
            progress.take_snapshot(snapshot)
        for number in range(progress.done + 1, steps + 1):
            if isinstance(data, Tensor):
                chosen = torch.randint(len(data), (batch_size,), generator=batches, device=device)
                real = data[chosen]
            else:
                real = data.sample(batch_size, generator=batches)
            if keeper is not None:
                keeper.number = number
            buffer.append(advance(real))
            # Values stay on the device until a flush: reading each at once would stall a GPU at every step.
            late = time.monotonic() - flushed_at >= FLUSH_SECONDS
            if len(buffer) == FLUSH or late or number == steps or number in at:
                progress.record(buffer)
                last = {key: f"{values[-1]:.3f}" for key, values in progress.history.items()}
                # Drawing at every flush would cost more than a small step; an update draws when it is time.
                bar.set_postfix(last, refresh=False)
                bar.update(len(buffer))
                if number == steps:
                    bar.refresh()
                buffer.clear()
                if number in at:
                    progress.take_snapshot(snapshot)
                due = time.monotonic() - saved_at >= checkpoint_seconds
                if keeper is not None and (due or number == steps):
                    keeper.save()
                    saved_at = time.monotonic()
                flushed_at = time.monotonic()
    return progress.result(keeper.path.parent if keeper else None, resumed_at)


class _Progress:
    """The part of a run that a checkpoint holds."""

    def __init__(self, state: State, batches: torch.Generator):
        self.state, self.batches = state, batches
        self.done = 0
        self.history: dict[str, list[float]] = {}
        self.snapshots: dict[int, Tensor] = {}

    def result(self, folder: Path | None = None, resumed_at: int = 0) -> Run:
        history = {key: np.asarray(values) for key, values in self.history.items()}
        return Run(history, self.snapshots, folder, resumed_at)

    def row(self, values: dict[str, Tensor | float]) -> Tensor:
        """One step's quantities as a vector on the device."""
        if not isinstance(values, dict):
            raise ValueError(
                f"A step returns named scalars, as in return {{'loss': loss}}; got a {type(values).__name__}."
            )
        if not self.history:
            self.history = {key: [] for key in values}
        if list(values) != list(self.history) or not values:
            raise ValueError(
                f"A step returns the same named scalars each time, at least one; got {list(values)}, "
                f"first {list(self.history)}."
            )
        for key, value in values.items():
            if not isinstance(value, Tensor | int | float | np.number):
                raise ValueError(f"A step returns numbers to record; {key!r} is a {type(value).__name__}.")
            if isinstance(value, Tensor) and value.numel() != 1:
                raise ValueError(f"A step returns scalars to record; {key!r} has more than one number.")
        device = self.batches.device
        return torch.stack(
            [
                value.detach().reshape(()).to(device, torch.float64)
                if isinstance(value, Tensor)
                else torch.full((), float(value), dtype=torch.float64, device=device)
                for value in values.values()
            ]
        )

    def record(self, rows: list[Tensor]) -> None:
        """Move buffered rows to the host, stopping at the first that is not finite."""
        table = torch.stack(rows).cpu().numpy()
        finite = np.isfinite(table)
        good = len(table) if finite.all() else int(np.argwhere(~finite)[0, 0])
        for values, column in zip(self.history.values(), table[:good].T, strict=True):
            values.extend(column.tolist())
        self.done += good
        if good < len(table):
            column = int(np.argwhere(~finite[good])[0, 0])
            error = TrainingDiverged(
                f"Step {self.done + 1}: '{list(self.history)[column]}' is {table[good, column]}. Try a "
                "smaller learning rate, look for a logarithm of a probability where a logit belongs, check "
                "the data for NaN."
            )
            error.run = self.result()
            raise error

    def take_snapshot(self, snapshot: Callable[[State], Tensor]) -> None:
        modules = [module for network in networks_of(self.state) for module in network.modules()]
        modes = [(module, module.training) for module in modules]
        try:
            with torch.no_grad():
                taken = snapshot(self.state)
        finally:
            for module, training in modes:
                module.training = training
        if not isinstance(taken, Tensor):
            raise ValueError(f"A snapshot is a tensor; got a {type(taken).__name__}.")
        self.snapshots[self.done] = taken.detach().cpu().clone()

    def content(self) -> dict[str, Any]:
        """All of it as plain tensors and numbers."""
        kind, key, *rest = np.random.get_state()
        return {
            "done": self.done,
            "state": self.state.state_dict(),
            "batches": self.batches.get_state(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "python": random.getstate(),
            "numpy": (kind, key.tolist(), *rest),
            "history": {
                key: torch.tensor(values, dtype=torch.float64) for key, values in self.history.items()
            },
            "snapshots": self.snapshots,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from what `content` returned."""
        self.state.load_state_dict(content["state"])
        self.batches.set_state(content["batches"])
        torch.set_rng_state(content["random"])
        if torch.cuda.is_available() and content["cuda"]:
            torch.cuda.set_rng_state_all(content["cuda"])
        random.setstate(content["python"])
        np.random.set_state(content["numpy"])
        self.done = content["done"]
        self.history = {key: values.tolist() for key, values in content["history"].items()}
        self.snapshots = content["snapshots"]


def _check_data(data: Tensor | Sampler) -> None:
    if isinstance(data, Tensor) and (data.dim() == 0 or len(data) == 0):
        raise ValueError("The data hold no example.")
    if not isinstance(data, Tensor) and not hasattr(data, "sample"):
        raise TypeError(
            f"Data are a tensor of examples or have `.sample(n, generator)`; got a {type(data).__name__}."
        )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions that multiply in bfloat16; emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    information = Path("/proc/cpuinfo")
    if device.type != "cpu" or not information.exists():
        return False
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", information.read_text(encoding="utf-8"), re.MULTILINE)
    return found is not None and not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(found[1].split())


def _fast_products(
    precision: str, state: State, batch_size: int, device: torch.device
) -> contextlib.AbstractContextManager:
    """The faster float32 products where there are two kinds and the networks are big enough."""
    is_meant = precision == "float32" and device.type == "cpu"
    is_meant = is_meant and products.are_big(networks_of(state), batch_size)
    return products.by_one_dnn() if is_meant and products.help_here() else contextlib.nullcontext()


@contextlib.contextmanager
def _repeatable(device: torch.device) -> Iterator[None]:
    """On CUDA, convolutions that give the same bits each time; of others no recording can be proved."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextlib.contextmanager
def _computing_in(precision: str, state: State, device: torch.device) -> Iterator[None]:
    """Let the networks of a state, and nothing else, compute in a precision and return float32."""
    if precision != "bfloat16":
        yield
        return
    # One context a call from outside: autocast keeps its copies of the weights until a context ends, and one
    # around the whole step would show a discriminator as it was before its update.
    calls: list[contextlib.ExitStack] = []

    def begin(network: nn.Module, inputs: Any) -> None:
        calls.append(contextlib.ExitStack())
        if len(calls) == 1:
            calls[-1].enter_context(torch.autocast(device.type, dtype=torch.bfloat16))

    def end(network: nn.Module, inputs: Any, output: Any) -> Any:
        calls.pop().close()
        return output if calls else _as_float32(output)

    parts = [part for whole in networks_of(state) for part in _callable_parts(whole)]
    with contextlib.ExitStack() as hooks:
        # An interruption from the keyboard in the middle of a network calls no hook.
        hooks.callback(lambda: [call.close() for call in calls])
        for network in dict.fromkeys(parts):
            if (compiled := network._compiled_call_impl) is not None:  # hooks are compiled too
                hooks.callback(setattr, network, "_compiled_call_impl", compiled)
                network._compiled_call_impl = _between(begin, end, network, compiled)
                continue
            hooks.enter_context(network.register_forward_pre_hook(begin))
            hooks.enter_context(network.register_forward_hook(end, always_call=True))
        yield


def _between(begin: Callable, end: Callable, network: nn.Module, call: Callable) -> Callable:
    """A call of a network with what its hooks would do before and after it."""

    def called(*inputs: Any, **named: Any) -> Any:
        begin(network, inputs)
        output = None
        try:
            output = call(*inputs, **named)
        finally:
            output = end(network, inputs, output)
        return output

    return called


def _callable_parts(network: nn.Module) -> Iterator[nn.Module]:
    """A network and those of its parts that a step may call as networks: what has parts itself."""
    yield network
    # Hooks inside of what was compiled would have it compile anew.
    is_compiled = "_orig_mod" in vars(network)["_modules"] or network._compiled_call_impl is not None
    for part in () if is_compiled else network.children():
        if next(part.children(), None) is not None or isinstance(network, nn.ModuleDict | nn.ModuleList):
            yield from _callable_parts(part)


def _as_float32(output: Any) -> Any:
    """A network's output, alone or within tuples, lists and dictionaries, in float32."""
    if isinstance(output, dict):
        return {key: _as_float32(value) for key, value in output.items()}
    if type(output) in (list, tuple):
        return type(output)(_as_float32(value) for value in output)
    return output.float() if isinstance(output, Tensor) and output.dtype == torch.bfloat16 else output


def _graphs(device: torch.device) -> Graphs | None:
    return CudaGraphs() if device.type == "cuda" else None


def _plainly(name: str) -> Callable[[str], None]:
    return lambda reason: print(f"{name}: steps are plain, not a recorded CUDA graph: {reason}")
