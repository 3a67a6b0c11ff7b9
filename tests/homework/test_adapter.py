"""The two ends of a call by value: what may pass, what the student's side reports, what it never does."""

import numpy as np
import pytest
import torch

from grading import adapter, plain
from grading.marking import caller
from solutions.checks import CallFailed


def ask(function, *values, kind="arrays"):
    return adapter.answer({"f": function}, {"function": "f", "adapter": kind, "values": list(values)})


def game(calls, **changes):
    rng = np.random.default_rng(0)
    shapes = [(3, 2), (3,), (3,), (3,), (1, 3), (1,)]
    network = {
        "sizes": [2, 3, 1],
        "activation": "tanh",
        "batch_norm": True,
        "parameters": [rng.standard_normal(shape) for shape in shapes],
        "gradients": [np.ones(shape) for shape in shapes],
    }
    return {
        "modules": {"network": network},
        "optimizer": {"module": "network", "lr": 0.5, "momentum": 0.0},
        "calls": calls,
    } | changes


@pytest.mark.parametrize(
    ("value", "copied"),
    [
        ((1, 2.0, "x", None, True), [1, 2.0, "x", None, True]),
        (np.float64(0.5), 0.5),
        ({"a": [np.int32(3)]}, {"a": [3]}),
    ],
)
def test_plain_values_pass(value, copied):
    assert plain.plain(value) == copied


def test_arrays_and_tensors_pass_as_copies():
    array = np.arange(6.0).reshape(2, 3).T
    copy = plain.plain(array)
    assert np.array_equal(copy, array)
    assert not np.shares_memory(copy, array)
    tensor = torch.arange(3.0, requires_grad=True)
    copy = plain.plain(tensor)
    assert type(copy) is np.ndarray
    assert not np.shares_memory(copy, tensor.detach().numpy())


class _Lie(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


class _Array(np.ndarray):
    pass


def _nested():
    value = []
    for _ in range(50):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (_Lie(1), "type _Lie"),
        (np.zeros(2).view(_Array), "type _Array"),
        (torch.nn.Parameter(torch.zeros(2)), "type Parameter"),
        (np.array([object()]), "dtype object"),
        (np.array([1j]), "dtype complex128"),
        (lambda: 0, "type function"),
        ({1: 2}, "key of type int"),
        (np.zeros(3 * 2**20), "more than 16 MiB"),
        (np.broadcast_to(0.0, (2**20, 2**10)), "more than 16 MiB"),
        (torch.zeros(1).expand(2**30), "more than 16 MiB"),
        ("x" * 2**25, "more than 16 MiB"),
        (1 << 2**29, "more than 16 MiB"),
        ([0] * 20_000, "more than 10000 items"),
        (_nested(), "more than 20 deep"),
    ],
    ids=range(14),
)
def test_what_is_not_plain_is_refused_in_words(value, said):
    with pytest.raises(plain.NotPlain, match=said):
        plain.plain(value)


def test_a_list_within_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(plain.NotPlain):
        plain.plain(value)


def test_the_function_works_on_a_copy_and_a_change_is_reported():
    def f(x):
        x += 1
        return x

    given = np.zeros(2)
    answer = ask(f, given)
    assert np.array_equal(answer["value"]["inputs"], [[1, 1]])
    assert np.array_equal(given, [0, 0])
    call = caller(lambda request: adapter.answer({"f": f, "exp": np.exp}, request))
    assert call("f", given)["inputs_changed"] is True
    assert call("exp", given)["inputs_changed"] is False


def test_a_nan_in_the_input_is_not_taken_for_a_change():
    call = caller(lambda request: adapter.answer({"f": lambda x: x * 1}, request))
    assert call("f", np.array([np.nan]))["inputs_changed"] is False


def test_status_tells_missing_raised_and_unsuitable_apart():
    class Odd(ValueError):
        def __str__(self):
            raise RuntimeError

    def leaves(x):
        raise SystemExit(3)

    def odd(x):
        raise Odd

    assert ask(None, 1.0) == {"status": "missing"}
    raised = ask(lambda x: x / 0, 1.0)
    assert (raised["status"], raised["kinds"][0]) == ("raised", "ZeroDivisionError")
    assert raised.keys() == {"status", "kinds"}  # its text may hold the inputs
    assert ask(leaves, 1.0)["kinds"][0] == "SystemExit"
    assert ask(odd, 1.0) | {"kinds": None} == {"status": "raised", "kinds": None}
    assert ask(odd, 1.0)["kinds"][:2] == ["Odd", "ValueError"]
    assert ask(lambda x: lambda: 0, 1.0)["status"] == "wrong"


