"""Metrics between samples: closed forms, their laws under a perfect sampler, and what each failure does."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy import stats

from gancourse import metrics
from gancourse.metrics import (
    density_coverage,
    frechet_distance,
    gaussian_frechet_distance,
    kid,
    memorisation,
    precision_recall,
    two_sample_test,
)
from gancourse.targets import GaussianMixture, ring

N = 2000
TARGET = ring(std=0.05)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, d, generator, scale=1.0):
    return scale * torch.randn(n, d, generator=generator, dtype=torch.float64)


def within(values, expected, standard_errors=4):
    """Whether the mean of independent values is the expected one, within four standard errors."""
    values = torch.tensor(values, dtype=torch.float64)
    return abs(values.mean() - expected) < standard_errors * values.std() / math.sqrt(len(values))


def sampler(kind, n, seed):
    """Samples whose relation to TARGET is known; "copies" repeats the sample "true" of the seed 1."""
    if kind == "true":
        return TARGET.sample(n, random(seed))
    if kind == "copies":
        return sampler("true", n, 1)
    if kind == "dropped":
        kept = GaussianMixture(TARGET.means[1:], TARGET.stds[1:], [1 / 7] * 7)
        return kept.sample(n, random(seed))
    if kind == "noise":
        return 4 * torch.rand(n, 2, generator=random(seed)) - 2
    assert kind == "collapsed"
    return TARGET.means[:1].repeat(n, 1)


# --- Fréchet distance ---------------------------------------------------------------------------------------


def test_frechet_distance_on_the_line_is_that_of_mean_and_deviation():
    squared = gaussian_frechet_distance(
        torch.tensor([1.0]), torch.tensor([[4.0]]), torch.tensor([4.0]), torch.tensor([[9.0]])
    )
    assert squared == pytest.approx(3**2 + (2 - 3) ** 2)


def test_frechet_distance_of_commuting_covariances_is_that_of_their_roots():
    turn = torch.linalg.qr(normal(5, 5, random())).Q
    first, second = (torch.rand(5, generator=random(seed), dtype=torch.float64) for seed in (1, 2))
    zero = torch.zeros(5)
    squared = gaussian_frechet_distance(zero, turn * first @ turn.T, zero, turn * second @ turn.T)
    assert squared == pytest.approx((first.sqrt() - second.sqrt()).square().sum().item())


def test_frechet_distance_agrees_with_the_general_matrix_root():
    means, covs = normal(2, 6, random()), []
    for seed in (1, 2):
        root = normal(6, 6, random(seed))
        covs.append(root @ root.T)
    assert not torch.allclose(covs[0] @ covs[1], covs[1] @ covs[0])
    product = scipy.linalg.sqrtm((covs[0] @ covs[1]).numpy())
    expected = (means[0] - means[1]).square().sum() + covs[0].trace() + covs[1].trace() - 2 * product.trace()
    assert gaussian_frechet_distance(means[0], covs[0], means[1], covs[1]) == pytest.approx(expected.item())


def test_frechet_distance_to_a_point_is_the_second_moment_around_it():
    cov = torch.diag(torch.tensor([1.0, 0.0, 3.0]))
    squared = gaussian_frechet_distance(torch.ones(3), cov, torch.zeros(3), torch.zeros(3, 3))
    assert squared == pytest.approx(3 + 4)
    assert gaussian_frechet_distance(torch.ones(3), cov, torch.ones(3), cov) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("mean", "cov", "message"),
    [
        (torch.zeros(2), torch.eye(3), r"got \(2,\) and \(3, 3\)"),
        (torch.zeros(0), torch.zeros(0, 0), r"d > 0, got \(0,\) and \(0, 0\)"),
        (torch.zeros(2), torch.eye(2, dtype=torch.complex64), "real numbers, got complex"),
        (torch.zeros(2), torch.diag(torch.tensor([1.0, -1e-3])), "has the eigenvalue -0.001 "),
        (torch.zeros(2), torch.diag(torch.tensor([1.0, -1e-7]).double()), "has the eigenvalue -1e-07 "),
        (torch.zeros(2), torch.tensor([[1.0, 0.0], [0.5, 1.0]]), "symmetric and positive semi-definite"),
        (torch.zeros(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]]), "has the eigenvalue -1 "),
        (torch.zeros(2), torch.tensor([[1.0, math.nan], [math.nan, 1.0]]), "finite"),
        (torch.zeros(3), torch.eye(3), "have 3 and 2 dimensions"),
    ],
)
def test_what_is_no_gaussian_is_refused(mean, cov, message):
    with pytest.raises(ValueError, match=message):
        gaussian_frechet_distance(mean, cov, torch.zeros(2), torch.eye(2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_singular_covariances_are_accepted_with_the_rounding_of_their_dtype(dtype):
    for seed in range(20):
        few = normal(40, 64, random(seed)).to(dtype)
        cov = few.T.cov()
        assert torch.linalg.eigvalsh(cov)[0] < 0  # by rounding
        squared = gaussian_frechet_distance(few.mean(0), cov, few.mean(0), cov)
        assert squared == pytest.approx(0, abs=64 * torch.finfo(dtype).eps ** 0.5)


def test_the_distance_of_a_sample_to_itself_is_not_negative():
    for seed in range(30):
        sample = normal(50, 5, random(seed), scale=100.0)
        assert 0 <= frechet_distance(sample, sample.flip(0)) < 1e-6


def test_the_distance_of_samples_is_that_of_their_unbiased_moments():
    real, fake = normal(5, 3, random(0)), normal(7, 3, random(1)) + 1
    expected = gaussian_frechet_distance(real.mean(0), real.T.cov(), fake.mean(0), fake.T.cov())
    assert frechet_distance(real, fake) == pytest.approx(expected)


@pytest.mark.parametrize("eigenvalues", [[1.0] * 8, [5.0, 2.0, 1.0, 0.5, 0.1, 0.1]], ids=["white", "unequal"])
def test_the_bias_of_the_frechet_distance_is_what_its_docstring_says(eigenvalues):
    s = torch.tensor(eigenvalues, dtype=torch.float64)
    bias = 5 / 4 * s.sum() + (s[:, None] * s / (s[:, None] + s)).sum() / 2
    if s.unique().numel() == 1:
        assert bias == pytest.approx(len(s) * (len(s) + 5) / 4)
    for n, m in ((1000, 1000), (4000, 1000)):
        values = [
            frechet_distance(
                *(normal(k, len(s), random(2 * seed + i)) * s.sqrt() for i, k in enumerate((n, m)))
            )
            for seed in range(60)
        ]
        assert within(values, bias * (1 / n + 1 / m))
        assert not within(values, 0)


# --- KID ----------------------------------------------------------------------------------------------------


def test_kid_has_the_value_that_moments_give():
    shift = 0.5
    # In one dimension the kernel is sum_j binom(3, j) (xy)^j, so MMD² compares the first three moments.
    moments = [(0, shift), (1, 1 + shift**2), (0, shift**3 + 3 * shift)]
    expected = sum(math.comb(3, j) * (a - b) ** 2 for j, (a, b) in enumerate(moments, 1))
    values = [kid(normal(300, 1, random(s)), normal(200, 1, random(s + 1000)) + shift) for s in range(200)]
    assert within([value.mean for value in values], expected)


def test_kid_is_unbiased_at_every_sample_size_and_its_standard_error_is_right():
    for n in (20, 500):
        values = [kid(normal(n, 3, random(s)), normal(n, 3, random(s + 1000))) for s in range(200)]
        assert within([value.mean for value in values], 0)
        spread = torch.tensor([value.mean for value in values]).std()
        stated = torch.tensor([value.standard_error for value in values]).square().mean().sqrt()
        assert stated == pytest.approx(spread, rel=0.25)


def test_kid_is_the_double_sum_over_blocks_that_hold_every_sample_once(monkeypatch):
    monkeypatch.setattr(metrics, "KID_BLOCKS", 2)
    monkeypatch.setattr(metrics, "_ENTRIES", 1)
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-1.0, 0.5]])
    y = torch.tensor([[0.5, 0.5], [2.0, 0.0], [0.0, -1.0], [1.0, 3.0]])

    def k(a, b):
        return (a @ b / 2 + 1).item() ** 3

    def estimate(first, second):
        pairs = [(i, j) for i in range(2) for j in range(2)]
        inner = sum(k(z[i], z[j]) for z in (first, second) for i, j in pairs if i != j) / 2
        return inner - 2 * sum(k(first[i], second[j]) for i, j in pairs) / 4

    generator = random(0)
    x_order, y_order = (torch.randperm(4, generator=generator) for _ in range(2))
    blocks = [estimate(x[x_order[half]], y[y_order[half]]) for half in (slice(0, 2), slice(2, 4))]
    result = kid(x, y)
    assert result.mean == pytest.approx(sum(blocks) / 2)
    assert result.standard_error == pytest.approx(abs(blocks[0] - blocks[1]) / 2)


# --- precision, recall, density, coverage -------------------------------------------------------------------


def test_balls_on_the_line_by_hand():
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    fake = torch.tensor([[0.5], [3.5], [25.0]])
    # k = 1: the real balls have the radii 1, 1, 2, 7, so 0.5 lies in two of them and 3.5 in two; the fake
    # balls have the radii 3, 3, 21.5 and hold 0, 1, 3 (the first two) and 10 (the last).
    assert precision_recall(real, fake, k=1) == (2 / 3, 1.0)
    assert density_coverage(real, fake, k=1) == (4 / 3, 1.0)
    # k = 2: radii 3, 2, 3, 9.
    assert density_coverage(real, fake[:1].repeat(3, 1), k=2) == (9 / 6, 3 / 4)


def test_density_and_coverage_of_a_perfect_sampler_have_their_exact_means():
    n, m, k = 60, 40, 5
    values = [
        density_coverage(normal(n, 2, random(s)), normal(m, 2, random(s + 1000)), k) for s in range(300)
    ]
    missed = math.prod((n - j) / (n + m - j) for j in range(1, k + 1))
    assert within([value.density for value in values], 1)
    assert within([value.coverage for value in values], 1 - missed)


def test_precision_and_recall_swap_with_the_samples():
    real, fake = normal(300, 3, random(0)), normal(200, 3, random(1)) + 0.5
    assert precision_recall(real, fake) == precision_recall(fake, real)[::-1]


def test_a_point_on_the_edge_of_a_ball_counts_in_spite_of_rounding():
    # Every point is there twice, so with k = 1 all radii are zero and only exact copies are inside. Sizes
    # differ because matrix products round by the place of a row.
    for dim in (3, 17, 64, 101):
        real = normal(50, dim, random(), scale=1e3).repeat(2, 1)
        for count in (2, 3, 5, 7, 50):
            assert precision_recall(real, real[:count].repeat(2, 1), k=1).precision == 1
        assert density_coverage(real, real + 1e-2, k=1) == (0.0, 0.0)
        # Without doubles every ball holds its centre and k others, the last of them on its edge.
        for k in (1, 3):
            assert density_coverage(real[:50], real[:50].flip(0), k).density == (k + 1) / k


def test_samples_are_centred_where_most_of_them_are():
    real = 1e7 + normal(101, 3, random())
    real[0] = 1e12
    (centred,) = metrics._centred(real=real)
    assert centred[1:].abs().max() < 10


def exactly(real, fake, k):
    """Precision, recall, density and coverage from differences, without a product of matrices."""

    def inside(queries, points):
        reach = (points[:, None] - points).square().sum(2).topk(k + 1, largest=False).values[:, -1]
        return (queries[:, None] - points).square().sum(2) <= reach * (1 + 1e-14)

    balls = inside(fake, real)
    shares = (balls.any(1), inside(real, fake).any(1), balls.any(0))
    precision, recall, coverage = (share.double().mean().item() for share in shares)
    return precision, recall, balls.sum().item() / (k * len(fake)), coverage


@pytest.mark.parametrize("moved", ["nothing", "one fake", "one real", "half", "all"])
@pytest.mark.parametrize("by", [1e4, 1e6, 1e8])
def test_far_samples_leave_the_others_balls_as_they_are(moved, by):
    real, fake = sampler("true", 400, 1).double(), sampler("noise", 300, 2).double()
    for sample, count in {
        "nothing": [],
        "one fake": [(fake, 1)],
        "one real": [(real, 1)],
        "half": [(real, 200), (fake, 150)],
        "all": [(real, 400), (fake, 300)],
    }[moved]:
        sample[:count] += by
    found = (*precision_recall(real, fake, 3), *density_coverage(real, fake, 3))
    assert found == pytest.approx(exactly(real, fake, 3), abs=1e-12)


@pytest.mark.parametrize("dim", [2, 64])
def test_distances_are_right_to_a_share_of_themselves(dim):
    points = torch.cat([normal(50, dim, random(0)), 1e7 + normal(50, dim, random(1), scale=1e-3)])
    queries = torch.cat([points[40:60] + 1e-6 * normal(20, dim, random(2)), points[:10]])
    exact = (queries[:, None] - points).square().sum(2)
    found = torch.cat(list(metrics._squared_distances(queries, points)))
    torch.testing.assert_close(found, exact, rtol=4 * dim * 2.3e-16 / 1e-3, atol=0)


def test_blocks_change_nothing(monkeypatch):
    real, fake, third = (normal(n, 3, random(n)) for n in (210, 190, 200))
    everything = (precision_recall, density_coverage, kid)
    whole = [metric(real, fake) for metric in everything] + [memorisation(fake, real, third)]
    monkeypatch.setattr(metrics, "_ENTRIES", 1000)
    pieces = [metric(real, fake) for metric in everything] + [memorisation(fake, real, third)]
    assert pieces[2] == pytest.approx(whole[2])
    assert [*pieces[:2], pieces[3]] == [*whole[:2], whole[3]]


def test_no_matrix_between_samples_is_held_whole():
    program = """
