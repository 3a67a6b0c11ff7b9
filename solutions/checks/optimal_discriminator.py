"""Hidden checks of the homework on the optimal discriminator.

Every input is drawn from the generator that is passed in. The references are written here in float64,
with formulas other than those of the model solutions, and share nothing with them.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch

from solutions.checks import Call, CallFailed, Exercise, Wrong

RELATIVE = 1e-9
# torch.nn.functional.softplus is the identity above 20: it, and its slope, are wrong by up to 2.1e-9 there.
SOFTPLUS = 1e-7


def _close(value: Any, expected: Any, relative: float = RELATIVE, absolute: float = 1e-12) -> bool:
    """Whether every entry agrees; NaN agrees with nothing."""
    value, expected = np.asarray(value, float), np.asarray(expected, float)
    return value.shape == expected.shape and np.allclose(value, expected, rtol=relative, atol=absolute)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise Wrong(message)


def _array(call: Call, function: str, first: np.ndarray, *others: Any) -> np.ndarray:
    """Call a function of arrays and demand an array of the first one's shape and untouched inputs."""
    answer = call(function, first, *others)
    result = answer["result"]
    _require(not answer["inputs_changed"], "It changes the arrays it is given.")
    _require(result is not None, "It returns nothing. Is the `return` missing?")
    _require(isinstance(result, np.ndarray), "It does not return a NumPy array.")
    _require(result.shape == first.shape, "The result does not have the shape of the inputs.")
    _require(result.dtype.kind == "f", "The result is not an array of real numbers.")
    return result


# --- exercise 1 ---------------------------------------------------------------------------------------


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * logits))


def _risk(real: np.ndarray, fake: np.ndarray, prior: float) -> tuple[float, list[np.ndarray]]:
    """R_prior and its gradients in the logits: log(1 + e^s) as logaddexp, its slope as a tanh."""
    value = prior * np.logaddexp(0, -real).mean() + (1 - prior) * np.logaddexp(0, fake).mean()
    slopes = [-prior * _sigmoid(-real) / real.size, (1 - prior) * _sigmoid(fake) / fake.size]
    return float(value), slopes


def class_weighted_loss(call: Call, rng: np.random.Generator) -> None:
    """Value and gradient on moderate logits, other shapes, and logits of size up to 1000."""
    shapes = [((5,), (8,)), ((3, 2), (4, 1)), ((6,), (6,))]
    for scale, name in ((2.0, "random logits"), (60.0, "large logits"), (500.0, "very large logits")):
        for real_shape, fake_shape in shapes:
            real = np.clip(scale * rng.standard_normal(real_shape), -1000, 1000)
            fake = np.clip(scale * rng.standard_normal(fake_shape), -1000, 1000)
            # Both kinds of confident mistake occur for certain, whatever the draw.
            real.flat[0], fake.flat[0] = -2 * scale, 2 * scale
            prior = float(rng.choice([rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)]))
            value, slopes = _risk(real, fake, prior)
            answer = call("class_weighted_loss", real, fake, prior, adapter="differentiable")
            _require(not answer["inputs_changed"], "It changes the tensors it is given.")
            _require(answer["tensor"], "It does not return a torch tensor.")
            result = answer["result"]
            number = isinstance(result, np.ndarray) and result.dtype.kind == "f" and result.shape == ()
            _require(number, "The result is not a tensor without dimensions.")
            _require(np.isfinite(result), f"For {name} the loss is not finite.")
            _require(_close(result, value, SOFTPLUS), f"For {name} the loss is not right.")
            gradients = answer["gradients"]
            _require(all(g is not None for g in gradients), "No gradient reaches one of the logits.")
            right = all(_close(g, slope, SOFTPLUS) for g, slope in zip(gradients, slopes, strict=True))
            _require(right, f"For {name} the loss is right, but its gradient is not.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def optimal_discriminator(call: Call, rng: np.random.Generator) -> None:
    """Random log-densities, vanishing ones, and ones whose exponential under- or overflows."""
    name, gone = "optimal_discriminator", -np.inf
    for shape in ((7,), (3, 4)):
        log_p, log_q = rng.uniform(-4, 2, shape), rng.uniform(-4, 2, shape)
        prior = float(rng.choice([rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)]))
        ratio = (1 - prior) / prior * np.exp(log_q - log_p)
        best = _array(call, name, log_p, log_q, prior)
        _require(_close(best, 1 / (1 + ratio)), "Where both densities are positive the values are not right.")
        for offset in (rng.uniform(-3000, -1500), rng.uniform(750, 1200)):
            far = _array(call, name, log_p + offset, log_q + offset, prior)
            right = _close(far, 1 / (1 + ratio), relative=1e-8)
            _require(right, "For very small or very large densities the values are not right.")
        which = rng.permutation(np.arange(log_p.size) % 4)
        log_p.flat[np.isin(which, (1, 3))] = gone
        log_q.flat[np.isin(which, (2, 3))] = gone
        zeros = _array(call, name, log_p, log_q, prior).ravel()
        _require(not np.isnan(zeros).any(), "Where a density vanishes the result is NaN.")
        _require(_close(zeros[which == 1], 0 * zeros[which == 1]), "Where only p_d vanishes it is not right.")
        _require(
            _close(zeros[which == 2], 1 + 0 * zeros[which == 2]), "Where only p_g vanishes it is not right."
        )
        _require((zeros[which == 3] == 0.5).all(), "Where both densities vanish the result is not 1/2.")
        rest = (1 / (1 + ratio)).ravel()[which == 0]
        _require(
            _close(zeros[which == 0], rest), "A point where a density vanishes disturbs the other points."
        )


