"""What a training run keeps: everything that changes, in checkpoints that a kill cannot break."""

import glob
import hashlib
import io
import itertools
import os
import time
import weakref
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_post_hook

from gancourse.fingerprint import OWN_TO_MODULES, Fingerprint

_KIND = b"gancourse checkpoint "
_MAGIC = _KIND + b"4\n"


# Attributes whose changes a checkpoint would have to hold.
_ATTRIBUTES = int | float | str | list | tuple | dict | set | deque | Tensor | np.ndarray | None


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be read; it is left as it is."""


class State:
    """Everything that changes while a model trains: networks, optimisers, random generators, tensors.

    `State(generator=G, discriminator=D, optimizer=Adam(...))` gives `state.generator` and so on. A step may
    put further tensors in.

    Raises:
        TypeError: a part that cannot be saved and restored.
    """

    def __init__(self, **parts: nn.Module | torch.optim.Optimizer | torch.Generator | Tensor):
        for name, part in parts.items():
            setattr(self, name, part)

    def __setattr__(self, name: str, part: nn.Module | torch.optim.Optimizer | torch.Generator | Tensor):
        if not isinstance(part, torch.Generator | Tensor) and not hasattr(part, "load_state_dict"):
            raise TypeError(
                f"'{name}' is a {type(part).__name__}; a state holds networks, optimisers, schedulers, "
                "random generators and tensors. Keep constants outside."
            )
        super().__setattr__(name, part)

    def state_dict(self) -> dict[str, Any]:
        """All parts as plain tensors and numbers."""
        return {name: _plain(_saved(part)) for name, part in vars(self).items()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Put all parts back in place; tensors that a step has put in since are made anew.

        Raises:
            ValueError: a part that is no tensor was put in by a step.
        """
        device = device_of(*networks_of(self))
        for name in [name for name in vars(self) if name not in saved]:  # put in after the checkpoint
            delattr(self, name)
        for name, content in saved.items():
            part = vars(self).get(name)
            if part is None and "tensor" not in content:
                raise ValueError(f"'{name}' was put into the state by a step, which may put in tensors only")
            # A step may have bound a tensor of another type as well.
            if part is None or (isinstance(part, Tensor) and part.dtype != content["tensor"].dtype):
                fresh = content["tensor"].to("cpu" if content["on_host"] else device)
                setattr(self, name, fresh.requires_grad_(content["requires_grad"]))
            _restore(vars(self)[name], content)


def _saved(part: Any) -> Any:
    if isinstance(part, torch.Generator):
        return {"generator": part.get_state()}
    if isinstance(part, nn.Module):
        return {
            "weights": part.state_dict(),
            "buffers": {name: buffers[leaf] for name, buffers, leaf in _buffers(part)},
            "gradients": {name: value.grad for name, value in part.named_parameters()},
            "requires_grad": {name: value.requires_grad for name, value in part.named_parameters()},
            # Whether dropout and batch norm are in training mode changes what a step does as well.
            "training": [module.training for module in part.modules()],
        }
    if isinstance(part, Tensor):
        gradient, wants = (part.grad, part.requires_grad) if part.is_leaf else (None, False)
        kept, on_host = part.detach(), part.device.type == "cpu"
        if kept.layout == torch.strided and kept.untyped_storage().nbytes() > kept.nbytes:
            kept = kept.clone()  # a part of another tensor, which would be written whole
        return {"tensor": kept, "on_host": on_host, "gradient": gradient, "requires_grad": wants}
    return part.state_dict()


