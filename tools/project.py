"""What stands in one place and is needed in several: address, version, measured costs."""

import json
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
UNSET = "https://github.com/OWNER/REPOSITORY"
COSTS = ROOT / "src" / "gancourse" / "lab_costs.json"
ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+?)")


def repository() -> str:
    """The address of the repository, from `_config.yml`."""
    return yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]


def version() -> str:
    """The version, from `pyproject.toml`."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def tag() -> str:
    """The git tag of the release whose library the notebooks install."""
    return f"v{version()}"


def colab_link(path: str) -> str | None:
    """Where Colab opens a notebook of the repository; None while the address is unset."""
    if repository() == UNSET:
        return None
    owner, name = ADDRESS.fullmatch(repository()).groups()
    return f"https://colab.research.google.com/github/{owner}/{name}/blob/main/{path}"


def costs(lab: str) -> str:
    """The measured time of a lab in each profile, as a phrase."""
    measured = json.loads(COSTS.read_text(encoding="utf-8"))["labs"].get(lab, {}) if COSTS.exists() else {}
    phrases = [f"{row['seconds'] / 60:.1f} minutes in `{profile}`" for profile, row in measured.items()]
    return ", ".join(phrases) if phrases else "not measured yet"
