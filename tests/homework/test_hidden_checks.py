"""Right solutions get full marks, wrong ones lose exactly what they break, on whatever seed."""

import ast
import contextlib
import re
from collections import Counter

import numpy as np
import pytest

from grading import adapter, marking
from solutions.checks import CallFailed
from tests.homework.answers import STEMS, right, wrong
from tests.homework.conftest import caller

SEEDS = range(100)
WRONG = [(stem, *answer) for stem in STEMS for answer in wrong(stem)]
STYLES = [(stem, style) for stem in STEMS for style in right(stem)]
wrong_solutions = pytest.mark.parametrize(
    ("stem", "function", "code"),
    [(stem, function, code) for stem, function, _, code in WRONG],
    ids=[f"{stem}-{function}-{slip}" for stem, function, slip, _ in WRONG],
    indirect=["stem"],
)


def test_enough_slips_and_styles_are_tried(stem, parts):
    tried = Counter(function for function, *_ in wrong(stem))
    few = {function: tried[function] for function in parts.solution if tried[function] < 3}
    assert few == {}, f"tests/homework/wrong/{stem}.py has fewer than three slips for these"
    assert tried.keys() <= parts.solution.keys(), f"tests/homework/wrong/{stem}.py names no such function"
    assert len(right(stem)) >= 4, f"tests/homework/right/{stem}.py has fewer than four styles"


def test_master_gets_full_marks_on_every_seed(namespace, checks):
    call = caller(namespace())
    for seed in SEEDS:
        marks = marking.mark(list(checks.values()), call, seed)
        assert {m.grade_id: m.message for m in marks if m.status != "ok"} == {}, f"with seed {seed}"
        assert [m.earned for m in marks] == [c.points for c in checks.values()]


@pytest.mark.parametrize(("stem", "style"), STYLES, indirect=["stem"])
def test_other_styles_get_full_marks(stem, style, parts, checks):
    names = {}
    exec(parts.setup + right(stem)[style], names)
    call = caller(names)
    for seed in SEEDS[::4]:
        marks = marking.mark(list(checks.values()), call, seed)
        assert {m.grade_id: m.message for m in marks if m.status != "ok"} == {}, seed


@wrong_solutions
def test_wrong_solution_loses_exactly_the_marks_of_its_exercise(function, code, namespace, checks):
    marks = marking.mark(list(checks.values()), caller(namespace(code)), seed=7)
    lost = {m.grade_id: m.points - m.earned for m in marks if m.earned != m.points}
    assert lost == {f"check_{function}": checks[function].points}


@wrong_solutions
def test_wrong_solution_is_told_apart_on_every_seed(function, code, namespace, checks):
    call = caller(namespace(code))
    for seed in SEEDS:
        (mark,) = marking.mark([checks[function]], call, seed)
        assert mark.earned == 0, seed
        assert mark.status in ("wrong", "raised")
        # No number but those that the exercise itself names.
        told = re.sub(r"\[0, 1\]|1/2|\bp_[dg]\b", "", mark.message)
        assert mark.status == "raised" or not re.search(r"\d|array\(|tensor\(", told), mark.message


def test_student_copy_gets_nothing(released, checks):
    names = {}
    for cell in released.cells:
        if cell.cell_type == "code" and not cell.metadata.nbgrader.grade:
            exec(cell.source, names)
    marks = marking.mark(list(checks.values()), caller(names), seed=0)
    assert [(m.status, m.earned) for m in marks] == [("raised", 0)] * len(checks)
    assert all(m.message.endswith("raised NotImplementedError.") for m in marks)


def test_missing_functions_are_told_from_wrong_ones(checks):
    marks = marking.mark(list(checks.values()), caller({}), seed=0)
    assert {m.status for m in marks} == {"missing"}


def test_same_seed_same_inputs_and_other_seed_others(namespace, checks):
    def requests(seed):
        seen, call = [], caller(namespace())

        def record(function, *values, **options):
            seen.append(repr((function, values)))
            return call(function, *values, **options)

        marking.mark(list(checks.values()), record, seed)
        return seen

    assert requests(3) == requests(3)
    assert not set(requests(3)) & set(requests(4))


def test_one_exercise_does_not_move_the_inputs_of_another(namespace, checks):
    first, second = list(checks)[:2]

    def inputs_of_last(functions):
        seen, call = [], caller(namespace())

        def record(function, *values, **options):
            seen.append(repr((function, values)))
            return call(function, *values, **options)

        marking.mark([checks[f] for f in functions], record, seed=5)
        return [line for line in seen if functions[-1] in line]

    assert inputs_of_last([second]) == inputs_of_last([first, second])


def test_exercises_share_no_student_function(parts):
    for function, solution in parts.solution.items():
        for code in (solution, parts.check[function]):
            used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
            assert not used & (parts.solution.keys() - {function})


