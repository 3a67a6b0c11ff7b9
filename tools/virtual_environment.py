# ruff: noqa: UP032
"""Make `.venv`, or say in one line why this Python cannot: `python3 tools/virtual_environment.py`.

Written so that Python 2.7 and every 3.x can run it: only then can an old Python say that it is too old.
"""

import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def refusal(version, executable, has_ensurepip):
    """Why a virtual environment of the course cannot be made with this Python, or None when it can."""
    name = ".".join(str(part) for part in version[:3])
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        return (
            "gancourse needs Python 3.11, 3.12 or 3.13; {} is Python {}. "
            "Name one that fits, for example: make book PYTHON=python3.12".format(executable, name)
        )
    if not has_ensurepip:
        return (
            "{} (Python {}) cannot make a virtual environment: its module ensurepip is missing. "
            "On Debian and Ubuntu: sudo apt install python3-venv".format(executable, name)
        )
    return None


def main():
    try:
        import ensurepip
    except ImportError:
        ensurepip = None
    problem = refusal(sys.version_info, sys.executable, ensurepip is not None)
    if problem:
        sys.exit(problem)
    sys.exit(subprocess.call([sys.executable, "-m", "venv", "--clear", ".venv"]))


if __name__ == "__main__":
    main()
