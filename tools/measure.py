"""Measure what the labs cost: `make measure`, or `make measure LAB=optimal_discriminator PROFILE=cpu`.

Each run is a fresh process with a fresh kernel. The results go to src/gancourse/lab_costs.json; notebooks and
book read them there.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path

from nbformat.v4 import new_code_cell

from tools import notebooks, project

PROFILES = ("smoke", "cpu", "gpu")
CARD = "import torch\nprint(torch.cuda.max_memory_reserved())"


def gpu() -> str | None:
    """The name of the CUDA device that the labs would take, or None."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def processor() -> str:
    """How many cores this process may use and of what model."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{cores} core{'s' if cores != 1 else ''}, {models[0] if models else platform.machine()}"


def run(source: Path, profile: str) -> tuple[float, float]:
    """Execute a lab in this process and return what it took.

    Returns:
        Wall seconds from starting the kernel to its end, and peak memory in GB (1e9 bytes): the resident
        memory of the kernel, the largest process started here; in the profile gpu, what PyTorch held of
        the card's.
    """
    notebook = notebooks.from_source(source)
    if profile == "gpu":
        notebook.cells.append(new_code_cell(CARD))
    begin = time.perf_counter()
    notebooks.execute(notebook, profile)
    seconds = time.perf_counter() - begin
    if profile == "gpu":
        return seconds, int(notebook.cells[-1].outputs[0].text) / 1e9
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return seconds, peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def measure(source: Path, profile: str, machine: str) -> dict:
    """One row of the table of costs, from a run in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        seconds, memory = pool.submit(run, source, profile).result()
    versions = {name: metadata.version(name) for name in ("numpy", "torch")}
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "memory_gb": round(memory, 2),
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version(), **versions},
    }


def record(lab: str, profile: str, row: dict) -> None:
    """Write one row into the table, keeping the rows of all labs that still exist."""
    table = json.loads(project.COSTS.read_text(encoding="utf-8"))["labs"] if project.COSTS.exists() else {}
    table = {name: rows for name, rows in table.items() if (project.ROOT / "labs" / f"{name}.py").exists()}
    table.setdefault(lab, {})[profile] = row
    text = json.dumps({"labs": table}, indent=1, sort_keys=True, ensure_ascii=False)
    project.COSTS.write_text(text + "\n", encoding="utf-8")


def chosen(lab: str, profile: str) -> tuple[list[Path], list[str]]:
    """The labs and profiles to measure; an empty name stands for all of them.

    Raises:
        ValueError: no such lab or profile, or the GPU's profile without a GPU.
    """
    sources = sorted((project.ROOT / "labs").glob("*.py"))
    if lab and lab not in [source.stem for source in sources]:
        known = ", ".join(source.stem for source in sources)
        raise ValueError(f"There is no lab {lab!r}; the labs are: {known}.")
    if profile and profile not in PROFILES:
        raise ValueError(f"There is no profile {profile!r}; the profiles are: {', '.join(PROFILES)}.")
    if profile == "gpu" and gpu() is None:
        raise ValueError("The profile gpu needs a CUDA device, and PyTorch finds none here.")
    profiles = [profile] if profile else [name for name in PROFILES if name != "gpu" or gpu()]
    return [source for source in sources if lab in ("", source.stem)], profiles


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.measure", description=__doc__)
    parser.add_argument("--lab", default="", help="stem of one lab (default: all)")
    parser.add_argument(
        "--profile", default="", help="smoke, cpu or gpu (default: all that this machine can)"
    )
    options = parser.parse_args(arguments)
    try:
        sources, profiles = chosen(options.lab, options.profile)
    except ValueError as error:
        sys.exit(str(error))
    for source in sources:
        for profile in profiles:
            row = measure(source, profile, gpu() if profile == "gpu" else processor())
            record(source.stem, profile, row)
            print(f"{source.stem}, {profile}: {row['seconds']} s, {row['memory_gb']} GB", flush=True)
    print(f"Written to {project.COSTS.relative_to(project.ROOT)}; `make labs` brings it into the notebooks.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
