"""Densities that can be both sampled and evaluated, so that a derivation can be checked from both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import special

# Distances from the centre, in scales, at which a quadrature is split. Beyond 40 a Gaussian is zero in
# double precision and an exponential tail is below 1e-17.
_STEPS = torch.tensor([-40.0, -12, -5, -2, 0, 2, 5, 12, 40], dtype=torch.float64, device="cpu")


class Target(Protocol):
    """What the rest of the course may ask of a density.

    `dim` is the dimension, `support` the smallest interval (low, high) that holds every coordinate.
    `breaks` (1-D only) are finite points in increasing order: all discontinuities, and enough others that the
    density is smooth between two of them and negligible outside. Quadratures are split there.
    """

    @property
    def dim(self) -> int: ...

    @property
    def support(self) -> tuple[float, float]: ...

    @property
    def breaks(self) -> tuple[float, ...]: ...

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor: ...

    def log_prob(self, x: torch.Tensor) -> torch.Tensor: ...


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of K isotropic Gaussians in d dimensions, sum_k w_k N(mu_k, sigma_k^2 I).

    means: (K, d), stds: (K,), weights: (K,); tensors, arrays or nested lists, kept in float64 on the CPU.
    Raises ValueError for wrong shapes, values that are not finite, a std that is not positive, and weights
    that are negative or do not sum to one.
    """

    means: torch.Tensor
    stds: torch.Tensor
    weights: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("means", "stds", "weights"):
            given = getattr(self, name)
            try:
                value = torch.as_tensor(given, dtype=torch.float64, device="cpu").detach().clone()
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name} must be an array of numbers, got {given!r}.") from error
            if not value.isfinite().all():
                raise ValueError(f"{name} must be finite numbers, got {value.tolist()}.")
            object.__setattr__(self, name, value)
        if self.means.ndim != 2 or 0 in self.means.shape:
            raise ValueError(
                f"means must have shape (K, d), one row per mode, got {tuple(self.means.shape)}. "
                "In one dimension write [[-1.0], [2.0]]."
            )
        modes = len(self.means)
        for name in ("stds", "weights"):
            shape = tuple(getattr(self, name).shape)
            if shape != (modes,):
                raise ValueError(f"{name} must have shape ({modes},), one number per mode, got {shape}.")
        if (self.stds <= 0).any():
            raise ValueError(f"stds must be positive, got {self.stds.tolist()}.")
        total = self.weights.sum().item()
        if (self.weights < 0).any() or abs(total - 1) > 1e-6:
            raise ValueError(
                f"weights must be >= 0 and sum to 1, got {self.weights.tolist()} with sum {total:.6g}."
            )
        object.__setattr__(self, "weights", self.weights / total)

    @property
    def dim(self) -> int:
        """Dimension d of the space."""
        return self.means.shape[1]

    @property
    def support(self) -> tuple[float, float]:
        """The real line, in every coordinate."""
        return -math.inf, math.inf

    @property
    def breaks(self) -> tuple[float, ...]:
        """The modes and points up to 40 standard deviations from them; raises ValueError unless d = 1."""
        if self.dim != 1:
            raise ValueError(f"breaks are defined in one dimension, this mixture has {self.dim}.")
        return tuple((self.means + self.stds[:, None] * _STEPS).unique().tolist())

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Draw n independent points, shape (n, d), on the generator's device (the CPU without one)."""
        device = _device(n, generator)
        weights, means, stds = (v.to(device, dtype) for v in (self.weights, self.means, self.stds))
        mode = torch.multinomial(weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=dtype, device=device)
        return means[mode] + stds[mode, None] * noise

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Log density in nats: x (n, d) to (n,), in the dtype and on the device of x, differentiable in x."""
        _check_points(x, self.dim)
        weights, means, stds = (v.to(x) for v in (self.weights, self.means, self.stds))
        squares = ((x[:, None, :] - means) / stds[:, None]).square().sum(dim=-1)
        log_norm = self.dim * (stds.log() + 0.5 * math.log(2 * math.pi))
        return torch.logsumexp(weights.log() - log_norm - squares / 2, dim=1)


@dataclass(frozen=True)
class Uniform:
    """The uniform law on the interval [low, high]. Raises ValueError unless low < high, both finite."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"Uniform needs finite low < high, got low={self.low}, high={self.high}.")

    @property
    def dim(self) -> int:
        """Always 1."""
        return 1

    @property
    def support(self) -> tuple[float, float]:
        """The interval (low, high)."""
        return float(self.low), float(self.high)

    @property
    def breaks(self) -> tuple[float, ...]:
        """The two ends."""
        return self.support

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Draw n independent points, shape (n, 1), on the generator's device (the CPU without one)."""
        unit = torch.rand(n, 1, generator=generator, dtype=dtype, device=_device(n, generator))
        return (self.low + (self.high - self.low) * unit).clamp(self.low, self.high)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Log density in nats: x (n, 1) to (n,); -log(high - low) on [low, high], -inf outside."""
        _check_points(x, 1)
        x = x[:, 0]
        inside = torch.full_like(x, -math.log(self.high - self.low))
        return inside.masked_fill((x < self.low) | (x > self.high), -math.inf).masked_fill(
            x.isnan(), math.nan
        )


@dataclass(frozen=True)
class Beta:
    """The law Beta(a, b) on the open interval (0, 1), density x^(a-1) (1-x)^(b-1) / B(a, b).

    With a or b below one the density is unbounded at that end, and much of the mass can lie where 1 - x is
    no longer a floating-point number: use `log_prob_at_logit` there. Raises ValueError unless a, b > 0.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        if not (0 < self.a < math.inf and 0 < self.b < math.inf):
            raise ValueError(f"Beta needs finite a > 0 and b > 0, got a={self.a}, b={self.b}.")

    @property
    def dim(self) -> int:
        """Always 1."""
        return 1

    @property
    def support(self) -> tuple[float, float]:
        """The interval (0, 1), without its ends."""
        return 0.0, 1.0

    @property
    def breaks(self) -> tuple[float, ...]:
        """The two ends; inside, `logit_breaks` serve."""
        return self.support

    @property
    def logit_breaks(self) -> tuple[float, ...]:
        """Points in t = logit x up to 40 standard deviations of t from its mean.

        The mean of t is digamma(a) - digamma(b), its variance trigamma(a) + trigamma(b).
        """
        mean = special.digamma(self.a) - special.digamma(self.b)
        variance = special.polygamma(1, self.a) + special.polygamma(1, self.b)
        return tuple((mean + math.sqrt(variance) * _STEPS).tolist())

    def sample(
        self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Draw n independent points, shape (n, 1), on the generator's device (the CPU without one).

        Points below the smallest normal number of `dtype` become that number, and points that would round to
        1 the largest number below it, so that their log density is finite.
        """
        device = _device(n, generator)
        level = torch.rand(n, 1, generator=generator, dtype=torch.float64, device=device)
        x = torch.from_numpy(special.betaincinv(self.a, self.b, level.cpu().numpy())).to(device, dtype)
        limits = torch.finfo(dtype)
        return x.clamp(limits.tiny, 1 - limits.eps / 2)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Log density in nats: x (n, 1) to (n,); -inf outside the open interval (0, 1)."""
        _check_points(x, 1)
        x = x[:, 0]
        outside = (x <= 0) | (x >= 1)
        safe = torch.where(outside, 0.5, x)
        value = (self.a - 1) * safe.log() + (self.b - 1) * torch.log1p(-safe) - special.betaln(self.a, self.b)
        return value.masked_fill(outside, -math.inf)

    def log_prob_at_logit(self, t: torch.Tensor) -> torch.Tensor:
        """Log density in nats with respect to x, at x = sigma(t): t (n, 1) to (n,), exact at both ends."""
        _check_points(t, 1)
        t = t[:, 0]
        log_x, log_1_minus_x = torch.nn.functional.logsigmoid(t), torch.nn.functional.logsigmoid(-t)
        return (self.a - 1) * log_x + (self.b - 1) * log_1_minus_x - special.betaln(self.a, self.b)


def gaussian(mean: float = 0.0, std: float = 1.0) -> GaussianMixture:
    """The Gaussian N(mean, std^2) on the line."""
    return GaussianMixture([[mean]], [std], [1.0])


def ring(modes: int = 8, radius: float = 1.0, std: float = 0.01) -> GaussianMixture:
    """Equal Gaussians on a circle, at the angles 2 pi k / modes for k = 0, ..., modes - 1, all distinct.

    The generator `linspace(0, 2 * pi, 8)`, often met in public code, counts the angle 0 twice: it has seven
    distinct modes. Raises ValueError unless modes is a positive integer and radius is positive.
    """
    _check_count("modes", modes)
    _check_positive("radius", radius)
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return _equal_modes(radius * torch.stack([angle.cos(), angle.sin()], dim=1), std)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05) -> GaussianMixture:
    """Equal Gaussians on a square grid of side x side modes around 0; by default {-4, -2, 0, 2, 4}^2.

    Raises ValueError unless side is a positive integer and spacing is positive.
    """
    _check_count("side", side)
    _check_positive("spacing", spacing)
    axis = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return _equal_modes(torch.cartesian_prod(axis, axis), std)


def _equal_modes(means: torch.Tensor, std: float) -> GaussianMixture:
    modes = len(means)
    return GaussianMixture(means, [std] * modes, [1 / modes] * modes)


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value!r}.")


def _check_points(x: torch.Tensor, dim: int) -> None:
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"points must be a floating-point torch tensor of shape (n, {dim}), got {kind}.")
    if x.ndim != 2 or x.shape[1] != dim:
        hint = " Write x[:, None] for points on the line." if x.ndim == 1 and dim == 1 else ""
        raise ValueError(f"points must have shape (n, {dim}), got {tuple(x.shape)}.{hint}")


def _device(n: int, generator: torch.Generator | None) -> torch.device:
    _check_count("n", n)
    return torch.device("cpu") if generator is None else generator.device
