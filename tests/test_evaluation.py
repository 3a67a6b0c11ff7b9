"""The protocols: a perfect sampler is their self-test, and each failure must show in its number."""

import math
import os

import pytest
import torch

from gancourse import data, features
from gancourse.evaluation import image_quality, mode_coverage
from gancourse.metrics import frechet_distance, kid
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


def test_three_standard_deviations_still_belong_to_the_mode():
    target = GaussianMixture([[0.0, 0.0]], [1.0], [1.0])
    assert mode_coverage(torch.tensor([[3.0, 0.0]]), target).high_quality == 1
    assert mode_coverage(torch.tensor([[3.0 + 1e-6, 0.0]]).double(), target).high_quality == 0


def test_as_many_samples_as_modes_can_reach_them_all():
    assert mode_coverage(ring().means.clone(), ring()).modes == 8


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


@pytest.fixture(scope="module")
def halves():
    """The digits in two interleaved halves: a reference, and what a perfect sampler would show."""
    digits = data.digits()
    return tuple(data.Images("digits", digits.images[i::2], digits.labels[i::2]) for i in range(2))


def test_real_images_are_good_images(halves):
    reference, real = halves
    quality = image_quality(real.images, reference)
    assert (quality.samples, quality.reference, quality.classes) == (898, 899, 10)
    points = [features.features(part.images, "digits") for part in (reference, real)]
    assert quality.frechet == frechet_distance(*points)
    assert quality.kid == kid(*points)
    assert quality.frechet < 3
    assert abs(quality.kid.mean) < 4 * quality.kid.standard_error
    assert min(quality.precision, quality.recall, quality.coverage) > 0.6
    assert quality.density == pytest.approx(1, abs=0.1)


def test_a_dropped_class_lowers_what_measures_diversity_only(halves):
    reference, real = halves
    whole = image_quality(real.images, reference)
    for label in (0, 8):
        quality = image_quality(real.images[real.labels != label], reference)
        assert quality.classes == 9
        assert quality.frechet > 2 * whole.frechet
        assert quality.recall < whole.recall - 0.04
        assert quality.coverage < whole.coverage - 0.04
        assert quality.precision > whole.precision - 0.04


@pytest.mark.parametrize(("kept", "classes"), [(1 / 3, 9), (2 / 3, 10)])
def test_a_class_is_shown_from_half_its_share_on(halves, kept, classes):
    reference, real = halves
    zeros = torch.nonzero(real.labels == 0)[:, 0]
    chosen = torch.ones(len(real), dtype=torch.bool)
    chosen[zeros[int(kept * len(zeros)) :]] = False
    assert image_quality(real.images[chosen], reference).classes == classes


def test_shares_are_compared_and_not_counts(halves):
    reference, real = halves
    assert image_quality(real.images[::3], reference).classes == 10
    assert image_quality(real.images[real.labels != 0].repeat(3, 1, 1, 1), reference).classes == 9


def test_a_class_that_nobody_shows_is_not_shown(halves):
    reference = halves[0]
    kept = data.Images(
        "digits", *(part[reference.labels != 0] for part in (reference.images, reference.labels))
    )
    assert (features.classify(kept.images, "digits") != 0).all()
    assert image_quality(kept.images, kept).classes == 9


def test_the_last_class_may_be_the_one_that_is_missing(halves):
    reference, real = halves
    others = features.classify(real.images, "digits") != 9
    assert image_quality(real.images[others], reference).classes == 9


@pytest.mark.skipif(not os.environ.get("GANCOURSE_DATA"), reason="GANCOURSE_DATA names no folder with data")
def test_the_class_that_is_mistaken_most_is_missed_when_it_is_not_there():
    test = data.fashion_mnist("test")
    reference = data.Images(test.name, test.images[:1000], test.labels[:1000])
    shirt = 6  # one in four shirts is taken for something else, and other things for shirts
    others = test.images[1000:2200][test.labels[1000:2200] != shirt]
    assert image_quality(others, reference).classes == 9


def test_noise_images_are_bad_images(halves):
    noise = torch.rand(900, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    quality = image_quality(noise, halves[0])
    assert quality.frechet > 20
    assert quality.kid.mean > 4 * quality.kid.standard_error
    assert max(quality.precision, quality.density, quality.coverage) < 0.2


def test_the_report_says_what_it_does_not_compare_with(halves):
    text = str(image_quality(halves[1].images, halves[0]))
    assert "898 samples against 899 images" in text
    assert text.endswith(features.NOT_INCEPTION)
    assert "not comparable with an Inception FID" in features.NOT_INCEPTION


def test_image_quality_refuses_what_its_parts_refuse(halves):
    reference, real = halves
    with pytest.raises(
        ValueError, match="fake has 64 samples; a covariance in 64 dimensions needs at least 65"
    ):
        image_quality(real.images[:64], reference)
    with pytest.raises(ValueError, match="There is no classifier for 'faces'"):
        image_quality(real.images, data.Images("faces", reference.images, reference.labels))
