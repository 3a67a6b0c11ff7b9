"""A training step on CUDA as one recorded graph, so that Python no longer stands between its kernels.

A small network's step is a hundred kernels of a few microseconds each, and starting one from Python takes
longer than that. A CUDA graph starts them all at once. What it replays are the kernels alone: Python code of
the step does not run again, and what it read on the host stands still. So a recording is used only after it
has proved itself on the spot, by giving from one state and several batches the very bits that the plain step
gives. It proves itself again after 16, 32, 64, ... recorded steps, on the batch of the moment. Whatever a
check finds, one line says it and all further steps are plain.

The machines on which this module was written had no GPU: its logic was tested with an emulation that records
and replays operations, which takes every lab's steps on a pretended device, but on CUDA it has not run.
"""

import contextlib
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

WARM_UP = 11  # plain steps first: they make the optimisers' tensors and let libraries choose their kernels
AGAIN = 16  # recorded steps after which the recording is proved again, then after twice as many, and so on
SHORTEST = 200  # steps left below which recording does not pay


class Graphs(Protocol):
    """How a device records and replays."""

    def aside(self, function: Callable[[], Tensor]) -> Tensor:
        """Call a function as a recording must be prepared."""

    def rehearse(self, function: Callable[[], Tensor]) -> None:
        """Call a function to see whether it can be recorded, while nothing is being recorded yet.

        Raises:
            RuntimeError: the function reads a value of the device on the host.
        """

    def record(
        self, function: Callable[[], Tensor], generators: list[torch.Generator]
    ) -> tuple[Callable[[], None], Tensor]:
        """Record a call of a function that draws from these generators.

        Returns:
            What replays it, and the tensor that a replay fills.

        Raises:
            RuntimeError: the function cannot be recorded.
        """