def test_warnings_cost_nothing():
    def warns(x):
        return np.log(x)

    with np.errstate(divide="warn"):
        assert ask(warns, np.zeros(1))["status"] == "ok"


def test_value_and_gradients_of_a_differentiable_function():
    answer = ask(
        lambda a, b, c: c * (a**2).sum(), np.array([1.0, 2.0]), np.ones(3), 3.0, kind="differentiable"
    )
    value = answer["value"]
    assert value["result"] == 15
    assert np.array_equal(value["gradients"][0], [6, 12])
    assert value["gradients"][1] is None
    assert value["tensor"] is True
    assert ask(lambda a: 1.0, np.ones(1), kind="differentiable")["value"]["tensor"] is False
    assert ask(lambda a: a, np.ones(2), kind="differentiable")["value"]["gradients"] == [None]


def test_a_step_starts_from_the_given_weights_and_reports_the_new_ones():
    def f(network, optimizer, x, rate):
        assert all((p.grad == 1).all() for p in network.parameters())
        out = network(x)
        optimizer.step()
        return float(out.sum()) * rate

    x = np.random.default_rng(1).standard_normal((4, 2))
    request = game([["network", "optimizer", x, 2.0]])
    value = ask(f, request, kind="step")["value"]
    weights = request["modules"]["network"]["parameters"]
    state = value["modules"]["network"]
    for new, old in zip(state["parameters"], weights, strict=True):
        assert np.allclose(new, old - 0.5)
    hidden = x @ weights[0].T + weights[1]
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) * weights[2] + weights[3]
    assert np.isclose(value["returned"][0], 2 * (np.tanh(hidden) @ weights[4].T + weights[5]).sum())
    assert state["training"] is True
    assert state["trainable"] == [True] * 6
    assert np.array_equal(value["inputs"], [x])


def test_a_step_reports_what_it_should_not_have_done():
    def f(network, x):
        network.eval()
        network[0].weight.requires_grad_(False)
        network[0].weight.grad = None
        x.zero_()

    value = ask(f, game([["network", np.ones((2, 2))]]), kind="step")["value"]
    state = value["modules"]["network"]
    assert np.array_equal(value["inputs"], [np.zeros((2, 2))])
    assert state["training"] is False
    assert state["trainable"][:2] == [False, True]
    assert state["gradients"][0] is None
    assert value["returned"] == [None]


def test_faults_of_the_grader_are_not_blamed_on_the_student():
    with pytest.raises(ValueError, match="no adapter 'pickle'; there are arrays, differentiable, step"):
        ask(np.exp, 1.0, kind="pickle")
    with pytest.raises(KeyError):
        ask(np.exp, game([], optimizer={"module": "other"}), kind="step")


def test_a_network_that_the_student_took_apart_is_wrong_not_a_crash():
    def f(network, x):
        del network[0]

    names = {"f": f}
    call = caller(lambda request: adapter.answer(names, request))
    with pytest.raises(CallFailed, match="cannot be read") as failed:
        call("f", game([["network", np.ones((2, 2))]]), adapter="step")
    assert failed.value.status == "wrong"


def test_a_call_tells_the_student_what_they_returned_in_words_of_its_own():
    hidden = 0.4711
    for returned, said in (
        (object(), "a value of type object"),
        ({1: 2}, "a dict with a key of type int"),
        (np.array([None]), "an array of dtype object"),
        (np.zeros(10**7), "too much data"),
        (type(f"V{hidden}".replace(".", "_"), (), {})(), "something else"),
    ):
        call = caller(lambda request, value=returned: adapter.answer({"f": lambda x: value}, request))
        with pytest.raises(CallFailed) as failed:
            call("f", 1.0)
        assert failed.value.status == "wrong"
        assert str(failed.value) == f"`f` returned {said} instead of numbers or arrays."
    forged = {"status": "wrong", "detail": f"returned a value of type int; {hidden}"}
    with pytest.raises(CallFailed, match=r"returned a value of type int instead"):
        caller(lambda request: forged)("f", 1.0)


def test_a_call_repeats_no_name_that_a_student_chose():
    class V0_4711(ValueError):
        pass

    def f(x):
        raise V0_4711("0.4711")

    with pytest.raises(CallFailed) as failed:
        caller(lambda request: adapter.answer({"f": f}, request))("f", 1.0)
    assert str(failed.value) == "`f` raised ValueError."
    assert failed.value.kinds[0] == "V0_4711"  # a check may ask which it is; the student is not told
