"""Hidden checks of the homework on the Jensen–Shannon identity.

Every input is drawn from the generator that is passed in. The references are written here in float64,
with formulas other than those of the model solutions, and share nothing with them.
"""

import math
from typing import Any

import numpy as np

from solutions.checks import Call, Exercise, Wrong

RELATIVE = 1e-9


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise Wrong(message)


def _close(value: float, expected: float, absolute: float = 1e-9) -> bool:
    """Whether two numbers agree, infinities included; NaN agrees with nothing."""
    return value == expected or abs(value - expected) <= absolute + RELATIVE * abs(expected)


def _ask(call: Call, function: str, *values: Any) -> Any:
    """What the function returns, after demanding that it left its arrays alone."""
    answer = call(function, *values)
    _require(not answer["inputs_changed"], "It changes the arrays it is given.")
    _require(answer["result"] is not None, "It returns nothing. Is the `return` missing?")
    return answer["result"]


def _number(call: Call, function: str, *values: Any) -> float:
    result = _ask(call, function, *values)
    _require(type(result) is float, "It does not return a Python float.")
    _require(not math.isnan(result), "It returns NaN for some inputs.")
    return result


def _two_numbers(call: Call, function: str, *values: Any) -> list[float]:
    result = _ask(call, function, *values)
    fits = isinstance(result, list) and [type(value) for value in result] == [float, float]
    _require(fits, "It does not return two Python floats.")
    _require(not any(map(math.isnan, result)), "It returns NaN for some inputs.")
    return result


def _law(rng: np.random.Generator, size: int, empty: tuple[int, ...] = ()) -> np.ndarray:
    """A random law whose entries are at least a fiftieth of the largest, and zero at the places given."""
    law = rng.uniform(0.02, 1.0, size)
    law[list(empty)] = 0.0
    return law / law.sum()


def _entropy(masses: np.ndarray) -> float:
    return -math.fsum(mass * math.log(mass) for mass in masses.ravel().tolist() if mass > 0)


# --- exercise 1 ---------------------------------------------------------------------------------------


def information(call: Call, rng: np.random.Generator) -> None:
    """I(X; Y) = H(X) + H(Y) - H(X, Y), for laws with and without zeros, nearly equal, and disjoint."""
    for count, size in ((2, 5), (3, 4), (5, 7)):
        weights = _law(rng, count)
        full = np.stack([_law(rng, size) for _ in range(count)])
        # The last state is reached by no law, the first only by the first law.
        holes = np.stack([_law(rng, size, (size - 1,) if i == 0 else (0, size - 1)) for i in range(count)])
        apart = np.eye(count)[rng.permutation(count)]
        for laws, name in ((full, "positive laws"), (holes, "laws with zeros"), (apart, "disjoint laws")):
            joint = weights[:, None] * laws
            expected = _entropy(weights) + _entropy(joint.sum(0)) - _entropy(joint)
            result = _number(call, "information", laws, weights)
            _require(_close(result, expected), f"For {name} the information is not right.")


# --- exercise 2 ---------------------------------------------------------------------------------------


def _log_sigmoid(s: float) -> float:
    return min(s, 0.0) - math.log1p(math.exp(-abs(s)))


def certified_bound(call: Call, rng: np.random.Generator) -> None:
    """Bound and standard error, for sizes that differ, on moderate, large and very large logits."""
    for scale, name in ((2.0, "random logits"), (60.0, "large logits"), (400.0, "very large logits")):
        real = np.clip(scale * rng.standard_normal(rng.integers(6, 9)) + scale / 2, -1000, 1000)
        fake = np.clip(scale * rng.standard_normal(rng.integers(14, 19)) - scale, -1000, 1000)
        # Both kinds of confident mistake occur for certain, whatever the draw.
        real[0], fake[0] = -2 * scale, 1.5 * scale
        prior = float(rng.choice([rng.uniform(0.1, 0.35), rng.uniform(0.65, 0.9)]))
        total, variance = _entropy(np.array([prior, 1 - prior])), 0.0
        for weight, sign, logits in ((prior, 1, real), (1 - prior, -1, fake)):
            pays = [_log_sigmoid(sign * s) for s in logits.tolist()]
            mean = math.fsum(pays) / len(pays)
            squares = math.fsum((pay - mean) ** 2 for pay in pays)
            total += weight * mean
            variance += weight**2 * squares / (len(pays) - 1) / len(pays)
        bound, error = _two_numbers(call, "certified_bound", real, fake, prior)
        _require(math.isfinite(bound), f"For {name} the bound is not finite.")
        _require(_close(bound, total), f"For {name} the bound is not right.")
        _require(_close(error, math.sqrt(variance)), f"For {name} the standard error is not right.")


