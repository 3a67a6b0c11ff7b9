import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from gancourse.fgan import F_DIVERGENCES
from gancourse.fingerprint import Fingerprint
from gancourse.notebook import Session
from gancourse.objectives import OBJECTIVES
from gancourse.targets import ring


def digest(*values, known=None):
    found = Fingerprint(known)
    for value in values:
        found.add(value)
    return found.hexdigest()


IMPORTS = """
import functools, random
from dataclasses import dataclass
from types import SimpleNamespace
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from gancourse.fgan import F_DIVERGENCES
from gancourse.objectives import Objective, blind
"""


def cells(source):
    """What a notebook's cells define under the name f."""
    scope = {"__name__": "__main__"}
    exec(compile(IMPORTS + textwrap.dedent(source), "<cells>", "exec"), scope)
    return scope["f"]


# Each case: what a notebook says, a word in it, and what a reader puts there instead.
EDITS = {
    "a constant": ("A = 2\ndef f(x): return A * x", "A = 2", "A = 3"),
    "the code": ("def f(x): return x + x", "+", "-"),
    "a literal": ("def f(x): return 0.5 * x", "0.5", "0.6"),
    "a helper": ("def g(x): return 2 * x\ndef f(x): return g(x)", "2 *", "3 *"),
    "a helper's helper": ("def h(x): return -x\ndef g(x): return h(x)\ndef f(x): return g(x)", "-x", "x"),
    "a default argument": ("def f(x, gamma=1.0): return gamma * x", "1.0", "2.0"),
    "a default by keyword": ("def f(x, *, gamma=1.0): return gamma * x", "1.0", "2.0"),
    "a dictionary": ("A = {'rate': [1, 2]}\ndef f(x): return A['rate'][1] * x", "2]", "3]"),
    "a set": ("A = {'a', 'b'}\ndef f(x): return x in A", "'b'", "'c'"),
    "a namespace": ("A = SimpleNamespace(rate=1)\ndef f(x): return A.rate * x", "=1", "=2"),
    "an array": ("A = np.arange(3.0)\ndef f(x): return A * x", "3.0", "4.0"),
    "an array of objects": ("A = np.array([1, 'a'], object)\ndef f(x): return A", "'a'", "'b'"),
    "a tensor": ("A = torch.ones(2)\ndef f(x): return A * x", "ones", "zeros"),
    "an attribute of a class": ("class A:\n    rate = 1\ndef f(x): return A.rate * x", "= 1", "= 2"),
    "a method": (
        "class A:\n    def g(self, x): return 2 * x\na = A()\ndef f(x): return a.g(x)",
        "2 *",
        "3 *",
    ),
    "an inherited method": (
        "class B:\n    def g(self, x): return 2 * x\nclass A(B): pass\na = A()\ndef f(x): return a.g(x)",
        "2 *",
        "3 *",
    ),
    "a property": (
        "class A:\n    @property\n    def g(self): return 2\na = A()\ndef f(x): return a.g",
        "return 2",
        "return 3",
    ),
    "a static method": (
        "class A:\n    @staticmethod\n    def g(): return 2\ndef f(x): return A.g()",
        "return 2",
        "return 3",
    ),
    "an attribute of an object": (
        "class A:\n    def __init__(self, rate): self.rate = rate\na = A(1)\ndef f(x): return a.rate",
        "A(1)",
        "A(2)",
    ),
    "a slot": (
        "class A:\n    __slots__ = ('rate',)\na = A()\na.rate = 1\ndef f(x): return a.rate",
        "rate = 1",
        "rate = 2",
    ),
    "a bound method": (
        "class A:\n    def __init__(self, k): self.k = k\n    def g(self): return self.k\nf = A(1).g",
        "A(1)",
        "A(2)",
    ),
    "a callable object": ("class A:\n    def __call__(self, x): return 2 * x\nf = A()", "2 *", "3 *"),
    "a data class": ("@dataclass\nclass A:\n    k: int\na = A(1)\ndef f(x): return a.k", "A(1)", "A(2)"),
    "a partial": ("def g(a, x): return a * x\nf = functools.partial(g, 1)", ", 1", ", 2"),
    "a partial's function": ("def g(a, x): return a * x\nf = functools.partial(g, 1)", "a * x", "a + x"),
    "a cached function": (
        "@functools.cache\ndef g(x): return x\ndef f(x): return g(x)",
        "return x\n",
        "return -x\n",
    ),
    "a decorated function": (
        "def d(h):\n    @functools.wraps(h)\n    def inner(x): return h(x)\n    return inner\n"
        "@d\ndef g(x): return x\ndef f(x): return g(x)",
        "return x\n",
        "return -x\n",
    ),
    "no_grad": ("A = 2\n@torch.no_grad()\ndef g(x): return A * x\ndef f(x): return g(x)", "A = 2", "A = 3"),
    "a constant in a comprehension": ("A = 2\ndef f(x): return [A * i for i in x]", "A = 2", "A = 3"),
    "a constant in a lambda": ("A = 2\ndef f(x): return map(lambda i: A * i, x)", "A = 2", "A = 3"),
    "a constant in an inner function": (
        "A = 2\ndef f(x):\n    def g(): return A\n    return g()",
        "A = 2",
        "A = 3",
    ),
    "a closure": ("def make(k):\n    return lambda x: k * x\nf = make(1)", "make(1)", "make(2)"),
    "the second of two closures": (
        "def make(k):\n    return lambda x: k * x\ng, h = make(1), make(2)\ndef f(x): return g(x) + h(x)",
        "make(2)",
        "make(3)",
    ),
    "the second of two lambdas": (
        "g, h = lambda x: x, lambda x: 2 * x\ndef f(x): return g(h(x))",
        "2 *",
        "3 *",
    ),
    "a library function": ("g = functional.relu\ndef f(x): return g(x)", "relu", "elu"),
    "a builtin": ("g = torch.sigmoid\ndef f(x): return g(x)", "sigmoid", "tanh"),
    "a loss module": ("g = nn.BCEWithLogitsLoss()\ndef f(x): return g(x)", "BCEWithLogitsLoss", "MSELoss"),
    "an f-divergence": (
        "g = F_DIVERGENCES['KL'].generator_loss\ndef f(x): return g(x)",
        "'KL'",
        "'reverse KL'",
    ),
    "an objective of one's own": (
        "g = Objective('mine', lambda r, f: r, blind(lambda x: x))\ndef f(x): return g",
        "lambda x: x",
        "lambda x: -x",
    ),
    "an autograd function": (
        "class A(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x): return x\n"
        "def f(x): return A.apply(x)",
        "return x\n",
        "return -x\n",
    ),
    "a distribution": (
        "A = torch.distributions.Normal(0.0, 1.0)\ndef f(x): return A.log_prob(x)",
        "1.0",
        "2.0",
    ),
    "numpy's generator": ("A = np.random.default_rng(0)\ndef f(x): return A.normal()", "(0)", "(1)"),
    "a generator of torch's": (
        "A = torch.Generator().manual_seed(0)\ndef f(x): return torch.randn(1, generator=A)",
        "(0)",
        "(1)",
    ),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit_is_seen_and_running_the_same_cells_again_is_none(case):
    source, old, new = EDITS[case]
    assert source.count(old) == 1
    assert digest(cells(source)) == digest(cells(source))
    assert digest(cells(source)) != digest(cells(source.replace(old, new)))


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        ("def f(x):\n    return 2 * x", "2 * x", "2 * x  # twice"),
        ("def f(x):\n    y = 2 * x\n    return y", "    y =", "\n\n    y  ="),
        ("noise = 1\ndef f(x): return x.noise.mean()", "noise = 1", "noise = 2"),
        ("A = 1\ndef f(x): return x", "A = 1", "A = 2"),
    ],
    ids=["a comment", "lines", "a variable called as an attribute is", "a variable that is not read"],
)
def test_what_does_not_matter_is_no_edit(source, old, new):
    assert digest(cells(source)) == digest(cells(source.replace(old, new, 1)))


