"""Distances and tests between samples: tensors of features (n, d) and (m, d), no images and no networks.

Features may be points of the plane, pixels, or what `gancourse.features` computes. All is computed in
float64 on the CPU, and no matrix between two samples is ever held whole. A score compares only with scores of
the same features, the same reference and the same numbers of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from gancourse.divergences import Estimate, monte_carlo

KID_BLOCKS = 10
COPY_LEVEL = 0.01  # share of held-out data that lies as close to the training set as a copy must
ALARM_LEVEL = 3e-5  # about what a normal law leaves beyond four standard errors
_ENTRIES = 2**22  # of a matrix between two samples that are held at a time: 32 MB
_NEAR = 1e-3  # squared distances below this share of a squared norm are taken from the differences
_LARGEST = 1e140  # sums of squares of larger numbers leave the range of float64
_LARGEST_KID = 1e40  # the same for sixth powers, summed over dimensions
_SEED = 0  # of the random splits, so that a score depends on its samples alone


def gaussian_frechet_distance(mean_p: Tensor, cov_p: Tensor, mean_q: Tensor, cov_q: Tensor) -> float:
    """Squared Fréchet distance |m_p - m_q|² + tr(S_p + S_q - 2 (S_p S_q)^(1/2)) between two Gaussians.

    mean_p, mean_q: (d,), cov_p, cov_q: (d, d), symmetric and positive semi-definite up to the root of their
    dtype's precision, relative to the largest eigenvalue; singular ones are fine.
    This is the squared 2-Wasserstein distance of N(m_p, S_p) and N(m_q, S_q), in squared units of the space.
    Raises ValueError for wrong shapes, values that are complex or not finite, and matrices that are no
    covariances.
    Source: Dowson and Landau (1982).
    """
    means, roots, traces = [], [], []
    for mean, cov in ((mean_p, cov_p), (mean_q, cov_q)):
        mean, cov = (torch.as_tensor(v, device="cpu").detach() for v in (mean, cov))
        if mean.ndim != 1 or len(mean) == 0 or cov.shape != (len(mean), len(mean)):
            raise ValueError(
                f"A Gaussian has a mean (d,) and a covariance (d, d) with d > 0, got {tuple(mean.shape)} and "
                f"{tuple(cov.shape)}."
            )
        if mean.is_complex() or cov.is_complex():
            raise ValueError("Means and covariances must be real numbers, got complex ones.")
        given = torch.finfo(cov.dtype if cov.is_floating_point() else torch.float64)
        mean, cov = mean.double(), cov.double()
        if not (mean.isfinite().all() and cov.isfinite().all()):
            raise ValueError("Means and covariances must be finite numbers.")
        values, vectors = torch.linalg.eigh((cov + cov.T) / 2)
        rounding = math.sqrt(given.eps) * max(values.abs().max().item(), torch.finfo(torch.float64).tiny)
        if (cov - cov.T).abs().max() > rounding or values.min() < -rounding:
            raise ValueError(
                f"A covariance is symmetric and positive semi-definite; one has the eigenvalue "
                f"{values.min().item():.3g} or differs from its transpose."
            )
        means.append(mean)
        roots.append(vectors * values.clamp(min=0).sqrt() @ vectors.T)
        traces.append(cov.trace())
    if len(means[0]) != len(means[1]):
        raise ValueError(f"The Gaussians have {len(means[0])} and {len(means[1])} dimensions.")
    # tr (S_p S_q)^(1/2) is the sum of the singular values of S_p^(1/2) S_q^(1/2).
    overlap = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    squared = (means[0] - means[1]).square().sum() + traces[0] + traces[1] - 2 * overlap
    return max(0.0, squared.item())  # rounding must not make a distance negative


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Squared Fréchet distance between the Gaussians with the samples' means and unbiased covariances.

    real: (n, d), fake: (m, d), both n and m greater than d, better than 10 d.
    It is biased upwards, the more the fewer samples: for two samples of one Gaussian whose covariance has the
    eigenvalues s_i the mean is, to first order, (1/n + 1/m) (5/4 sum_i s_i + 1/2 sum_ij s_i s_j/(s_i + s_j)),
    which is (1/n + 1/m) d (d + 5)/4 when all are one. It differs between laws, so equal n do not cancel it.
    Raises ValueError for wrong shapes or types, values not finite or over 1e140, and too few samples.
    Source: Heusel et al. (2017); bias: Bińkowski et al. (2018), Chong and Forsyth (2020).
    """
    dim = real.shape[-1] if isinstance(real, Tensor) and real.ndim else 0
    real, fake = _pair(real, fake, dim + 1, f"a covariance in {dim} dimensions", 10 * dim)
    return gaussian_frechet_distance(real.mean(0), _covariance(real), fake.mean(0), _covariance(fake))


