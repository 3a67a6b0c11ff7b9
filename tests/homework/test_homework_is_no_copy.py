"""No exercise is answered by one call of the library, nor by a cell of the lab."""

import ast
import importlib
import inspect
import itertools
import pkgutil
from types import FunctionType, SimpleNamespace

import matplotlib
import numpy as np
import pytest
import torch

import gancourse
from grading import marking
from tests.homework.conftest import STEM, caller
from tools.homework import MASTERS

LAB = MASTERS.parent / "labs" / f"{STEM}.py"
pytestmark = pytest.mark.filterwarnings("ignore")  # answers tried at random divide by zero and worse
# These load data, draw, train or talk to the kernel: they compute nothing that an exercise asks for.
APART = {"checks", "data", "figures", "notebook", "training"}
PARAMETERS = {
    "class_weighted_loss": ["real_logits", "fake_logits", "prior"],
    "optimal_discriminator": ["log_p_data", "log_p_generator", "prior"],
    "density_ratio": ["logits", "prior"],
    "smoothed_optimum": ["p_data", "p_generator", "alpha", "beta"],
    "discriminator_step": ["discriminator", "generator", "optimizer", "real", "noise", "alpha"],
    "generator_step": ["discriminator", "generator", "optimizer", "noise"],
}
FUNCTIONS_OF_ARRAYS = [f for f in PARAMETERS if not f.endswith("_step")]
STEPS = [f for f in PARAMETERS if f.endswith("_step")]
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


def lab_tree():
    return ast.parse(LAB.read_text(encoding="utf-8"))


def lab_namespace(setup):
    """The lab's imports and functions, without anything that it runs."""
    matplotlib.use("Agg")
    names = {}
    exec(setup, names)
    for node in lab_tree().body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), "lab", "exec"), names)
    definitions = [node for node in lab_tree().body if isinstance(node, ast.FunctionDef)]
    for node in definitions:
        exec(compile(ast.Module([node], []), "lab", "exec"), names)
    return names, [node.name for node in definitions]


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


def answers_as_function_of_arrays(function, exercise, checks):
    """The ways in which one call of `function`, its arguments trivially mapped, earns the marks."""
    torch_exercise = exercise == "class_weighted_loss"
    for count in arities(function):
        for places in itertools.permutations(range(len(PARAMETERS[exercise])), count):
            for (before, prepare), (after, finish) in itertools.product(BEFORE.items(), AFTER.items()):
                if torch_exercise and before not in ("as it is", "exp"):
                    continue

                def answer(*values, places=places, prepare=prepare, finish=finish):
                    chosen = [values[place] for place in places]
                    if torch_exercise:
                        return finish(function(*chosen))
                    chosen = [prepare(v) if isinstance(v, np.ndarray) else v for v in chosen]
                    result = finish(function(*chosen))
                    return result.numpy() if isinstance(result, torch.Tensor) else result

                if earns_marks(exercise, answer, checks):
                    yield f"{exercise} = {after} {function.__qualname__}{places} of {before}"


def step_pool(exercise, values, names):
    """What a student could hand to a step of the lab: arguments, their outputs, the lab's `state`."""
    given = dict(zip(PARAMETERS[exercise], values, strict=True))
    discriminator, generator, noise = given["discriminator"], given["generator"], given["noise"]
    names["sample_generator"] = lambda state, n: generator(noise)
    state = SimpleNamespace(
        discriminator=discriminator,
        generator=generator,
        discriminator_optimizer=given["optimizer"],
        generator_optimizer=given["optimizer"],
    )
    pool = {**given, "state": state, "n": len(noise), "fake_logits": discriminator(generator(noise))}
    pool |= {name: names[name] for name in ("minimax", "non_saturating") if name in names}
    if "real" in given:
        pool["real_logits"] = discriminator(given["real"])
    return pool


def small_game(exercise):
    discriminator = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    generator = torch.nn.Linear(2, 2)
    trained = discriminator if exercise == "discriminator_step" else generator
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    rest = (
        [torch.randn(4, 2), torch.randn(5, 2), 0.8] if "real" in PARAMETERS[exercise] else [torch.randn(5, 2)]
    )
    return trained, [discriminator, generator, optimizer, *rest]


