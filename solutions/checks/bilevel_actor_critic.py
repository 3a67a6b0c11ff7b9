"""Hidden checks of the homework on bilevel optimisation and actor-critic.

Every input is drawn from the generator that is passed in. The references are written here with formulas other
than those of the model solutions: explicit inverses, sums over time, automatic differentiation.
"""

from typing import Any

import numpy as np
import torch

from solutions.checks import Call, Exercise, Wrong


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise Wrong(message)


def _close(value: np.ndarray, expected: Any, relative: float) -> bool:
    """Whether the largest error is small beside the largest entry; NaN agrees with nothing."""
    expected = np.asarray(expected, float)
    return bool(np.abs(value - expected).max() <= relative * max(np.abs(expected).max(), 1e-3))


def _array(call: Call, function: str, shape: tuple[int, ...], *values: Any) -> np.ndarray:
    """Call a function of arrays and demand an array of real numbers of this shape, and untouched inputs."""
    answer = call(function, *values)
    result = answer["result"]
    _require(not answer["inputs_changed"], "It changes the arrays it is given.")
    _require(result is not None, "It returns nothing. Is the `return` missing?")
    _require(isinstance(result, np.ndarray), "It does not return a NumPy array.")
    _require(result.shape == shape, "The result does not have the shape that is asked for.")
    _require(result.dtype.kind == "f", "The result is not an array of real numbers.")
    return result


def _draw_process(
    rng: np.random.Generator, states: int, actions: int, ends: tuple[float, float] = (0.1, 0.5)
) -> tuple[np.ndarray, np.ndarray]:
    """Transitions, each leaving the process with a probability between two, and rewards."""
    transition = rng.dirichlet(np.ones(states), size=(states, actions))
    transition *= 1 - rng.uniform(*ends, (states, actions, 1))
    return transition, rng.normal(0, 2, (states, actions))


def total_gradient(call: Call, rng: np.random.Generator) -> None:
    """The implicit function theorem, against the inverse by eigenvectors; indefinite curvature included."""
    for n, m in ((2, 4), (5, 3), (3, 3)):
        outer_x, outer_y, inner_xy = rng.normal(size=n), rng.normal(size=m), rng.normal(size=(n, m))
        vectors, _ = np.linalg.qr(rng.normal(size=(m, m)))
        curvature = rng.uniform(0.3, 3, m) * np.where(np.arange(m) % 2, -1, 1)
        curvature[0] = rng.uniform(1.5, 3)
        inner_yy = (vectors * curvature) @ vectors.T
        inner_yy = (inner_yy + inner_yy.T) / 2
        result = _array(call, "total_gradient", (n,), outer_x, outer_y, inner_xy, inner_yy)
        expected = outer_x - inner_xy @ ((vectors / curvature) @ (vectors.T @ outer_y))
        _require(_close(result, expected, 1e-9), "The gradient through the inner optimum is not right.")


def policy_action_values(call: Call, rng: np.random.Generator) -> None:
    """Q of random policies, with a discount, without one, and without a future."""
    for states, actions, discount, name in (
        (4, 3, float(rng.uniform(0.6, 0.95)), "with a discount"),
        (3, 4, 1.0, "without a discount"),
        (5, 2, 0.0, "without a future"),
    ):
        # Without a discount the episodes are long: a hundred sweeps do not reach their values.
        long = discount == 1
        transition, reward = _draw_process(rng, states, actions, (0.01, 0.02) if long else (0.1, 0.5))
        policy = rng.dirichlet(np.ones(actions), size=states)
        given = (transition, reward, policy, discount)
        result = _array(call, "policy_action_values", (states, actions), *given)
        # Sum the rewards of all times: what is left after so many steps is below the rounding.
        law = transition.reshape(states * actions, states)
        paid, move = (policy * reward).sum(1), np.einsum("sa,sat->st", policy, transition)
        expected = reward.astype(float).ravel()
        for step in range(1, 4000 if long else 250):
            expected = expected + discount**step * (law @ paid)
            law = law @ move
        right = _close(result, expected.reshape(states, actions), 1e-7)
        _require(right, f"The values of actions {name} are not right.")


def greedy_policy(call: Call, rng: np.random.Generator) -> None:
    """Exact ties, ties up to rounding, and near misses, for values of ordinary and of large size."""
    for states, actions, size in ((24, 4, 1.0), (24, 3, 1000.0)):
        transition, _ = _draw_process(rng, states, actions)
        values, discount = size * rng.normal(size=states), float(rng.uniform(0.5, 1))
        worth = size * (rng.normal(size=(states, actions)) - 5)
        best = rng.permuted(np.tile(np.arange(actions), (states, 1)), axis=1)
        expected = np.zeros((states, actions))
        # First rows: one best action; two that tie; a near miss; then all over again.
        for state in range(states):
            first, second = best[state, :2]
            peak = worth[state, first] = size * rng.uniform(2, 4)
            if state % 3 == 0:
                expected[state, first] = 1.0
            elif state % 3 == 1:
                worth[state, second] = peak - 5e-10
                expected[state, [first, second]] = 0.5
            else:
                worth[state, second] = peak - 2e-9
                expected[state, first] = 1.0
        future = np.array([[discount * (row * values).sum() for row in rows] for rows in transition])
        result = _array(
            call, "greedy_policy", (states, actions), transition, worth - future, values, discount
        )
        kinds = (
            (0, "Where one action is the best by far the policy is not right."),
            (1, "Where two actions tie the policy is not right."),
            (2, "Where an action is better by a little the policy is not right."),
        )
        for kind, message in kinds:
            _require(_close(result[kind::3], expected[kind::3], 1e-9), message)