def kid(real: Tensor, fake: Tensor) -> Estimate:
    """Unbiased squared MMD with the kernel k(x, y) = (x·y/d + 1)³, and its standard error.

    real: (n, d), fake: (m, d), at least 20 each. Both samples are dealt at random into 10 disjoint blocks.
    Each pair of blocks gives an unbiased estimate; the blocks are independent, so the spread of the estimates
    gives the standard error of their mean. It can be negative: for equal laws its expectation is zero.
    Raises as `frechet_distance`, and for values over 1e40.
    Source: Bińkowski, Sutherland, Arbel and Gretton (2018). Public code usually draws subsets that overlap;
    the mean has the same expectation, but their spread is no standard error.
    """
    real, fake = _pair(real, fake, 2 * KID_BLOCKS, f"{KID_BLOCKS} blocks of two", 100 * KID_BLOCKS)
    for name, sample in (("real", real), ("fake", fake)):
        if sample.abs().max() > _LARGEST_KID:
            raise ValueError(
                f"{name} has values over {_LARGEST_KID:g}, whose sixth powers overflow: rescale all samples."
            )
    generator = torch.Generator().manual_seed(_SEED)
    blocks = [
        sample[torch.randperm(len(sample), generator=generator, device="cpu")].tensor_split(KID_BLOCKS)
        for sample in (real, fake)
    ]
    values = []
    for x, y in zip(*blocks, strict=True):
        within = [
            (_kernel_sum(z, z) - _kernel(z.square().sum(1), z.shape[1]).sum()) / (len(z) * (len(z) - 1))
            for z in (x, y)
        ]
        values.append(within[0] + within[1] - 2 * _kernel_sum(x, y) / (len(x) * len(y)))
    return monte_carlo(torch.stack(values))


class PrecisionRecall(NamedTuple):
    """Share of fake samples on the real manifold, share of real samples on the fake one; both in [0, 1]."""

    precision: float
    recall: float


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """Precision and recall over manifolds that are unions of balls, each up to a sample's k-th neighbour.

    real: (n, d), fake: (m, d), more than k each. A fake sample counts for precision when it lies in the ball
    of some real sample, whose radius is the distance to the k-th nearest other real sample; recall swaps the
    roles. Even a perfect sampler stays below one, and one outlier's ball is large: compare with what two
    halves of the data give. Raises as `frechet_distance`, and for k < 1.
    Source: Kynkäänniemi, Karras, Laine, Lehtinen and Aila (2019); k = 3 as in their code.
    """
    real, fake = _neighbourly(real, fake, k)
    precision, recall = (
        sum(inside.any(dim=1).sum().item() for inside in _inside(queries, points, k)) / len(queries)
        for queries, points in ((fake, real), (real, fake))
    )
    return PrecisionRecall(precision, recall)


