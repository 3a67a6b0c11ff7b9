"""A training step on CUDA as one recorded graph, so that Python no longer stands between its kernels.

A small network's step is a hundred kernels of a few microseconds each, and starting one from Python takes
longer than that. A CUDA graph starts them all at once. What it replays are the kernels alone: Python code of
the step does not run again. So a recording is used only after it has proved itself on the spot, by giving
from one state and batch the very bits that the plain step gives, several steps long.

The machines on which this module was written had no GPU: its logic was tested on the CPU, with an emulation
that records and replays operations, but on CUDA it has not run.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn

WARM_UP = 11  # plain steps first: they make the optimisers' tensors and let libraries choose their kernels
PROOF = 3  # steps that recording and plain step must agree on
SHORTEST = 200  # steps left below which recording does not pay


class Graphs(Protocol):
    """How a device records and replays."""

    def aside(self, function: Callable[[], Tensor]) -> Tensor:
        """Call a function as a recording must be prepared."""

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
        with torch.cuda.stream(self.stream):
            result = function()
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def record(
        self, function: Callable[[], Tensor], generators: list[torch.Generator]
    ) -> tuple[Callable[[], None], Tensor]:
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            result = function()
        return graph.replay, result


class Captured:
    """A step that is plain at first and a replayed recording as soon as that has proved itself.

    Args:
        advance: makes one step on a batch and returns the vector of what it records.
        parts: everything that the step changes, as in a `State`.
        constants: describes what the step reads besides; what changes from step to step there would stand
            still in a recording.
        tell: is called with the reason, once, when steps stay plain.
        graphs: how the device records.
    """

    def __init__(
        self,
        advance: Callable[[Tensor], Tensor],
        parts: dict[str, Any],
        constants: Callable[[], str],
        tell: Callable[[str], None],
        graphs: Graphs,
    ):
        self.advance, self.parts, self.tell, self.graphs = advance, parts, tell, graphs
        self.constants, self.before = constants, constants()
        self.generators = [part for part in parts.values() if isinstance(part, torch.Generator)]
        self.steps = 0
        self.replay: Callable[[], None] | None = None

    def __call__(self, real: Tensor) -> Tensor:
        """One step on a batch."""
        self.steps += 1
        if self.steps <= WARM_UP:
            return self.graphs.aside(lambda: self.advance(real))
        if self.steps == WARM_UP + 1:
            saved, gradients = _Saved(self.parts), [parameter.grad for parameter in self.parameters()]
            try:
                self._record(real)
                self._prove(real, saved)
            except RuntimeError as error:
                self.replay = None
                self.tell(str(error).strip().partition("\n")[0])
                for parameter, gradient in zip(self.parameters(), gradients, strict=True):
                    parameter.grad = gradient
            saved.restore()
        return self.advance(real) if self.replay is None else self._replayed(real)

    def parameters(self) -> list[nn.Parameter]:
        networks = (part for part in self.parts.values() if isinstance(part, nn.Module))
        return list(chain.from_iterable(network.parameters() for network in networks))

    def _forget_gradients(self) -> None:
        """A recording that added to a gradient made before it would write where that one no longer is."""
        for parameter in self.parameters():
            parameter.grad = None

    def _record(self, real: Tensor) -> None:
        for name, part in self.parts.items():
            if not isinstance(part, nn.Module | torch.optim.Optimizer | torch.Generator | Tensor):
                raise RuntimeError(
                    f"'{name}' is a {type(part).__name__}, and the numbers it sets would stand still"
                )
        if self.constants() != self.before:
            raise RuntimeError("a Python variable that the step reads has changed; keep it in the state")
        self.real = real.clone()
        self._forget_gradients()
        # A fused optimiser computes alike with and without this flag, but refuses to be recorded without.
        optimizers = (part for part in self.parts.values() if isinstance(part, torch.optim.Optimizer))
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        groups = [group for group in groups if group.get("fused") and "capturable" in group]
        before = [group["capturable"] for group in groups]
        try:
            for group in groups:
                group["capturable"] = True
            # Detached, so that a step may ask for gradients at its batch.
            self.replay, self.row = self.graphs.record(
                lambda: self.advance(self.real.detach()), self.generators
            )
        finally:
            for group, capturable in zip(groups, before, strict=True):
                group["capturable"] = capturable

    def _prove(self, real: Tensor, saved: "_Saved") -> None:
        outcomes = []
        for way in (self.advance, self._replayed):
            saved.restore()
            self._forget_gradients()
            rows = [way(real) for _ in range(PROOF)]
            outcomes.append([*rows, *_Saved(self.parts).values])
        plain, replayed = outcomes
        # By bits, so that NaN agrees with NaN: a run that diverges is told so by the loop.
        if len(plain) != len(replayed) or not all(
            torch.equal(_bits(a), _bits(b)) for a, b in zip(plain, replayed, strict=True)
        ):
            raise RuntimeError("the recorded step does not give the bits of the plain one")

    def _replayed(self, real: Tensor) -> Tensor:
        self.real.copy_(real)
        self.replay()
        return self.row.clone()


class _Saved:
    """Copies of all tensors in the parts of a state, to put back in place: a recording knows addresses."""

    def __init__(self, parts: dict[str, Any]):
        self.generators = [part for part in parts.values() if isinstance(part, torch.Generator)]
        self.tensors: list[Tensor] = []
        for part in parts.values():
            if isinstance(part, nn.Module):
                self.tensors += chain(part.parameters(), part.buffers())
            elif isinstance(part, torch.optim.Optimizer):
                entries = chain.from_iterable(entry.values() for entry in part.state.values())
                self.tensors += [value for value in entries if isinstance(value, Tensor)]
            elif isinstance(part, Tensor):
                self.tensors.append(part)
        self.default = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self.states = [generator.get_state() for generator in self.generators]
        self.copies = [tensor.detach().clone() for tensor in self.tensors]

    @property
    def values(self) -> list[Tensor]:
        """All that was saved."""
        return [*self.copies, *self.states, self.default, *self.cuda]

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, copy in zip(self.tensors, self.copies, strict=True):
            tensor.copy_(copy)
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.set_state(state)
        torch.set_rng_state(self.default)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)
