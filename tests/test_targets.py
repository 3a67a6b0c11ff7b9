"""Targets: sampler and density must be the same law, and bad input must be refused in words."""

import math
import subprocess
import sys

import pytest
import torch
from scipy import stats

from gancourse.targets import Beta, GaussianMixture, Uniform, gaussian, grid, ring

MIXTURE = GaussianMixture([[-2.0], [0.5], [3.0]], [0.3, 1.0, 0.1], [0.2, 0.5, 0.3])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def mixture_cdf(x):
    return sum(
        w * stats.norm.cdf(x, m, s)
        for w, m, s in zip(
            MIXTURE.weights.numpy(), MIXTURE.means[:, 0].numpy(), MIXTURE.stds.numpy(), strict=True
        )
    )


@pytest.mark.parametrize(
    ("target", "cdf"),
    [
        (gaussian(1.0, 2.0), stats.norm(1, 2).cdf),
        (MIXTURE, mixture_cdf),
        (Uniform(-1.0, 3.0), stats.uniform(-1, 4).cdf),
        (Beta(2.0, 5.0), stats.beta(2, 5).cdf),
        (Beta(0.3, 0.6), stats.beta(0.3, 0.6).cdf),
    ],
)
def test_samples_follow_the_distribution_function(target, cdf):
    x = target.sample(20_000, seeded(), dtype=torch.float64)
    assert x.shape == (20_000, 1)
    assert stats.kstest(x[:, 0].numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("target", "reference", "points"),
    [
        (gaussian(1.0, 2.0), stats.norm(1, 2), [-30.0, -1.0, 1.0, 4.0]),
        (Uniform(-1.0, 3.0), stats.uniform(-1, 4), [-1.0, 0.0, 3.0, 3.1, -5.0]),
        (Beta(0.1, 0.2), stats.beta(0.1, 0.2), [1e-300, 1e-20, 0.5, 1 - 1e-12, -0.5, 1.5]),
        (Beta(400.0, 20.0), stats.beta(400, 20), [1e-3, 0.5, 0.95]),
    ],
)
def test_log_prob_agrees_with_scipy(target, reference, points):
    got = target.log_prob(torch.tensor(points, dtype=torch.float64)[:, None])
    torch.testing.assert_close(got, torch.from_numpy(reference.logpdf(points)), rtol=1e-12, atol=1e-12)


def test_beta_in_the_logit_agrees_inside_and_stays_exact_at_both_ends():
    target = Beta(0.1, 0.2)
    t = torch.linspace(-20, 12, 33, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        target.log_prob_at_logit(t), target.log_prob(t.sigmoid()), rtol=1e-9, atol=1e-9
    )
    # Far out log x = t and log(1 - x) = -t, where x itself has long been rounded to 0 or 1.
    far = torch.tensor([[-5000.0], [5000.0]], dtype=torch.float64)
    norm = math.lgamma(0.1) + math.lgamma(0.2) - math.lgamma(0.3)
    expected = torch.tensor([0.9 * 5000 - norm, 0.8 * 5000 - norm], dtype=torch.float64)
    torch.testing.assert_close(target.log_prob_at_logit(far), expected)


def test_two_dimensional_mixture_agrees_with_scipy():
    target = GaussianMixture([[0.0, 1.0], [2.0, -1.0]], [0.5, 1.5], [0.25, 0.75])
    x = target.sample(200, seeded(), dtype=torch.float64)
    expected = 0.25 * stats.multivariate_normal([0, 1], 0.25).pdf(x.numpy()) + 0.75 * (
        stats.multivariate_normal([2, -1], 2.25).pdf(x.numpy())
    )
    torch.testing.assert_close(target.log_prob(x).exp(), torch.from_numpy(expected))