def return_gradient(call: Call, rng: np.random.Generator) -> None:
    """The gradient of a softmax policy, against automatic differentiation of the return."""
    drawn = []
    for states, actions, discount, size, apart, when in (
        (3, 2, float(rng.uniform(0.6, 0.95)), 0.0, 0.0, "with a discount"),
        (4, 3, 1.0, 0.0, 0.0, "without a discount"),
        (3, 3, float(rng.uniform(0.6, 0.95)), float(rng.uniform(750, 950)), 0.0, "for large logits"),
        (4, 3, float(rng.uniform(0.6, 0.95)), 0.0, float(rng.uniform(750, 950)), "for large logits"),
    ):
        transition, reward = _draw_process(rng, states, actions)
        start = rng.dirichlet(np.ones(states))
        logits = rng.normal(size=(states, actions))
        # Far above the others of its state, and far below, so that a shift by another one than the largest fails.
        logits[:2] += apart * np.where(np.arange(actions) == 0, 1, -1) * np.array([[1], [-1]])
        # Large in one way in one state and in the other way in another, so that one shift for all does not help.
        shift = size * rng.permutation(np.arange(states) % 3 - 1)[:, None]
        given = (logits + shift, transition, reward, start, discount)
        result = _array(call, "return_gradient", (states, actions), *given)
        _require(np.isfinite(result).all(), "The gradient is not finite.")
        drawn.append((logits, *given[1:], result, when))
    for logits, transition, reward, start, discount, result, when in drawn:
        free = torch.tensor(logits, requires_grad=True)
        policy = free.softmax(1)
        step = (policy[:, :, None] * torch.tensor(transition)).sum(1)
        paid = (policy * torch.tensor(reward)).sum(1)
        law, total = torch.tensor(start), torch.zeros((), dtype=torch.float64)
        for time in range(200):
            total = total + discount**time * (law @ paid)
            law = law @ step
        expected = torch.autograd.grad(total, free)[0].numpy()
        _require(_close(result, expected, 1e-6), f"The gradient {when} is not right.")


def reinforce_weights(call: Call, rng: np.random.Generator) -> None:
    """Short episodes against double sums, a long one against its tail, and both extreme discounts."""
    for steps, discount, name in (
        (6, float(rng.uniform(0.5, 0.9)), "an ordinary discount"),
        (9, 1.0, "no discount"),
        (5, 0.0, "a discount of zero"),
    ):
        rewards, baselines = rng.normal(1, 2, steps), rng.normal(0, 2, steps)
        powers = np.array([1.0 if k == 0 else discount**k for k in range(steps)])
        expected = [
            powers[t] * (np.dot(powers[: steps - t], rewards[t:]) - baselines[t]) for t in range(steps)
        ]
        result = _array(call, "reinforce_weights", (steps,), rewards, baselines, discount)
        _require(np.isfinite(result).all(), f"For {name} a weight is not finite.")
        _require(_close(result, expected, 1e-9), f"For {name} the weights are not right.")
    steps, discount = 2000, float(rng.uniform(0.6, 0.75))
    rewards, baselines = rng.uniform(0.5, 2, steps), np.zeros(steps)
    result = _array(call, "reinforce_weights", (steps,), rewards, baselines, discount)
    place = int(rng.integers(400, 700))
    tail = discount**place * np.dot(discount ** np.arange(200), rewards[place : place + 200])
    right = abs(result[place] - tail) <= 1e-6 * tail
    _require(np.isfinite(result).all() and right, "For a long episode the weights are not right.")


def td_errors(call: Call, rng: np.random.Generator) -> None:
    """Ended and unended steps, with values after the end that must not count."""
    for shape in ((7,), (4, 5)):
        rewards, values, after = (rng.normal(0, 2, shape) for _ in range(3))
        terminated = rng.permuted(np.arange(rewards.size) % 3 == 0).reshape(shape)
        discount = float(rng.uniform(0.5, 0.95))
        expected = rewards - values + discount * after * (1 - terminated)
        after = after.copy()
        ended = np.flatnonzero(terminated)
        for index, junk in zip(ended, (np.nan, np.inf, -np.inf, 50.0), strict=False):
            after.flat[index] = junk
        given = (rewards, values, after, terminated, discount)
        result = _array(call, "td_errors", shape, *given)
        _require(_close(result[~terminated], expected[~terminated], 1e-9), "Unended steps are not right.")
        _require(np.isfinite(result).all(), "What is predicted after the end disturbs the result.")
        _require(_close(result[terminated], expected[terminated], 1e-9), "Ended steps are not right.")


EXERCISES = [
    Exercise("check_total_gradient", 2, total_gradient),
    Exercise("check_policy_action_values", 3, policy_action_values),
    Exercise("check_greedy_policy", 3, greedy_policy),
    Exercise("check_return_gradient", 3, return_gradient),
    Exercise("check_reinforce_weights", 3, reinforce_weights),
    Exercise("check_td_errors", 2, td_errors),
]
