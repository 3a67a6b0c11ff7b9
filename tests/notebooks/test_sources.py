"""The committed notebooks are what their sources say, and hold nothing that does not belong in them."""

import json
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from tools import notebooks, project

ROOT = project.ROOT
LABS = sorted((ROOT / "labs").glob("*.py"))
MACRO = re.compile(r"\\(E|KL|JSD|supp|Bern)(?![a-zA-Z])")


def lab(function):
    return pytest.mark.parametrize("source", LABS, ids=lambda path: path.stem)(function)


def read(source: Path) -> nbformat.NotebookNode:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def look(notebook):
    return [(cell.id, cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]


def test_there_are_labs():
    assert LABS


def test_every_published_lab_has_its_source():
    assert notebooks.without_source() == []


@lab
def test_a_lab_keeps_its_runs_under_its_own_name(source):
    assert re.findall(r'\bbegin\(\s*"(\w+)"', source.read_text(encoding="utf-8")) == [source.stem]


@lab
def test_notebook_is_built_from_its_source(source):
    assert look(read(source)) == look(notebooks.from_source(source)), "run `make labs`"


@lab
def test_code_has_not_changed_since_it_was_executed(source):
    assert read(source).metadata["gancourse"]["code"] == notebooks.code_hash(source), "run `make labs`"
    assert read(source).metadata["gancourse"]["profile"] == "cpu"


# What an extra of the library installs, by the name it is imported under.
EXTRAS = {"anywidget": "arena", "gancourse.arena": "arena", "ot": "transport", "gymnasium": "control"}


@lab
def test_the_set_up_cell_names_the_extras_that_the_lab_imports(source):
    code = source.read_text(encoding="utf-8")
    imported = set(re.findall(r"^\s*(?:import|from) ([\w.]+)", code, re.M))
    needed = {extra for module, extra in EXTRAS.items() if module in imported}
    (library,) = re.findall(
        r'library = "gancourse(?:\[([\w,]+)\])? @ git', source.read_text(encoding="utf-8")
    )
    assert set(library.split(",")) - {""} == needed


@lab
def test_outputs_hold_no_debris(source):
    notebook = read(source)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count, "executed from top to bottom"
            for output in cell.outputs:
                assert output.output_type != "error"
                assert output.get("name") != "stderr"
                assert notebooks.WIDGET_VIEW not in output.get("data", {})
                assert not re.search(r"/(work|tmp|home|root)/", json.dumps(output.get("text", "")))
                assert "it/s]" not in json.dumps(output.get("text", ""))


@lab
def test_every_figure_stands_alone_and_has_alt_text(source):
    pictures = 0
    for cell in read(source).cells:
        images = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        pictures += len(images)
        assert len(images) <= 1, f"{cell.id} draws {len(images)} figures"
        if images:
            words = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(words) > 40, (
                f"{source.name}, {cell.id} draws a figure: say what it shows in its metadata, "
                'mystnb={"image": {"alt": "…"}}'
            )
    assert pictures


@lab
def test_markdown_is_plain(source):
    for cell in read(source).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"\{[a-z:-]+\}`", cell.source), f"{cell.id} holds a MyST role"
            assert not MACRO.search(cell.source), f"{cell.id} holds a macro of the book"


@lab
def test_a_lab_is_under_a_megabyte_and_a_half(source):
    assert source.with_suffix(".ipynb").stat().st_size < 1_500_000


def test_prose_address_and_tag_execute_nothing(tmp_path, monkeypatch):
    code = '# %% [markdown]\n# words\n\n# %%\nprint("{{ repository }} {{ tag }}")\n'
    source = tmp_path / "labs" / "demo.py"
    source.parent.mkdir()
    source.write_text(code)
    notebooks.build(source)
    executed = []
    monkeypatch.setattr(notebooks, "execute", lambda notebook: executed.append(notebook))
    monkeypatch.setattr(project, "repository", lambda: "https://github.com/me/mine")
    monkeypatch.setattr(project, "tag", lambda: "v9.9.9")
    source.write_text(code.replace("words", "other words"))
    notebooks.build(source)
    assert not executed
    notebook = read(source)
    assert "https://github.com/me/mine v9.9.9" in notebook.cells[1].source
    assert notebook.cells[0].source == "other words"
    assert notebook.cells[1].outputs[0].text
    source.write_text(code.replace("print(", "print(1, "))
    assert notebooks.stale(source) == "its code changed"