# --- exercise 3 ---------------------------------------------------------------------------------------


def density_ratio(call: Call, rng: np.random.Generator) -> None:
    """Densities are drawn, the optimal logits computed from them, and their ratio must come back."""
    for shape in ((9,), (2, 5)):
        for size, name in ((3.0, "moderate"), (50.0, "large")):
            log_p, log_q = rng.uniform(-size / 2, size / 2, shape), rng.uniform(-size / 2, size / 2, shape)
            log_p.flat[:2], log_q.flat[:2] = (size / 2, -size / 2), (-size / 2, size / 2)
            prior = float(rng.choice([rng.uniform(0.1, 0.4), rng.uniform(0.6, 0.9)]))
            logits = (log_p - log_q) + (np.log(prior) - np.log(1 - prior))
            ratio = _array(call, "density_ratio", logits, prior)
            _require((ratio > 0).all(), f"For {name} logits a ratio is not positive.")
            right = _close(ratio, np.exp(log_p - log_q), absolute=0.0)
            _require(right, f"For {name} logits the ratio is not right.")


# --- exercise 4 ---------------------------------------------------------------------------------------


def _raises_value_error(call: Call, *values: Any) -> bool:
    try:
        call("smoothed_optimum", *values)
    except CallFailed as failure:
        if "ValueError" not in failure.kinds:
            raise
        return True
    return False


def smoothed_optimum(call: Call, rng: np.random.Generator) -> None:
    """The mean target at visited points, 1/2 at the others, a ValueError exactly where no optimum exists."""
    name = "smoothed_optimum"
    for shape in ((8,), (3, 4)):
        # `share` is the fraction of real examples at a point, `total` how often the point is visited.
        share, total = rng.uniform(0.05, 0.95, shape), 10.0 ** rng.uniform(-30, 1, shape)
        alpha, beta = float(rng.uniform(0.7, 0.95)), float(rng.uniform(0.05, 0.3))
        best = _array(call, name, share * total, (1 - share) * total, alpha, beta)
        right = _close(best, share * alpha + (1 - share) * beta)
        _require(right, "Where both densities are positive the values are not right.")

        which = rng.permutation(np.arange(share.size) % 4)
        share.flat[which == 1], share.flat[which == 2], total.flat[which == 3] = 1.0, 0.0, 0.0
        expected = np.where(total > 0, share * alpha + (1 - share) * beta, 0.5)
        best = _array(call, name, share * total, (1 - share) * total, alpha, beta)
        _require(not np.isnan(best).any(), "Where a density vanishes the result is NaN.")
        _require(_close(best, expected), "Where a density vanishes the values are not right.")

        # One target outside [0, 1], while the mean target stays inside at every visited point.
        share = np.where(total > 0, rng.uniform(0.2, 0.8, shape), 0.0)
        high, low = float(rng.uniform(1.03, 1.2)), float(rng.uniform(-0.2, -0.03))
        for targets in ((high, 0.0), (1.0, low)):
            values = share * total, (1 - share) * total, *targets
            try:
                best = _array(call, name, *values)
            except CallFailed as failure:
                if "ValueError" not in failure.kinds:
                    raise
                raise Wrong("It raises a ValueError although the given points have an optimum.") from None
            expected = np.where(total > 0, share * targets[0] + (1 - share) * targets[1], 0.5)
            _require(_close(best, expected), "With a target outside [0, 1] the values are not right.")

        # One visited point whose mean target is outside, by a little.
        visited = np.flatnonzero(total > 0)
        for targets, extreme in (((high, 0.0), 1.0), ((1.0, low), 0.0)):
            one = share.copy()
            one.flat[rng.choice(visited)] = extreme
            values = one * total, (1 - one) * total, *targets
            missed = "It raises no ValueError although the mean target leaves [0, 1] at a given point."
            _require(_raises_value_error(call, *values), missed)

        # The border: what is rounding passes, what is none does not.
        for outside, is_refused in ((1e-6, True), (1e-10, False)):
            for targets, extreme in (((1 + outside, 0.0), 1.0), ((1.0, -outside), 0.0)):
                one = share.copy()
                one.flat[rng.choice(visited)] = extreme
                raised = _raises_value_error(call, one * total, (1 - one) * total, *targets)
                said = "It lets a mean target pass that is outside by more than rounding."
                _require(raised or not is_refused, said)
                _require(is_refused or not raised, "It takes rounding for a mean target outside [0, 1].")