class CudaGraphs:
    """`torch.cuda.CUDAGraph`, which asks for a warm-up on a stream of its own."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def aside(self, function: Callable[[], Tensor]) -> Tensor:
        self.stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(self.stream):
                return function()
        finally:
            torch.cuda.current_stream().wait_stream(self.stream)

    def rehearse(self, function: Callable[[], Tensor]) -> None:
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this mode does not see everything
            torch.cuda.set_sync_debug_mode("error")
        try:
            self.aside(function)
        except RuntimeError as error:
            if "synchronizing" in str(error):
                raise RuntimeError(
                    "the step reads a value on the host, as .item(), .cpu() and `if tensor` do"
                ) from None
            raise
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def record(
        self, function: Callable[[], Tensor], generators: list[torch.Generator]
    ) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        if torch.__version__ < (2, 14):  # from then on generators register themselves
            for generator in generators:
                if generator.device.type == "cuda":
                    graph.register_generator_state(generator)
        stream = torch.cuda.current_stream()
        # Nodes that autograd made on another stream, before or for a snapshot, would break the capture.
        follow = getattr(torch.autograd.graph, "set_override_stale_capture_stream", lambda enabled: None)
        follow(True)
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                result = function()
        finally:
            follow(False)
            torch.cuda.set_stream(stream)  # which a capture that breaks leaves as it was inside
        return graph.replay, result


class Captured:
    """A step that is plain at first and a replayed recording as soon as that has proved itself.

    Args:
        advance: makes one step on a batch and returns the vector of what it records.
        parts: everything that the step changes, as in `vars(state)`.
        constants: describes what the step reads besides; what changes from step to step there would stand
            still in a recording.
        tell: is called with the reason, once, when steps stay plain.
        graphs: how the device records.
    """

    def __init__(
        self,
        advance: Callable[[Tensor], Tensor],
        parts: dict[str, Any],
        constants: Callable[[], object],
        tell: Callable[[str], None],
        graphs: Graphs,
    ):
        self.advance, self.parts, self.constants = advance, parts, constants
        self.tell, self.graphs = tell, graphs
        self.steps = 0
        self.is_plain = False
        self.replay: Callable[[], None] | None = None

    def __call__(self, real: Tensor) -> Tensor:
        """One step on a batch."""
        if not self.is_plain and self.steps >= WARM_UP:
            with self._or_plain():
                self._make_sure(real, recorded=self.steps - WARM_UP)
        self.steps += 1
        if self.is_plain:
            return self.advance(real)
        if self.replay is not None:
            return self._replayed(real)
        dice = _dice()
        row = self.graphs.aside(lambda: self.advance(real))
        with self._or_plain():
            self._check_warm_up(dice)
        return row

    @contextlib.contextmanager
    def _or_plain(self) -> Iterator[None]:
        """Steps are plain for good when anything goes wrong inside."""
        outer = sys.exception()
        try:
            yield
        except Exception as error:
            # The end of a broken capture raises again, and knows less.
            while error.__context__ not in (None, outer) and not error.__suppress_context__:
                error = error.__context__
            self.replay, self.is_plain = None, True
            self.tell(str(error).strip().partition("\n")[0] or type(error).__name__)

    def _check_warm_up(self, dice: object) -> None:
        # The first step may settle things: a lazy layer's size, a cache, the mode of its networks.
        if self.steps == 1:
            self.settings, self.before = _Settings(self.parts), self.constants()
        self._check_host(dice)
        if self.steps == 2:
            self._check_constants()

    def _check_host(self, dice: object) -> None:
        if _dice() != dice:
            raise RuntimeError("the step draws Python's or numpy's random numbers; use a torch.Generator")
        self.settings.check()

    def _check_constants(self) -> None:
        if self.constants() != self.before:
            raise RuntimeError("a Python variable that the step reads has changed; keep it in the state")

    def _make_sure(self, real: Tensor, recorded: int) -> None:
        """Record, or prove again, when it is time; and look at what a replay would not notice."""
        self.settings.check()
        if not isinstance(real, Tensor):
            raise RuntimeError(f"a batch is a {type(real).__name__}, not one tensor")
        if recorded == 0:
            # Batches of other examples, in another order: a replay that does not see its batch is found out.
            halved = torch.arange(len(real), device=real.device) // 2
            self._prove([real, real.flip(0), real[halved]], "")
        elif (real.shape, real.dtype) != (self.real.shape, self.real.dtype):
            raise RuntimeError("a batch has another shape than those before")
        elif recorded >= AGAIN and recorded.bit_count() == 1:
            last = recorded // 2 if recorded > AGAIN else recorded
            self._prove([real], f"; the last {last} steps may be wrong")

    def _prove(self, batches: list[Tensor], since: str) -> None:
        """Compare recorded with plain steps from the present state, which is there again afterwards."""
        self._check_constants()
        saved = _Saved(self.parts)
        try:
            if self.replay is None:
                self._record(batches[0], saved.leaves)
            plain = self._outcome(self._watched, batches, saved)
            if not _agree(plain, self._outcome(self._replayed, batches, saved)):
                if not _agree(plain, self._outcome(self._watched, batches, saved)):
                    raise RuntimeError(
                        "from one state the plain step itself does not give the same bits twice, "
                        "so a recording cannot be proved"
                    )
                raise RuntimeError(f"the recorded step does not give the bits of the plain one{since}")
        finally:
            saved.restore()

    def _outcome(
        self, way: Callable[[Tensor], Tensor], batches: list[Tensor], saved: "_Saved"
    ) -> list[Tensor]:
        """All that steps leave behind, from a saved state."""
        saved.restore()
        rows = [way(batch) for batch in batches]
        return [*rows, *_Saved(self.parts).values]

    def _watched(self, real: Tensor) -> Tensor:
        dice = _dice()
        row = self.advance(real)
        self._check_host(dice)
        return row

    def _record(self, real: Tensor, leaves: list[Tensor]) -> None:
        for name, part in self.parts.items():
            if not isinstance(part, nn.Module | Optimizer | torch.Generator | Tensor):
                raise RuntimeError(
                    f"'{name}' is a {type(part).__name__}, and the numbers it sets would stand still"
                )
            if isinstance(part, Optimizer):
                _check_optimizer(name, part)
        self.real = real.clone()

        def step() -> Tensor:
            return self.advance(self.real.detach())  # so that a step may ask for gradients at its batch

        self.graphs.rehearse(step)
        # A recording that added to a gradient made before it would write where that one no longer is.
        for leaf in leaves:
            leaf.grad = None
        generators = [part for part in self.parts.values() if isinstance(part, torch.Generator)]
        with _capturable(self.parts):
            self.replay, self.row = self.graphs.record(step, generators)
        self.gradients = [(leaf, leaf.grad) for leaf in leaves]

    def _replayed(self, real: Tensor) -> Tensor:
        self.real.copy_(real)
        self.replay()
        for leaf, gradient in self.gradients:  # a snapshot may have taken them off
            leaf.grad = gradient
        return self.row.clone()


def _dice() -> object:
    """The states of Python's and numpy's random numbers."""
    kind, keys, *rest = np.random.get_state()
    return random.getstate(), kind, keys.tobytes(), rest


def _agree(one: list[Tensor], other: list[Tensor]) -> bool:
    # By bits, so that NaN agrees with NaN: a run that diverges is told so by the loop.
    return len(one) == len(other) and all(
        torch.equal(_bits(a), _bits(b)) for a, b in zip(one, other, strict=True)
    )


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def _check_optimizer(name: str, optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        if "capturable" in group and not group["capturable"] and not group.get("fused"):
            write = "fused=True" if "fused" in group else "capturable=True"
            kind = type(optimizer).__name__
            raise RuntimeError(f"'{name}' counts its steps on the host; write {kind}(..., {write})")


@contextlib.contextmanager
def _capturable(parts: dict[str, Any]) -> Iterator[None]:
    """A fused optimiser computes alike with and without this flag, but refuses to be recorded without."""
    optimizers = [part for part in parts.values() if isinstance(part, Optimizer)]
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    groups = [group for group in groups if group.get("fused") and not group.get("capturable", True)]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False


def _owners(parts: dict[str, Any]) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Every dictionary in which a step can bind something, with the name of what it belongs to."""
    yield "state", parts
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            for path, module in part.named_modules(prefix=name):
                for owner in (vars(module), module._parameters, module._buffers, module._modules):
                    yield path, owner
        elif isinstance(part, Optimizer):
            for owner in (vars(part), *part.param_groups, part.state, *part.state.values()):
                yield name, owner