def test_a_lab_that_fails_keeps_its_outputs_and_stops_no_other(tmp_path, monkeypatch, capsys):
    def execute(notebook):
        if "wrong" in notebook.cells[0].source:
            raise CellExecutionError("where it failed", "AssertionError", "it did not learn")

    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(notebooks, "execute", execute)
    labs = tmp_path / "labs"
    labs.mkdir()
    for name, code in (("a", "wrong"), ("b", "right")):
        (labs / f"{name}.py").write_text(f"# %%\n{code} = 1\n")
    (labs / "renamed.ipynb").write_text("{}")
    figures = tmp_path / "book" / "assets" / "figures"
    figures.mkdir(parents=True)
    (figures / "renamed-light.svg").write_text("<svg/>")
    assert notebooks.main([]) == 1
    said = capsys.readouterr()
    assert "where it failed" in said.err
    assert "labs/a.py: AssertionError: it did not learn; its old outputs stay" in said.err
    assert "labs/renamed.ipynb: has no source labs/renamed.py" in said.err
    assert not (labs / "a.ipynb").exists()
    assert (labs / "b.ipynb").exists()
    assert "renamed-light.svg: removed" in said.out
    assert not list(figures.iterdir())


def test_a_changed_module_makes_a_lab_stale_and_a_changed_docstring_does_not(tmp_path, monkeypatch):
    package = tmp_path / "src" / "gancourse"
    package.mkdir(parents=True)
    (package / "outer.py").write_text(
        '"""Words."""\nfrom gancourse.inner import g\n\ndef f():\n    return g()\n'
    )
    (package / "inner.py").write_text("def g():\n    return 1\n")
    (package / "other.py").write_text("x = 1\n")
    source = tmp_path / "demo.py"
    source.write_text("# %%\nfrom gancourse import outer\n")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    before = notebooks.library_hash(source)
    (package / "outer.py").write_text(
        '"""Other words."""\nfrom gancourse.inner import g\n\ndef f():\n    return g()\n'
    )
    (package / "other.py").write_text("x = 2\n")
    assert notebooks.library_hash(source) == before
    (package / "inner.py").write_text("def g():\n    return 2\n")
    assert notebooks.library_hash(source) != before


def test_a_script_that_a_package_ships_makes_a_lab_stale(tmp_path, monkeypatch):
    package = tmp_path / "src" / "gancourse" / "live"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "live.mjs").write_text("export default 1;\n")
    source = tmp_path / "demo.py"
    source.write_text("# %%\nfrom gancourse.live import Live\n")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    before = notebooks.library_hash(source)
    (package / "live.mjs").write_text("export default 2;\n")
    assert notebooks.library_hash(source) != before


def test_an_unknown_token_is_named(tmp_path):
    source = tmp_path / "demo.py"
    source.write_text("# %%\nx = '{{ adress }}'\n")
    with pytest.raises(ValueError, match=r"unknown token \{\{ adress \}\}.*\{\{ repository \}\}"):
        notebooks.from_source(source)


def test_a_missing_source_is_told(capsys):
    with pytest.raises(SystemExit):
        notebooks.main(["labs/nowhere.py"])
    assert "no such lab source: labs/nowhere.py" in capsys.readouterr().err


def test_colab_links_appear_with_the_address(tmp_path, monkeypatch):
    source = tmp_path / "demo.py"
    source.write_text("# %% [markdown]\n# # Title\n#\n# [Open in Colab]({{ colab }})\n")
    monkeypatch.setattr(project, "repository", lambda: project.UNSET)
    assert "Colab" not in notebooks.from_source(source).cells[0].source
    monkeypatch.setattr(project, "repository", lambda: "https://github.com/me/mine")
    expected = "(https://colab.research.google.com/github/me/mine/blob/main/labs/demo.ipynb)"
    assert expected in notebooks.from_source(source).cells[0].source


def test_the_figures_of_the_chapters_are_those_their_code_draws(tmp_path, monkeypatch):
    committed = {path.name for path in (ROOT / "book" / "assets" / "figures").glob("*.svg")}
    monkeypatch.setattr("gancourse.figures.save_pair", lambda draw, folder, name: None)
    assert notebooks.draw_figures() == committed, "run `make labs`"


@pytest.mark.parametrize(
    "source", [*LABS, *sorted((ROOT / "book" / "figures").glob("*.py"))], ids=lambda path: path.stem
)
def test_a_frechet_distance_never_stands_without_what_it_does_not_compare_with(source):
    code = "\n".join(cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code")
    if "Fréchet distance" in code or "Fréchet {" in code:
        assert "NOT_INCEPTION" in code or "str(quality)" in code  # which ends with it