import resource, sys, torch
from gancourse.metrics import density_coverage, kid, memorisation, precision_recall
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
real, fake = torch.randn(7000, 2), torch.randn(7000, 2)
before = peak()
kid(real, fake), memorisation(fake, real, fake), precision_recall(real, fake), density_coverage(real, fake)
print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150e6  # one matrix of 7000 x 7000 doubles has 392e6


# --- memorisation -------------------------------------------------------------------------------------------


def test_memorisation_has_the_stated_law_when_nothing_is_copied():
    n, m = 200, 300
    training = normal(500, 3, random(0))
    values = [
        memorisation(normal(n, 3, random(2 * s + 1)), training, normal(m, 3, random(2 * s + 2)))
        for s in range(200)
    ]
    assert within([value.closer for value in values], 0.5)
    assert within([value.copied for value in values], values[0].expected)
    assert values[0].expected == pytest.approx(3 / 301)
    for name in ("closer", "copied"):
        spread = torch.tensor([getattr(value, name) for value in values]).std().item()
        assert getattr(values[0], f"{name}_standard_error") == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(("n", "m"), [(99, 99), (500, 100), (150, 350)])
def test_the_p_value_of_copies_has_its_exact_law_when_nothing_is_copied(n, m):
    training = torch.zeros(1, 1)  # distances are then the samples themselves
    runs = 1000
    found = torch.tensor(
        [
            memorisation(
                torch.rand(n, 1, generator=random(2 * s)),
                training,
                torch.rand(m, 1, generator=random(2 * s + 1)),
            ).copied_p_value
            for s in range(runs)
        ]
    )
    for value in found.unique():  # a p-value p is met or undercut with the probability p
        assert (
            abs((found <= value).double().mean() - value) < 4 * math.sqrt(value * (1 - value) / runs) + 1e-9
        )