@torch.no_grad()
def _restore(part: Any, saved: Any) -> None:
    if isinstance(part, torch.Generator):
        part.set_state(saved["generator"].cpu())
    elif isinstance(part, nn.Module):
        for name, buffers, leaf in _buffers(part):  # a step may give buffers another size, or none
            kept, value = saved["buffers"][name], buffers[leaf]
            if kept is None or value is None or (kept.shape, kept.dtype) != (value.shape, value.dtype):
                buffers[leaf] = None if kept is None else kept.to(device_of(part), copy=True)
            else:
                value.copy_(kept)
        part.load_state_dict(saved["weights"])
        for name, value in part.named_parameters():
            value.requires_grad_(saved["requires_grad"][name])
            _put_gradient(value, saved["gradients"][name])
        for module, training in zip(part.modules(), saved["training"], strict=True):
            module.training = training
    elif isinstance(part, Tensor):
        if part.shape == saved["tensor"].shape:
            part.data.copy_(saved["tensor"])
        else:
            part.data = saved["tensor"].to(part.device)
        if part.is_leaf:
            part.requires_grad_(saved["requires_grad"])
            _put_gradient(part, saved["gradient"])
    else:
        part.load_state_dict(saved)


def _buffers(network: nn.Module) -> Iterator[tuple[str, dict[str, Tensor | None], str]]:
    """Of every buffer its full name, the dictionary that holds it, and its name there."""
    for name, module in network.named_modules():
        for leaf in module._buffers:
            yield f"{name}.{leaf}", module._buffers, leaf


def _put_gradient(tensor: Tensor, gradient: Tensor | None) -> None:
    tensor.grad = None if gradient is None else gradient.to(tensor.device)


def _own_attributes(part: Any) -> Iterator[dict[str, Any]]:
    """What a part's own code may have put into its networks, or into its optimiser, besides weights."""
    if isinstance(part, torch.optim.Optimizer):
        own = ("defaults", "state", "param_groups")
        yield {key: value for key, value in vars(part).items() if key not in own and key[:1] != "_"}
    for module in part.modules() if isinstance(part, nn.Module) else ():
        # torch.nn.utils.spectral_norm and weight_norm put a weight there that they compute at every call.
        computed = {getattr(hook, "name", None) for hook in module._forward_pre_hooks.values()}
        yield {
            key: value
            for key, value in vars(module).items()
            if key not in OWN_TO_MODULES | computed and not (isinstance(value, Tensor) and not value.is_leaf)
        }


def _plain(value: Any) -> Any:
    """The same with numpy's numbers and arrays as Python's and PyTorch's, which load without running code."""
    if isinstance(value, dict):
        kind = type(value) if type(value) in (Counter, OrderedDict) else dict
        return kind({key: _plain(item) for key, item in value.items()})
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.item() if isinstance(value, np.generic) else value


def networks_of(state: State) -> list[nn.Module]:
    """The networks of a state."""
    return [part for part in vars(state).values() if isinstance(part, nn.Module)]


def device_of(*networks: nn.Module) -> torch.device:
    """Where networks are; the CPU when they hold no tensor."""
    tensors = itertools.chain.from_iterable((*part.parameters(), *part.buffers()) for part in networks)
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


# Of every state that a run left behind: the run's name, what it read, its start and its end, as hashes.
_LEFT: "weakref.WeakKeyDictionary[State, tuple[str, str, str, str]]" = weakref.WeakKeyDictionary()
# Of every network that a run trained: the run's name, and the weights that it left, as a hash.
_TRAINED: "weakref.WeakKeyDictionary[nn.Module, tuple[str, str]]" = weakref.WeakKeyDictionary()


class Progress(Protocol):
    """The part of a run that a checkpoint holds."""

    state: State
    done: int

    def content(self) -> dict[str, Any]:
        """All of it as plain tensors and numbers."""

    def restore(self, content: dict[str, Any]) -> None:
        """Go on from what `content` returned."""