class _Settings:
    """What a recording reads on the host: which objects the parts are, training flags, rates, counts."""

    def __init__(self, parts: dict[str, Any]):
        self.parts, self.bound = parts, dict(parts)
        plain = bool | int | float | complex | str | tuple | None
        self.places = [
            (name, owner, key)
            for name, owner in _owners(parts)
            for key, value in owner.items()
            if isinstance(value, plain)
        ]
        self.values = self._now()

    def _now(self) -> list[Any]:
        return [owner.get(key) for _, owner, key in self.places]

    def check(self) -> None:
        """Whether all is as it was.

        Raises:
            RuntimeError: something changed; names it.
        """
        for name in {**self.bound, **self.parts}:
            if self.parts.get(name) is not self.bound.get(name):
                raise RuntimeError(f"'{name}' of the state was bound anew; change a tensor in place")
        now = self._now()
        if now != self.values:
            for (name, _, key), value, before in zip(self.places, now, self.values, strict=True):
                if value != before:
                    raise RuntimeError(
                        f"'{name}.{key}' changed from {before} to {value}; a recording would keep the first"
                    )


class _Saved:
    """A copy of all that a step may change, to put back in place: a recording knows addresses."""

    def __init__(self, parts: dict[str, Any]):
        self.bound = [(owner, dict(owner)) for _, owner in _owners(parts)]
        self.generators = [part for part in parts.values() if isinstance(part, torch.Generator)]
        self.tensors = list({id(tensor): tensor for tensor in _tensors(parts)}.values())
        self.leaves = [
            tensor
            for tensor in self.tensors
            if isinstance(tensor, nn.Parameter) or (tensor.is_leaf and tensor.requires_grad)
        ]
        self.gradients = [(leaf, leaf.grad) for leaf in self.leaves]
        self.tensors += [gradient for _, gradient in self.gradients if gradient is not None]
        self.python, self.numpy = random.getstate(), np.random.get_state()
        self.default = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self.states = [generator.get_state() for generator in self.generators]
        self.copies = [tensor.detach().clone() for tensor in self.tensors]

    @property
    def values(self) -> list[Tensor]:
        """All tensors that were saved."""
        return [*self.copies, *self.states, self.default, *self.cuda]

    def restore(self) -> None:
        for owner, entries in self.bound:
            owner.clear()
            owner.update(entries)
        for leaf, gradient in self.gradients:
            leaf.grad = gradient
        self.fill()
        random.setstate(self.python)
        np.random.set_state(self.numpy)

    @torch.no_grad()
    def fill(self) -> None:
        """Put back what the device holds, and leave what Python holds."""
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.copy_(copy)
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.set_state(state)
        torch.set_rng_state(self.default)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


def _tensors(parts: dict[str, Any]) -> Iterator[Tensor]:
    for part in parts.values():
        if isinstance(part, nn.Module):
            yield from chain(part.parameters(), part.buffers())
        elif isinstance(part, Optimizer):
            for group in part.param_groups:
                yield from group["params"]
            values = chain.from_iterable(
                owner.values() for owner in (*part.param_groups, *part.state.values())
            )
            yield from (value for value in values if isinstance(value, Tensor))
        elif isinstance(part, Tensor):
            yield part