def test_copies_raise_an_alarm_where_the_exact_law_puts_it():
    # One held-out point of 99 sets the limit. Its place varies so much that four standard errors are exceeded
    # more often than a normal law says.
    training, held_out = torch.zeros(1, 1), torch.linspace(0.01, 1, 99)[:, None].double()
    for n in (99, 2000):
        levels = [stats.betabinom.sf(count - 1, n, 1, 99) for count in range(n + 1)]
        first = next(count for count, level in enumerate(levels) if level < 3e-5)
        for count in (first - 1, first):
            fake = torch.full((n, 1), 2.0).double()
            fake[:count] = 0.005
            result = memorisation(fake, training, held_out)
            assert result.copied == count / n
            assert result.copied_p_value == pytest.approx(levels[count])
            assert result.flagged == (count == first)
        assert (first - 1) / n - 0.01 > 4 * result.copied_standard_error


def test_closer_raises_an_alarm_beyond_four_standard_errors():
    for standard_errors, flagged in ((3.9, False), (4.1, True), (-5, False)):
        assert metrics.Memorisation(0.5 + standard_errors * 0.01, 0.01, 0, 0.01, 0, 0.5).flagged == flagged
    assert metrics.Memorisation(0.5, 0.01, 0.05, 0.01, 0.01, 2e-5).flagged