class DensityCoverage(NamedTuple):
    """How densely fake samples lie among real ones (one for equal laws), share of real balls that are hit."""

    density: float
    coverage: float


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage: how many real balls a fake sample lies in, and how many real balls hold one.

    real: (n, d), fake: (m, d), more than k each; balls as in `precision_recall`, around real samples only.
    Density is the mean number of balls around a fake sample over k, coverage the share of balls with a fake
    sample inside. For equal laws the mean density is one and the mean coverage
    1 - prod_{j=1..k} (n - j)/(n + m - j), close to 1 - 2^(-k) for n = m. A sample on the edge of a ball lies
    in it; in the authors' code it does not, which shows where samples are copies.
    Raises as `precision_recall`.
    Source: Naeem, Oh, Uh, Choi and Yoo (2020); k = 5 as in their example.
    """
    real, fake = _neighbourly(real, fake, k)
    pairs, hit = 0, torch.zeros(len(real), dtype=torch.bool, device="cpu")
    for inside in _inside(fake, real, k):
        pairs += inside.sum().item()
        hit |= inside.any(dim=0)
    return DensityCoverage(pairs / (k * len(fake)), hit.double().mean().item())


@dataclass(frozen=True)
class Memorisation:
    """What `memorisation` measures; standard errors are those under the hypothesis that nothing is copied.

    closer: probability that a sample lies closer to the training set than a held-out point does, 1/2 when
    nothing is copied; copied: share of samples at least as close as the closest `expected` of the held-out
    points, equal to `expected` when nothing is copied; copied_p_value: probability of at least that share
    when nothing is copied.
    """

    closer: float
    closer_standard_error: float
    copied: float
    expected: float
    copied_standard_error: float
    copied_p_value: float

    @property
    def flagged(self) -> bool:
        """Whether one of the two exceeds what held-out data would show but in 3 of 100 000 cases.

        That is four standard errors of `closer`, a mean of many ranks. `copied` has a law with a long tail,
        so its exact p-value is taken.
        """
        return self.closer - 0.5 > 4 * self.closer_standard_error or self.copied_p_value < ALARM_LEVEL


def memorisation(fake: Tensor, training: Tensor, held_out: Tensor) -> Memorisation:
    """Whether samples lie closer to the training set than held-out data of the same law do.

    fake: (n, d), training: (t, d), held_out: (m, d), from the law of the training set but never trained on;
    n and m at least 99, better equal. Distances are Euclidean, to the nearest training point.
    If nothing is copied and u is the probability of a distance below the r-th of m held-out ones, then u has
    the law Beta(r, m + 1 - r) and, given u, the number of samples below is binomial with n and u: together
    beta-binomial with n, r and m + 1 - r, which gives the p-value of `copied`. Here r counts the closest 1 %
    of the held-out points and, where distances tie, all that are as close as the last of these.
    Samples of poor quality lie far from everything and hide copies in `closer`, not in `copied`. Samples from
    the densest places alone lie close to training data without being copies: look at what is flagged.
    Raises ValueError for wrong shapes or types, values that are not finite, and too few points.
    Source: Meehan, Chaudhuri and Dasgupta (2020), whose rank sum, taken over the whole space, is `closer`.
    """
    least = math.ceil(1 / COPY_LEVEL) - 1
    what = f"the closest {COPY_LEVEL:.0%} of held-out data"
    fake = _sample("fake", fake, least, f"a share of {COPY_LEVEL:.0%}", 1000)
    training = _sample("training", training, 1, "a nearest neighbour", 1000)
    held_out = _sample("held_out", held_out, least, what, 10 * least)
    fake, training, held_out = _centred(fake=fake, training=training, held_out=held_out)
    samples, others = (
        torch.cat([block.min(dim=1).values for block in _squared_distances(sample, training)])
        for sample in (fake, held_out)
    )
    others = others.sort().values
    n, m = len(samples), len(others)

    below = torch.searchsorted(others, samples)
    not_above = torch.searchsorted(others, samples, right=True)
    closer = 1 - (below + not_above).double().mean().item() / (2 * m)

    limit = _up(others[math.floor(COPY_LEVEL * (m + 1)) - 1], training.shape[1])
    r, count = int((others <= limit).sum()), int((samples <= limit).sum())
    expected = r / (m + 1)
    return Memorisation(
        closer=closer,
        closer_standard_error=math.sqrt((n + m + 1) / (12 * n * m)),
        copied=count / n,
        expected=expected,
        copied_standard_error=math.sqrt(expected * (1 - expected) * (n + m + 1) / (n * (m + 2))),
        copied_p_value=float(stats.betabinom.sf(count - 1, n, r, m + 1 - r)),
    )


@dataclass(frozen=True)
class TwoSampleTest:
    """What `two_sample_test` measures: accuracy on held-out samples, its standard error when the laws are
    equal (its mean is then 1/2), and the one-sided p-value of at least that accuracy."""

    accuracy: float
    standard_error: float
    p_value: float


def two_sample_test(real: Tensor, fake: Tensor) -> TwoSampleTest:
    """Classifier two-sample test: how often a classifier tells unseen real from unseen fake samples.

    real: (n, d), fake: (m, d); min(n, m) of each are taken at random, at least 40. A logistic regression on
    every coordinate and its square, standardised, is fitted to one half and tested on the other. Shifts and
    changes of spread show best, a missing mode in part, differences in correlations alone not at all. For
    equal laws the accuracy is 1/2 with the standard error 1/sqrt(4 t), t the number of test samples; the
    p-value is that of as many heads in t tosses of a coin. It cannot see copies of training samples.
    Raises as `frechet_distance`. Source: Lopez-Paz and Oquab (2017).
    """
    real, fake = _pair(real, fake, 40, "fitting and testing a classifier", 1000)
    generator = torch.Generator().manual_seed(_SEED)
    count = min(len(real), len(fake))
    half = count // 2
    fit, test = [], []
    for sample in (real, fake):
        shuffled = sample[torch.randperm(len(sample), generator=generator, device="cpu")[:count]]
        fit.append(shuffled[:half])
        test.append(shuffled[half:])
    mean, std = torch.cat(fit).mean(0), torch.cat(fit).std(0)
    std = torch.where(std > 0, std, 1.0)  # a coordinate that never changes tells nothing

    def inputs(parts: list[Tensor]) -> np.ndarray:
        x = (torch.cat(parts) - mean) / std
        return torch.cat([x, x.square()], dim=1).numpy()

    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(inputs(fit), np.repeat([0, 1], half))
    labels = np.repeat([0, 1], count - half)
    t, right = len(labels), int((classifier.predict(inputs(test)) == labels).sum())
    return TwoSampleTest(right / t, 1 / math.sqrt(4 * t), float(stats.binom.sf(right - 1, t, 0.5)))


def _sample(name: str, values: Tensor, least: int, what: str, better: int) -> Tensor:
    """A sample as float64 on the CPU, when it has the right shape, is finite and large enough."""
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(f"{name} must be a floating-point torch tensor, one sample a row, got {kind}.")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(
            f"{name} must have shape (n, d), one sample a row, got {tuple(values.shape)}. Of images take "
            "features(images, dataset) from gancourse.features, or images.flatten(1) for their pixels."
        )
    if len(values) < least:
        raise ValueError(f"{name} has {len(values)} samples; {what} needs at least {least}, better {better}.")
    values = values.detach().cpu().double()
    if not values.isfinite().all():
        bad = int((~values.isfinite()).any(dim=1).sum())
        raise ValueError(f"{bad} of {len(values)} samples in {name} are NaN or infinite.")
    if values.abs().max() > _LARGEST:
        raise ValueError(f"{name} has values over {_LARGEST:g}, whose squares overflow: rescale all samples.")
    return values


def _same_dimension(**samples: Tensor) -> None:
    dims = {name: sample.shape[1] for name, sample in samples.items()}
    if len(set(dims.values())) > 1:
        raise ValueError(f"All samples must have the same dimension d, got {dims}.")


def _pair(real: Tensor, fake: Tensor, least: int, what: str, better: int) -> tuple[Tensor, Tensor]:
    real, fake = (_sample(name, v, least, what, better) for name, v in (("real", real), ("fake", fake)))
    _same_dimension(real=real, fake=fake)
    return real, fake


def _centred(**samples: Tensor) -> list[Tensor]:
    """The samples moved together so that the first has median zero: then few distances are below _NEAR."""
    _same_dimension(**samples)
    centre = next(iter(samples.values())).median(dim=0).values  # far outliers do not move it
    return [sample - centre for sample in samples.values()]


def _covariance(sample: Tensor) -> Tensor:
    centred = sample - sample.mean(0)
    return centred.T @ centred / (len(sample) - 1)


def _kernel(products: Tensor, dim: int) -> Tensor:
    return (products / dim + 1) ** 3


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    """Sum of the kernel over all pairs, some rows at a time."""
    rows = max(1, _ENTRIES // len(y))
    return sum(_kernel(part @ y.T, x.shape[1]).sum() for part in x.split(rows))


def _squared_distances(queries: Tensor, points: Tensor) -> Iterator[Tensor]:
    """Squared Euclidean distances (rows, len(points)), some rows of queries at a time, all in one buffer.

    |q|² + |p|² - 2 q·p is fast, but rounds by a share of |q|²; where little of |q|² is left, the differences
    are squared instead. So each value rounds by a share of its own, however far off other samples lie.
    """
    norms = points.square().sum(dim=1)
    rows = max(1, _ENTRIES // len(points))
    pairs = max(1, _ENTRIES // (8 * points.shape[1]))
    # Blocks allocated one by one, with small results kept in between, fragment the heap: a gigabyte was seen.
    buffer = torch.empty(min(rows, len(queries)), len(points), dtype=torch.float64, device="cpu")
    for part in queries.split(rows):
        own = part.square().sum(dim=1, keepdim=True)
        squares = torch.addmm(norms, part, points.T, alpha=-2, out=buffer[: len(part)]).add_(own)
        for near in (squares <= _NEAR * own).nonzero().split(pairs):
            i, j = near.T
            squares[i, j] = (part[i] - points[j]).square().sum(dim=1)
        yield squares


def _up(squares: Tensor, dim: int) -> Tensor:
    """`_squared_distances` plus the bound on their rounding, so that equal distances pass `<=`."""
    return squares * (1 + 4 * dim * torch.finfo(torch.float64).eps / _NEAR)


def _neighbourly(real: Tensor, fake: Tensor, k: int) -> list[Tensor]:
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k, the number of neighbours, must be a positive integer, got {k!r}.")
    real, fake = _pair(real, fake, k + 1, f"a ball up to the neighbour k = {k}", 1000)
    return _centred(real=real, fake=fake)


def _inside(queries: Tensor, points: Tensor, k: int) -> Iterator[Tensor]:
    """Which queries lie in the ball of which point, (rows, len(points)), some rows at a time.

    The ball of a point reaches to its k-th nearest other point, which lies on it and counts, up to rounding.
    """
    # A point is its own nearest neighbour, so the k-th other one is the (k + 1)-th.
    reach = torch.cat(
        [block.topk(k + 1, largest=False).values[:, -1] for block in _squared_distances(points, points)]
    )
    reach = _up(reach, points.shape[1])
    for block in _squared_distances(queries, points):
        yield block <= reach