def network(*, slope=0.2, width=4, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(slope), nn.Dropout(0.1), nn.Linear(width, 1))


def adam(model, **settings):
    return torch.optim.Adam(model.parameters(), **settings)


class Plain(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, x):
        return x**self.power


def frozen(model):
    model[0].requires_grad_(False)
    return model


def hooked(model):
    model[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return model


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (network, lambda: network(slope=0.1)),
        (network, lambda: network(seed=1)),
        (network, lambda: network(width=5)),
        (network, lambda: frozen(network())),
        (network, lambda: network().eval()),
        (network, lambda: hooked(network())),
        (lambda: Plain(2), lambda: Plain(3)),
        (lambda: adam(network()), lambda: adam(network(), lr=2e-3)),
        (lambda: adam(network()), lambda: adam(network(), betas=(0.5, 0.999))),
        (lambda: adam(network()), lambda: torch.optim.AdamW(network().parameters())),
        (lambda: ring(), lambda: ring(modes=7)),
        (lambda: OBJECTIVES["hinge"], lambda: OBJECTIVES["minimax"]),
        (lambda: F_DIVERGENCES["KL"], lambda: F_DIVERGENCES["Pearson"]),
    ],
    ids=[
        *("slope", "weights", "width", "frozen", "mode", "hook", "attribute"),
        *("rate", "betas", "kind", "law", "objective", "divergence"),
    ],
)
def test_objects_are_told_apart_and_recognised(one, other):
    assert digest(one()) == digest(one())
    assert digest(one()) != digest(other())