def test_one_far_sample_is_no_copy_and_hides_none():
    training, held_out = sampler("true", N, 1), sampler("true", N, 2)
    for kind, flagged in (("true", False), ("copies", True)):
        fake = sampler(kind, N, 3).clone()
        fake[0] = 1e6
        assert memorisation(fake, training, held_out).flagged == flagged


@pytest.mark.parametrize("jitter", [0.0, 1e-6])
def test_copies_are_flagged_even_among_samples_of_poor_quality(jitter):
    training, held_out = sampler("true", N, 1).double(), sampler("true", N, 2).double()
    copies = training + jitter * normal(N, 2, random(3))
    everything = memorisation(copies, training, held_out)
    assert everything.flagged
    assert everything.closer > 0.99
    assert everything.copied > 0.99
    few = memorisation(torch.cat([copies[:100], sampler("noise", N, 4).double()]), training, held_out)
    assert few.closer < 0.5
    assert few.flagged


@pytest.mark.parametrize("kind", ["true", "dropped", "noise", "collapsed"])
def test_other_failures_are_not_taken_for_copies(kind):
    training, held_out = sampler("true", N, 1), sampler("true", N, 2)
    fake = sampler(kind, N, 3) + (1 if kind == "collapsed" else 0)  # collapsed between the modes
    assert not memorisation(fake, training, held_out).flagged


