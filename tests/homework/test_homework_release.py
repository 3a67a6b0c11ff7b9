"""What students get: fresh, reproducible, and without a trace of a solution or of a hidden check."""

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module

import nbformat
import numpy as np
import pytest

from grading import marking
from tests.homework.conftest import caller
from tools import homework, project


@pytest.fixture(scope="session")
def text(master_path):
    return homework.release(master_path)


@pytest.fixture(scope="session")
def by_hand(released):
    """Ids of the written answers."""
    about = [c.metadata.get("nbgrader", {}) for c in released.cells]
    return [a.grade_id for a in about if a.get("grade") and a.get("solution")]


@pytest.fixture
def everything_released():
    """All that stands where students look, as one text with JSON's escapes undone."""
    texts = []
    for path in homework.RELEASES.rglob("*"):
        if path.is_file():
            cells = nbformat.read(path, as_version=4).cells
            texts += [c.source for c in cells] + [json.dumps(c.metadata) for c in cells]
    return "\n".join(texts)


def test_released_notebooks_are_fresh():
    assert homework.stale(homework.MASTERS, homework.RELEASES) == []


def test_release_is_reproducible_to_the_byte(text, master_path):
    code = "import sys; from pathlib import Path; from tools import homework\n"
    code += "sys.stdout.buffer.write(homework.release(Path(sys.argv[1])).encode())"
    root = homework.MASTERS.parent
    again = subprocess.run(
        [sys.executable, "-c", code, str(master_path)], cwd=root, capture_output=True, check=True
    )
    assert (
        again.stdout.decode()
        == text
        == (homework.RELEASES / f"{master_path.stem}.ipynb").read_text(encoding="utf-8")
    )


def test_no_line_of_a_solution_is_released(master, parts, by_hand, everything_released):
    regions = re.findall(r"### BEGIN SOLUTION\n(.*?)\s*### END SOLUTION", _all(master), re.S)
    assert len(regions) == len(parts.solution) + len(by_hand)
    lines = [line.strip() for region in regions for line in region.split("\n") if len(line.strip()) > 12]
    assert lines
    assert [line for line in lines if line in everything_released] == []
    assert "SOLUTION" not in everything_released
    assert "ubric" not in everything_released


def test_no_line_of_a_hidden_check_is_released(stem, everything_released):
    source = inspect.getsource(import_module(f"solutions.checks.{stem}"))
    lines = {line.strip() for line in source.split("\n") if len(line.strip()) > 15}
    lines -= {line for line in lines if line.startswith(("import ", "from ", "with torch.no_grad()"))}
    assert [line for line in lines if line in everything_released] == []
    texts = [
        n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and type(n.value) is str
    ]
    messages = [text for text in texts if len(text) > 20 and text[0].isupper()]
    assert messages
    assert [text for text in messages if text in everything_released] == []
    assert "solutions" not in re.findall(r"(?:import|from) (\w+)", everything_released)


def test_no_expected_value_is_released(namespace, checks, everything_released):
    values, call = set(), caller(namespace())

    def record(function, *arguments, **options):
        answer = call(function, *arguments, **options)
        _numbers(answer, values)
        return answer

    for seed in range(3):
        marking.mark(list(checks.values()), record, seed)
    written = {f"{value:.6g}" for value in values}
    written = {w for w in written if len(w.strip("-0.").replace(".", "")) >= 5}
    assert len(written) > 100
    assert [w for w in written if w in everything_released] == []


def test_nothing_lies_beside_the_releases():
    stems = {path.stem for path in homework.MASTERS.glob("*.py")}
    assert {path.name for path in homework.RELEASES.iterdir()} <= {f"{s}.ipynb" for s in stems}
    assert not list(homework.MASTERS.glob("*.ipynb"))


