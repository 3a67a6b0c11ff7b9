"""Set the repository's address: `make address ADDRESS=https://github.com/me/course`.

The address stands in `_config.yml` alone. Badges and set-up cells are derived from it by building the
notebooks again, which executes no lab.
"""

import re
import sys

import yaml

from tools import derived, project

CONFIG = project.ROOT / "_config.yml"
LINE = re.compile(r"(^repository:[ \t]*(?:#.*)?\n(?:[ \t]+.*\n|[ \t]*\n)*?[ \t]+url:[ \t]*)([^\s#]+)", re.M)


def clean(address: str) -> str:
    """The address as it is stored: without a slash or `.git` at its end.

    Raises:
        ValueError: it is not the address of a repository on GitHub.
    """
    stored = address.strip().rstrip("/").removesuffix(".git")
    if not project.ADDRESS.fullmatch(stored) or not stored.rpartition("/")[2].strip("."):
        got = f"got {address!r}" if address.strip() else "none was given"
        raise ValueError(
            f"An address looks like https://github.com/me/course; {got}. "
            "For example: make address ADDRESS=https://github.com/me/course"
        )
    return stored


def with_address(config: str, address: str) -> str:
    """The text of `_config.yml` with another `repository: url:` and not a character else changed.

    Raises:
        ValueError: the text has no such line.
    """
    changed = LINE.sub(lambda found: found[1] + address, config, count=1)
    if (yaml.safe_load(changed).get("repository") or {}).get("url") != address:
        raise ValueError(
            "_config.yml has no block `repository:` with an indented line `url: https://github.com/…`. "
            "Write it so, then set the address again."
        )
    return changed


def set_address(address: str) -> str:
    """Store the address, build the notebooks again and return the address as stored.

    Raises:
        ValueError: the address is none, a lab is stale, or the homework cannot be released.
    """
    address = clean(address)
    config = with_address(CONFIG.read_text(encoding="utf-8"), address)
    derived.require_fresh()
    CONFIG.write_text(config, encoding="utf-8")
    derived.rebuild()
    return address


def main(arguments: list[str]) -> None:
    try:
        address = set_address(*arguments)
    except ValueError as error:
        sys.exit(str(error))
    print(f"The address is {address}. Badges and set-up cells carry it, with the tag {project.tag()}.")
    print("Next: look at `git diff`, run `make test`, commit and push.")
    print(f"Set-up cells install from the tag {project.tag()}: push it too, or make one with `make release`.")


if __name__ == "__main__":
    main(sys.argv[1:])