def test_ties_count_half_and_zero_distances_are_zero_in_spite_of_rounding():
    training, held_out = normal(300, 2, random(0)), normal(150, 2, random(1))
    assert memorisation(held_out, training, held_out).closer == pytest.approx(0.5, abs=1e-12)
    training = normal(400, 64, random(0), scale=1e3)
    assert memorisation(training[200:], training, training[:200]).copied == 1


def test_collapse_on_a_dense_place_is_flagged_as_the_docstring_warns():
    training, held_out = sampler("true", N, 1), sampler("true", N, 2)
    assert memorisation(sampler("collapsed", N, 3), training, held_out).flagged


# --- classifier two-sample test -----------------------------------------------------------------------------


def test_the_two_sample_test_has_the_stated_law_when_the_laws_are_equal():
    values = [
        two_sample_test(normal(300, 2, random(s)), normal(250, 2, random(s + 1000))) for s in range(200)
    ]
    assert values[0].standard_error == pytest.approx(1 / math.sqrt(4 * 250))
    assert within([value.accuracy for value in values], 0.5)
    spread = torch.tensor([value.accuracy for value in values]).std()
    assert spread == pytest.approx(values[0].standard_error, rel=0.2)
    assert within([value.p_value for value in values], 0.5)


@pytest.mark.parametrize("dim", [1, 2, 64])
def test_the_two_sample_test_sees_shift_and_spread(dim):
    real, fake = normal(N, dim, random(0)), normal(N, dim, random(1))
    assert two_sample_test(real, fake).p_value > 1e-3
    assert two_sample_test(real, fake + 0.5 / math.sqrt(dim)).p_value < 1e-5
    assert two_sample_test(real, 0.8 * fake).p_value < 1e-3


def test_the_accuracy_is_that_of_the_best_classifier():
    # Two unit Gaussians two apart: the best classifier is right with probability Phi(1).
    result = two_sample_test(normal(20_000, 1, random(0)), normal(20_000, 1, random(1)) + 2)
    best = torch.special.ndtr(torch.tensor(1.0)).item()
    assert abs(result.accuracy - best) < 4 * math.sqrt(best * (1 - best) / 20_000)


def test_the_p_value_is_that_of_tosses_of_a_coin():
    result = two_sample_test(normal(40, 2, random(0)), normal(40, 2, random(1)) + 0.3)
    right = round(40 * result.accuracy)
    assert result.accuracy == right / 40
    by_hand = sum(math.comb(40, k) for k in range(right, 41)) / 2**40
    assert result.p_value == pytest.approx(by_hand)
    assert 0.5 < result.accuracy < 1


def test_the_two_sample_test_knows_no_units_and_no_order():
    real, fake = normal(1000, 2, random(0)), normal(1000, 2, random(1)) + torch.tensor([1.0, 0.0])
    units = torch.tensor([1.0, 1e4])
    assert two_sample_test(real * units, fake * units).accuracy == pytest.approx(
        two_sample_test(real, fake).accuracy, abs=1e-3
    )
    real, fake = (normal(1000, 1, random(seed)).sort(dim=0).values for seed in (2, 3))
    assert two_sample_test(real, fake).p_value > 1e-3


