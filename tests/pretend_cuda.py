"""CUDA without a graphics card: PyTorch's CPU build, made to believe that it has a device.

Its tensors lie on the host and are computed there, but they are of the type "cuda". What CUDA refuses is
refused: two devices in one operation, a generator of another device, `.numpy()` without `.cpu()`; and a step
that reads a value cannot be recorded. Speed, the bits of CUDA's kernels, and errors of memory are not shown.

    python -c "from tests.pretend_cuda import begin; begin(); import torch; print(torch.ones(2).cuda())"
"""

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".cpp")
BUILT = SOURCE.parents[1] / "_build"
COMPILER = "g++"
replayed = 0
"""How many steps of this process were replayed from a recording."""


def build() -> Path:
    """Compile the device, once for each of its versions and of PyTorch's; returns the library's path.

    Raises:
        FileNotFoundError: there is no compiler, or this is no Linux.
        RuntimeError: it does not compile with this PyTorch; holds what the compiler said.
    """
    if sys.platform != "linux" or shutil.which(COMPILER) is None:
        raise FileNotFoundError("A pretended GPU needs Linux and g++; install it with `apt-get install g++`.")
    version = f"{importlib.metadata.version('torch')} {sys.version}"
    key = hashlib.sha256(SOURCE.read_bytes() + version.encode()).hexdigest()[:16]
    target = BUILT / f"pretend_cuda-{key}.so"
    if not target.exists():
        BUILT.mkdir(exist_ok=True)
        fresh = target.with_suffix(f".{os.getpid()}")  # two workers may build at once
        torch = _torch()
        command = [COMPILER, "-O1", "-std=c++20", "-shared", "-fPIC", f"-I{torch / 'include'}", SOURCE]
        command += ["-o", fresh, f"-L{torch / 'lib'}", "-ltorch_cpu", "-lc10"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        fresh.replace(target)
    return target


def _torch() -> Path:
    return Path(importlib.util.find_spec("torch").origin).parent


def begin() -> None:
    """Let this process have a device of the type "cuda".

    Raises:
        RuntimeError: torch was imported before.
    """
    if "torch" in sys.modules:
        raise RuntimeError("torch was imported already, and has looked for CUDA")
    built = build()
    for name in ("libc10.so", "libtorch_cpu.so"):
        ctypes.CDLL(str(_torch() / "lib" / name), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(built))

    import torch._inductor  # the parts of it that look for CUDA themselves must not find it

    _pretend(torch)
    _record(torch, library.set_recording)


def _pretend(torch) -> None:
    """What `torch.cuda` answers where there is a device."""
    cuda = torch.cuda
    cuda._lazy_init = lambda: None
    cuda.is_available = cuda.is_initialized = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.get_device_name = lambda device=None: "a pretended device"
    cuda.is_bf16_supported = lambda including_emulation=True: True
    usual = torch.Generator("cuda")
    cuda.get_rng_state_all = lambda: [usual.get_state()]
    cuda.set_rng_state_all = lambda states: usual.set_state(states[0])
    cuda.manual_seed_all = usual.manual_seed

    # Storages of bytes are made by code that the CPU build does not have.
    def copied(storage, device):
        empty = torch.empty(0, dtype=torch.uint8, device=storage.device)
        return empty.set_(storage).to(device, copy=True).untyped_storage()

    base = torch.storage._StorageBase
    host_to, host_clone = base.to, base.clone
    base.to = lambda self, *, device, non_blocking=False: (
        copied(self, device) if torch.device(device).type == "cuda" else host_to(self, device=device)
    )
    base.clone = lambda self: copied(self, "cuda") if self.device.type == "cuda" else host_clone(self)


def _record(torch, set_recording) -> None:
    """Graphs of CUDA as `tests.emulated_graphs` has them, which refuse what waits for the device."""
    from gancourse import training
    from gancourse.capture import AGAIN, WARM_UP, Captured
    from tests.emulated_graphs import Emulated

    class Recorded(Emulated):
        def rehearse(self, function):
            return self._while_recording(function)

        def record(self, function, generators):
            replay, row = super().record(lambda: self._while_recording(function), generators)

            def counted():
                global replayed
                replayed += 1
                replay()

            return counted, row

        def _while_recording(self, function):
            set_recording(True)
            try:
                return function()
            finally:
                set_recording(False)

    training.SHORTEST = WARM_UP + AGAIN + 1  # so that short runs record, and prove the recording again
    training._graphs = lambda device: "made with the parts" if device.type == "cuda" else None
    training.Captured = lambda advance, parts, constants, tell, graphs: Captured(
        advance, parts, constants, tell, Recorded(parts)
    )