def test_log_density_stays_finite_far_away_and_has_a_gradient():
    x = torch.tensor([[1e4]], dtype=torch.float64, requires_grad=True)
    log_prob = gaussian().log_prob(x)
    assert log_prob.item() == pytest.approx(-0.5e8 - 0.5 * math.log(2 * math.pi))
    (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    assert gradient.item() == pytest.approx(-1e4)


def test_density_is_minus_infinity_off_the_support_and_nan_at_nan():
    x = torch.tensor([[-0.1], [1.1], [math.nan]])
    for target in (Uniform(0, 1), Beta(2, 2)):
        assert target.log_prob(x)[:2].tolist() == [-math.inf, -math.inf]
        assert target.log_prob(x)[2].isnan()
    assert Beta(2, 2).log_prob(torch.tensor([[0.0], [1.0]])).tolist() == [-math.inf, -math.inf]
    assert gaussian().log_prob(x)[2].isnan()


def test_targets_do_not_depend_on_the_default_device():
    code = """
import torch
torch.set_default_device("meta")
from gancourse.divergences import kl
from gancourse.targets import gaussian
print(kl(gaussian(), gaussian(1)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(0.5)


def test_supports_and_breaks():
    assert MIXTURE.support == (-math.inf, math.inf)
    assert Uniform(2, 3).support == (2.0, 3.0)
    assert Beta(2, 3).support == (0.0, 1.0)
    assert {-2.0, 0.5, 3.0} <= set(MIXTURE.breaks)
    assert list(MIXTURE.breaks) == sorted(MIXTURE.breaks)
    with pytest.raises(ValueError, match="one dimension, this mixture has 2"):
        _ = ring().breaks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_never_has_density_zero(dtype):
    for target in (Beta(0.1, 0.2), Uniform(0.1, 0.3), MIXTURE):
        x = target.sample(20_000, seeded(1), dtype=dtype)
        assert x.dtype == dtype
        assert target.log_prob(x).isfinite().all()
        assert target.log_prob(x).dtype == dtype


def test_rounding_never_carries_a_uniform_sample_over_the_end(monkeypatch):
    monkeypatch.setattr(
        torch, "rand", lambda *shape, dtype, **kwargs: torch.full(shape, 1 - 2.0**-24, dtype=dtype)
    )
    target = Uniform(8.700672666706279, 9.161543901475689)  # low + (high - low) u rounds above high here
    assert target.log_prob(target.sample(1)).isfinite().all()


def test_the_ring_has_eight_distinct_modes_at_radius_one():
    means = ring().means
    assert means.shape == (8, 2)
    torch.testing.assert_close(means.norm(dim=1), torch.ones(8, dtype=torch.float64))
    assert torch.pdist(means).min().item() == pytest.approx(2 * math.sin(math.pi / 8))
    torch.testing.assert_close(means[1], torch.full((2,), math.sqrt(0.5), dtype=torch.float64))
    assert ring().stds.unique().tolist() == [0.01]
    seven = torch.linspace(0, 2 * math.pi, 8, dtype=torch.float64)  # the generator met in the wild
    assert torch.pdist(torch.stack([seven.cos(), seven.sin()], dim=1)).min() < 1e-12


def test_the_grid_is_the_published_one():
    expected = {(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)}
    assert {tuple(map(int, mean)) for mean in grid().means.tolist()} == expected
    assert len(grid().means) == 25
    assert grid().stds.unique().tolist() == [0.05]


def test_modes_are_drawn_with_their_weights():
    target = GaussianMixture([[-10.0], [10.0]], [1.0, 1.0], [0.2, 0.8])
    right = (target.sample(40_000, seeded()) > 0).double()
    assert abs(right.mean().item() - 0.8) < 4 * math.sqrt(0.16 / 40_000)


def test_a_seed_fixes_the_samples_and_the_default_is_float32():
    for target in (ring(), Uniform(0, 1), Beta(2, 3)):
        assert torch.equal(target.sample(50, seeded(3)), target.sample(50, seeded(3)))
        assert not torch.equal(target.sample(50, seeded(3)), target.sample(50, seeded(4)))
        assert target.sample(5).dtype == torch.float32
        assert target.sample(5).shape == (5, target.dim)


def test_targets_are_frozen_and_own_their_parameters():
    means = torch.zeros(1, 1, dtype=torch.float64)
    target = GaussianMixture(means, [1.0], [1.0])
    means += 5
    assert target.means.item() == 0
    with pytest.raises(AttributeError):
        target.stds = torch.ones(1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: gaussian(0, 0), "stds must be positive"),
        (lambda: gaussian(0, -1), "stds must be positive"),
        (lambda: gaussian(math.nan, 1), "means must be finite"),
        (lambda: GaussianMixture([0.0, 1.0], [1, 1], [0.5, 0.5]), r"shape \(K, d\).*got \(2,\)"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1.0], [0.5, 0.5]), r"stds must have shape \(2,\)"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1, 1], [[0.5, 0.5]]), r"weights must have shape \(2,\)"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1, 1], [0.5, 0.4]), "sum to 1.*sum 0.9"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1, 1], [1.5, -0.5]), "weights must be >= 0"),
        (
            lambda: GaussianMixture([[0.0], [1.0, 2.0]], [1, 1], [0.5, 0.5]),
            "means must be an array of numbers",
        ),
        (lambda: Uniform(1, 1), "low < high"),
        (lambda: Uniform(0, math.inf), "low < high"),
        (lambda: Beta(0, 1), "a > 0 and b > 0"),
        (lambda: ring(modes=0), "modes must be a positive integer"),
        (lambda: ring(radius=0), "radius must be positive"),
        (lambda: grid(side=2.5), "side must be a positive integer"),
        (lambda: grid(spacing=-1), "spacing must be positive"),
        (lambda: gaussian().sample(0), "n must be a positive integer"),
        (lambda: gaussian().log_prob(torch.zeros(3)), r"\(n, 1\), got \(3,\). Write x\[:, None\]"),
        (lambda: ring().log_prob(torch.zeros(3, 1)), r"\(n, 2\), got \(3, 1\)"),
        (lambda: Beta(1, 1).log_prob(torch.zeros(3, 1, dtype=torch.int64)), "floating-point"),
        (lambda: Uniform(0, 1).log_prob([[0.5]]), "floating-point torch tensor.*got list"),
    ],
)
def test_bad_input_is_refused_in_words(build, message):
    with pytest.raises(ValueError, match=message):
        build()
