"""Graphs of CUDA, emulated: operations are noted while a step runs, and called again one by one."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gancourse.capture import _Saved


class NoReading(TorchDispatchMode):
    """Refuses what a rehearsal refuses."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("the step reads a value on the host\nmore lines")
        return function(*arguments, **(named or {}))


class Tape(TorchDispatchMode):
    """Notes every operation with its arguments and results.

    Refuses generators that were not registered, as PyTorch before 2.14; with None they register themselves.
    """

    def __init__(self, generators):
        super().__init__()
        self.generators, self.notes = generators, []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        drawn = named.get("generator")
        if drawn is not None and self.generators is not None:  # noqa: SIM102
            if not any(_same(drawn, generator) for generator in self.generators):
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
    """Records on the CPU. A real recording computes nothing, so this one puts back what it computed."""

    def __init__(self, parts, registers=True):
        self.parts, self.registers = parts, registers
        self.recorded = self.replayed = self.warmed = 0

    def aside(self, function):
        self.warmed += 1
        return function()

    def rehearse(self, function):
        with NoReading():
            function()

    def record(self, function, generators):
        self.recorded += 1
        for part in self.parts.values():
            if isinstance(part, torch.optim.Adam) and not all(g["capturable"] for g in part.param_groups):
                raise RuntimeError("param_groups' capturable is False.")
        saved = _Saved(self.parts)
        try:
            with Tape(generators if self.registers else None) as tape:
                row = function()
        finally:
            saved.fill()

        def replay():
            self.replayed += 1
            with torch.no_grad():
                tape.replay()

        return replay, row
