"""Hidden checks of the homework on the direction of KL.

Every input is drawn from the generator that is passed in. The references are written here in float64,
with formulas other than those of the model solutions, and share nothing with them.
"""

from math import fsum
from typing import Any

import numpy as np

from solutions.checks import Call, CallFailed, Exercise, Wrong

RELATIVE = 1e-9
# torch.nn.functional.softplus is the identity above 20: it, and its slope, are wrong by up to 2.1e-9 there.
SOFTPLUS = 1e-7


def _close(value: Any, expected: Any, relative: float = RELATIVE, absolute: float = 1e-11) -> bool:
    """Whether every entry agrees; NaN agrees with nothing."""
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    return value.shape == expected.shape and np.allclose(value, expected, rtol=relative, atol=absolute)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise Wrong(message)


def _array(call: Call, function: str, shape: tuple[int, ...], *values: Any) -> np.ndarray:
    """Call a function of arrays and demand a real array of the given shape and untouched inputs."""
    answer = call(function, *values)
    result = answer["result"]
    _require(not answer["inputs_changed"], "It changes the arrays it is given.")
    _require(result is not None, "It returns nothing. Is the `return` missing?")
    _require(isinstance(result, np.ndarray), "It does not return a NumPy array.")
    _require(result.shape == shape, "The result does not have the shape that is asked for.")
    _require(result.dtype.kind == "f", "The result is not an array of real numbers.")
    return result


def _scalar(call: Call, function: str, *values: Any) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """Call a function of tensors and demand a tensor without dimensions; also its gradients."""
    answer = call(function, *values, adapter="differentiable")
    _require(not answer["inputs_changed"], "It changes the tensors it is given.")
    _require(answer["tensor"], "It does not return a torch tensor.")
    result = answer["result"]
    number = isinstance(result, np.ndarray) and result.dtype.kind == "f" and result.shape == ()
    _require(number, "The result is not a tensor without dimensions.")
    _require(all(g is not None for g in answer["gradients"]), "No gradient reaches one of the arguments.")
    return result, answer["gradients"]


# --- exercise 1 ---------------------------------------------------------------------------------------


