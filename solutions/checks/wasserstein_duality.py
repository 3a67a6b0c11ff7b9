"""Hidden checks of the homework on Wasserstein duality.

Every input is drawn from the generator that is passed in. The references are written here in float64, with
formulas other than those of the model solutions, and share nothing with them.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from solutions.checks import Call, CallFailed, Exercise, Wrong

RELATIVE = 1e-9


def _close(value: Any, expected: Any, relative: float = RELATIVE, absolute: float = 1e-11) -> bool:
    """Whether every entry agrees; NaN agrees with nothing."""
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    return value.shape == expected.shape and np.allclose(value, expected, rtol=relative, atol=absolute)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise Wrong(message)


def _returned(call: Call, function: str, *values: Any) -> Any:
    answer = call(function, *values)
    _require(not answer["inputs_changed"], "It changes the arrays it is given.")
    _require(answer["result"] is not None, "It returns nothing. Is the `return` missing?")
    return answer["result"]


def _float(call: Call, function: str, *values: Any) -> float:
    """Call a function and demand a Python float and untouched inputs."""
    result = _returned(call, function, *values)
    _require(type(result) is float, "It does not return a Python float.")
    return result


def _array(call: Call, function: str, shape: tuple[int, ...], *values: Any) -> np.ndarray:
    """Call a function and demand an array of real numbers of this shape and untouched inputs."""
    result = _returned(call, function, *values)
    _require(isinstance(result, np.ndarray), "It does not return a NumPy array.")
    _require(result.shape == shape, "The result does not have the right shape.")
    _require(result.dtype.kind == "f", "The result is not an array of real numbers.")
    return result


# --- exercise 1 ---------------------------------------------------------------------------------------


def _by_quantiles(x: np.ndarray, y: np.ndarray) -> float:
    """Both samples repeated to their common size, sorted, and compared one by one."""
    common = math.lcm(len(x), len(y))
    a, b = (np.sort(np.repeat(sample, common // len(sample))) for sample in (x, y))
    return float(np.abs(a - b).mean())


def wasserstein_1d(call: Call, rng: np.random.Generator) -> None:
    """Equal and unequal sizes, repeated numbers, laws that overlap, and laws whose means agree."""
    name = "wasserstein_1d"
    for n, m in ((7, 7), (5, 8), (9, 4), (1, 6), (6, 1)):
        x, y = 1.5 * rng.standard_normal(n), 0.7 * rng.standard_normal(m) + rng.uniform(-0.5, 0.5)
        when = "of equal size" if n == m else "of different sizes"
        _require(
            _close(_float(call, name, x, y), _by_quantiles(x, y)), f"For samples {when} it is not right."
        )
    x, y = rng.uniform(-1, 1, 6), rng.uniform(-2, 2, 10)
    y += x.mean() - y.mean()
    right = _close(_float(call, name, x, y), _by_quantiles(x, y))
    _require(right, "For samples with the same mean it is not right.")
    x, y = (rng.uniform(-3, 3, 3)[rng.permutation(np.arange(k) % 3)] for k in (7, 5))
    y[0] = x[0]
    _require(_close(_float(call, name, x, y), _by_quantiles(x, y)), "With repeated numbers it is not right.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def critic_of_prices(call: Call, rng: np.random.Generator) -> None:
    """Random points and prices in several dimensions, also with prices that do not bind."""
    for k, m, d in ((6, 4, 2), (5, 9, 3), (4, 4, 1), (3, 1, 5)):
        z, y = rng.standard_normal((k, d)), rng.standard_normal((m, d))
        v = rng.uniform(0.3, 2.0) * rng.standard_normal(m)
        values = _array(call, "critic_of_prices", (k,), z, y, v)
        expected = [
            min(math.dist(point, other) - price for other, price in zip(y, v, strict=True)) for point in z
        ]
        _require(_close(values, expected), "The values of the function are not right.")
    y = rng.standard_normal((5, 2))
    v = np.concatenate([rng.uniform(20, 40, 1), rng.uniform(-1, 1, 4)])
    values = _array(call, "critic_of_prices", (5,), y, y, v)
    expected = [-v[0] + math.dist(y[0], point) for point in y]
    _require(_close(values, expected), "Where only one of the prices binds the values are not right.")


# --- exercise 3 ---------------------------------------------------------------------------------------


def _draw_transport(rng: np.random.Generator, n: int, m: int) -> list[np.ndarray]:
    """A plan with some zeros, costs, and allowed prices; costs and prices may be negative."""
    plan = rng.uniform(0.1, 1.0, (n, m)) * (rng.permutation(np.arange(n * m) % 3).reshape(n, m) > 0)
    plan /= plan.sum()
    u, v = 3 * rng.standard_normal(n), 3 * rng.standard_normal(m)
    cost = u[:, None] + v[None] + rng.uniform(0.05, 2.0, (n, m))
    return [plan, cost, u, v]


def _raises_value_error(call: Call, *values: Any) -> bool:
    try:
        call("duality_gap", *values)
    except CallFailed as failure:
        if "ValueError" not in failure.kinds:
            raise
        return True
    return False


def duality_gap(call: Call, rng: np.random.Generator) -> None:
    """The gap of random plans and prices, zero at an optimum, and a ValueError for each fault alone."""
    name = "duality_gap"
    for n, m in ((3, 5), (4, 2), (3, 3)):
        plan, cost, u, v = _draw_transport(rng, n, m)
        income = plan.sum(1) @ u + plan.sum(0) @ v
        try:
            gap = _float(call, name, plan, cost, u, v)
        except CallFailed as failure:
            if "ValueError" not in failure.kinds:
                raise
            raise Wrong("It raises a ValueError although plan and prices are as they should be.") from None
        _require(_close(gap, (plan * cost).sum() - income, absolute=1e-10), "The gap is not right.")
        tight = np.where(plan > 0, u[:, None] + v[None], cost)
        gap = _float(call, name, plan, tight, u, v)
        _require(
            _close(gap, 0.0, absolute=1e-10), "For a plan and prices that are optimal the gap is not zero."
        )

        place = (int(rng.integers(n)), int(rng.integers(m)))
        exceeded = cost.copy()
        exceeded[place] = u[place[0]] + v[place[1]] - rng.uniform(1e-4, 0.02)
        unused = plan.copy()
        unused[place] = 0
        unused /= unused.sum()
        for shown in (plan, unused):
            missed = "It raises no ValueError although the prices exceed a cost."
            _require(_raises_value_error(call, shown, exceeded, u, v), missed)
        for factor in (rng.uniform(1.0001, 1.02), rng.uniform(0.98, 0.9999)):
            missed = "It raises no ValueError although the total mass of the plan is not right."
            _require(_raises_value_error(call, plan * factor, cost, u, v), missed)
        first, second = rng.choice(n * m, 2, replace=False)
        for size, refused in ((1e-6, True), (1e-10, False)):
            heavier = plan * (1 + rng.choice([-1, 1]) * size)
            below = unused.copy()
            below[place] = -size
            below[(place[0] + 1) % n, place[1]] += size
            dearer = cost.copy()
            dearer[place] = u[place[0]] + v[place[1]] - size
            for shown in ((heavier, cost, u, v), (below, cost, u, v), (plan, dearer, u, v)):
                said = (
                    "It lets pass what is no rounding any more."
                    if refused
                    else "It raises a ValueError although only rounding is in the way."
                )
                _require(_raises_value_error(call, *shown) == refused, said)
        negative = plan.copy()
        moved = negative.flat[first] + rng.uniform(0.001, 0.05)
        negative.flat[first] -= moved
        negative.flat[second] += moved
        missed = "It raises no ValueError although the plan has a negative entry."
        _require(_raises_value_error(call, negative, cost, u, v), missed)


# --- exercise 4 ---------------------------------------------------------------------------------------


def _near(value: np.ndarray, expected: np.ndarray) -> bool:
    """Whether no entry is off by more than the accuracy that is asked for; NaN agrees with nothing."""
    return bool(np.abs(value - expected).max() <= 1e-6 * np.abs(expected).max())


def transport_gradient(call: Call, rng: np.random.Generator) -> None:
    """Against automatic differentiation, for sparse and full plans, and with coinciding points."""
    for n, m, d in ((5, 4, 2), (3, 6, 3), (4, 4, 1)):
        plan = rng.uniform(0, 1, (n, m)) * (rng.random((n, m)) < 0.7)
        plan[0, 0] = 0.5
        plan /= plan.sum()
        x, y = rng.standard_normal((n, d)), rng.standard_normal((m, d))
        points = torch.tensor(y, requires_grad=True)
        lengths = torch.stack([(points - torch.tensor(at)).square().sum(1).sqrt() for at in x])
        (expected,) = torch.autograd.grad((torch.tensor(plan) * lengths).sum(), points)
        slope = _array(call, "transport_gradient", (m, d), plan, x, y)
        _require(not np.isnan(slope).any(), "The result holds NaN.")
        _require(_near(slope, expected.numpy()), "The gradient is not right.")

        step = rng.standard_normal(d)
        close = x[:1] + 2e-9 * step / np.linalg.norm(step)
        slope = _array(call, "transport_gradient", (1, d), np.eye(1, n).T, x, close)
        pull = (close[0] - x[0]) / math.dist(close[0], x[0])
        _require(
            _near(slope[0], pull), "For a pair that is close, but not at the same place, it is not right."
        )

        y[0], y[-1] = x[0], x[1]
        slope = _array(call, "transport_gradient", (m, d), plan, x, y)
        _require(not np.isnan(slope).any(), "Where two points coincide the result holds NaN.")
        expected = np.zeros((m, d))
        for i in range(n):
            for j in range(m):
                length = math.dist(x[i], y[j])
                if length:
                    expected[j] += plan[i, j] / length * (y[j] - x[i])
        _require(_near(slope, expected), "Where two points coincide the gradient is not right.")


# --- exercise 5 ---------------------------------------------------------------------------------------


def expected_batch_distance(call: Call, rng: np.random.Generator) -> None:
    """Against the double sum with binomial coefficients, for small and for large batches."""
    for low, high, size in ((1, 3, "small"), (4, 12, "middling"), (30, 61, "large")):
        for _ in range(3):
            a, gap, n = (
                float(rng.uniform(0.05, 0.95)),
                float(rng.uniform(0.3, 5.0)),
                int(rng.integers(low, high)),
            )
            value = _float(call, "expected_batch_distance", a, gap, n)
            chance = [math.comb(n, k) * a**k * (1 - a) ** (n - k) for k in range(n + 1)]
            # E|K - L| = 2 sum_k F(k) (1 - F(k)) for independent K and L with distribution function F
            below = np.minimum(np.cumsum(chance), 1.0)
            expected = gap / n * 2 * float((below * (1 - below)).sum())
            _require(_close(value, expected, 1e-8), f"For {size} batches the mean is not right.")


# --- exercise 6 ---------------------------------------------------------------------------------------


def _draw_network(rng: np.random.Generator, sizes: list[int], activation: str) -> dict:
    """A network as plain data, with some old content in every gradient."""
    parameters = []
    for inputs, outputs in pairwise(sizes):
        parameters += [
            1.5 * rng.standard_normal((outputs, inputs)) / np.sqrt(inputs),
            rng.normal(0, 0.3, outputs),
        ]
    return {
        "sizes": sizes,
        "activation": activation,
        "batch_norm": False,
        "parameters": parameters,
        "gradients": [rng.standard_normal(parameter.shape) for parameter in parameters],
    }


def _forward(parameters: list[torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """Output of a network with one hidden layer of tanh, without torch.nn."""
    w, b, a, c = parameters
    return torch.tanh(batch @ w.T + b) @ a.T + c


def _slope(parameters: list[torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """Gradient of a critic with one hidden layer of tanh in its input, by the chain rule: (n, d)."""
    w, b, a, _ = parameters
    hidden = torch.tanh(batch @ w.T + b)
    return ((1 - hidden * hidden) * a) @ w


def _moved(new: list[np.ndarray], old: list[np.ndarray], expected: list[torch.Tensor]) -> bool:
    """Whether the weights moved as they should: the largest error is small beside the largest movement."""
    errors = [float(np.abs(n - e.detach().numpy()).max()) for n, e in zip(new, expected, strict=True)]
    moves = [float(np.abs(e.detach().numpy() - o).max()) for e, o in zip(expected, old, strict=True)]
    return bool(max(errors) <= 1e-7 * max(moves))  # a NaN compares false


def critic_step(call: Call, rng: np.random.Generator) -> None:
    """Two steps in a row on a random game: returned numbers, weights, and no trace on the generator."""
    for _ in range(2):
        critic = _draw_network(rng, [3, 5, 1], "tanh")
        generator = _draw_network(rng, [2, 4, 3], "tanh")
        rates = {
            "module": "critic",
            "lr": float(rng.uniform(0.05, 0.15)),
            "momentum": float(rng.uniform(0.3, 0.8)),
        }
        weight = float(rng.uniform(1.0, 4.0))
        batches = [
            (rng.standard_normal((6, 3)) + 1, rng.standard_normal((6, 2)), rng.random(6)) for _ in range(2)
        ]
        calls = [["critic", "generator", "optimizer", *batch, weight] for batch in batches]
        game = {"modules": {"critic": critic, "generator": generator}, "optimizer": rates, "calls": calls}
        answer = call("critic_step", game, adapter="step")

        theirs = [torch.tensor(parameter) for parameter in generator["parameters"]]
        weights = [torch.tensor(parameter, requires_grad=True) for parameter in critic["parameters"]]
        velocity = [torch.zeros_like(parameter) for parameter in weights]
        numbers = []
        for real, noise, positions in batches:
            real, noise, t = (torch.tensor(array) for array in (real, noise, positions))
            fake = _forward(theirs, noise)
            between = fake + t[:, None] * (real - fake)
            lengths = _slope(weights, between).square().sum(1).sqrt()
            penalty = (lengths - 1).square().sum() / len(lengths)
            estimate = (_forward(weights, real) - _forward(weights, fake)).sum() / len(real)
            numbers.append([estimate.item(), penalty.item()])
            # The last bias has no gradient: it cancels in the estimate and is constant in the penalty.
            slopes = torch.autograd.grad(weight * penalty - estimate, weights)
            with torch.no_grad():
                for parameter, speed, slope in zip(weights, velocity, slopes, strict=True):
                    speed.mul_(rates["momentum"]).add_(slope)
                    parameter.sub_(rates["lr"] * speed)

        _require(not answer["inputs_changed"], "It changes the tensors it is given.")
        for returned in answer["returned"]:
            fits = (
                isinstance(returned, list) and len(returned) == 2 and all(type(r) is float for r in returned)
            )
            _require(fits, "It does not return two Python floats.")
        first = answer["returned"][0]
        _require(_close(first[0], numbers[0][0], 1e-8), "The returned estimate is not right.")
        _require(
            _close(first[1], numbers[0][1], 1e-8), "The returned penalty is not right: where lie its points?"
        )
        after = answer["modules"]
        kept = zip(after["generator"]["parameters"], generator["parameters"], strict=True)
        _require(
            all(_close(new, old) for new, old in kept),
            "The generator is not the one that was handed in: its weights moved.",
        )
        grads = zip(after["generator"]["gradients"], generator["gradients"], strict=True)
        untouched = all(new is not None and _close(new, old) for new, old in grads)
        _require(untouched, "The content of the generator's `.grad` changed.")
        for name, state in after.items():
            _require(state["training"], f"The {name} is not in training mode any more.")
            _require(all(state["trainable"]), f"Some weights of the {name} are not trainable any more.")
        moved = _moved(after["critic"]["parameters"], critic["parameters"], weights)
        _require(moved, "After two steps the critic's weights are not right.")
        _require(
            _close(answer["returned"], numbers, 1e-7), "The returned numbers are not right in later steps."
        )


EXERCISES = [
    Exercise("check_wasserstein_1d", 3, wasserstein_1d),
    Exercise("check_critic_of_prices", 2, critic_of_prices),
    Exercise("check_duality_gap", 3, duality_gap),
    Exercise("check_transport_gradient", 2, transport_gradient),
    Exercise("check_expected_batch_distance", 2, expected_batch_distance),
    Exercise("check_critic_step", 4, critic_step),
]
