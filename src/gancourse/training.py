"""The loop around a lab's training step: batches, progress, history, snapshots and checkpoints.

A lab writes `step(state, real)`, a plain PyTorch function; `run` calls it. Everything that a step changes is
in a `State`, so a run that was killed continues from its last checkpoint as if it had never stopped.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import io
import os
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

FLUSH = 50
CHECKPOINT_SECONDS = 15.0
PRECISIONS = ("float32", "bfloat16")
_MAGIC = b"gancourse checkpoint 1\n"


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read; it is left as it is."""


class TrainingDiverged(RuntimeError):
    """A quantity of the step became NaN or infinite."""


class Sampler(Protocol):
    """A law that can be sampled, such as those in `gancourse.targets`."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor: ...


class State:
    """Everything that changes while a model trains: networks, optimisers, random generators, tensors.

    `State(generator=G, discriminator=D, optimizer=Adam(...))` gives `state.generator` and so on.

    Raises:
        TypeError: a part that cannot be saved and restored.
    """

    def __init__(self, **parts: nn.Module | torch.optim.Optimizer | torch.Generator | Tensor):
        for name, part in parts.items():
            if not isinstance(part, torch.Generator | Tensor) and not hasattr(part, "load_state_dict"):
                raise TypeError(
                    f"'{name}' is a {type(part).__name__}; a state holds networks, optimisers, schedulers, "
                    "random generators and tensors. Keep constants outside."
                )
        self.__dict__.update(parts)

    def state_dict(self) -> dict[str, Any]:
        """All parts as plain tensors and numbers."""
        saved = {}
        for name, part in vars(self).items():
            if isinstance(part, torch.Generator):
                saved[name] = part.get_state()
            elif isinstance(part, nn.Module):
                # Whether dropout and batch norm are in training mode changes what a step does as well.
                modes = [module.training for module in part.modules()]
                saved[name] = {"weights": part.state_dict(), "training": modes}
            else:
                saved[name] = part if isinstance(part, Tensor) else part.state_dict()
        return saved

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put all parts back in place."""
        for name, part in vars(self).items():
            if isinstance(part, torch.Generator):
                part.set_state(saved[name].cpu())
            elif isinstance(part, nn.Module):
                part.load_state_dict(saved[name]["weights"])
                for module, training in zip(part.modules(), saved[name]["training"], strict=True):
                    module.training = training
            elif isinstance(part, Tensor):
                part.data.copy_(saved[name])
            else:
                part.load_state_dict(saved[name])


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
    where it does not, one line says why and the steps stay plain. On processors for which PyTorch's float32
    products of matrices are slow, another library makes them for big networks (see `gancourse.products`).

    Args:
        step: the training step on the lab's page. It changes what is in `state` and returns named scalars.
        state: everything that changes.
        data: a tensor whose first axis counts examples, already on the device, from which batches are drawn
            with replacement; or a law with `.sample(n, generator)`.
        steps: how many steps the whole run has.
        batch_size: examples in a batch.
        name: what the progress bar and the folder of the run are called.
        folder: where runs are kept. A run is identified by the source of its step, the start values in
            `state`, data, batch size, steps, seed and precision: the same run continues where it stopped, a
            changed one starts afresh beside it. None keeps nothing.
        seed: of the batches.
        precision: "bfloat16" lets the networks in `state` multiply in bfloat16 while a step calls them.
            Weights, what the networks return, losses, penalties, optimisers and snapshots stay in float32.
            Where the hardware has no such instructions, one line says so and all is float32.
        snapshot: called without gradients after the steps in `snapshot_at` (0 is before the first).
        snapshot_at: steps at which to call it.
        checkpoint_seconds: at least so many seconds between two checkpoints.

    Raises:
        TrainingDiverged: a recorded quantity is NaN or infinite; names the step and what to try.
        CheckpointError: the run's checkpoint is damaged; it is not overwritten.
        ValueError: no steps, an empty batch, an unknown precision, or a step that does not return scalars.
    """
    if steps < 1 or batch_size < 1:
        raise ValueError(f"Training needs at least one step and one example; got {steps=}, {batch_size=}.")
    if precision not in PRECISIONS:
        raise ValueError(f"The precision is one of {', '.join(PRECISIONS)}; got {precision!r}.")
    device = data.device if isinstance(data, Tensor) else _device(state)
    if precision == "bfloat16" and not has_bfloat16(device):
        print(f"{name}: this {device.type.upper()} does not multiply in bfloat16, so all is float32")
        precision = "float32"
    batches = torch.Generator(device).manual_seed(seed)
    at = {int(number) for number in snapshot_at} if snapshot is not None else set()
    progress = _Progress(state, batches)
    path = None
    if folder is not None:
        path = _place(
            Path(folder), name, _fingerprint(step, state, data, (steps, batch_size, seed, precision))
        )
        progress.load(path)
    resumed_at = progress.done
    if 0 in at and progress.done == 0:
        progress.take_snapshot(snapshot)

    def advance(real: Tensor) -> Tensor:
        with _computing_in(precision, state, device):
            return progress.row(step(state, real))

    graphs = _graphs(device)
    if graphs is not None and steps - progress.done >= SHORTEST:
        advance = Captured(advance, vars(state), lambda: _constants(step), _plainly(name), graphs)

    buffer: list[Tensor] = []
    saved_at = time.monotonic()
    with (
        _fast_products(precision, state, batch_size, device),
        tqdm(total=steps, initial=progress.done, desc=name, unit="step", mininterval=0.5, leave=False) as bar,
    ):
        for number in range(progress.done + 1, steps + 1):
            if isinstance(data, Tensor):
                chosen = torch.randint(len(data), (batch_size,), generator=batches, device=device)
                real = data[chosen]
            else:
                real = data.sample(batch_size, generator=batches)
            buffer.append(advance(real))
            # Values stay on the device until a flush: reading each at once would stall a GPU at every step.
            if len(buffer) == FLUSH or number == steps or number in at:
                progress.record(buffer)
                bar.update(len(buffer))
                bar.set_postfix({key: f"{values[-1]:.3f}" for key, values in progress.history.items()})
                buffer.clear()
                if number in at:
                    progress.take_snapshot(snapshot)
                due = time.monotonic() - saved_at >= checkpoint_seconds
                if path is not None and (due or number == steps):
                    progress.save(path)
                    saved_at = time.monotonic()
    history = {key: np.asarray(values) for key, values in progress.history.items()}
    return Run(history, progress.snapshots, path.parent if path else None, resumed_at)


class _Progress:
    """The part of a run that a checkpoint holds."""

    def __init__(self, state: State, batches: torch.Generator):
        self.state, self.batches = state, batches
        self.done = 0
        self.history: dict[str, list[float]] = {}
        self.snapshots: dict[int, Tensor] = {}

    def row(self, values: dict[str, Tensor]) -> Tensor:
        """One step's quantities as a vector on the device."""
        if not self.history:
            self.history = {key: [] for key in values}
        if list(values) != list(self.history) or not values:
            raise ValueError(
                f"A step returns the same named scalars each time, at least one; got {list(values)}, "
                f"first {list(self.history)}."
            )
        tensors = [torch.as_tensor(value).detach() for value in values.values()]
        wrong = [key for key, value in zip(values, tensors, strict=True) if value.numel() != 1]
        if wrong:
            raise ValueError(f"A step returns scalars to record; {wrong[0]!r} has more than one number.")
        return torch.stack([value.reshape(()).to(torch.float64) for value in tensors])

    def record(self, rows: list[Tensor]) -> None:
        """Move buffered rows to the host, stopping at the first that is not finite."""
        table = torch.stack(rows).cpu().numpy()
        finite = np.isfinite(table)
        if not finite.all():
            row, column = np.argwhere(~finite)[0]
            quantity = list(self.history)[column]
            raise TrainingDiverged(
                f"Step {self.done + row + 1}: '{quantity}' is {table[row, column]}. Try a smaller learning "
                "rate, look for a logarithm of a probability where a logit belongs, check the data for NaN."
            )
        for values, column in zip(self.history.values(), table.T, strict=True):
            values.extend(column.tolist())
        self.done += len(rows)

    def take_snapshot(self, snapshot: Callable[[State], Tensor]) -> None:
        with torch.no_grad():
            self.snapshots[self.done] = snapshot(self.state).detach().cpu()

    def save(self, path: Path) -> None:
        """Replace the checkpoint in one motion: a kill at any instant leaves the previous one whole."""
        content = {
            "done": self.done,
            "state": self.state.state_dict(),
            "batches": self.batches.get_state(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "history": {
                key: torch.tensor(values, dtype=torch.float64) for key, values in self.history.items()
            },
            "snapshots": self.snapshots,
        }
        payload = io.BytesIO()
        torch.save(content, payload)
        body = payload.getvalue()
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".half")
        with half.open("wb") as file:
            file.write(_MAGIC + hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint when there is one."""
        if not path.exists():
            return
        text = path.read_bytes()
        body = text[len(_MAGIC) + 32 :]
        if text[: len(_MAGIC)] != _MAGIC or hashlib.sha256(body).digest() != text[len(_MAGIC) :][:32]:
            raise CheckpointError(
                f"The checkpoint {path} is damaged: its content does not match its checksum. It is left as "
                "it is; move or delete it to train this run from the start."
            )
        content = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
        self.state.load_state_dict(content["state"])
        self.batches.set_state(content["batches"])
        torch.set_rng_state(content["random"])
        if torch.cuda.is_available() and content["cuda"]:
            torch.cuda.set_rng_state_all(content["cuda"])
        self.done = content["done"]
        self.history = {key: values.tolist() for key, values in content["history"].items()}
        self.snapshots = content["snapshots"]


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
    networks = (part for part in vars(state).values() if isinstance(part, nn.Module))
    is_meant = precision == "float32" and device.type == "cpu" and products.are_big(networks, batch_size)
    return products.by_one_dnn() if is_meant and products.help_here() else contextlib.nullcontext()


@contextlib.contextmanager
def _computing_in(precision: str, state: State, device: torch.device) -> Iterator[None]:
    """Let the networks of a state, and nothing else, compute in a precision and return float32."""
    contexts: list[torch.autocast] = []

    # One context a call: autocast keeps its copies of the weights until a context ends, and one around the
    # whole step would show a discriminator as it was before its update.
    def begin(network: nn.Module, inputs: Any) -> None:
        contexts.append(torch.autocast(device.type, dtype=torch.bfloat16))
        contexts[-1].__enter__()

    def end(network: nn.Module, inputs: Any, output: Any) -> Any:
        contexts.pop().__exit__(None, None, None)
        return output.float() if isinstance(output, Tensor) and output.dtype == torch.bfloat16 else output

    with contextlib.ExitStack() as hooks:
        parts = {id(part): part for part in vars(state).values()} if precision == "bfloat16" else {}
        for network in (part for part in parts.values() if isinstance(part, nn.Module)):
            hooks.enter_context(network.register_forward_pre_hook(begin))
            hooks.enter_context(network.register_forward_hook(end, always_call=True))
        yield


def _graphs(device: torch.device) -> Graphs | None:
    return CudaGraphs() if device.type == "cuda" else None


def _plainly(name: str) -> Callable[[str], None]:
    return lambda reason: print(f"{name}: steps are not recorded as a CUDA graph: {reason}")


def _constants(step: Step) -> str:
    """What a step reads besides its arguments; empty where its source cannot be found."""
    try:
        return repr(_meaning(step, set()))
    except OSError:
        return ""


def _device(state: State) -> torch.device:
    for part in vars(state).values():
        if isinstance(part, nn.Module):
            for tensor in part.parameters():
                return tensor.device
    return torch.device("cpu")


def _place(folder: Path, name: str, key: str) -> Path:
    """The checkpoint's path, with a line that says whether this run continues, is new or replaces none."""
    stem = "-".join(name.split())
    path = folder / f"{stem}-{key}" / "checkpoint.pt"
    others = sorted(other for other in folder.glob(f"{stem}-*/checkpoint.pt") if other != path)
    others = [other for other in others if other.parent.name.rpartition("-")[0] == stem]
    if path.exists():
        print(f"{name}: continuing the run in {path.parent}")
    elif others:
        print(
            f"{name}: something changed, so training starts afresh; "
            f"{len(others)} earlier run(s) kept in {folder}"
        )
    return path


def _fingerprint(step: Step, state: State, data: Tensor | Sampler, settings: tuple[Any, ...]) -> str:
    """Hash of all that decides how a run ends."""
    digest = hashlib.sha256(repr(settings).encode())
    # Two activations, or two optimisers, can have equal state dicts: their descriptions tell them apart.
    forms = [repr(part) if isinstance(part, nn.Module) else type(part) for part in vars(state).values()]
    for part in (_meaning(step, set()), state.state_dict(), forms, data):
        _absorb(digest, part)
    return digest.hexdigest()[:12]


def _meaning(function: Callable, seen: set[str]) -> list[Any]:
    """Source of a function and of what it names in its own module: functions in full, constants by value."""
    if function.__qualname__ in seen:
        return []
    seen.add(function.__qualname__)
    found: list[Any] = [inspect.getsource(function)]
    names = inspect.getclosurevars(function)
    for name, value in sorted({**names.globals, **names.nonlocals}.items()):
        if inspect.isfunction(value) and value.__module__ == function.__module__:
            found += _meaning(value, seen)
        elif isinstance(value, bool | int | float | str | tuple | Tensor) or _is_named(value):
            found += [name, value]
    return found


def _is_named(value: Any) -> bool:
    """Whether a value that a step uses is a library function or a record of such, as an objective is."""
    return inspect.isfunction(value) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _absorb(digest: "hashlib._Hash", value: Any) -> None:
    if isinstance(value, Tensor):
        array = value.detach().cpu().contiguous()
        digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        for key, item in value.items():
            digest.update(repr(key).encode())
            _absorb(digest, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _absorb(digest, item)
    elif inspect.isfunction(value):
        # By name and closure, never by repr, which holds an address that the next process does not have.
        digest.update(f"{value.__module__}.{value.__qualname__}".encode())
        for cell in inspect.getclosurevars(value).nonlocals.items():
            _absorb(digest, cell)
    elif dataclasses.is_dataclass(value):
        digest.update(type(value).__qualname__.encode())
        for field in dataclasses.fields(value):
            _absorb(digest, getattr(value, field.name))
    else:
        digest.update(repr(value).encode())