def test_placeholders_name_the_exercise(released, parts, by_hand):
    for function in parts.solution:
        (cell,) = [c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade_id") == function]
        assert cell.source.count(f'raise NotImplementedError("solve {function}")') == 1
        assert "YOUR CODE HERE" in cell.source
    written = [c for c in released.cells if c.metadata.get("nbgrader", {}).get("grade_id") in by_hand]
    assert [cell.source for cell in written] == ["*Write your answer here.*"] * len(by_hand)


def test_cells_are_stable_and_locked_as_they_should_be(released):
    assert [c.id for c in released.cells] == [f"cell-{i}" for i in range(len(released.cells))]
    nbformat.validate(released)
    assert {key for c in released.cells for key in c.metadata} == {
        "nbgrader",
        "deletable",
        "editable",
        "tags",
    }
    for cell in released.cells:
        about = cell.metadata.get("nbgrader")
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
            assert about is not None
            assert about.solution != (cell.metadata.get("editable") is False)


def test_it_reads_well_outside_the_book(stem, released):
    prose = "\n".join(c.source for c in released.cells if c.cell_type == "markdown")
    assert not re.search(r"\{[a-z:_-]+\}`|\\(KL|JSD|E|R)\b|\{\{|^:::", prose, re.M)
    assert "gancourse" not in "\n".join(c.source for c in released.cells)
    imported = re.findall(r"^\s*(?:import|from) (\w+)", "\n".join(_codes(released)), re.M)
    assert set(imported) <= {"numpy", "torch"}
    first, last = released.cells[0].source, released.cells[-1].source
    assert first.startswith("# Homework: ")
    assert all(part in first for part in ("How it is marked", "20 points", "You need"))
    assert last.startswith("## How to submit")
    assert f"`{stem}.ipynb`" in last
    link = project.colab_link(f"labs/homework/{stem}.ipynb")
    assert (f"[Open in Colab]({link})" in first) if link else ("Colab](" not in first)


def test_every_exercise_states_points_minutes_and_difficulty(released, parts, by_hand):
    heads = [c.source for c in released.cells if c.source.startswith("## Exercise")]
    assert [int(re.match(r"## Exercise (\d+): ", head)[1]) for head in heads] == list(
        range(1, len(parts.solution) + len(by_hand) + 1)
    )
    minutes = [
        int(re.search(r"^\*\*\d+ points? · (\d+) minutes · (?:easy|medium|hard)\b.*\*\*$", h, re.M)[1])
        for h in heads
    ]
    said = re.search(r"about (?:(\d+) hours?)? ?(?:(\d+) minutes)?", released.cells[0].source)
    assert sum(minutes) == 60 * int(said[1] or 0) + int(said[2] or 0), f"the first cell says {said[0]!r}"


def test_stale_releases_are_named(stem, tmp_path, text, monkeypatch, capsys, master_path):
    monkeypatch.setattr(homework, "MASTERS", tmp_path / "masters")
    homework.MASTERS.mkdir()
    shutil.copy(master_path, homework.MASTERS)
    tmp_path = tmp_path / "released"
    tmp_path.mkdir()
    monkeypatch.setattr(homework, "RELEASES", tmp_path)
    monkeypatch.setattr(homework, "release", lambda master: text)
    assert homework.main(["--check"]) == 1
    assert "not released; run `make homework`" in capsys.readouterr().out
    assert homework.main([]) == 0
    assert homework.main(["--check"]) == 0
    (tmp_path / f"{stem}.ipynb").write_text(text.replace("You need", "You want"), encoding="utf-8")
    (tmp_path / "checks.py").write_text("answers", encoding="utf-8")
    capsys.readouterr()
    assert homework.main(["--check"]) == 1
    said = capsys.readouterr().out
    assert f"differs from what {stem}.py releases" in said
    assert "checks.py: has no master" in said


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    ### END SOLUTION\n", "", "expected one of each"),
        ("    ### BEGIN SOLUTION\n    return np.exp(logits) * (1 - prior) / prior\n    ### END SOLUTION\n",
         "    return np.exp(logits) * (1 - prior) / prior\n", "a solution cell without"),
        ('"grade_id": "density_ratio", "locked": false, "schema_version": 3, "solution": true',
         '"grade_id": "density_ratio", "locked": true, "schema_version": 3, "solution": false',
         "lack solution: true"),
        ('"grade_id": "check_density_ratio"', '"grade_id": "setup"', "occurs twice"),
        ('"grade_id": "check_density_ratio"', '"grade_id": "density"', "expected 'check_density_ratio'"),
        ('"grade_id": "density_ratio"', '"grade_id": "ratio"', "expected 'density_ratio'"),
        ('"grade_id": "setup"', '"grade_id": "imports"', "its grade_id is 'setup'"),
        ("**How it is marked.**", "**Marks.**", "lacks 'How it is marked'"),
        ("points, about", "points, not more than", "does not say how long it takes"),
        ("# ## How to submit", "# ## Submit", "the last cell is '## How to submit'"),
        ("file, `optimal_discriminator.ipynb`", "file, `homework.ipynb`", "the file to hand in"),
        ('"points": 2, ', "", "without points"),
        ("# %% [markdown]\n# ## How to submit", "# %%\nx = 1\n\n# %% [markdown]\n# ## How to submit",
         "without nbgrader metadata"),
        ("def density_ratio(logits, prior):", "density_ratio = lambda logits, prior: (\n    #",
         "must define one function.*found 0"),
        ("def density_ratio(logits, prior):",
         "def helper():\n    pass\n\n\ndef density_ratio(logits, prior):",
         "must define one function.*found 2"),
    ],
)  # fmt: skip
def test_a_bad_master_is_refused_in_words(old, new, message, tmp_path):
    stem = "optimal_discriminator"
    source = (homework.MASTERS / f"{stem}.py").read_text(encoding="utf-8")
    assert old in source
    bad = tmp_path / "solutions" / f"{stem}.py"
    bad.parent.mkdir()
    bad.write_text(source.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^{stem}\.py, cell \d+: .*{message}"):
        homework.release(bad)


def test_points_that_make_no_homework_are_refused_in_words(tmp_path):
    source = (homework.MASTERS / "optimal_discriminator.py").read_text(encoding="utf-8")
    bad = tmp_path / "optimal_discriminator.py"
    bad.write_text(source.replace('"points": 2, ', '"points": 3, ', 1), encoding="utf-8")
    with pytest.raises(ValueError, match="the exercises earn 21 points; a homework has 20"):
        homework.release(bad)
    code_alone = source.replace('"points": 2, ', '"points": 6, ', 1)
    code_alone = code_alone.replace(
        '"grade": true, "grade_id": "minimal', '"grade": false, "grade_id": "minimal'
    )
    bad.write_text(code_alone, encoding="utf-8")
    with pytest.raises(ValueError, match="no written answer"):
        homework.release(bad)


def _all(notebook):
    return "\n".join(c.source for c in notebook.cells)


def _codes(notebook):
    return [c.source for c in notebook.cells if c.cell_type == "code"]


def _numbers(value, found):
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _numbers(item, found)
    elif isinstance(value, np.ndarray):
        found.update(value.ravel().tolist())
    elif type(value) is float:
        found.add(value)
