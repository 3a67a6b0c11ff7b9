"""Print the requirements of extras of pyproject.toml, one a line: `python -m tools.requirements book`.

`make book` installs an extra without the library itself, and so without torch; pip has no option for that.
Standard library only, because it runs before anything is installed.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(*extras: str) -> list[str]:
    """The requirement lines of the named extras, without the library's own dependencies.

    Raises:
        ValueError: pyproject.toml has no extra of that name.
    """
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    unknown = sorted(set(extras) - set(known))
    if unknown:
        raise ValueError(f"pyproject.toml has no extra {', '.join(unknown)}; it has {', '.join(known)}.")
    return [line for extra in extras for line in known[extra]]


if __name__ == "__main__":
    try:
        print("\n".join(requirements(*sys.argv[1:])))
    except ValueError as error:
        sys.exit(str(error))