def test_an_optimizer_given_another_network_is_told_apart():
    def parts(is_swapped):
        g, d = network(), network()
        return {"g": g, "d": d, "adam": adam(d if is_swapped else g)}

    assert digest(parts(False)) == digest(parts(False))
    assert digest(parts(False)) != digest(parts(True))


def test_a_schedule_of_ones_own_is_seen():
    def schedule(factor):
        return torch.optim.lr_scheduler.LambdaLR(adam(network()), lambda step: factor**step)

    assert digest(schedule(0.9)) == digest(schedule(0.9))
    assert digest(schedule(0.9)) != digest(schedule(0.8))


def test_a_step_of_an_optimizer_is_seen():
    model = network()
    optimizer = adam(model)
    before = digest({"adam": optimizer})
    model(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    assert digest({"adam": optimizer}) != before


def test_known_parts_may_change():
    model = network()
    state = {"model": model, "adam": adam(model)}
    scope = {"model": model, "weight": model[0].weight, "A": [1]}
    exec("def f(x): return model(x) + weight.sum() + A[0]", scope)
    before = digest(scope["f"], known=state)
    with torch.no_grad():
        model[0].weight.add_(1)
    assert digest(scope["f"], known=state) == before
    assert digest(scope["f"]) != before
    scope["A"][0] = 2
    assert digest(scope["f"], known=state) != before


def test_a_module_of_ones_own_is_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def found(factor, call):
        Path(tmp_path / "mylosses.py").write_text(f"def loss(x): return {factor} * x\n", encoding="utf-8")
        sys.modules.pop("mylosses", None)
        sys.path_importer_cache.clear()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return digest(cells(f"import mylosses\nfrom mylosses import loss\ndef f(x): return {call}(x)"))

    for call in ("loss", "mylosses.loss"):
        assert found(1, call) == found(1, call)
        assert found(1, call) != found(12, call)


def test_the_folder_of_a_session_does_not_matter_and_its_seed_does():
    def session(seed=0, runs="a"):
        return Session("lab", "cpu", torch.device("cpu"), seed, Path(runs))

    assert digest(session()) == digest(session(runs="b"))
    assert digest(session()) != digest(session(seed=1))


def test_what_cannot_be_described_is_named():
    found = Fingerprint()
    found.add({"figure": cells("import matplotlib.figure\nf = matplotlib.figure.Figure()")})
    assert found.unread == {"matplotlib.figure.Figure"}
    found = Fingerprint()
    found.add([iter([1])])
    assert found.unread == {"builtins.list_iterator"}


def test_what_contains_itself_ends():
    one = [1]
    one.append(one)
    other = [1]
    other.append(other)
    assert digest(one) == digest(other)


def test_every_process_finds_the_same(tmp_path):
    code = IMPORTS + textwrap.dedent(
        """
        from gancourse.fingerprint import Fingerprint
        from gancourse.targets import ring
        A = {"one", "two", "three"}
        class Law:
            def sample(self, n, generator=None): return A
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        def f(x): return model(x), A, random.random(), np.random.rand(), Law()
        found = Fingerprint()
        for value in (f, Law(), ring(), torch.optim.Adam(model.parameters())):
            found.add(value)
        print(found.hexdigest(), sorted(found.unread))
        """
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path("src").resolve())},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
    assert told.pop().endswith(" []\n")
