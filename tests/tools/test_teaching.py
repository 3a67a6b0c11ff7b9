"""The lines that teaching.md gives for marking one submission do mark it."""

import re

import nbformat
import pytest

from tools import notebooks, project

MASTER = project.ROOT / "solutions" / "optimal_discriminator.py"


@pytest.mark.skipif(not MASTER.exists(), reason="the student edition has no masters")
def test_a_submission_with_one_wrong_answer_is_marked_as_the_page_says(tmp_path, monkeypatch, capsys):
    page = (project.ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    submission = notebooks.from_source(MASTER)
    for cell in submission.cells:
        if cell.source.startswith("def density_ratio("):
            cell.source = "def density_ratio(*arguments):\n    return None"
    nbformat.write(submission, tmp_path / "optimal_discriminator.ipynb")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    printed = capsys.readouterr().out
    marks = re.findall(r"^(\w+) (\d)/(\d) ", printed, re.M)
    assert sum(int(points) for _, _, points in marks) == 16
    assert [name for name, earned, points in marks if earned != points] == ["check_density_ratio"]
    assert "a cell stopped: AssertionError" in printed
