"""Written answers are found wherever a student wrote them, with their pictures in whatever form."""

import base64
import json
import time

import pytest

from grading import collect, gradebook
from grading.grade import RELEASES
from grading.notebooks import is_answered, read, read_release
from tests.grading.submissions import STEM, cell, new_cell, released, solved, write

TEXT = "minimal_risk"
PLACEHOLDER = "".join(cell(released(), TEXT)["source"])
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode("ascii")
JPEG = base64.b64encode(b"\xff\xd8\xff" + bytes(200)).decode("ascii")


def note(source, **more):
    return {"cell_type": "markdown", "metadata": {}, "source": source} | more


@pytest.fixture
def answer(tmp_path):
    """What is read of a notebook's written answer, and the cell that a person sees to mark it."""

    def handed_in(notebook):
        write(tmp_path / "jane.ipynb", notebook)
        release = read_release(RELEASES / f"{STEM}.ipynb")
        submission = read(collect.collect(tmp_path, STEM)[0], release)
        found = submission.answers.get(TEXT)
        view = json.loads(gradebook.notebook_for_view(release, submission, [], ""))
        return found, cell(view, TEXT), submission.notes, is_answered(found, release)

    return handed_in


def after(notebook, *cells):
    """Put cells below the one for the answer."""
    index = notebook["cells"].index(cell(notebook, TEXT)) + 1
    notebook["cells"][index:index] = cells
    return notebook


def test_what_stands_in_its_cell_is_taken_without_a_word(answer):
    found, seen, notes, answered = answer(solved(answer="By *convexity*."))
    assert (found.source, "".join(seen["source"]), answered) == ("By *convexity*.", "By *convexity*.", True)
    assert notes == ()


def test_an_answer_may_go_on_in_the_next_cells_with_code_between(answer):
    notebook = after(solved(answer="First."), note("Second."), new_cell("x = 1"), note("Third."))
    found, seen, notes, answered = answer(notebook)
    assert found.source == "First.\n\nSecond.\n\nThird."
    assert "".join(seen["source"]) == found.source
    assert answered
    assert any("was joined to the answer" in said for said in notes)


@pytest.mark.parametrize("above", [False, True], ids=["below", "above"])
def test_an_answer_beside_an_untouched_cell_counts(answer, above):
    notebook = after(solved(answer=PLACEHOLDER), note("It is here."))
    if above:
        index = notebook["cells"].index(cell(notebook, TEXT))
        notebook["cells"].insert(index, notebook["cells"].pop(index + 1))
    found, seen, notes, answered = answer(notebook)
    assert answered
    assert found.source == "".join(seen["source"]) == "It is here."
    assert any("is taken for the answer" in said for said in notes)


@pytest.mark.parametrize(
    ("source", "read"),
    [
        ("By *convexity*.", "By *convexity*."),
        (f"See ![p](data:image/png;base64,{PNG})", "See ![p](attachment:picture-1)"),
        ("def h(p):\n    return p", "def h(p):\n    return p"),
    ],
    ids=["text", "picture", "code"],
)
def test_an_answer_in_a_cell_that_became_a_code_cell_counts(answer, source, read):
    notebook = solved()
    cell(notebook, TEXT).update(new_cell(source), metadata=cell(notebook, TEXT)["metadata"])
    found, seen, notes, answered = answer(notebook)
    assert answered
    assert found.source == "".join(seen["source"]) == read
    assert any("is a code cell; it was read as text" in said for said in notes)


def test_an_untouched_cell_that_became_a_code_cell_is_no_answer_and_not_run(answer):
    notebook = solved(answer=PLACEHOLDER)
    cell(notebook, TEXT)["cell_type"] = "code"
    _, _, notes, answered = answer(notebook)
    assert not answered
    assert notes == ()


@pytest.mark.parametrize(
    ("write_into", "written"),
    [
        (lambda lines: [*lines, "", "First.\n\n$$", "x", "$$"], "First.\n\n$$\nx\n$$"),
        (lambda lines: [*lines[:-1], f"{lines[-1]} It is this."], "It is this."),
        (lambda lines: [*lines[:8], "*Here.*", *lines[8:], "*There.*"], "*Here.*\n\n*There.*"),
    ],
    ids=["below", "in the last line", "between"],
)
@pytest.mark.parametrize("untouched", [True, False])
def test_an_answer_in_the_cell_of_its_question_counts(answer, write_into, written, untouched):
    notebook = solved(answer=PLACEHOLDER if untouched else "More.")
    question = notebook["cells"][notebook["cells"].index(cell(notebook, TEXT)) - 1]
    question["source"] = "\n".join(write_into("".join(question["source"]).split("\n")))
    found, seen, notes, answered = answer(notebook)
    assert answered
    expected = written if untouched else f"{written}\n\nMore."
    assert found.source == "".join(seen["source"]) == expected
    assert any("is taken for the answer" in said for said in notes)


