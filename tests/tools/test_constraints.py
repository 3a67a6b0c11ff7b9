"""Every distribution that the course installs is pinned, and conda takes the same pins."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import project

# From outside CPU-only builds torch brings these for CUDA; it pins them itself.
OF_TORCH = ("cuda-", "nvidia-", "triton")


def pins() -> dict[str, str]:
    lines = (project.ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), lines
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def installed() -> dict[str, str]:
    """Name and version of every distribution that the library with its extras needs here, itself excepted."""
    with open(project.ROOT / "pyproject.toml", "rb") as file:
        declared = tomllib.load(file)["project"]
    extras = declared["optional-dependencies"].values()
    lines = [*declared["dependencies"], *(line for extra in extras for line in extra)]
    waiting, seen, versions = [Requirement(line) for line in lines], set(), {}
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen or name.startswith(OF_TORCH):
                continue
            seen.add((name, extra))
            try:
                found = distribution(name)
            except PackageNotFoundError:
                raise AssertionError(f"{wanted} is not installed; run `make test`") from None
            versions[name] = found.version.partition("+")[0]  # torch's build for CPUs is 2.13.0+cpu
            needs = [Requirement(line) for line in found.requires or []]
            waiting += [need for need in needs if not need.marker or need.marker.evaluate({"extra": extra})]
    return versions


def test_what_is_installed_is_pinned_at_that_version():
    pinned = pins()
    wrong = {
        name: f"{version} is installed, {pinned.get(name, 'nothing')} is pinned"
        for name, version in installed().items()
        if pinned.get(name) != version
    }
    assert wrong == {}


def test_the_pins_are_sorted_and_stand_once():
    lines = (project.ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert lines == sorted(lines, key=str.lower)
    assert len(pins()) == len(lines)


def test_conda_and_binder_take_the_same_pins():
    environment = yaml.safe_load((project.ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [line for line in environment["dependencies"] if isinstance(line, str)]
    (nested,) = [line for line in environment["dependencies"] if not isinstance(line, str)]
    assert [re.split("[=<>]", line)[0] for line in plain] == ["python", "pip"]
    assert nested == {"pip": ["-c constraints.txt", "-e .[book,test]"]}