def test_a_constant_coordinate_is_no_obstacle():
    real = torch.cat([normal(100, 1, random(0)), torch.ones(100, 1)], dim=1)
    assert two_sample_test(real, real + torch.tensor([5.0, 0.0])).accuracy > 0.95


# --- the same four samplers for all metrics -----------------------------------------------------------------


def test_a_dropped_mode_shows_in_every_metric_that_can_see_it():
    real, true, dropped = sampler("true", N, 1), sampler("true", N, 2), sampler("dropped", N, 3)
    assert frechet_distance(real, dropped) > 10 * frechet_distance(real, true)
    assert kid(real, dropped).mean > 4 * kid(real, dropped).standard_error
    precision, recall = precision_recall(real, dropped)
    assert precision > 0.95
    assert recall == pytest.approx(7 / 8 * precision_recall(real, true).recall, abs=0.03)
    density, coverage = density_coverage(real, dropped)
    assert density == pytest.approx(1, abs=0.1)  # where samples are, they lie as the data do
    assert coverage == pytest.approx(7 / 8 * density_coverage(real, true).coverage, abs=0.03)
    # The best classifier is right in 9/16 of all cases; a logistic regression on the ring in fewer.
    test = two_sample_test(sampler("true", 8 * N, 1), sampler("dropped", 8 * N, 3))
    assert test.p_value < 1e-5
    assert test.accuracy < 9 / 16


def test_copies_look_perfect_to_every_metric_but_memorisation():
    training, fresh, copies = sampler("true", N, 1), sampler("true", N, 2), sampler("copies", N, 0)
    assert frechet_distance(training, copies) == pytest.approx(0, abs=1e-12)
    assert precision_recall(training, copies) == (1.0, 1.0)
    assert density_coverage(training, copies).coverage == 1.0
    assert abs(kid(fresh, copies).mean) < 4 * kid(fresh, copies).standard_error
    assert two_sample_test(fresh, copies).p_value > 1e-3
    assert memorisation(copies, training, fresh).flagged


@pytest.mark.parametrize("kind", ["noise", "collapsed"])
def test_noise_and_collapse_fail_everywhere(kind):
    real, true, fake = sampler("true", N, 1), sampler("true", N, 2), sampler(kind, N, 3).float()
    assert frechet_distance(real, fake) > 100 * frechet_distance(real, true)
    assert kid(real, fake).mean > 10 * kid(real, true).standard_error
    assert two_sample_test(real, fake).accuracy > 0.7
    precision, recall = precision_recall(real, fake)
    density, coverage = density_coverage(real, fake)
    if kind == "noise":
        assert precision < 0.25
        assert density < 0.25
    else:
        assert recall == 0
        assert coverage < 0.01


# --- bad input ----------------------------------------------------------------------------------------------

PAIRS = [frechet_distance, kid, precision_recall, density_coverage, two_sample_test]


def three(metric):
    """A metric of a pair, called as `memorisation` is: the sample first, the other set twice."""
    return memorisation if metric is memorisation else lambda fake, real, _: metric(real, fake)


@pytest.mark.parametrize("metric", [*PAIRS, memorisation], ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (torch.full((N, 2), math.nan), "2000 of 2000 samples in fake are NaN or infinite"),
        (torch.full((N, 2), math.inf), "2000 of 2000 samples in fake are NaN or infinite"),
        (
            torch.full((N, 2), -1e200, dtype=torch.float64),
            r"fake has values over 1e\+140, whose squares overflow",
        ),
        (torch.zeros(N), r"fake must have shape \(n, d\), one sample a row, got \(2000,\)"),
        (torch.zeros(N, 1, 8, 8), r"got \(2000, 1, 8, 8\).*features\(images, dataset\)"),
        (torch.zeros(N, 0), r"got \(2000, 0\)"),
        (torch.zeros(N, 2, dtype=torch.int64), "fake must be a floating-point torch tensor.*int64"),
        ([[0.0, 0.0]] * N, "fake must be a floating-point torch tensor.*list"),
        (torch.zeros(N, 3), "must have the same dimension d"),
        (torch.zeros(0, 2), "fake has 0 samples"),
    ],
    ids=["nan", "infinite", "overflow", "flat", "images", "empty", "integers", "list", "dimension", "none"],
)
def test_bad_samples_are_refused_in_words(metric, fake, message):
    real = sampler("true", N, 1)
    with pytest.raises(ValueError, match=message):
        three(metric)(fake, real, real)


