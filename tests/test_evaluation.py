"""Mode coverage: a perfect sampler is its self-test, and each failure must show in its number."""

import math

import pytest
import torch

from gancourse.evaluation import mode_coverage
from gancourse.targets import GaussianMixture, gaussian, grid, ring

N = 2500
HIGH_QUALITY = 1 - math.exp(-4.5)


def samples(target, seed, n=N):
    return target.sample(n, torch.Generator().manual_seed(seed))


def without_mode(target, dropped):
    kept = [k for k in range(len(target.means)) if k not in dropped]
    return GaussianMixture(target.means[kept], target.stds[kept], [1 / len(kept)] * len(kept))


@pytest.mark.parametrize("target", [ring(), grid()], ids=["ring", "grid"])
def test_a_perfect_sampler_scores_98_89_percent_and_every_mode(target):
    standard_error = math.sqrt(HIGH_QUALITY * (1 - HIGH_QUALITY) / N)
    for seed in range(5):
        coverage = mode_coverage(samples(target, seed), target)
        assert coverage.modes == len(target.means)
        assert abs(coverage.high_quality - HIGH_QUALITY) < 4 * standard_error


@pytest.mark.parametrize(("target", "floor"), [(ring(), 0.00140), (grid(), 0.00480)], ids=["ring", "grid"])
def test_the_reverse_kl_of_a_perfect_sampler_is_its_floor(target, floor):
    values = torch.tensor([mode_coverage(samples(target, seed), target).reverse_kl for seed in range(200)])
    standard_error = (values.std() / math.sqrt(len(values))).item()
    # The histogram holds the high-quality samples only, so n is smaller by that fraction (0.00142, 0.00485).
    assert abs(values.mean().item() - floor / HIGH_QUALITY) < 4 * standard_error
    assert floor == pytest.approx((len(target.means) - 1) / (2 * N), rel=1e-3)


@pytest.mark.parametrize("target", [ring(), grid()], ids=["ring", "grid"])
def test_dropped_modes_are_missed_and_cost_the_log_of_what_is_left(target):
    modes = len(target.means)
    for dropped in ([0], [1, 3, 4]):
        coverage = mode_coverage(samples(without_mode(target, dropped), 0), target)
        left = modes - len(dropped)
        assert coverage.modes == left
        assert coverage.high_quality > 0.98
        assert coverage.reverse_kl == pytest.approx(math.log(modes / left), abs=0.012)


def test_collapse_on_one_mode_costs_log_of_their_number():
    coverage = mode_coverage(samples(without_mode(ring(), range(1, 8)), 0), ring())
    assert coverage.modes == 1
    assert coverage.reverse_kl == pytest.approx(math.log(8))


def test_an_unequal_histogram_has_its_kl_by_hand():
    counts = torch.tensor([5, 3])
    target = GaussianMixture([[0.0, 0.0], [10.0, 0.0]], [1.0, 1.0], [0.25, 0.75])
    coverage = mode_coverage(target.means.repeat_interleave(counts, dim=0), target)
    expected = 5 / 8 * math.log(5 / 8 / 0.25) + 3 / 8 * math.log(3 / 8 / 0.75)
    assert coverage.reverse_kl == pytest.approx(expected)


def test_noise_has_hardly_any_high_quality_sample():
    noise = torch.rand(N, 2, generator=torch.Generator().manual_seed(0)) * 4 - 2
    expected = 8 * math.pi * 0.03**2 / 16
    coverage = mode_coverage(noise, ring())
    assert abs(coverage.high_quality - expected) < 4 * math.sqrt(expected / N)


def test_low_quality_samples_leave_modes_and_reverse_kl_alone():
    good = samples(ring(), 0)
    stray = torch.full((N, 2), 5.0)  # nearest to the mode at 45 degrees, but far from it
    mixed, pure = mode_coverage(torch.cat([good, stray]), ring()), mode_coverage(good, ring())
    assert mixed.modes == pure.modes
    assert mixed.reverse_kl == pure.reverse_kl
    assert mixed.high_quality == pytest.approx(pure.high_quality / 2)


def test_nothing_near_a_mode_gives_zero_and_an_undefined_kl():
    coverage = mode_coverage(torch.zeros(N, 2), ring())
    assert (coverage.modes, coverage.high_quality) == (0, 0.0)
    assert math.isnan(coverage.reverse_kl)


def test_the_limit_is_three_standard_deviations_of_the_mode_itself():
    target = GaussianMixture([[0.0, 0.0], [10.0, 0.0]], [0.1, 1.0], [0.5, 0.5])
    at = torch.tensor([[0.29, 0.0], [0.31, 0.0], [10.0, 2.9], [10.0, 3.1]])
    coverage = mode_coverage(at, target)
    assert coverage.high_quality == 0.5
    assert coverage.modes == 2


def test_it_works_on_the_line_too():
    coverage = mode_coverage(samples(gaussian(), 0), gaussian())
    assert coverage.high_quality == pytest.approx(math.erf(3 / math.sqrt(2)), abs=0.005)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(7, 2), "7 samples cannot reach 8 modes"),
        (torch.zeros(N, 3), r"shape \(n, 2\), got \(2500, 3\)"),
        (torch.zeros(N), r"shape \(n, 2\), got \(2500,\)"),
        (torch.full((N, 2), math.nan), "2500 of 2500 samples are NaN or infinite: did training diverge"),
        (torch.zeros(N, 2, dtype=torch.int64), "floating-point torch tensor"),
        ([[0.0, 0.0]] * N, "floating-point torch tensor"),
    ],
)
def test_bad_input_is_refused_in_words(given, message):
    with pytest.raises(ValueError, match=message):
        mode_coverage(given, ring())
