"""Runs beside the student's code: takes a request of plain data, calls one function, answers in plain data.

A request is `{"function": name, "adapter": name, "values": [...]}`. The adapters:

`arrays`: the values as they are.
    Answers `result`, `inputs`.
`differentiable`: arrays become float64 tensors that want a gradient.
    Answers `result`, `tensor` (whether it is one), `gradients` (one for each array, None where none arrives),
    `inputs`.
`step`: one dict describes networks, an optimiser and the calls to make one after the other; see `_step`.
    Answers `returned` (one for each call), `modules` (their state afterwards), `inputs`.

`inputs` are the given arrays as they are afterwards: whether they changed is judged on the other side.
Nothing here knows an expected value. A student's code may lie to this module, which runs in the same process;
all it can tell in its place is an answer that the trusted side then judges.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from grading.plain import NotPlain, kinds_of, plain

ACTIVATIONS = {"tanh": nn.Tanh, "leaky_relu": lambda: nn.LeakyReLU(0.2)}


class _Raised(Exception):
    """The student's code raised the exception that is this one's cause."""


def answer(namespace: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Serve one request with the functions in `namespace`.

    The answer is `{"status": "ok", "value": {...}}`, or has another status: `missing`; `raised`, with
    `kinds`, the names of the exception's classes, but not its text, which may hold the inputs; `wrong`, with
    `detail`, when what came back is no plain data. Raises ValueError when the request itself is not one.
    """
    request = plain(request)
    if request.get("adapter") not in ADAPTERS:
        raise ValueError(f"no adapter {request.get('adapter')!r}; there are {', '.join(ADAPTERS)}")
    function = namespace.get(request["function"])
    if not callable(function):
        return {"status": "missing"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ADAPTERS[request["adapter"]](function, request["values"])
    except _Raised as raised:
        return {"status": "raised", "kinds": kinds_of(raised.__cause__)}
    try:
        return {"status": "ok", "value": plain(value)}
    except NotPlain as problem:
        return {"status": "wrong", "detail": f"returned {problem}"}


@contextmanager
def _theirs() -> Iterator[None]:
    """Mark what fails inside as the student's, so that a fault of ours is never taken for theirs.

    Inside, PyTorch's default is float64, the type of all that is given: `torch.ones(n, 1)` fits to it.
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _Raised from error
    finally:
        torch.set_default_dtype(usual)


def _arrays(function: Callable, values: list[Any]) -> dict[str, Any]:
    with _theirs():
        result = function(*values)
    return {"result": result, "inputs": arrays_of(values)}


def _differentiable(function: Callable, values: list[Any]) -> dict[str, Any]:
    given = [_tensor(v).requires_grad_() if isinstance(v, np.ndarray) else v for v in values]
    tensors = [value for value in given if isinstance(value, torch.Tensor)]
    with _theirs():
        result = function(*given)
        is_tensor = isinstance(result, torch.Tensor)
        gradients: list[Any] = [None] * len(tensors)
        if is_tensor and result.requires_grad and result.ndim == 0:
            gradients = list(torch.autograd.grad(result, tensors, allow_unused=True))
    inputs = [tensor.detach().numpy() for tensor in tensors]
    return {"result": result, "tensor": is_tensor, "gradients": gradients, "inputs": inputs}


def _step(function: Callable, values: list[Any]) -> dict[str, Any]:
    """Build networks and an optimiser, call the function as often as asked, report the networks' state.

    The one value is a dict. `modules`: for each name `sizes` (of the layers), `activation`, `batch_norm`
    (after every layer but the last), `parameters` and `gradients` (what `.grad` holds at the start), both
    layer by layer: weight, bias, and then scale and shift of the batch norm. `optimizer`: gradient descent on
    the weights of `module` with `lr` and `momentum`. `calls`: for each call its arguments, where text names
    a module or `optimizer`, and an array is passed as a float64 tensor.
    """
    (game,) = values
    modules = {name: _build(description) for name, description in game["modules"].items()}
    rates = game["optimizer"]
    trained = modules[rates["module"]].parameters()
    objects = {
        **modules,
        "optimizer": torch.optim.SGD(trained, lr=rates["lr"], momentum=rates["momentum"]),
    }
    returned, inputs = [], []
    for call in game["calls"]:
        arguments = [_tensor(a) if isinstance(a, np.ndarray) else a for a in call]
        arguments = [objects[a] if isinstance(a, str) else a for a in arguments]
        with _theirs():
            returned.append(function(*arguments))
        inputs += [a.detach().numpy() for a in arguments if isinstance(a, torch.Tensor)]
    with _theirs():
        states = {name: _state(module) for name, module in modules.items()}
    return {"returned": returned, "modules": states, "inputs": inputs}


def _build(description: dict[str, Any]) -> nn.Sequential:
    sizes, layers = description["sizes"], []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers.append(nn.Linear(inputs, outputs, dtype=torch.float64))
        if index < len(sizes) - 2:
            if description["batch_norm"]:
                layers.append(nn.BatchNorm1d(outputs, dtype=torch.float64))
            layers.append(ACTIVATIONS[description["activation"]]())
    module = nn.Sequential(*layers)
    weights = zip(module.parameters(), description["parameters"], description["gradients"], strict=True)
    for parameter, value, gradient in weights:
        parameter.data = _tensor(value)
        parameter.grad = _tensor(gradient)
    return module


def _state(module: nn.Module) -> dict[str, Any]:
    parameters = list(module.parameters())
    return {
        "parameters": [parameter.detach().numpy() for parameter in parameters],
        "gradients": [None if p.grad is None else p.grad.detach().numpy() for p in parameters],
        "trainable": [parameter.requires_grad for parameter in parameters],
        "training": module.training,
    }


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float64)


def arrays_of(values: list[Any]) -> list[np.ndarray]:
    """The arrays among some values."""
    return [value for value in values if isinstance(value, np.ndarray)]


ADAPTERS: dict[str, Callable[[Callable, list[Any]], dict[str, Any]]] = {
    "arrays": _arrays,
    "differentiable": _differentiable,
    "step": _step,
}
