"""Float32 products of linear layers on processors that PyTorch's usual library leaves half idle.

On the CPU, PyTorch multiplies float32 matrices by MKL, which on other processors than Intel's is no faster
than AVX2 allows. oneDNN comes with PyTorch as well, for convolutions and for products in bfloat16, and uses
AVX-512 wherever it is. `benchmarks/speed.md` compares the two.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# Multiplications from which the faster product outweighs its call through Python.
LEAST = 2**23
_PROCESSOR = Path("/proc/cpuinfo")


class _Linear(torch.autograd.Function):
    """x wᵀ + b by oneDNN; its derivatives, of any order, are products of the same kind."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _Linear.apply(gradient, weight.t(), None) if for_x else None,
            _Linear.apply(gradient.t(), x.t(), None) if for_weight else None,
            gradient.sum(dim=0) if for_bias else None,
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor | None) -> tuple[Tensor, int]:
        return torch.vmap(functional.linear, in_dims)(*inputs), 0


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear` with the product by oneDNN, for big layers in float32 on the CPU.

    Values and derivatives agree with PyTorch's up to the order of summation. Other types and devices, small
    layers, an x of more than two axes, and what autocast computes, are PyTorch's, bit for bit.

    Args:
        x: (n, fan_in).
        weight: (fan_out, fan_in).
        bias: (fan_out,) or None.

    Returns:
        (n, fan_out).
    """
    is_meant = (
        x.dim() == 2
        and x.shape[1] == weight.shape[1]  # else PyTorch says what is wrong
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and len(x) * weight.numel() >= LEAST
        and not torch.is_autocast_enabled("cpu")
    )
    return _Linear.apply(x, weight, bias) if is_meant else functional.linear(x, weight, bias)


@contextlib.contextmanager
def by_one_dnn(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Within this context the `nn.Linear` layers of the networks compute by `linear`.

    Nothing but their `forward` is replaced: a context in which PyTorch shows every call, `TorchFunctionMode`,
    takes a tenth of a small GAN's step.
    """
    layers = {
        layer
        for network in networks
        for layer in network.modules()
        if type(layer).forward is nn.Linear.forward and "forward" not in vars(layer)
    }
    for layer in layers:
        layer.forward = functools.partial(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, layer.weight, layer.bias)


@functools.cache
def help_here() -> bool:
    """Whether `linear` is the faster way on this machine: AVX-512, and not by Intel.

    The answer depends on the processor alone, never on a stopwatch, so that a run that is repeated takes the
    same path.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return False
    one = torch.ones(1, 1)
    try:  # PyTorch keeps this operation for itself: a version in which it is another has the usual product
        if _Linear.forward(one, one, None) != one:
            return False
    except (AttributeError, RuntimeError, TypeError):
        return False
    description = _PROCESSOR.read_text(encoding="utf-8") if _PROCESSOR.exists() else ""
    maker = re.search(r"^vendor_id\s*:\s*(\S+)", description, re.MULTILINE)
    return maker is not None and maker[1] != "GenuineIntel"
