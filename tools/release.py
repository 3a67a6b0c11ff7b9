"""Release a version: `make release VERSION=0.2.0`.

Version (in pyproject.toml), set-up cells and tag change together, in one commit; nothing is pushed.
"""

import re
import sys

from tools import derived, project
from tools.git import git, require_committed, uncommitted

PYPROJECT = project.ROOT / "pyproject.toml"
FINAL = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*")
LINE = re.compile(r'(^\[project\]\n(?:(?!\[).*\n)*?version\s*=\s*")([^"\n]+)(")', re.M)


def numbers(version: str) -> tuple[int, ...]:
    """The release numbers of a version, without zeros at the end: 1.0 and 1 are the same version.

    Raises:
        ValueError: not a final version as PEP 440 writes it, such as 0.2.0.
    """
    if not FINAL.fullmatch(version):
        got = f"got {version!r}" if version else "none was given"
        raise ValueError(
            f"A version is numbers with dots (PEP 440, final), such as 0.2.0; {got}. "
            "For example: make release VERSION=0.2.0"
        )
    parts = [int(part) for part in version.split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def require_releasable(version: str) -> None:
    """Raise a ValueError that says what to do, unless this version can be released from this checkout."""
    present, tag = project.version(), f"v{version}"
    if numbers(version) <= numbers(present) and version != present:
        raise ValueError(f"Version {version} is not greater than the present one, {present}.")
    if git("branch", "--show-current") != "main":
        raise ValueError("A release is made on the branch main; run `git switch main` first.")
    require_committed("a release is made of committed files")
    if git("tag", "--list", tag):
        raise ValueError(f"The tag {tag} exists already; take a greater version.")
    if project.repository() == project.UNSET:
        raise ValueError(
            "The repository's address is not set. Run: make address ADDRESS=https://github.com/me/course"
        )
    if not LINE.search(PYPROJECT.read_text(encoding="utf-8")):
        raise ValueError('pyproject.toml needs a line `version = "…"` in its block [project].')
    git("var", "GIT_AUTHOR_IDENT")
    derived.require_fresh()
    derived.require_fresh_homework()


def release(version: str) -> str:
    """Bump the version, build the notebooks with the new tag, commit and tag; return the tag.

    Raises:
        ValueError: the checkout cannot be released; nothing was changed then.
    """
    require_releasable(version)
    tag = f"v{version}"
    try:
        text = PYPROJECT.read_text(encoding="utf-8")
        PYPROJECT.write_text(LINE.sub(rf"\g<1>{version}\g<3>", text, count=1), encoding="utf-8")
        derived.rebuild()
        if uncommitted():  # the present version, not tagged before, changes nothing
            git("commit", "--all", "--message", f"Release {version}")
    except BaseException:
        git("restore", "--staged", "--worktree", ".")  # the tree was clean, so nothing of the user's is lost
        raise
    git("tag", "--annotate", tag, "--message", f"gancourse {version}")
    return tag


def main(arguments: list[str]) -> None:
    try:
        tag = release(*arguments)
    except ValueError as error:
        sys.exit(str(error))
    print(f"Committed and tagged {tag}. Nothing is published yet; to publish:")
    print(f"  git push --atomic origin main {tag}")


if __name__ == "__main__":
    main(sys.argv[1:])