def test_an_untouched_cell_alone_is_no_answer_nor_is_text_elsewhere(answer):
    notebook = solved(answer=PLACEHOLDER)
    notebook["cells"].insert(3, note("My notes on the first exercise."))
    notebook["cells"].append(note("A word to my instructor, below the last given text."))
    found, _, notes, answered = answer(notebook)
    assert not answered
    assert "notes" not in found.source
    assert notes == ()


def test_a_notebook_whose_cells_lost_their_marks_keeps_all_of_the_answer(answer):
    notebook = after(solved(answer="First."), note("Second."))
    for each in notebook["cells"]:
        each["metadata"] = {}
    found, _, notes, answered = answer(notebook)
    assert answered
    assert found.source == "First.\n\nSecond."
    assert any("is taken for the answer" in said for said in notes)


@pytest.mark.parametrize(
    "picture",
    [
        f"![my page](data:image/png;base64,{PNG})",
        f'<img src="data:image/png;base64,{PNG}" width="400" alt="my page">',
        f"<img width=300 src='data:image/png;base64,{PNG}'/>",
    ],
    ids=["Markdown", "HTML", "HTML, other quotes"],
)
def test_a_picture_that_colab_keeps_inside_the_text_is_seen_by_who_marks(answer, picture):
    found, seen, _, answered = answer(solved(answer=f"See:\n\n{picture}\n\nand more."))
    assert answered
    ((name, kinds),) = seen["attachments"].items()
    assert kinds == {"image/png": PNG}
    assert f"](attachment:{name})" in "".join(seen["source"])
    assert "base64" not in found.source
    assert found.source.endswith("and more.")


def test_a_large_photograph_inside_the_text_does_not_make_a_notebook_unreadable(answer):
    photo = base64.b64encode(b"\xff\xd8\xff" + bytes(7_000_000)).decode("ascii")
    begun = time.process_time()
    found, seen, _, answered = answer(solved(answer=f"![]({'data:image/jpeg;base64,' + photo})"))
    assert answered
    assert list(seen["attachments"].values()) == [{"image/jpeg": photo}]
    assert len(found.source) < 100
    assert time.process_time() - begun < 10


def test_pictures_of_several_cells_do_not_hide_one_another(answer):
    attached = {"attachments": {"image.png": {"image/png": PNG}}}
    other = {"attachments": {"image.png": {"image/jpeg": JPEG}}}
    notebook = after(solved(answer=PLACEHOLDER), note("![](attachment:image.png)", **attached))
    after(notebook, note("![](attachment:image.png)", **other))
    found, seen, _, _ = answer(notebook)
    assert sorted(kind for kinds in seen["attachments"].values() for kind in kinds) == [
        "image/jpeg",
        "image/png",
    ]
    assert all(f"](attachment:{name})" in found.source for name in seen["attachments"])


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "image/heic", "image/png"])
def test_what_only_claims_to_be_a_picture_is_not_shown(answer, kind):
    found, seen, _, answered = answer(solved(answer=f"![x](data:{kind};base64,PHNjcmlwdD4=)"))
    assert answered
    assert "attachments" not in seen
    assert "".join(seen["source"]) == "![x](attachment:picture-1)"
    assert (len(found.attachments), gradebook.readable_pictures(found)) == (1, {})


def test_a_picture_from_outside_leads_nowhere(answer):
    _, seen, _, _ = answer(solved(answer="![x](http://a.b/c.png)"))
    assert "".join(seen["source"]) == "![x](#)"


@pytest.mark.parametrize(
    "part", ["![", "<img ", "![a](data:image/png;base64,", "<img src='data:image/png;base64,A"]
)
def test_text_that_almost_holds_pictures_takes_no_time(answer, part):
    begun = time.process_time()
    answer(solved(answer=part * (3_000_000 // len(part))))
    assert time.process_time() - begun < 5