def best_forward_fit(call: Call, rng: np.random.Generator) -> None:
    """The variance as half the mean squared distance of two independent draws, without a mean in it."""
    for count, centre in ((2, 0.0), (3, 0.0), (5, 0.0), (3, 1e8)):
        weights = rng.dirichlet(np.full(count, 3.0))
        offsets, stds = rng.uniform(-4, 4, count), rng.uniform(0.2, 2, count)
        means = centre + offsets
        offsets = means - centre  # what is left of them after rounding
        fit = _array(call, "best_forward_fit", (2,), weights, means, stds)
        pairs = [
            weights[i] * weights[j] * ((offsets[i] - offsets[j]) ** 2 + stds[i] ** 2 + stds[j] ** 2) / 2
            for i in range(count)
            for j in range(count)
        ]
        mean = centre + fsum(w * o for w, o in zip(weights, offsets, strict=True))
        where = "far from zero" if centre else "of a mixture"
        _require(_close(fit[0], mean, 1e-9), f"The mean {where} is not right.")
        right = _close(fit[1], np.sqrt(fsum(pairs)), 1e-6 if centre else RELATIVE)
        _require(right, f"The standard deviation {where} is not right.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def two_directions(call: Call, rng: np.random.Generator) -> None:
    """Term by term in Python floats; then log-densities far below zero, then samples where p vanishes."""
    for size, level in ((7, 0.0), (40, 0.0), (9, -2000.0), (12, 700.0)):
        log_q = rng.uniform(-4, 1, size)
        log_p = log_q + rng.uniform(-3, 2, size)
        given = log_p + level, log_q + level
        gaps = (given[0] - given[1]).tolist()
        both = _array(call, "two_directions", (2,), *given)
        where = " for very small or very large densities" if level else ""
        reverse = fsum(-g for g in gaps) / size
        _require(_close(both[0], reverse, 1e-8), f"The estimate of KL(q||p) is not right{where}.")
        forward = fsum(g * float(np.exp(g)) for g in gaps) / size
        _require(_close(both[1], forward, 1e-8), f"The estimate of KL(p||q) is not right{where}.")
    log_q, size = rng.uniform(-3, 1, 10), 10
    log_p = log_q + rng.uniform(-2, 2, size)
    gone = rng.permutation(size)[:3]
    log_p[gone] = -np.inf
    both = _array(call, "two_directions", (2,), log_p, log_q)
    _require(both[0] == np.inf, "Where p vanishes at a sample of q, KL(q||p) is not infinite.")
    kept = np.delete(log_p - log_q, gone)
    forward = fsum(g * float(np.exp(g)) for g in kept.tolist()) / size
    _require(_close(both[1], forward, 1e-8), "Where p vanishes at some samples, KL(p||q) is not right.")


# --- exercise 3 ---------------------------------------------------------------------------------------


def pearson_bound(call: Call, rng: np.random.Generator) -> None:
    """The conjugate by completing the square of the best u, its slope being that u itself."""
    for shapes in (((5,), (8,)), ((3, 2), (4, 1)), ((6,), (6,))):
        for low, high, where in ((-1.9, 4.0, "moderate"), (-9.0, 6.0, "both small and large")):
            real, fake = rng.uniform(low, high, shapes[0]), rng.uniform(low, high, shapes[1])
            if low < -2:
                # Both sides of the branch occur for certain, whatever the draw.
                fake.flat[0], fake.flat[1] = rng.uniform(-9, -3), rng.uniform(0, 5)
            u = np.maximum(1 + fake / 2, 0)
            expected = real.mean() - (u**2 - 1).mean()
            value, slopes = _scalar(call, "pearson_bound", real, fake)
            _require(_close(value, expected), f"For outputs that are {where} the bound is not right.")
            right = _close(slopes[0], np.full(real.shape, 1 / real.size))
            right = right and _close(slopes[1], -u / fake.size)
            _require(right, f"For outputs that are {where} the gradient is not right.")


# --- exercise 4 ---------------------------------------------------------------------------------------


def _sigmoid(s: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * s))


LOSSES = {
    "2 JSD": (lambda s: -np.logaddexp(0, s), lambda s: -_sigmoid(s)),
    "2 KL(m||data)": (lambda s: np.logaddexp(0, -s), lambda s: -_sigmoid(-s)),
    "KL(model||data)": (lambda s: -s, lambda s: -np.ones_like(s)),
    "KL(data||m)": (lambda s: -_sigmoid(s), lambda s: -_sigmoid(s) * _sigmoid(-s)),
    "KL(data||model)": (lambda s: -np.exp(s), lambda s: -np.exp(s)),
}


def generator_loss(call: Call, rng: np.random.Generator) -> None:
    """Values and gradients of the five losses on moderate and large logits, and an unknown name."""
    for name, (loss, slope) in LOSSES.items():
        called = name.replace("2 ", "twice ")  # a message holds no numbers
        for shape, scale, where in (((7,), 3.0, "moderate"), ((3, 2), 40.0, "large"), ((5,), 480.0, "huge")):
            if scale > 50 and name == "KL(data||model)":
                continue
            logits = rng.uniform(-scale, scale, shape)
            logits.flat[0], logits.flat[1] = rng.uniform(0.8, 1, 2) * scale * np.array([-1, 1])
            value, slopes = _scalar(call, "generator_loss", logits, name)
            right = _close(value, loss(logits).mean(), SOFTPLUS)
            _require(right, f"For {where} logits the loss for {called} is not right.")
            right = _close(slopes[0], slope(logits) / logits.size, SOFTPLUS, 1e-9)
            _require(right, f"For {where} logits the gradient for {called} is not right.")
    logits, unknown = rng.standard_normal(3), str(rng.choice(["KL", "TV", "W"]))
    try:
        call("generator_loss", logits, unknown, adapter="differentiable")
    except CallFailed as failure:
        if "ValueError" not in failure.kinds:
            raise
    else:
        raise Wrong("It raises no ValueError for a divergence that it does not know.")


