"""Divergences between laws on the line or on finitely many points, in nats, and the GAN value function.

Densities are integrated by adaptive Gauss-Kronrod quadrature, split where the targets say so, and never in
the variable x alone on (0, 1) when a Beta law is involved: there x = sigma(t) and t is integrated, because
a density like x^(-0.9) keeps a visible part of its mass where x or 1 - x rounds to zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import integrate, special

from gancourse.targets import Beta, Target

MASS_TOLERANCE = 1e-8
_PRECISION = 1e-10


class QuadratureError(ArithmeticError):
    """An integral could not be had to the promised precision."""


class Estimate(NamedTuple):
    """A Monte-Carlo mean and its standard error, in the unit of the values."""

    mean: float
    standard_error: float


def kl(p: Target | ArrayLike, q: Target | ArrayLike) -> float:
    """Kullback-Leibler divergence KL(p||q) = E_p[log p - log q] in nats, in [0, inf].

    p, q: two 1-D targets, or two arrays of probabilities of the same length (0 log 0 = 0). Infinite where
    q = 0 < p. Raises ValueError for arrays that are not distributions and for targets in more dimensions,
    QuadratureError when the densities do not integrate to one within 1e-8.
    """
    if _are_laws(p, q):
        # Arrays sum to one up to rounding only, and what is missing must not make a divergence negative.
        return max(0.0, float(special.rel_entr(*_laws(p, q)).sum()))
    if p.support[0] < q.support[0] or p.support[1] > q.support[1]:
        return math.inf
    return _rounded_into(_expectation(p, q, lambda log_p, log_q, x: (log_p - log_q, None)), math.inf)


def jsd(p: Target | ArrayLike, q: Target | ArrayLike) -> float:
    """Jensen-Shannon divergence KL(p||m)/2 + KL(q||m)/2 with m = (p + q)/2, in nats, in [0, log 2].

    Arguments and errors as for `kl`.
    """
    if _are_laws(p, q):
        first, second = _laws(p, q)
        middle = (first + second) / 2
        value = (special.rel_entr(first, middle) + special.rel_entr(second, middle)).sum() / 2
    else:
        value = _rounded_into(_expectation(p, q, _halves_against_middle), math.log(2))
    return float(np.clip(value, 0, math.log(2)))  # rounding must not make a square root of it fail


def total_variation(p: Target | ArrayLike, q: Target | ArrayLike) -> float:
    """Total variation distance, half the integral of |p - q|, in [0, 1]. Arguments and errors as for `kl`."""
    if _are_laws(p, q):
        first, second = _laws(p, q)
        value = np.abs(first - second).sum() / 2
    else:
        # |p - q| = p sign(p - q) - q sign(p - q)
        value = _expectation(p, q, lambda log_p, log_q, x: (s := np.sign(log_p - log_q) / 2, -s))
        value = _rounded_into(value, 1.0)
    return float(np.clip(value, 0, 1))


def _rounded_into(value: float, high: float) -> float:
    """An integral without what rounding puts below 0 or above its bound; more than that is an error."""
    if not -MASS_TOLERANCE <= value <= high + MASS_TOLERANCE:
        raise QuadratureError(f"The integral is {value:.9g}, outside [0, {high:.9g}] by more than rounding.")
    return min(max(value, 0.0), high)


def value(logit: Callable[[torch.Tensor], torch.Tensor], p: Target, q: Target) -> float:
    """Value V(D, G) = E_p[log D] + E_q[log(1 - D)] in nats, for D = sigma(logit) and 1-D targets p and q.

    logit: maps float64 points (n, 1) to logits (n,) or (n, 1); infinite logits (D = 0 or 1) are allowed.
    Returns -inf when D = 0 on a set that p charges, or D = 1 on one that q charges. Raises ValueError for a
    wrong shape or for NaN where p + q > 0, QuadratureError also when p or q keeps more than 1e-8 of its mass
    where points of (0, 1) round to an end, which a function of x cannot tell apart.
    Source: Goodfellow et al. (2014), equation 1.
    """
    if _are_laws(p, q):
        raise ValueError("value needs two targets (from gancourse.targets), got arrays of probabilities.")

    def terms(log_p: np.ndarray, log_q: np.ndarray, x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            s = torch.as_tensor(logit(x))
        if s.shape not in (x.shape, x.shape[:1]):
            raise ValueError(f"logit must map {tuple(x.shape)} to ({len(x)},), it gave {tuple(s.shape)}.")
        s = s.detach().double().cpu().numpy().reshape(len(x))
        s = np.where(np.isneginf(log_p) & np.isneginf(log_q), 0.0, s)  # off both supports D is arbitrary
        if np.isnan(s).any():
            raise ValueError(
                f"logit is NaN at x = {x[np.isnan(s)][0].item()}; it must be a number or infinite."
            )
        return -np.logaddexp(0, -s), -np.logaddexp(0, s)

    return _expectation(p, q, terms, in_x=True)


def monte_carlo(values: torch.Tensor) -> Estimate:
    """Mean of independent values (n,) and its standard error, the sample's standard deviation over sqrt(n).

    Raises ValueError for fewer than two values and for values that are not finite.
    """
    values = torch.as_tensor(values, device="cpu").detach().double()
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values must have shape (n,) with n >= 2, got {tuple(values.shape)}.")
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise ValueError(f"{bad} of {len(values)} values are not finite, so the mean is not a number.")
    # Squares of very large or very small values leave the range of float64; a power of two changes no bit.
    scale = math.ldexp(1.0, math.frexp(values.abs().max().item())[1] - 1)
    return Estimate(values.mean().item(), (values / scale).std().item() * scale / math.sqrt(len(values)))


def _are_laws(p: Target | ArrayLike, q: Target | ArrayLike) -> bool:
    """True for two arrays, False for two 1-D targets; anything else is an error."""
    densities = [hasattr(law, "log_prob") for law in (p, q)]
    if any(densities) != all(densities):
        raise ValueError("p and q must both be targets or both be arrays of probabilities, got one of each.")
    for name, law in (("p", p), ("q", q)):
        if all(densities) and getattr(law, "dim", None) != 1:
            raise ValueError(
                f"{name} must be a 1-D target from gancourse.targets, got {type(law).__name__} with dim "
                f"{getattr(law, 'dim', 'unknown')}. In more dimensions average log-density ratios over "
                "samples with monte_carlo."
            )
    return not any(densities)


def _laws(p: ArrayLike, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = _law("p", p), _law("q", q)
    if len(first) != len(second):
        raise ValueError(f"p and q must have the same length, got {len(first)} and {len(second)}.")
    return first, second


def _law(name: str, law: ArrayLike) -> np.ndarray:
    eps = None
    if isinstance(law, torch.Tensor):
        law = law.detach().cpu()
        if law.is_floating_point():  # bfloat16 too, which numpy has not
            eps, law = torch.finfo(law.dtype).eps, law.double()
        law = law.numpy()
    law = np.asarray(law)
    if law.ndim != 1 or len(law) == 0:
        raise ValueError(f"{name} must be a 1-D array of probabilities, got shape {law.shape}.")
    if law.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers, got {law.dtype}.")
    rounding = math.sqrt(eps or np.finfo(law.dtype).eps) if law.dtype.kind == "f" else MASS_TOLERANCE
    law = law.astype(np.float64)
    if not np.isfinite(law).all() or (law < 0).any():
        worst = law[~(law >= 0) | ~np.isfinite(law)][0]
        raise ValueError(
            f"{name} is not a distribution: probabilities are finite and >= 0, found {worst:.6g}."
        )
    if abs(law.sum() - 1) > rounding:
        raise ValueError(
            f"{name} is not a distribution: it sums to {law.sum():.9g}, not to 1. Divide by the sum."
        )
    return law


# f(log p, log q, x) -> (g, h), and the integral wanted is E_p[g] + E_q[h]; None stands for zero.
_Terms = Callable[[np.ndarray, np.ndarray, torch.Tensor], tuple[np.ndarray, np.ndarray | None]]


def _halves_against_middle(
    log_p: np.ndarray, log_q: np.ndarray, x: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    log_middle = np.logaddexp(log_p, log_q) - math.log(2)
    return (log_p - log_middle) / 2, (log_q - log_middle) / 2


def _expectation(p: Target, q: Target, terms: _Terms, *, in_x: bool = False) -> float:
    """E_p[g] + E_q[h] by quadrature, the masses of p and q being integrated on the same nodes and checked.

    in_x: leave out the points of (0, 1) that round to an end, because the terms read x.
    """
    infinite = []

    def weighted(log_weight: np.ndarray, integrand: np.ndarray) -> np.ndarray:
        # Where the density is zero an infinite or undefined integrand counts for nothing (0 log 0 = 0).
        infinite.extend(integrand[np.isinf(integrand) & ~np.isneginf(log_weight)][:1])
        return np.exp(log_weight) * np.where(np.isfinite(integrand), integrand, 0.0)

    total = np.zeros(3)
    for chart, points in _charts(p, q, in_x):

        def columns(u: np.ndarray, chart: _Chart = chart) -> np.ndarray:
            """Density of p, density of q and the integrand, all with respect to du: (n, 1) to (n, 3)."""
            x, log_p, log_q, log_dx_du = chart(p, q, torch.from_numpy(u))
            with np.errstate(invalid="ignore"):
                g, h = terms(log_p, log_q, x)
            sum_ = weighted(log_p + log_dx_du, g)
            if h is not None:
                sum_ = sum_ + weighted(log_q + log_dx_du, h)
            return np.stack([np.exp(log_p + log_dx_du), np.exp(log_q + log_dx_du), sum_], axis=-1)

        # One call a piece: given `points`, scipy 1.17 does not order its first regions by their error.
        for low, high in pairwise(points):
            result = integrate.cubature(
                columns, [low], [high], atol=_PRECISION / len(points), rtol=_PRECISION, max_subdivisions=500
            )
            if result.status != "converged":
                raise QuadratureError(
                    f"The integral between {low:.6g} and {high:.6g} did not converge (error "
                    f"{result.error.max():.1e}): the function is too rough there, or a density is narrower "
                    "than double precision resolves at its place."
                )
            total += result.estimate
    for name, mass in (("p", total[0]), ("q", total[1])):
        if not abs(mass - 1) <= MASS_TOLERANCE:
            raise QuadratureError(
                f"{name} integrates to {mass:.12g}, not to 1 within {MASS_TOLERANCE:g}: its log_prob is not "
                "normalised, its breaks do not show where the mass is, or (value only) part of it lies where "
                "points of (0, 1) round to an end."
            )
    return float(infinite[0]) if infinite else float(total[2])


class _Nodes(NamedTuple):
    x: torch.Tensor
    log_p: np.ndarray
    log_q: np.ndarray
    log_dx_du: np.ndarray


# Maps p, q and nodes u (n, 1) to the points x, the log densities there, and the log of dx/du.
_Chart = Callable[[Target, Target, torch.Tensor], _Nodes]


def _line_chart(p: Target, q: Target, x: torch.Tensor) -> _Nodes:
    return _Nodes(x, p.log_prob(x).numpy(), q.log_prob(x).numpy(), np.zeros(len(x)))


def _logit_chart(p: Target, q: Target, t: torch.Tensor) -> _Nodes:
    limits = torch.finfo(torch.float64)
    x = t.sigmoid().clamp(limits.tiny, 1 - limits.eps / 2)

    def log_prob(target: Target) -> np.ndarray:
        return (target.log_prob_at_logit(t) if isinstance(target, Beta) else target.log_prob(x)).numpy()

    log_dx_dt = torch.nn.functional.logsigmoid(t) + torch.nn.functional.logsigmoid(-t)
    return _Nodes(x, log_prob(p), log_prob(q), log_dx_dt[:, 0].numpy())


def _charts(p: Target, q: Target, in_x: bool) -> list[tuple[_Chart, list[float]]]:
    """Charts that cover p and q together, each with its ends and the points between them to split at."""
    points = sorted({float(x) for target in (p, q) for x in target.breaks})
    if not any(isinstance(target, Beta) for target in (p, q)):
        return [(_line_chart, points)]
    inner = {float(special.logit(x)) for x in points if 0 < x < 1}
    inner = sorted(inner.union(*(target.logit_breaks for target in (p, q) if isinstance(target, Beta))))
    if in_x:
        # Between these logits x is a normal number and 1 - x keeps three digits.
        low, high = max(-708.0, inner[0]), min(29.0, inner[-1])
        inner = [low, *(t for t in inner if low < t < high), high]
    outer = [[x for x in points if x <= 0], [x for x in points if x >= 1]]
    return [(_logit_chart, inner), *((_line_chart, side) for side in outer if len(side) > 1)]
