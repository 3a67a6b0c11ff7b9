"""Float32 products of matrices on processors that PyTorch's usual library leaves half idle.

On the CPU, PyTorch multiplies float32 matrices by MKL, which on other processors than Intel's is no faster
than AVX2 allows. oneDNN comes with PyTorch as well, for convolutions and for products in bfloat16, and uses
AVX-512 wherever it is. `benchmarks/speed.md` compares the two.

PyTorch hands float32 products to oneDNN when it is told that less precision, "medium", will do. oneDNN may
then round to bfloat16, and does so on processors with units for tiles of bfloat16 (Intel's AMX). So the
setting is used only where products are seen to keep every bit.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import nn

# Multiplications in a network's biggest linear layer from which faster products outweigh their longer start.
LEAST = 2**23
_PROCESSOR = Path("/proc/cpuinfo")
# PyTorch's newer settings, one for each kind of product; versions before 2.9 have none.
_FINER = [
    library.matmul
    for library in (torch.backends.mkldnn, torch.backends.cuda)
    if hasattr(getattr(library, "matmul", None), "fp32_precision")
]


@contextlib.contextmanager
def by_one_dnn() -> Iterator[None]:
    """Within this context PyTorch's products of float32 matrices on the CPU are made by oneDNN.

    They agree with the usual ones up to the order of summation where `help_here` says so; elsewhere they may
    be rounded to bfloat16. Where precisions were set by PyTorch's newer, finer settings, all stays as it is.
    """
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:  # which is how PyTorch answers when both kinds of settings are in use
        yield
        return
    finer = [(settings, settings.fp32_precision) for settings in _FINER]
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        for settings, precision in finer:  # which the line above has set as well
            settings.fp32_precision = precision


def are_big(networks: Iterable[nn.Module], batch_size: int) -> bool:
    """Whether some `nn.Linear` of the networks, called on a batch, makes `LEAST` multiplications or more."""
    layers = (layer for network in networks for layer in network.modules() if isinstance(layer, nn.Linear))
    return any(batch_size * layer.in_features * layer.out_features >= LEAST for layer in layers)


@functools.cache
def help_here() -> bool:
    """Whether `by_one_dnn` is the faster way on this machine, and as precise: AVX-512, and not by Intel.

    The answer depends on the processor alone, never on a stopwatch, so that a run that is repeated takes the
    same path.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return False
    description = _PROCESSOR.read_text(encoding="utf-8") if _PROCESSOR.exists() else ""
    maker = re.search(r"^vendor_id\s*:\s*(\S+)", description, re.MULTILINE)
    return maker is not None and maker[1] != "GenuineIntel" and _keep_every_bit()


def _keep_every_bit() -> bool:
    """Whether the products of a layer, forward and backward, return numbers with all of float32's bits."""
    x = torch.rand(256, 256, generator=torch.Generator().manual_seed(0))
    one = torch.eye(256)
    with by_one_dnn():
        found = (x @ one, one @ x.t(), x.t() @ one, torch.addmm(torch.zeros(256), x, one.t()))
    return all(torch.equal(a, b) for a, b in zip(found, (x, x.t(), x.t(), x), strict=True))
