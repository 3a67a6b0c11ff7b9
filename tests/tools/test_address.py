"""The address: one place, cleaned on the way in, carried by every notebook."""

import re

import nbformat
import pytest
import yaml

from tools import address, project

pytestmark = pytest.mark.xdist_group("tools")

COMMITTED = sorted((project.ROOT / "labs").rglob("*.ipynb"))
COMMITTED = [
    path for path in COMMITTED if ".ipynb_checkpoints" not in path.parts and "runs" not in path.parts
]


@pytest.mark.parametrize(
    "given",
    [
        "https://github.com/me/course",
        "https://github.com/me/course/",
        "https://github.com/me/course.git",
        " https://github.com/me/course.git/ ",
    ],
)
def test_an_address_is_cleaned(given):
    assert address.clean(given) == "https://github.com/me/course"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "me/course",
        "git@github.com:me/course.git",
        "http://github.com/me/course",
        "https://gitlab.com/me/course",
        "https://github.com/me",
        "https://github.com/me/course/tree/main",
        "https://github.com/me/..",
        "https://github.com/me/my course",
        "https://github.com/me/course?x=1",
    ],
)
def test_anything_else_is_refused_with_an_example(given):
    with pytest.raises(
        ValueError, match=r"looks like https://github\.com/me/course; .*make address ADDRESS="
    ):
        address.clean(given)


def test_only_the_address_changes_in_the_configuration():
    before = (project.ROOT / "_config.yml").read_text(encoding="utf-8")
    after = address.with_address(before, "https://github.com/me/course")
    old, new = before.splitlines(), after.splitlines()
    changed = [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]
    assert len(changed) <= 1
    assert yaml.safe_load(after)["repository"]["url"] == "https://github.com/me/course"
    assert address.with_address(after, project.repository()) == before


def test_the_address_is_found_behind_comments_and_other_keys():
    before = (
        "url: x\nrepository: # where it is\n  branch: main\n\n  url: https://github.com/a/b  # here\nz: 1\n"
    )
    after = address.with_address(before, "https://github.com/me/course")
    assert after == before.replace("https://github.com/a/b", "https://github.com/me/course")


def test_a_configuration_without_an_address_is_refused():
    with pytest.raises(ValueError, match="no block `repository:`"):
        address.with_address("repository:\n  branch: main\nhtml:\n  url: x\n", "https://github.com/me/course")


def addresses(notebook) -> tuple[set[str], set[str]]:
    """Repositories named in code cells, and Colab links anywhere."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    everything = "\n".join(cell.source for cell in notebook.cells)
    repositories = re.findall(r"https://github\.com/[\w-]+/[\w.-]*\w", code)
    return set(repositories), set(re.findall(r"https://colab\.[^\s)\"'>]+", everything))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_committed_notebooks_carry_the_configured_address_and_tag(path):
    notebook = nbformat.read(path, as_version=4)
    link = project.colab_link(path.relative_to(project.ROOT).as_posix())
    repositories, links = addresses(notebook)
    assert repositories <= {project.repository()}
    assert links == ({link} if link else set())
    for cell in notebook.cells:
        assert "{{" not in cell.source
        if cell.cell_type == "code" and "github.com" in cell.source:
            tags = set(re.findall(r"\bv\d+(?:\.\d+)+\b", cell.source))
            assert tags == {project.tag()}


def test_setting_the_address_reaches_lab_and_homework_and_executes_nothing(course, capsys):
    course.tool("address").main(["https://github.com/other/fork.git/"])
    printed = capsys.readouterr().out
    assert "The address is https://github.com/other/fork." in printed
    assert "commit and push" in printed
    lab = nbformat.read(course.folder / "labs" / "demo.ipynb", as_version=4)
    homework = nbformat.read(course.folder / "labs" / "homework" / "demo.ipynb", as_version=4)
    tag = course.tool("project").tag()
    assert f"git+https://github.com/other/fork@{tag}" in lab.cells[1].source
    assert (lab.cells[1].execution_count, lab.cells[1].outputs[0].text) == (7, "kept\n")
    colab = "https://colab.research.google.com/github/other/fork/blob/main/labs/"
    assert addresses(lab) == ({"https://github.com/other/fork"}, {f"{colab}demo.ipynb"})
    assert addresses(homework)[1] == {f"{colab}homework/demo.ipynb"}
    changed = set(course.git("diff", "--name-only").split())
    assert changed == {"_config.yml", "labs/demo.ipynb", "labs/homework/demo.ipynb"}


def test_a_stale_lab_stops_it_before_anything_is_written(course):
    course.replace("labs/demo.py", 'print("kept")', 'print("new")')
    with pytest.raises(SystemExit, match=r"labs/demo\.py \(its code changed\)\. Run `make labs`"):
        course.tool("address").main(["https://github.com/other/fork"])
    assert course.git("diff", "--name-only") == "labs/demo.py"


def test_unsetting_the_address_hides_the_colab_links(course):
    course.tool("address").main([course.tool("project").UNSET])
    for path in (course.folder / "labs").rglob("*.ipynb"):
        assert "colab" not in path.read_text(encoding="utf-8")