def answers_as_step(function, exercise, names, checks):
    """The ways in which one call of `function` is the step asked for, its returned numbers mended for it."""
    keys = list(step_pool(exercise, small_game(exercise)[1], names))
    for count in {1, 2, 3} & set(arities(function)):
        for chosen in itertools.permutations(keys, count):
            if not {"optimizer", "state"} & set(chosen):
                continue  # nothing else holds the optimiser that must make the step
            # Most calls fail or train nothing: one try on a small game sorts these out.
            trained, values = small_game(exercise)
            start = [weight.detach().clone() for weight in trained.parameters()]
            pool = step_pool(exercise, values, names)
            try:
                function(*[pool[key] for key in chosen])
            except Exception:
                continue
            if all(torch.equal(w, s) for w, s in zip(trained.parameters(), start, strict=True)):
                continue
            for sign in (1, -1):

                def answer(*given, chosen=chosen, sign=sign):
                    pool = step_pool(exercise, given, names)
                    if exercise == "generator_step":
                        return sign * float(function(*[pool[key] for key in chosen]))
                    numbers = [pool[k].sigmoid().mean().item() for k in ("real_logits", "fake_logits")]
                    return sign * float(function(*[pool[key] for key in chosen])), *numbers

                if earns_marks(exercise, answer, checks):
                    yield f"{exercise} = {function.__qualname__}({', '.join(chosen)})"


@pytest.mark.parametrize("exercise", FUNCTIONS_OF_ARRAYS)
def test_no_call_of_the_library_answers_an_exercise(exercise, checks):
    assert len(library()) >= 10
    found = [way for f in library().values() for way in answers_as_function_of_arrays(f, exercise, checks)]
    assert found == []


@pytest.mark.parametrize("exercise", STEPS)
def test_no_call_of_the_library_is_a_step(exercise, checks):
    found = [way for f in library().values() for way in answers_as_step(f, exercise, {}, checks)]
    assert found == []


@pytest.mark.parametrize("exercise", PARAMETERS)
def test_no_function_of_the_lab_answers_an_exercise(exercise, parts, checks):
    names, functions = lab_namespace(parts.setup)
    assert "discriminator_step" in functions or "step" in functions
    found = []
    for name in functions:
        if exercise in STEPS:
            found += answers_as_step(names[name], exercise, names, checks)
        else:
            found += answers_as_function_of_arrays(names[name], exercise, checks)
    assert found == []


@pytest.mark.parametrize("exercise", PARAMETERS)
def test_no_cell_of_the_lab_pasted_as_the_body_answers_an_exercise(exercise, parts, checks):
    parameters, tried = set(PARAMETERS[exercise]), 0
    for source in LAB.read_text(encoding="utf-8").split("# %%")[1:]:
        cell = source.split("\n", 1)[1]
        if source.startswith(" [markdown]"):
            continue
        tree = ast.parse(cell)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if not used & parameters or not tree.body:
            continue
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.Return(last.value)
        elif isinstance(last, ast.Assign) and isinstance(last.targets[0], ast.Name):
            tree.body.append(ast.Return(ast.Name(last.targets[0].id, ast.Load())))
        elif isinstance(last, ast.FunctionDef):
            tree.body.append(ast.Return(ast.Name(last.name, ast.Load())))
        head = ast.parse(f"def {exercise}({', '.join(PARAMETERS[exercise])}): pass")
        head.body[0].body = tree.body
        names, _ = lab_namespace(parts.setup)
        exec(compile(ast.fix_missing_locations(head), "pasted", "exec"), names)
        tried += 1
        assert not earns_marks(exercise, names[exercise], checks), cell
    assert tried or exercise not in STEPS


def test_the_search_finds_an_answer_where_there_is_one(parts, checks):
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

    assert list(answers_as_function_of_arrays(weighted, "class_weighted_loss", checks))
    assert list(answers_as_function_of_arrays(from_tensors, "optimal_discriminator", checks))
    assert list(answers_as_step(step, "generator_step", {}, checks))


def test_parameters_are_those_of_the_homework(parts):
    for exercise, solution in parts.solution.items():
        (function,) = ast.parse(solution).body
        assert [a.arg for a in function.args.args] == PARAMETERS[exercise]
