"""Run git in the repository, with errors for people."""

import subprocess
from pathlib import Path

from tools.project import ROOT


def git(*arguments: str, folder: Path = ROOT) -> str:
    """What a git command prints, without the last line break.

    Raises:
        ValueError: git fails; the message holds the command and what git said.
    """
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise ValueError(f"`git {' '.join(arguments)}` failed in {folder}: {said}")
    return done.stdout.rstrip("\n")


def uncommitted(folder: Path = ROOT) -> list[str]:
    """The files that differ from the last commit or are not in it."""
    return [line[3:] for line in git("status", "--porcelain", "-uall", folder=folder).splitlines()]


def require_committed(what: str) -> None:
    """Raise unless everything is committed, because `what` is made from the last commit."""
    files = uncommitted()
    if files:
        named = ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else "")
        raise ValueError(f"Not everything is committed: {named}. Commit or remove it; {what}.")
