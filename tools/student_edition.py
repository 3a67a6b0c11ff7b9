"""Write the course without solutions, grading and history: `make student-edition TO=../course-for-students`.

For courses that keep the solutions private. The edition is a repository of its own with one commit.
"""

import json
import shutil
import sys
from pathlib import Path

from tools import project
from tools.git import git, require_committed
from tools.homework import BEGIN, END

LEFT_OUT = (
    "solutions",
    "grading",
    "tests/homework",
    "tests/grading",
    "benchmarks/grading.py",
    "benchmarks/grading.md",
)
# Pages that speak of what is left out say so under their first heading.
NOTE = (
    "*This copy is the student edition. Solutions, hidden checks and grader stay with whoever teaches; what "
    "is said of them below is about the full course.*"
)
NOTED = ("README.md", "book/teaching.md")
# Shorter lines, such as `loss.backward()`, stand in every training loop and give nothing away.
DISTINCTIVE = 50
AUTHOR = ("-c", "user.name=The gancourse contributors", "-c", "user.email=contributors@gancourse.invalid")


def is_left_out(path: str) -> bool:
    """Whether a path of the repository stays out of the edition."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in LEFT_OUT)


def text_lines(path: Path) -> list[str]:
    """The lines of a text file without indentation; of a notebook, those of its cells and outputs."""
    text = path.read_text(encoding="utf-8", errors="ignore")
    if path.suffix == ".ipynb":
        strings, waiting = [], [json.loads(text)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += value.values()
            elif isinstance(value, list) and all(isinstance(part, str) for part in value):
                strings.append("".join(value))
            elif isinstance(value, list):
                waiting += value
            elif isinstance(value, str):
                strings.append(value)
        text = "\n".join(strings)
    return [line.strip() for line in text.splitlines()]


def secrets(root: Path = project.ROOT) -> set[str]:
    """Distinctive lines of solutions, model answers and hidden checks, but for those that are released."""
    hidden, shown = set(), set()
    for path in sorted((root / "solutions").rglob("*.py")):
        inside = path.parent.name == "checks"
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.strip().removeprefix("# ").strip()
            if text in (BEGIN, END):
                inside = text == BEGIN
            elif len(text) >= DISTINCTIVE:
                (hidden if inside else shown).add(text)
    return hidden - shown


def leaks(files: list[Path], hidden: set[str]) -> list[str]:
    """Where a line of a solution stands in files that students get, as 'file: line'."""
    return [
        f"{path}: {line}" for path in files for line in text_lines(path) if line.removeprefix("# ") in hidden
    ]


def target_folder(name: str) -> Path:
    """The folder to write to.

    Raises:
        ValueError: none is named, it is not empty, no folder, or lies inside the repository.
    """
    if not name:
        raise ValueError("Name an empty or new folder: make student-edition TO=../course-for-students")
    target = Path(name).expanduser().resolve()
    if target.is_relative_to(project.ROOT):
        raise ValueError(
            f"{target} lies inside this repository; name a folder outside, such as TO=../students."
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(
            f"{target} exists and is not an empty folder; nothing was written. Name another one."
        )
    return target


def write_edition(name: str) -> Path:
    """Write the student edition into a folder and return its path.

    Raises:
        ValueError: the folder will not do, something is not committed, or a solution would leak; nothing
            is written then.
    """
    target = target_folder(name)
    require_committed("the student edition is made of committed files")
    files = [path for path in git("ls-files", "-z").split("\0") if path and not is_left_out(path)]
    found = leaks([project.ROOT / path for path in files], secrets())
    if found:
        raise ValueError("Nothing was written: a line of a solution stands in\n" + "\n".join(found))
    for path in files:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(project.ROOT / path, target / path, follow_symlinks=False)
    for path in NOTED:
        heading, rest = (target / path).read_text(encoding="utf-8").split("\n", 1)
        (target / path).write_text(f"{heading}\n\n{NOTE}\n{rest}", encoding="utf-8")
    git("init", "--quiet", "--initial-branch=main", folder=target)
    git("add", "--all", "--force", folder=target)
    message = f"gancourse {project.version()}, student edition"
    unsigned = ("-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false", *AUTHOR)
    git(*unsigned, "commit", "--quiet", "--no-verify", "--message", message, folder=target)
    git(*unsigned, "tag", "--annotate", project.tag(), "--message", message, folder=target)
    return target


def main(arguments: list[str]) -> None:
    try:
        target = write_edition(*arguments)
    except ValueError as error:
        sys.exit(str(error))
    print(f"The student edition is in {target}: one commit, tagged {project.tag()}, no solutions.")
    print(f"Its notebooks carry the address {project.repository()}. Next: `make test` there, then push main")
    print("and the tag. Another address? `make address` here, commit, and write the edition again.")


if __name__ == "__main__":
    main(sys.argv[1:])