# --- exercise 3 ---------------------------------------------------------------------------------------


def _coin(a: float, b: float) -> float:
    """KL(Bern(a) || Bern(b)), infinite where b excludes what a allows."""
    lost = 0.0
    for chance, stated in ((a, b), (1 - a, 1 - b)):
        if chance > 0:
            lost += chance * math.log(chance / stated) if stated > 0 else math.inf
    return lost


def _regret(p: np.ndarray, q: np.ndarray, answers: np.ndarray) -> float:
    """The gap as (p + q) KL(Bern(D*) || Bern(D)), summed over the states that have mass."""
    return math.fsum(
        (a + b) * _coin(a / (a + b), d)
        for a, b, d in zip(p.tolist(), q.tolist(), answers.tolist(), strict=True)
        if a + b > 0
    )


def gap(call: Call, rng: np.random.Generator) -> None:
    """Any answers, nearly optimal ones, certain and right ones, certain and wrong ones."""
    size = 8
    for _ in range(2):
        p, q = _law(rng, size), _law(rng, size)
        answers = rng.uniform(0.05, 0.95, size)
        result = _number(call, "gap", p, q, answers)
        _require(_close(result, _regret(p, q, answers)), "Where all masses are positive it is not right.")
        near = p / (p + q) + rng.uniform(-1e-3, 1e-3, size)
        result = _number(call, "gap", p, q, near)
        _require(_close(result, _regret(p, q, near)), "Near the best answers the gap is not right.")

        # Place 0: only data; 1: only generated; 2: neither.
        places = rng.permutation(size)
        p = _law(rng, size, (places[1], places[2]))
        q = _law(rng, size, (places[0], places[2]))
        result = _number(call, "gap", p, q, answers)
        _require(_close(result, _regret(p, q, answers)), "Where a law vanishes it is not right.")
        certain = answers.copy()
        certain[places[:3]] = 1.0, 0.0, float(rng.integers(2))
        result = _number(call, "gap", p, q, certain)
        _require(math.isfinite(result), "Where D is certain and right it is not finite.")
        _require(_close(result, _regret(p, q, certain)), "Where D is certain and right it is not right.")
        for place, answer in ((places[0], 0.0), (places[1], 1.0), (places[3], float(rng.integers(2)))):
            wrong = answers.copy()
            wrong[place] = answer
            result = _number(call, "gap", p, q, wrong)
            _require(result == math.inf, "Where D is certain and wrong it is not infinite.")


# --- exercise 4 ---------------------------------------------------------------------------------------


