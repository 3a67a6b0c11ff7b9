"""No exercise is answered by one call of the library, nor by a cell of the lab."""

import ast
import copy
import importlib
import inspect
import itertools
import pickle
import pkgutil
from types import FunctionType, SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch

import gancourse
from grading import marking
from tests.homework.answers import STEMS
from tests.homework.conftest import caller
from tools.homework import MASTERS

pytestmark = pytest.mark.filterwarnings("ignore")  # answers tried at random divide by zero and worse
# These load data, draw, train or talk to the kernel: they compute nothing that an exercise asks for.
APART = {"checks", "data", "figures", "notebook", "training"}
exercises = pytest.mark.parametrize(
    ("stem", "exercise"),
    [(stem, check.grade_id.removeprefix("check_")) for stem in STEMS for check in marking.exercises(stem)],
    indirect=["stem"],
)
BEFORE = {
    "as it is": lambda x: x,
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tensor": torch.as_tensor,
    "tensor, exp": lambda x: torch.as_tensor(x).exp(),
}
AFTER = {
    "as it is": lambda y: y,
    "minus": lambda y: -y,
    "half": lambda y: y / 2,
    "exp": lambda y: torch.exp(y) if isinstance(y, torch.Tensor) else np.exp(y),
}


def library():
    """Every public function of the library that computes, by its full name."""
    found = {}
    for module in pkgutil.iter_modules(gancourse.__path__):
        if module.name not in APART:
            names = vars(importlib.import_module(f"gancourse.{module.name}"))
            found |= {f"{module.name}.{n}": f for n, f in names.items() if _is_own(n, f)}
    return found


def _is_own(name, function):
    return (
        isinstance(function, FunctionType)
        and function.__module__.startswith("gancourse.")
        and not name.startswith("_")
    )


def lab_source(stem):
    return (MASTERS.parent / "labs" / f"{stem}.py").read_text(encoding="utf-8")


def lab_namespace(stem, setup):
    """The lab's imports, plain numbers and functions, without anything that it runs."""
    matplotlib.use("Agg")
    names = {}
    exec(setup, names)
    tree = ast.parse(lab_source(stem))
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Assign) and _is_plain(node)
        ):
            exec(compile(ast.Module([node], []), "lab", "exec"), names)
    definitions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for node in definitions:
        exec(compile(ast.Module([node], []), "lab", "exec"), names)
    return names, [node.name for node in definitions]


def _is_plain(node):
    """Whether an assignment binds names to what stands there; `x[:2] = -6, 6` needs an x."""
    try:
        ast.literal_eval(node.value)
    except ValueError:
        return False
    return not any(isinstance(target, ast.Subscript | ast.Attribute) for target in node.targets)


def arities(function):
    """With how many positional arguments a function can be called, at most four."""
    possible = []
    for count in range(1, 5):
        try:
            inspect.signature(function).bind(*range(count))
        except TypeError:
            continue
        possible.append(count)
    return possible


def earns_marks(exercise, answer, checks):
    (mark,) = marking.mark([checks[exercise]], caller({exercise: answer}), seed=11)
    return mark.earned > 0


def first_values(exercise, checks):
    """What the check hands over first; every try meets the same, because the seed is the same."""
    seen = []

    def send(request):
        seen.append(request["values"])
        return {"status": "missing"}

    marking.mark([checks[exercise]], marking.caller(send), seed=11)
    return seen[0]


def remembered(function):
    """A function that computes nothing twice: its result is mapped in several ways, each of them marked."""
    known = {}

    def call(*arguments):
        key = pickle.dumps(arguments)
        if key not in known:
            known[key] = function(*arguments)
        return copy.deepcopy(known[key])

    return call


def answers_as_function_of_arrays(function, exercise, taken, torch_exercise, checks):
    """The ways in which one call of `function`, its arguments trivially mapped, earns the marks."""
    given = None if torch_exercise else first_values(exercise, checks)
    for count in arities(function):
        for places, (before, prepare) in itertools.product(
            itertools.permutations(range(len(taken)), count), BEFORE.items()
        ):
            if torch_exercise and before not in ("as it is", "exp"):
                continue

            def chosen(values, places=places, prepare=prepare):
                chosen = [values[place] for place in places]
                return chosen if torch_exercise else [_prepared(value, prepare) for value in chosen]

            call = function if torch_exercise else remembered(function)
            if given is not None:
                try:  # most calls fail: this is a tenth of the time that the marking takes
                    call(*chosen(copy.deepcopy(given)))
                except Exception:
                    continue
            for after, finish in AFTER.items():

                def answer(*values, chosen=chosen, call=call, finish=finish):
                    result = finish(call(*chosen(values)))
                    is_asked_for = torch_exercise or not isinstance(result, torch.Tensor)
                    return result if is_asked_for else result.numpy()

                if earns_marks(exercise, answer, checks):
                    yield f"{exercise} = {after} {function.__qualname__}{places} of {before}"


def _prepared(value, prepare):
    return prepare(value) if isinstance(value, np.ndarray) else value


