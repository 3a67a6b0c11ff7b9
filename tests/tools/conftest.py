"""A small course in a git repository of its own, whose tools can be called without touching this one."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAB = """\
# %% [markdown]
# # Demonstration
#
# [Open in Colab]({{ colab }})

# %%
INSTALL = "gancourse @ git+{{ repository }}@{{ tag }}"
print("kept")
"""
SECRET = "the_secret_of_doubling_a_value = value + value + 0 * value"
SENTENCE = "No student may read the sentence that stands here, in this file."
ABOUT = '"locked": false, "schema_version": 3, "task": false'
MASTER = f"""\
# %% [markdown]
# # Homework: a demonstration
#
# [Open in Colab]({{{{ colab }}}})
#
# **20 points, about 5 minutes.** **You need** nothing. **How it is marked.** By a check and by hand.

# %% nbgrader={{"grade": false, "grade_id": "setup", "solution": false, {ABOUT}}}
import math

# %% nbgrader={{"grade": false, "grade_id": "double", "solution": true, {ABOUT}}}
def double(value):
    ### BEGIN SOLUTION
    {SECRET}
    return the_secret_of_doubling_a_value
    ### END SOLUTION


# %% nbgrader={{"grade": true, "grade_id": "check_double", "points": 15, "solution": false, {ABOUT}}}
assert double(2) == 4

# %% [markdown] nbgrader={{"grade": true, "grade_id": "proof", "points": 5, "solution": true, {ABOUT}}}
# ### BEGIN SOLUTION
# Two halves make a whole.
# ### END SOLUTION

# %% [markdown]
# ## How to submit
#
# Hand in `demo.ipynb`.
"""


class Course:
    """A repository of the course in a temporary folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def tool(self, name: str):
        """The course's own copy of a module of tools/."""
        return importlib.import_module(f"tools.{name}")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "state")

    def replace(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(autouse=True)
def no_outer_make(monkeypatch):
    """Forget that `make test` may have started these tests: an inner make would take over its variables."""
    for variable in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PORT", "PYTHON"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def git_identity(monkeypatch, tmp_path):
    """A git that reads nobody's settings, so that tests do the same on every machine."""
    for variable in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(variable)
    settings = tmp_path / "gitconfig"
    settings.write_text("[user]\nname = A tester\nemail = tester@example.org\nuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def tools_of(monkeypatch):
    """A function that makes `import tools` mean the tools of another folder, until the test ends."""

    def own() -> list[str]:
        return [name for name in sys.modules if name == "tools" or name.startswith("tools.")]

    before = {name: sys.modules[name] for name in own()}

    def use(folder: Path) -> None:
        for name in own():
            del sys.modules[name]
        monkeypatch.syspath_prepend(str(folder))

    yield use
    for name in own():
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def course(tmp_path, git_identity, tools_of) -> Course:
    """A committed course with the address set, one fresh lab, one homework and its hidden check."""
    folder = tmp_path / "a course"
    shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "_config.yml", ".gitignore", "Makefile", "constraints.txt"):
        shutil.copy2(ROOT / name, folder / name)
    for name, text in {
        "README.md": "# The course\n\nWhat it is.\n",
        "book/teaching.md": "# Teaching\n\nHow it is done.\n",
        "labs/demo.py": LAB,
        "solutions/demo.py": MASTER,
        "solutions/checks/demo.py": f'"""{SENTENCE}"""\n',
        "grading/marks.py": '"""Marks."""\n',
        "tests/homework/test_demo.py": '"""Proofs."""\n',
        "tests/test_kept.py": '"""Kept."""\n',
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "src" / "gancourse").mkdir(parents=True)
    made = Course(folder)
    tools_of(folder)

    import nbformat

    config = folder / "_config.yml"
    config.write_text(
        made.tool("address").with_address(config.read_text(encoding="utf-8"), "https://github.com/me/course"),
        encoding="utf-8",
    )
    notebooks, source = made.tool("notebooks"), folder / "labs" / "demo.py"
    notebook = notebooks.from_source(source)
    notebook.cells[1].execution_count = 7  # a number that no execution would leave here
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", name="stdout", text="kept\n")]
    notebook.metadata["gancourse"] = {
        "code": notebooks.code_hash(source),
        "library": notebooks.library_hash(source),
        "profile": "cpu",
    }
    nbformat.write(notebook, source.with_suffix(".ipynb"))
    assert notebooks.stale(source) is None
    assert made.tool("homework").main([]) == 0
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit()
    return made
