import subprocess
import sys
import textwrap
import tracemalloc
from pathlib import Path

import numpy as np
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
    "what __post_init__ sets": (
        "@dataclass\nclass A:\n    k: int\n    def __post_init__(self): self.j = 1\n"
        "a = A(1)\ndef f(x): return a.j",
        "self.j = 1",
        "self.j = 2",
    ),
    "an enumeration": (
        "import enum\nclass A(enum.Enum):\n    X = 1\nx = A.X\ndef f(y): return x.value",
        "X = 1",
        "X = 2",
    ),
    "a method of a kind of list": (
        "class A(list):\n    def g(self): return 1\na = A()\ndef f(x): return a.g()",
        "return 1",
        "return 2",
    ),
    "a named tuple's method": (
        "import typing\nclass A(typing.NamedTuple):\n    k: int\n    def g(self): return 5\na = A(3)\n"
        "def f(x): return a.g()",
        "return 5",
        "return 6",
    ),
    "a default of a dictionary": (
        "import collections\nA = collections.defaultdict(lambda: 1)\ndef f(x): return A[x]",
        "lambda: 1",
        "lambda: 2",
    ),
    "a deque": ("import collections\nA = collections.deque([1, 2])\ndef f(x): return A[0]", "2]", "3]"),
    "a wrapper that is an object": (
        "class W:\n    def __init__(self, h, k): self.__wrapped__, self.k = h, k\nw = W(len, 1)\n"
        "def f(x): return w.k",
        "len, 1",
        "len, 2",
    ),
    "settings of a command line": (
        "import argparse\nA = argparse.Namespace(rate=1)\ndef f(x): return A.rate",
        "rate=1",
        "rate=2",
    ),
    "a fraction": ("import fractions\nA = fractions.Fraction(1, 3)\ndef f(x): return A", "1, 3", "1, 4"),
    "an array of records": (
        "A = np.array([(1, 'a')], [('n', int), ('o', object)])\ndef f(x): return A",
        "'a')",
        "'b')",
    ),
    "a sparse tensor": ("A = torch.eye(2).to_sparse() * 2\ndef f(x): return A @ x", "* 2", "* 3"),
    "a conjugate": ("A = torch.tensor([1 + 2j]).conj()\ndef f(x): return A @ x", "2j", "3j"),
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


CACHES = {
    "a cached property": (
        "class A:\n    @functools.cached_property\n    def g(self): return 1\na = A()\ndef f(): return a.g"
    ),
    "a cached function": "@functools.cache\ndef g(): return 1\ndef f(): return g()",
    "a function by type": "@functools.singledispatch\ndef g(x): return x\ndef f(): return g(1)",
    "a distribution": (
        "A = torch.distributions.Categorical(torch.ones(3))\ndef f(): return A.log_prob(torch.tensor(1))"
    ),
    "a law of scipy": "import scipy.stats\nA = scipy.stats.norm(0, 1)\ndef f(): return A.rvs()",
    "numpy's random numbers": "from numpy.random import rand\ndef f(): return rand()",
    "Python's random numbers": "from random import choice, random as r\ndef f(): return r(), choice([1, 2])",
    "torch's random numbers": ("A = torch.default_generator\ndef f(): return torch.randn(1, generator=A)"),
    "a lazy network": "A = nn.LSTM(2, 3)\ndef f(): return A(torch.ones(1, 2))",
}


@pytest.mark.parametrize("case", CACHES)
def test_use_is_no_edit(case):
    f = cells(CACHES[case])
    before = digest(f)
    f()
    assert digest(f) == before


STRANGE = {
    "an attribute that any name has": (
        "class A:\n    def __init__(self): self.d = {}\n    def __getattr__(self, n): return self.d[n]\n"
        "f = A()"
    ),
    "a class that refuses all": (
        "class M(type):\n    def __getattr__(c, n): raise ValueError\nclass A(metaclass=M): pass\nf = A()"
    ),
    "a field that was never set": (
        "import dataclasses\n@dataclass\nclass A:\n    k: int = dataclasses.field(init=False)\nf = A()"
    ),
    "a field with a factory": (
        "from dataclasses import field\n@dataclass\nclass A:\n    k: list = field(default_factory=list)\n"
        "f = A()"
    ),
    "a generic class": "import typing\nT = typing.TypeVar('T')\nclass A(typing.Generic[T]): pass\nf = A()",
    "a sentinel": "f = object()",
    "a tensor without values": "f = torch.empty(2, device='meta')",
    "nested tensors": "f = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged)",
    "bfloat16": "f = torch.ones(2, dtype=torch.bfloat16)",
    "a hook's handle": "f = nn.Linear(1, 1).register_forward_hook(print)",
    "an asynchronous function": "async def f(): return 1",
    "a view of bytes": "import array\nf = array.array('d', [1.0])",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", STRANGE)
def test_strange_values_are_described_and_no_note_is_made(case):
    found = Fingerprint()
    found.add(cells(STRANGE[case]))
    assert not found.unread
    assert found.hexdigest() == digest(cells(STRANGE[case]))


def test_what_is_too_deep_is_named():
    deep = []
    for _ in range(500):
        deep = [deep]
    found = Fingerprint()
    found.add(deep)
    assert found.unread == {"builtins.list within 120 others"}


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, on import
@pytest.mark.parametrize("make", [lambda: torch.compile(network()), lambda: torch.compile(lambda x: 2 * x)])
def test_what_torch_compiles_is_what_it_was_made_from(make):
    assert digest(make()) == digest(make())


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_a_network_compiled_in_place_is_what_it_was():
    compiled = network()
    compiled.compile()
    assert digest(compiled) == digest(network())


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


def test_modules_of_ones_own_are_followed_and_imports_within_as_well(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").write_text("", encoding="utf-8")

    def found(factor, source):
        text = f"def loss(x): return {factor} * x\n"
        (tmp_path / "mypackage" / "losses.py").write_text(text, encoding="utf-8")
        for name in ("mypackage", "mypackage.losses"):
            sys.modules.pop(name, None)
        sys.path_importer_cache.clear()
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        return digest(cells("import mypackage.losses\n" + source))

    for source in (
        "def f(x): return mypackage.losses.loss(x)",
        "def f(x):\n    from mypackage.losses import loss\n    return loss(x)",
    ):
        assert found(1, source) == found(1, source)
        assert found(1, source) != found(12, source)


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


@pytest.mark.parametrize("make", [torch.ones, np.ones])
def test_data_are_not_copied(make):
    data = make(2**22)
    tracemalloc.start()
    digest(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


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