# --- exercises 5 and 6 --------------------------------------------------------------------------------


def _draw_network(rng: np.random.Generator, sizes: list[int], activation: str, batch_norm: bool) -> dict:
    """A network as plain data, with some old content in every gradient."""
    parameters = []
    for index, (inputs, outputs) in enumerate(pairwise(sizes)):
        parameters += [rng.standard_normal((outputs, inputs)) / np.sqrt(inputs), rng.normal(0, 0.3, outputs)]
        if batch_norm and index < len(sizes) - 2:
            parameters += [rng.uniform(0.5, 1.5, outputs), rng.normal(0, 0.3, outputs)]
    return {
        "sizes": sizes,
        "activation": activation,
        "batch_norm": batch_norm,
        "parameters": parameters,
        "gradients": [rng.standard_normal(parameter.shape) for parameter in parameters],
    }


def _forward(network: dict, parameters: list[torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """The network's output from its plain description, without torch.nn."""
    left = iter(parameters)
    hidden = len(network["sizes"]) - 2
    for index in range(hidden + 1):
        batch = batch @ next(left).T + next(left)
        if index == hidden:
            return batch
        if network["batch_norm"]:
            centred = batch - batch.mean(0)
            batch = centred / (centred.square().mean(0) + 1e-5).sqrt() * next(left) + next(left)
        if network["activation"] == "tanh":
            batch = torch.tanh(batch)
        else:
            batch = torch.where(batch > 0, batch, 0.2 * batch)
    raise AssertionError("a network has at least one layer")


def _tensors(arrays: list[np.ndarray], trainable: bool = False) -> list[torch.Tensor]:
    return [torch.tensor(array, requires_grad=trainable) for array in arrays]


def _log1pexp(logits: torch.Tensor) -> torch.Tensor:
    return torch.logaddexp(torch.zeros_like(logits), logits)


def _descend(
    parameters: list[torch.Tensor], velocity: list[torch.Tensor], loss: torch.Tensor, rates: dict
) -> None:
    """One step of gradient descent with momentum, by hand."""
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, speed, gradient in zip(parameters, velocity, gradients, strict=True):
            speed.mul_(rates["momentum"]).add_(gradient)
            parameter.sub_(rates["lr"] * speed)


def _draw_game(rng: np.random.Generator, trained: str, batch_norm: bool) -> dict:
    return {
        "modules": {
            "discriminator": _draw_network(rng, [3, 5, 1], "leaky_relu", False),
            "generator": _draw_network(rng, [2, 4, 3], "tanh", batch_norm),
        },
        "optimizer": {
            "module": trained,
            "lr": float(rng.uniform(0.1, 0.3)),
            "momentum": float(rng.uniform(0.3, 0.8)),
        },
    }


def _moved(new: list[np.ndarray], old: list[np.ndarray], expected: list[torch.Tensor]) -> bool:
    """Whether the weights moved as they should: the largest error is small beside the largest movement."""
    errors = [float(np.abs(n - e.detach().numpy()).max()) for n, e in zip(new, expected, strict=True)]
    moves = [float(np.abs(e.detach().numpy() - o).max()) for e, o in zip(expected, old, strict=True)]
    return bool(max(errors) <= SOFTPLUS * max(moves))  # a NaN compares false


def _untouched(after: dict, before: dict, whose: str) -> None:
    """Demand that the network which was not to be trained left as it came."""
    same = all(_close(new, old) for new, old in zip(after["parameters"], before["parameters"], strict=True))
    _require(same, f"The {whose}'s weights changed.")
    kept = all(
        new is not None and _close(new, old)
        for new, old in zip(after["gradients"], before["gradients"], strict=True)
    )
    _require(kept, f"The content of the {whose}'s `.grad` changed.")


def _in_order(modules: dict) -> None:
    for name, state in modules.items():
        _require(state["training"], f"The {name} is not in training mode any more.")
        _require(all(state["trainable"]), f"Some weights of the {name} are not trainable any more.")


def discriminator_step(call: Call, rng: np.random.Generator) -> None:
    """Two steps in a row on a random game: returned numbers, weights, and no trace on the generator."""
    for batch_norm in (False, True):
        game = _draw_game(rng, "discriminator", batch_norm)
        discriminator, generator = game["modules"]["discriminator"], game["modules"]["generator"]
        alpha = float(rng.uniform(0.6, 0.9))
        batches = [(rng.standard_normal((5, 3)) + 1, rng.standard_normal((8, 2))) for _ in range(2)]
        objects = ["discriminator", "generator", "optimizer"]
        game["calls"] = [[*objects, real, noise, alpha] for real, noise in batches]
        answer = call("discriminator_step", game, adapter="step")

        weights = _tensors(discriminator["parameters"], trainable=True)
        velocity = [torch.zeros_like(weight) for weight in weights]
        numbers = []
        for real, noise in batches:
            with torch.no_grad():
                fake = _forward(generator, _tensors(generator["parameters"]), torch.tensor(noise))
            on_real = _forward(discriminator, weights, torch.tensor(real))
            on_fake = _forward(discriminator, weights, fake)
            # -a log D - (1 - a) log(1 - D) = log(1 + e^s) - a s
            loss = (_log1pexp(on_real) - alpha * on_real).mean() + _log1pexp(on_fake).mean()
            numbers.append(
                [loss.item(), torch.sigmoid(on_real).mean().item(), torch.sigmoid(on_fake).mean().item()]
            )
            _descend(weights, velocity, loss, game["optimizer"])

        _require(not answer["inputs_changed"], "It changes the tensors it is given.")
        for returned in answer["returned"]:
            fits = (
                isinstance(returned, list) and len(returned) == 3 and all(type(r) is float for r in returned)
            )
            _require(fits, "It does not return three Python floats.")
        after = answer["modules"]
        losses = [returned[0] for returned in answer["returned"]]
        _require(_close(losses[0], numbers[0][0], SOFTPLUS), "The returned loss is not right.")
        _untouched(after["generator"], generator, "generator")
        _in_order(after)
        moved = _moved(after["discriminator"]["parameters"], discriminator["parameters"], weights)
        _require(moved, "After two steps the discriminator's weights are not right.")
        _require(
            _close(losses, [n[0] for n in numbers], SOFTPLUS),
            "The returned loss is not right in later steps.",
        )
        for place, name in ((1, "d_real"), (2, "d_fake")):
            returned = [values[place] for values in answer["returned"]]
            _require(
                _close(returned, [n[place] for n in numbers], SOFTPLUS), f"The returned {name} is not right."
            )


def generator_step(call: Call, rng: np.random.Generator) -> None:
    """Two steps in a row, on an ordinary game and against a discriminator that is certain."""
    for certain in (False, True):
        game = _draw_game(rng, "generator", batch_norm=not certain)
        discriminator, generator = game["modules"]["discriminator"], game["modules"]["generator"]
        if certain:
            discriminator["parameters"][-1] = -rng.uniform(800, 950, 1)
        noises = [rng.standard_normal((6, 2)) for _ in range(2)]
        game["calls"] = [["discriminator", "generator", "optimizer", noise] for noise in noises]
        answer = call("generator_step", game, adapter="step")

        theirs = _tensors(discriminator["parameters"])
        weights = _tensors(generator["parameters"], trainable=True)
        velocity = [torch.zeros_like(weight) for weight in weights]
        losses = []
        for noise in noises:
            logits = _forward(discriminator, theirs, _forward(generator, weights, torch.tensor(noise)))
            loss = _log1pexp(-logits).mean()
            losses.append(loss.item())
            _descend(weights, velocity, loss, game["optimizer"])

        _require(not answer["inputs_changed"], "It changes the tensors it is given.")
        floats = all(type(returned) is float for returned in answer["returned"])
        _require(floats, "It does not return a Python float.")
        when = " when the discriminator is certain" if certain else ""
        _require(_close(answer["returned"][0], losses[0], SOFTPLUS), f"The returned loss is not right{when}.")
        after = answer["modules"]
        _untouched(after["discriminator"], discriminator, "discriminator")
        _in_order(after)
        moved = _moved(after["generator"]["parameters"], generator["parameters"], weights)
        _require(moved, f"After two steps the generator's weights are not right{when}.")
        _require(_close(answer["returned"], losses, 1e-7), "The returned loss is not right in later steps.")


EXERCISES = [
    Exercise("check_class_weighted_loss", 3, class_weighted_loss),
    Exercise("check_optimal_discriminator", 3, optimal_discriminator),
    Exercise("check_density_ratio", 2, density_ratio),
    Exercise("check_smoothed_optimum", 3, smoothed_optimum),
    Exercise("check_discriminator_step", 3, discriminator_step),
    Exercise("check_generator_step", 2, generator_step),
]