def _parts(p: np.ndarray, q: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """Calibration and refinement, one group after the other."""
    calibration = refinement = 0.0
    for answer in set(answers.tolist()):
        members = [i for i, other in enumerate(answers.tolist()) if other == answer]
        real, fake = math.fsum(p[members].tolist()), math.fsum(q[members].tolist())
        if real + fake == 0:
            continue
        share = real / (real + fake)
        calibration += (real + fake) / 2 * _coin(share, answer)
        for a, b in zip(p[members].tolist(), q[members].tolist(), strict=True):
            if a + b > 0:
                refinement += (a + b) / 2 * _coin(a / (a + b), share)
    return calibration, refinement


def split_gap(call: Call, rng: np.random.Generator) -> None:
    """Groups of several sizes in any order; states and whole groups where one law or both vanish."""
    for size, levels in ((8, 3), (12, 5), (6, 6)):
        distinct = np.sort(rng.uniform(0.05, 0.95, levels))
        # Two answers that are not the same although a rounded number would be.
        distinct[1] = distinct[0] + 1e-10
        group = rng.permutation(np.arange(size) % levels)
        answers = distinct[group]
        p, q = _law(rng, size), _law(rng, size)
        expected = _parts(p, q, answers)
        result = _two_numbers(call, "split_gap", p, q, answers)
        _require(_close(result[0], expected[0]), "Where all masses are positive calibration is not right.")
        _require(_close(result[1], expected[1]), "Where all masses are positive refinement is not right.")

        of = [tuple(np.flatnonzero(group == k)) for k in range(levels)]
        # One group without data, one that no law reaches, and single states without mass.
        p = _law(rng, size, (*of[0], *of[2], of[1][0]))
        q = _law(rng, size, of[2])
        for first, second in ((p, q), (q, p)):
            expected = _parts(first, second, answers)
            result = _two_numbers(call, "split_gap", first, second, answers)
            _require(math.isfinite(sum(result)), "Where a law vanishes a part is not finite.")
            _require(_close(result[0], expected[0]), "Where a law vanishes calibration is not right.")
            _require(_close(result[1], expected[1]), "Where a law vanishes refinement is not right.")


# --- exercise 5 ---------------------------------------------------------------------------------------


def _stepped(p: np.ndarray, q: np.ndarray, step_size: float) -> np.ndarray:
    """q (1 + p/q)^step, normalised, the power taken relative to the largest factor."""
    logs = [
        math.log(b) + step_size * math.log1p(a / b) if b > 0 else -math.inf for a, b in zip(p, q, strict=True)
    ]
    most = max(logs)
    powers = [math.exp(value - most) for value in logs]
    return np.array(powers) / math.fsum(powers)


def multiplicative_step(call: Call, rng: np.random.Generator) -> None:
    """Small, unit and large steps; states without mass of either kind; masses close to underflow."""
    size = 7
    steps = [float(rng.uniform(0.2, 0.8)), 1.0, float(rng.uniform(1.5, 4.0)), float(rng.uniform(20, 45))]
    for step_size in steps:
        places = rng.permutation(size)
        tiny = _law(rng, size)
        tiny[places[0]] = 10.0 ** rng.uniform(-279, -250)
        cases = [
            ("positive laws", _law(rng, size), _law(rng, size)),
            ("laws with zeros", _law(rng, size, (places[1],)), _law(rng, size, (places[2], places[3]))),
            (
                "a state that neither law reaches",
                _law(rng, size, (places[4],)),
                _law(rng, size, (places[4],)),
            ),
            ("tiny masses", _law(rng, size), tiny / tiny.sum()),
        ]
        for name, p, q in cases:
            result = _ask(call, "multiplicative_step", p, q, step_size)
            array = isinstance(result, np.ndarray) and result.dtype.kind == "f" and result.shape == q.shape
            _require(array, "The result is not an array of real numbers of the laws' shape.")
            _require(np.isfinite(result).all(), f"For {name} the result is not finite.")
            _require((result >= 0).all(), "The result is negative somewhere.")
            _require(_close(result.sum(), 1.0), f"For {name} the result does not sum to one.")
            _require((result[q == 0] == 0).all(), "Mass appears where the generator has none.")
            right = np.allclose(result, _stepped(p, q, step_size), rtol=1e-8, atol=1e-12)
            _require(right, f"For {name} the new law is not right.")


EXERCISES = [
    Exercise("check_information", 3, information),
    Exercise("check_certified_bound", 3, certified_bound),
    Exercise("check_gap", 3, gap),
    Exercise("check_split_gap", 4, split_gap),
    Exercise("check_multiplicative_step", 3, multiplicative_step),
]