def test_points_agree_everywhere_and_make_twenty(master, released, checks):
    for notebook in (master, released):
        graded = [c.metadata.nbgrader for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade")]
        points = {about.grade_id: about.points for about in graded}
        assert sum(points.values()) == 20
        by_hand = [about.grade_id for about in graded if about.solution]
        assert by_hand, "a derivation is marked by hand"
        assert {c.grade_id: c.points for c in checks.values()} == {
            name: value for name, value in points.items() if name not in by_hand
        }
        stated = [int(p) for c in notebook.cells for p in re.findall(r"\*\*(\d+) points? ·", c.source)]
        assert stated == list(points.values())


JUNK = [
    None, 3, [], {}, {"status": "ok"}, {"status": "ok", "value": 1}, {"status": "ok", "value": {}},
    {"status": "ok", "value": {"result": "text", "inputs": []}},
    {"status": "ok", "value": {
        "result": [[1.0]], "inputs": [], "tensor": True, "gradients": [None, None]}},
    {"status": "ok", "value": {
        "result": np.array(1), "inputs": [], "tensor": True, "gradients": []}},
    {"status": "ok", "value": {"returned": [], "modules": {}, "inputs": []}},
    {"status": "ok", "value": {"returned": [1.0] * 2, "modules": {}, "inputs": []}},
    {"status": "ok", "value": {"returned": [[1.0] * 3] * 2, "modules": {}, "inputs": []}},
    {"status": "ok", "value": {"returned": [1.0] * 2, "inputs": [], "modules": {
        "discriminator": {"parameters": [], "gradients": [], "trainable": [], "training": True},
        "generator": 1}}},
    {"status": "raised", "kinds": [3], "detail": object()}, {"status": "full marks", "points": 20},
    {"status": "raised", "kinds": [], "detail": "x"}, {"status": "raised", "kinds": ["<b>", "ValueError"]},
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_forged_answers_earn_nothing_and_break_nothing(junk, checks):
    marks = marking.mark(list(checks.values()), marking.caller(lambda request: junk), seed=0)
    assert [m.earned for m in marks] == [0] * len(checks)
    assert {m.status for m in marks} <= {"wrong", "raised"}
    assert not any("<" in m.message for m in marks)


def _replace(value, key, new):
    if key not in value:
        raise KeyError(key)
    value[key] = new


def _tamperings():
    """Ways to spoil the answer of a right solution, each at one place of its value."""
    for key in ("result", "tensor", "gradients", "returned", "modules", "inputs"):
        yield f"no-{key}", lambda value, key=key: value.pop(key)
    for key in ("parameters", "gradients", "trainable", "training"):
        for name in ("discriminator", "generator"):
            yield f"no-{name}-{key}", lambda value, key=key, name=name: value["modules"][name].pop(key)
    yield "no-generator", lambda value: value["modules"].pop("generator")
    yield "short-parameters", lambda value: value["modules"]["generator"]["parameters"].pop()
    yield "short-gradients", lambda value: value["modules"]["generator"]["gradients"].pop()
    yield "text-for-parameters", lambda value: value["modules"]["discriminator"].update(parameters=["x"] * 4)
    for key, text in (("gradients", ["x", "x"]), ("returned", ["x"] * 2), ("result", "x")):
        yield f"text-for-{key}", lambda value, key=key, text=text: _replace(value, key, text)
    yield (
        "scalars-for-parameters",
        lambda value: value["modules"]["generator"].update(
            parameters=[np.zeros(())] * len(value["modules"]["generator"]["parameters"])
        ),
    )


@pytest.mark.parametrize(("name", "spoil"), list(_tamperings()), ids=[name for name, _ in _tamperings()])
def test_a_right_answer_tampered_with_is_wrong_and_breaks_nothing(name, spoil, namespace, checks):
    names, spoiled = namespace(), set()

    def send(request):
        answer = adapter.answer(names, request)
        with contextlib.suppress(KeyError):  # this exercise's answers have no such place
            spoil(answer["value"])
            spoiled.add(request["function"])
        return answer

    marks = marking.mark(list(checks.values()), marking.caller(send), seed=0)
    assert {m.status for m in marks} <= {"ok", "wrong"}
    assert any(m.status == "wrong" for m in marks) or not spoiled


# Plain data all of them, and nothing that a check waits for.
ODD = [
    10**400, -(2**63), float("nan"), "1.0", True, None, [], {"a": 1}, [[1.0], [1.0, 2.0]], [1.0, "x"],
    [None] * 3, np.array(True), np.array(np.inf), np.zeros((0, 3)), np.zeros((2,) * 20),
    np.full((3, 3), np.nan), np.zeros(3, np.uint8), np.zeros(3, np.float16), np.zeros(9, ">f8"),
    [np.zeros(3), np.zeros(2)],
]  # fmt: skip


@pytest.mark.parametrize("where", ["result", "gradients", "inputs", "returned", "returned-first"])
def test_odd_data_in_a_right_answer_is_wrong_and_no_fault_of_the_check(where, namespace, checks):
    names = namespace()
    for odd in ODD:

        def send(request, odd=odd):
            answer = adapter.answer(names, request)
            value = answer.get("value", {})
            place, _, first = where.partition("-")
            if first and isinstance(value.get(place), list) and isinstance(value[place][-1], list):
                value[place][-1][:1] = [odd]
            elif isinstance(value.get(place), list):
                value[place][-1:] = [odd]
            elif place in value:
                value[place] = odd
            return answer

        marks = marking.mark(list(checks.values()), marking.caller(send), seed=0)
        assert {m.status for m in marks} <= {"ok", "wrong"}


def test_a_transport_that_knows_more_passes_its_status_on(checks):
    def send(request):
        raise CallFailed("timeout", "It ran for more than 10 seconds.")

    marks = marking.mark(list(checks.values()), marking.caller(send), seed=0)
    assert {(m.status, m.message) for m in marks} == {("timeout", "It ran for more than 10 seconds.")}


def test_unknown_homework_is_refused_in_words():
    with pytest.raises(
        ValueError, match=r"no hidden checks for 'nothing': expected solutions/checks/nothing\.py"
    ):
        marking.exercises("nothing")