def step_pool(taken, values, names):
    """What a student could hand to a step of the lab: arguments, their outputs, the lab's `state`."""
    given = dict(zip(taken, values, strict=True))
    (judge,) = {"discriminator", "critic"} & given.keys()
    discriminator, generator, noise = given[judge], given["generator"], given["noise"]
    names["sample_generator"] = lambda state, n: generator(noise)
    state = SimpleNamespace(
        generator=generator,
        generator_optimizer=given["optimizer"],
    )
    setattr(state, judge, discriminator)
    setattr(state, f"{judge}_optimizer", given["optimizer"])
    fake = generator(noise)
    pool = {**given, "state": state, "n": len(noise), "fake": fake, "fake_logits": discriminator(fake)}
    pool |= {name: names[name] for name in ("minimax", "non_saturating") if name in names}
    if "real" in given:
        pool["real_logits"] = discriminator(given["real"])
    return pool


def small_game(exercise, taken):
    discriminator = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    generator = torch.nn.Linear(2, 2)
    trained = generator if exercise.startswith("generator") else discriminator
    game = {
        "discriminator": discriminator,
        "critic": discriminator,
        "generator": generator,
        "optimizer": torch.optim.SGD(trained.parameters(), lr=0.1),
        "real": torch.randn(4, 2),
        "noise": torch.randn(5, 2),
    }
    return trained, [game.get(name, 0.8) for name in taken]


def answers_as_step(function, exercise, taken, names, checks):
    """The ways in which one call of `function` is the step asked for, its returned numbers mended for it."""
    keys = list(step_pool(taken, small_game(exercise, taken)[1], names))
    for count in {1, 2, 3} & set(arities(function)):
        for chosen in itertools.permutations(keys, count):
            if not {"optimizer", "state"} & set(chosen):
                continue  # nothing else holds the optimiser that must make the step
            # Most calls fail or train nothing: one try on a small game sorts these out.
            trained, values = small_game(exercise, taken)
            start = [weight.detach().clone() for weight in trained.parameters()]
            pool = step_pool(taken, values, names)
            try:
                function(*[pool[key] for key in chosen])
            except Exception:
                continue
            if all(torch.equal(w, s) for w, s in zip(trained.parameters(), start, strict=True)):
                continue
            for sign in (1, -1):

                def answer(*given, chosen=chosen, sign=sign):
                    pool = step_pool(taken, given, names)
                    if "real" not in taken:
                        return sign * float(function(*[pool[key] for key in chosen]))
                    numbers = [pool[k].sigmoid().mean().item() for k in ("real_logits", "fake_logits")]
                    return sign * float(function(*[pool[key] for key in chosen])), *numbers

                if earns_marks(exercise, answer, checks):
                    yield f"{exercise} = {function.__qualname__}({', '.join(chosen)})"


def answers(function, exercise, taken, kind, names, checks):
    if kind == "step":
        return answers_as_step(function, exercise, taken, names, checks)
    return answers_as_function_of_arrays(function, exercise, taken, kind == "differentiable", checks)


@exercises
def test_no_call_of_the_library_answers_an_exercise(exercise, parameters, adapters, checks):
    assert len(library()) >= 10
    taken, kind = parameters[exercise], adapters[exercise]
    found = [way for f in library().values() for way in answers(f, exercise, taken, kind, {}, checks)]
    assert found == []


@exercises
def test_no_function_of_the_lab_answers_an_exercise(stem, exercise, parts, parameters, adapters, checks):
    names, functions = lab_namespace(stem, parts.setup)
    assert functions
    found = []
    for name in functions:
        found += answers(names[name], exercise, parameters[exercise], adapters[exercise], names, checks)
    assert found == []


@exercises
def test_no_cell_of_the_lab_pasted_as_the_body_answers_an_exercise(
    stem, exercise, parts, parameters, adapters, checks
):
    taken, tried = parameters[exercise], 0
    for source in lab_source(stem).split("# %%")[1:]:
        cell = source.split("\n", 1)[1]
        if source.startswith(" [markdown]"):
            continue
        tree = ast.parse(cell)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if not used & set(taken) or not tree.body:
            continue
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.Return(last.value)
        elif isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
            tree.body.append(ast.Return(ast.Name(last.targets[0].id, ast.Load())))
        elif isinstance(last, ast.FunctionDef):
            tree.body.append(ast.Return(ast.Name(last.name, ast.Load())))
        head = ast.parse(f"def {exercise}({', '.join(taken)}): pass")
        head.body[0].body = tree.body
        names, _ = lab_namespace(stem, parts.setup)
        exec(compile(ast.fix_missing_locations(head), "pasted", "exec"), names)
        tried += 1
        assert not earns_marks(exercise, names[exercise], checks), cell
    assert tried or adapters[exercise] != "step"


@pytest.mark.parametrize("stem", ["optimal_discriminator"], indirect=True)
def test_the_search_finds_an_answer_where_there_is_one(parts, parameters, adapters, checks):
    """What the tests above rest on: planted answers are found behind a changed order, a map, a `state`."""
    names = {}
    for code in [parts.setup, *parts.solution.values()]:
        exec(code, names)

    def weighted(prior, fake, real):
        return -names["class_weighted_loss"](real, fake, prior)

    def from_tensors(log_q, log_p, prior):
        return torch.as_tensor(names["optimal_discriminator"](log_p.numpy(), log_q.numpy(), prior))

    def step(state, noise):
        return -names["generator_step"](
            state.discriminator, state.generator, state.generator_optimizer, noise
        )

    for exercise, planted in (
        ("class_weighted_loss", weighted),
        ("optimal_discriminator", from_tensors),
        ("generator_step", step),
    ):
        assert list(answers(planted, exercise, parameters[exercise], adapters[exercise], {}, checks))