@pytest.mark.parametrize(
    ("metric", "least", "dim", "message"),
    [
        (frechet_distance, 65, 64, "a covariance in 64 dimensions needs at least 65, better 640"),
        (kid, 20, 2, "10 blocks of two needs at least 20, better 1000"),
        (precision_recall, 4, 2, "a ball up to the neighbour k = 3 needs at least 4"),
        (density_coverage, 6, 2, "a ball up to the neighbour k = 5 needs at least 6"),
        (two_sample_test, 40, 2, "fitting and testing a classifier needs at least 40"),
    ],
)
def test_too_few_samples_are_refused_with_what_is_needed(metric, least, dim, message):
    enough, few = normal(least, dim, random(0)), normal(least - 1, dim, random(1))
    metric(enough, enough.flip(0))
    for real, fake, name in ((few, enough, "real"), (enough, few, "fake")):
        with pytest.raises(ValueError, match=f"{name} has {least - 1} samples; {message}"):
            metric(real, fake)


def test_memorisation_needs_enough_data():
    points = normal(99, 2, random(0))
    assert memorisation(points, points + 1, points).expected == 0.01
    with pytest.raises(ValueError, match="held_out has 98 samples; the closest 1% of held-out data needs at"):
        memorisation(points, points, points[1:])
    with pytest.raises(ValueError, match="fake has 98 samples; a share of 1% needs at least 99"):
        memorisation(points[1:], points, points)


def test_distances_that_tie_are_no_copies():
    # Points of a coarse grid: three in four lie on a point of the training set, whoever drew them.
    flagged, p_values = 0, []
    for seed in range(40):
        fake, training, held_out = (normal(500, 2, random(3 * seed + k)).mul(4).round() for k in range(3))
        found = memorisation(fake, training, held_out)
        assert found.copied > 0.5
        assert abs(found.copied - found.expected) < 4 * found.copied_standard_error
        flagged, p_values = flagged + found.flagged, [*p_values, found.copied_p_value]
    assert flagged == 0
    assert sum(p <= 0.05 for p in p_values) <= 7  # in 40 draws with probability 0.05: 0.003 for more
    copies = memorisation(training, training, held_out)
    assert copies.copied == 1
    assert copies.flagged


def test_where_everything_ties_nothing_is_flagged():
    points = torch.zeros(200, 3)
    found = memorisation(points, points, points)
    assert (found.copied, found.expected) == (1, 200 / 201)
    assert not found.flagged


@pytest.mark.parametrize("name", ["real", "fake"])
def test_values_whose_sixth_powers_overflow_are_refused_by_kid(name):
    samples = {"real": normal(40, 2, random(0)), "fake": normal(40, 2, random(1))}
    samples[name] = samples[name].double() * 1e41
    with pytest.raises(ValueError, match=f"{name} has values over 1e\\+40, whose sixth powers overflow"):
        kid(**samples)
    samples[name] = samples[name] / 1e2
    assert math.isfinite(kid(**samples).standard_error)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_k_must_be_a_positive_integer(metric, k):
    points = normal(20, 2, random(0))
    with pytest.raises(ValueError, match="k, the number of neighbours, must be a positive integer"):
        metric(points, points, k)


def test_k_may_be_an_integer_of_numpy():
    real, fake = normal(30, 2, random(0)), normal(30, 2, random(1))
    assert precision_recall(real, fake, np.int64(3)) == precision_recall(real, fake, 3)
    assert density_coverage(real, fake, np.int64(4)) == density_coverage(real, fake, 4)


@pytest.mark.parametrize(
    "measure",
    [
        metrics.precision_recall,
        metrics.density_coverage,
        metrics.two_sample_test,
        metrics.frechet_distance,
        metrics.kid,
        lambda real, fake: metrics.memorisation(fake, real, real[:100] + 1),
    ],
)
def test_all_is_computed_on_the_cpu_whatever_the_default_device(measure):
    real, fake = (torch.randn(300, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    usual = measure(real, fake)
    with torch.device("meta"):
        assert measure(real, fake) == usual