# --- exercise 5 ---------------------------------------------------------------------------------------


def _softened_reverse_kl(theta: np.ndarray, p_data: np.ndarray) -> Any:
    """2 KL(m||p_d) of a softmax generator, for complex theta."""
    p = np.exp(theta - theta.real.max())
    total = p_data + p / p.sum()
    return np.sum(total * np.log(total / (2 * p_data)))


def frozen_gradient(call: Call, rng: np.random.Generator) -> None:
    """The gradient of the divergence that the theorem names, by complex steps."""
    for size, scale in ((3, 1.0), (6, 2.0), (4, 0.3)):
        theta, p_data = (
            scale * rng.standard_normal(size),
            rng.dirichlet(np.full(size, 2.0)) * 0.97 + 0.03 / size,
        )
        expected = [
            _softened_reverse_kl(theta + 1e-30j * (np.arange(size) == k), p_data).imag / 1e-30
            for k in range(size)
        ]
        slope = _array(call, "frozen_gradient", theta.shape, theta, p_data)
        _require(np.isfinite(slope).all(), "The gradient is not finite.")
        _require(abs(slope.sum()) < 1e-8, "The entries of the gradient do not sum to zero.")
        factor = slope @ expected / np.dot(expected, expected)
        along = factor > 0 and _close(slope, factor * np.array(expected), 1e-8, 1e-10)
        message = (
            "The gradient has the right direction and a wrong factor."
            if along
            else "The gradient is not right."
        )
        _require(_close(slope, expected, 1e-8, 1e-10), message)
        shift = float(rng.choice([-1, 1]) * rng.uniform(800, 1200))
        moved = _array(call, "frozen_gradient", theta.shape, theta + shift, p_data)
        _require(_close(moved, expected, 1e-7, 1e-10), "For parameters far from zero it is not right.")
    theta[:2] = rng.uniform(900, 1000), rng.uniform(-1000, -900)
    slope = _array(call, "frozen_gradient", theta.shape, theta, p_data)
    _require(np.isfinite(slope).all(), "For parameters far apart the gradient is not finite.")
    _require(slope[1] == 0, "Where a probability rounds to zero the gradient is not zero.")


# --- exercise 6 ---------------------------------------------------------------------------------------


def evidence_lower_bound(call: Call, rng: np.random.Generator) -> None:
    """Exact evidence minus the divergence of the proposal from the exact posterior."""
    for shape in ((6,), (2, 4)):
        x, mean, std = rng.normal(1, 3, shape), rng.normal(0, 1.5, shape), rng.uniform(0.1, 2.5, shape)
        evidence = -0.5 * (x - 1) ** 2 / 4.25 - 0.5 * np.log(2 * np.pi * 4.25)
        centre, variance = 2 * (x - 1) / 4.25, 0.25 / 4.25
        ratio = std**2 / variance
        gap = 0.5 * (ratio - 1 - np.log(ratio) + (mean - centre) ** 2 / variance)
        bound = _array(call, "evidence_lower_bound", shape, x, mean, std)
        _require((bound <= evidence + 1e-9).all(), "It lies above the evidence for some proposals.")
        _require(_close(bound, evidence - gap, 1e-8), "For some proposals the bound is not right.")


EXERCISES = [
    Exercise("check_best_forward_fit", 2, best_forward_fit),
    Exercise("check_two_directions", 3, two_directions),
    Exercise("check_pearson_bound", 3, pearson_bound),
    Exercise("check_generator_loss", 3, generator_loss),
    Exercise("check_frozen_gradient", 3, frozen_gradient),
    Exercise("check_evidence_lower_bound", 3, evidence_lower_bound),
]
