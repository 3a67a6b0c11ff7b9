"""What a notebook settles first: device, profile, seed and where its runs are kept."""

import importlib.metadata
import json
import os
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import torch

from gancourse.figures import notebook_style

T = TypeVar("T")
PROFILES = ("smoke", "cpu", "gpu")
DRIVE = Path("/content/drive/MyDrive")


@dataclass(frozen=True)
class Session:
    """The surroundings that a lab runs in.

    Attributes:
        lab: the lab's stem.
        profile: "smoke" (continuous integration), "cpu" (a laptop) or "gpu".
        device: where tensors live.
        seed: what every random generator of the lab starts from.
        runs: the folder that keeps checkpoints.
    """

    lab: str
    profile: str
    device: torch.device
    seed: int
    runs: Path = field(compare=False)  # a folder that was moved holds the same runs

    def pick(self, *, smoke: T, cpu: T, gpu: T) -> T:
        """The value for this profile: sizes and step counts differ, the code does not."""
        return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[self.profile]

    def random(self, stream: int, device: torch.device | str = "cpu") -> torch.Generator:
        """A random generator that starts from the session's seed; another stream is independent of it."""
        return torch.Generator(device).manual_seed(self.seed * 1_000_003 + stream)


def begin(lab: str, *, seed: int = 0, keep_on_drive: bool = False) -> Session:
    """Settle device, profile and seed, and print one line that says what was found.

    The profile comes from the environment variable GANCOURSE_PROFILE; unset, it is `gpu` where CUDA is there
    and `cpu` elsewhere. Runs are kept in GANCOURSE_RUNS, or in Google Drive when `keep_on_drive` is true and
    Drive is mounted, or in `runs/` beside the notebook.

    Raises:
        ValueError: an unknown profile, or `gpu` without CUDA.
    """
    cuda = torch.cuda.is_available()
    profile = os.environ.get("GANCOURSE_PROFILE") or ("gpu" if cuda else "cpu")
    if profile not in PROFILES:
        raise ValueError(f"GANCOURSE_PROFILE is {profile!r}; it is one of {', '.join(PROFILES)}, or unset.")
    if profile == "gpu" and not cuda:
        raise ValueError(
            "GANCOURSE_PROFILE is 'gpu', but PyTorch finds no CUDA device. "
            "On Colab choose Runtime → Change runtime type → GPU; elsewhere unset the variable to use a CPU."
        )
    device = torch.device("cuda" if profile == "gpu" else "cpu")
    if device.type == "cpu":
        # One thread gives the same weights on every machine; small networks gain nothing from a second.
        torch.set_num_threads(1)
    torch.manual_seed(seed)
    notebook_style()

    runs, where = Path(os.environ.get("GANCOURSE_RUNS", "runs")).expanduser(), ""
    if keep_on_drive and DRIVE.is_dir():
        runs, where = DRIVE / "gancourse-runs", " · runs kept on Drive"
    elif keep_on_drive:
        where = " · Drive is not mounted, so runs stay on this machine (mount it from Colab's file panel)"
    hardware = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    version = importlib.metadata.version("gancourse")
    duration = _duration(lab, profile)
    print(f"gancourse {version} · {hardware} · profile {profile} · seed {seed} · {duration}{where}")
    return Session(lab, profile, device, seed, runs / lab)


def _duration(lab: str, profile: str) -> str:
    path = files("gancourse") / "lab_costs.json"
    measured = json.loads(path.read_text(encoding="utf-8"))["labs"] if path.is_file() else {}
    row = measured.get(lab, {}).get(profile)
    if row is None:
        return "time in this profile not measured yet"
    seconds, machine = row["seconds"], row["machine"]
    length = f"{seconds:.0f} seconds" if seconds < 90 else f"{seconds / 60:.0f} minutes"
    return f"about {length} (measured on {machine})"