class Keeper:
    """Keeps a run in its folder. Within its context it also remembers how the run left its state.

    Args:
        folder: where all runs are kept.
        name: of the run.
        progress: what is kept.
        read: what decides how the run ends besides the state, the step first.
    """

    def __init__(self, folder: Path, name: str, progress: Progress, read: tuple[Any, ...]):
        if not name or {"/", "\\"} & set(name):
            raise ValueError(f"A run's name names a folder, so it has letters and no slashes; got {name!r}.")
        self.folder, self.name, self.progress = folder, name, progress
        self.told, self.number, self.strangers = set[str](), 0, weakref.WeakKeyDictionary()
        state = progress.state
        for key, part in vars(state).items():
            if isinstance(part, nn.Module) and any(is_lazy(value) for value in part.parameters()):
                raise ValueError(f"'{key}' has layers without sizes yet; call it on a batch before training.")
        found = reads(state, *read)
        if found.unread:
            self.tell(f"changes in {', '.join(sorted(found.unread))} go unnoticed")
        self.code, self.start = found.hexdigest(), hash_of(vars(state))
        self.stem = "-".join(name.split())
        before, code, start, end = _LEFT.get(state, ("", "", "", ""))
        is_left = before == name and end == _learned(state)  # the state is as that run left it
        if is_left and code == self.code and self.path_from(start).exists():  # its cell was run again
            self.start = start
        self.path = self.path_from(self.start)
        self.weights = _weights(state)
        self.goes_on = any(_TRAINED.get(net) == (name, weights) for net, weights in self.weights.items())
        # What may not change, because no checkpoint holds it; data in a tensor do not.
        self.fixed = [value for value in read if not isinstance(value, Tensor)]
        self.before, self.parts, self.weighed = self.outside(), set(vars(state)), self.groups()

    def path_from(self, start: str) -> Path:
        """Where a run is kept that starts from a state with this hash."""
        key = hashlib.sha256((self.code + start).encode()).hexdigest()[:12]
        return self.folder / f"{self.stem}-{key}" / "checkpoint.pt"

    def __enter__(self) -> None:
        self.hook = register_optimizer_step_post_hook(self.look)

    def __exit__(self, *error: object) -> None:
        self.hook.remove()
        state = self.progress.state
        _LEFT[state] = (self.name, self.code, self.start, _learned(state))
        for network, weights in _weights(state).items():
            if self.weights.get(network) != weights:
                _TRAINED[network] = (self.name, weights)

    def look(self, optimizer: torch.optim.Optimizer, *arguments: Any) -> None:
        """Say when an optimiser steps, and in a later step again, that no checkpoint holds."""
        parts = vars(self.progress.state).values()
        if any(part is optimizer for part in parts):
            return
        # A part of a part, which saves it; schedulers do not.
        wholes = [part for part in parts if not isinstance(part, LRScheduler)]
        if any(value is optimizer for part in wholes for value in getattr(part, "__dict__", {}).values()):
            return
        if self.strangers.setdefault(optimizer, self.number) != self.number:
            kind = type(optimizer).__name__
            self.tell(f"an optimiser, {kind}, is not in the state, so a killed run will not continue exactly")

    def outside(self) -> str:
        """Hash of what no checkpoint holds: what the step reads, attributes of networks and optimisers."""
        state = self.progress.state
        plain = [
            {key: value for key, value in own.items() if isinstance(value, _ATTRIBUTES)}
            for part in vars(state).values()
            for own in _own_attributes(part)
        ]
        return reads(state, *self.fixed, plain).hexdigest()

    def groups(self) -> dict[str, list[int]]:
        """How many weights each group of an optimiser has."""
        return {
            name: [len(group["params"]) for group in part.param_groups]
            for name, part in vars(self.progress.state).items()
            if isinstance(part, torch.optim.Optimizer)
        }

    def tell(self, message: str) -> None:
        if message not in self.told:
            print(f"{self.name}: {message}")
        self.told.add(message)

    def begin(self, steps: int) -> None:
        """Continue from the checkpoint where there is one; else write the first, so that a bad folder shows.

        Raises:
            CheckpointError: the checkpoint cannot be read, or none can be written.
        """
        for half in self.path.parent.glob("*.half"):  # of a process that was killed
            if time.time() - half.stat().st_mtime > 60:
                half.unlink(missing_ok=True)
        others = sorted(self.folder.glob(f"{glob.escape(self.stem)}-*/checkpoint.pt"))
        others = [other for other in others if other.parent.name.rpartition("-")[0] == self.stem]
        if self.path.exists():
            content = _read(self.path)
            try:
                self.progress.restore(content)
            except Exception as error:
                raise CheckpointError(
                    f"The checkpoint {self.path} does not fit this run: {error!r}."
                ) from error
            done = self.progress.done
            if done == steps:
                self.tell(f"this run has ended before; its result is shown, from {self.path.parent}")
            else:
                self.tell(f"continuing the run in {self.path.parent}, {done} steps of {steps} done")
            return
        if self.goes_on:
            self.tell(
                "this is another run, and it goes on from the weights that the earlier one left; to start "
                "afresh run the cells that make the networks as well"
            )
        elif others:
            kept = f"{len(others)} earlier run(s) kept in {self.folder}"
            self.tell(f"something changed, so training starts afresh; {kept}")
        try:
            self.write(is_tried=True)
        except OSError as error:
            raise CheckpointError(
                f"No checkpoint can be written in {self.folder}: {error}. Choose another folder; in the labs "
                "GANCOURSE_RUNS names it."
            ) from error

    def save(self) -> None:
        """Write a checkpoint; where that fails, say so and let training go on."""
        try:
            self.write()
        except OSError as error:
            self.tell(f"a checkpoint could not be written, the one before is kept ({error})")
        parts = vars(self.progress.state)
        added = [name for name in parts if name not in self.parts and not isinstance(parts[name], Tensor)]
        grown = [name for name, groups in self.groups().items() if self.weighed.get(name, groups) != groups]
        if added:
            self.tell(f"'{added[0]}' was put into the state by the step, and no checkpoint can bring it back")
        elif grown:
            self.tell(f"the step gives '{grown[0]}' other weights, and no checkpoint can bring them back")
        elif self.outside() != self.before:
            self.tell(
                "the step changes something outside the state, so a killed run will not continue exactly"
            )

    def write(self, is_tried: bool = False) -> None:
        """Replace the checkpoint in one motion: a kill at any instant leaves the previous one whole."""
        payload = io.BytesIO()
        torch.save(self.progress.content(), payload)
        body = payload.getvalue()
        if is_tried:
            try:
                torch.load(io.BytesIO(body), weights_only=True)
            except Exception as error:
                raise CheckpointError(
                    f"{self.name}: a checkpoint of this state could not be read again: "
                    f"{str(error).partition(chr(10))[0]} A state holds tensors and plain numbers."
                ) from error
        self.path.parent.mkdir(parents=True, exist_ok=True)
        half = self.path.with_suffix(f".{os.getpid()}.half")  # another process may keep the same run
        try:
            with half.open("wb") as file:
                file.write(_MAGIC + hashlib.sha256(body).digest() + body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(half, self.path)
        finally:
            half.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """What a checkpoint holds.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        text = path.read_bytes()
        body = text[len(_MAGIC) + 32 :]
        if text.startswith(_KIND) and not text.startswith(_MAGIC):
            raise ValueError("another version of the library wrote it")
        if not text.startswith(_MAGIC) or hashlib.sha256(body).digest() != text[len(_MAGIC) :][:32]:
            raise ValueError("its content does not match its checksum")
        return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint {path} is damaged: {str(error).partition(chr(10))[0]}. It is left as it is; "
            "move or delete it to train this run from the start."
        ) from error


def reads(state: State, *values: Any) -> Fingerprint:
    """What a step reads besides the state."""
    found = Fingerprint(known=vars(state))
    for value in values:
        found.add(value)
    return found


def hash_of(value: Any) -> str:
    """Hash of a value and all that it reaches."""
    found = Fingerprint()
    found.add(value)
    return found.hexdigest()


def _learned(state: State) -> str:
    """Hash of what a run has learned.

    Random generators, training modes and statistics are left out: looking at networks after a run moves them.
    """
    return hash_of(
        {
            key: list(part.parameters()) if isinstance(part, nn.Module) else part
            for key, part in vars(state).items()
            if not isinstance(part, torch.Generator)
        }
    )


def _weights(state: State) -> dict[nn.Module, str]:
    return {network: hash_of(list(network.parameters())) for network in networks_of(state)}
