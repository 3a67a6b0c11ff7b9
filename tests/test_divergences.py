"""Divergences against closed forms, on smooth, singular, disjoint and narrow laws."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import special

from gancourse import divergences
from gancourse.divergences import QuadratureError, jsd, kl, monte_carlo, total_variation, value
from gancourse.targets import Beta, GaussianMixture, Uniform, gaussian, ring

FINE = 1e-8


def kl_gaussian(m1, s1, m2, s2):
    return math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


def kl_beta(a, b, c, d):
    return (
        special.betaln(c, d)
        - special.betaln(a, b)
        + (a - c) * special.digamma(a)
        + (b - d) * special.digamma(b)
        + (c + d - a - b) * special.digamma(a + b)
    )


# ---------- finitely many points
def test_discrete_values_by_hand():
    p, q = [0.5, 0.5, 0.0], [0.25, 0.5, 0.25]
    assert kl(p, q) == pytest.approx(0.5 * math.log(2), abs=1e-15)
    assert kl(q, p) == math.inf
    assert total_variation(p, q) == pytest.approx(0.25, abs=1e-15)
    m = [0.375, 0.5, 0.125]
    assert jsd(p, q) == pytest.approx((kl(p, m) + kl(q, m)) / 2, abs=1e-15)
    assert jsd(p, q) == pytest.approx(jsd(q, p), abs=1e-15)


def test_discrete_disjoint_laws_reach_the_bounds():
    p, q = np.array([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert kl(p, q) == math.inf
    assert jsd(p, q) == pytest.approx(math.log(2))
    assert total_variation(p, q) == 1
    assert kl(p, p) == jsd(p, p) == total_variation(p, p) == 0


def test_total_variation_is_half_the_sum_and_not_the_largest_difference():
    assert total_variation([0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4]) == pytest.approx(0.6)


def test_what_rounding_takes_from_a_sum_makes_no_divergence_negative():
    for dtype, missing in ((torch.float32, 1.5e-4), (torch.float64, 4e-9)):
        p = torch.tensor([0.5 - missing, 0.5 - missing], dtype=dtype)
        assert kl(p, torch.tensor([0.5, 0.5], dtype=dtype)) == 0


def test_the_sum_of_an_array_may_miss_one_by_the_rounding_of_its_dtype():
    for dtype, fine, wrong in ((torch.float32, 1e-4, 1e-3), (torch.float64, 1e-9, 1e-6)):
        kl(torch.tensor([0.5, 0.5 - fine], dtype=dtype), [0.5, 0.5])
        with pytest.raises(ValueError, match="sums to"):
            kl(torch.tensor([0.5, 0.5 - wrong], dtype=dtype), [0.5, 0.5])


def test_a_float32_softmax_is_a_distribution():
    p = torch.softmax(torch.linspace(-5, 5, 1000), dim=0)
    assert jsd(p, p.flip(0)) > 0.1


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 0.4], "sums to 0.9, not to 1"),
        ([1.5, -0.5], "found -0.5"),
        ([math.nan, 1.0], "found nan"),
        ([[0.5, 0.5]], r"1-D array of probabilities, got shape \(1, 2\)"),
        ([], "1-D array"),
        (["a", "b"], "must hold real numbers"),
        ([1.0], "same length, got 1 and 2"),
    ],
)
def test_what_is_not_a_distribution_is_refused(p, message):
    for divergence in (kl, jsd, total_variation):
        with pytest.raises(ValueError, match=message):
            divergence(p, [0.5, 0.5])


# ---------- densities
@pytest.mark.parametrize("args", [(0, 1, 1, 2), (0, 1, 5, 1), (-3, 0.1, 2, 4), (0, 1, 0.001, 1)])
def test_gaussians_against_the_closed_form(args):
    m1, s1, m2, s2 = args
    assert kl(gaussian(m1, s1), gaussian(m2, s2)) == pytest.approx(kl_gaussian(*args), abs=FINE, rel=FINE)


def test_total_variation_of_shifted_gaussians():
    assert total_variation(gaussian(0, 1), gaussian(1, 1)) == pytest.approx(
        math.erf(0.5 / math.sqrt(2)), abs=FINE
    )


def test_the_singular_beta_of_a_published_lecture():
    assert kl(Beta(0.1, 0.2), Beta(1, 1)) == pytest.approx(4.977341706557, abs=1e-11)
    assert kl(Beta(1, 1), Beta(0.1, 0.2)) == pytest.approx(0.980978479347, abs=1e-11)
    assert kl(Beta(0.1, 0.2), Uniform(0, 1)) == pytest.approx(4.977341706557, abs=1e-11)


@pytest.mark.parametrize("args", [(0.01, 0.01, 2, 3), (2000, 3000, 2000, 3100), (0.5, 30, 0.3, 0.05)])
def test_beta_laws_against_the_closed_form(args):
    assert kl(Beta(*args[:2]), Beta(*args[2:])) == pytest.approx(kl_beta(*args), rel=FINE)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (gaussian(0, 1), gaussian(1, 1)),
        (gaussian(0, 1), gaussian(0.3, 2.5)),
        (GaussianMixture([[-1.5], [1.0]], [0.5, 0.8], [0.4, 0.6]), gaussian(1.5, 1.0)),
        (gaussian(0, 1), gaussian(7, 1)),
    ],
)
def test_jsd_of_smooth_pairs_against_a_sum_over_a_grid(p, q):
    """An equidistant sum of a smooth function that vanishes at both ends is exact to rounding."""
    x = torch.linspace(-40, 40, 80_001, dtype=torch.float64)[:, None]
    a, b = p.log_prob(x).exp(), q.log_prob(x).exp()
    share = (a / (a + b).clamp(min=1e-300)).numpy()
    entropy = special.entr(share) + special.entr(1 - share)
    assert jsd(p, q) == pytest.approx(math.log(2) - ((a + b).numpy() * entropy).sum() * 1e-3 / 2, abs=FINE)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.2), (0.3, 0.1), (0.05, 2.0)])
def test_jsd_with_singular_tails_against_a_sum_in_the_logit(a, b):
    """The same sum over t = logit x, against the uniform law; the tails of t are exponential."""
    t = np.linspace(-900, 900, 1_800_001)
    log_dx = -np.logaddexp(0, -t) - np.logaddexp(0, t)
    log_p = (1 - a) * np.logaddexp(0, -t) + (1 - b) * np.logaddexp(0, t) - special.betaln(a, b)
    log_m = np.logaddexp(log_p, 0) - math.log(2)
    terms = np.exp(log_p + log_dx) * (log_p - log_m) - np.exp(log_dx) * log_m
    assert jsd(Beta(a, b), Beta(1, 1)) == pytest.approx(terms.sum() * 1e-3 / 2, abs=FINE)
    assert jsd(Uniform(0, 1), Beta(a, b)) == pytest.approx(terms.sum() * 1e-3 / 2, abs=FINE)


def test_jsd_of_discrete_laws_is_the_information_about_the_coin():
    rng = np.random.default_rng(0)
    for size in (2, 5, 50):
        p, q = rng.dirichlet(np.full(size, 0.3), size=2)
        p[0] = 0
        p /= p.sum()
        joint = np.stack([p, q]) / 2
        entropies = [special.entr(table).sum() for table in (joint.sum(0), joint.sum(1), joint)]
        assert jsd(p, q) == pytest.approx(entropies[0] + entropies[1] - entropies[2], abs=1e-12)


def test_disjoint_supports():
    p, q = Uniform(0, 1), Uniform(2, 3)
    assert kl(p, q) == kl(q, p) == math.inf
    assert jsd(p, q) == pytest.approx(math.log(2), abs=FINE)
    assert total_variation(p, q) == pytest.approx(1, abs=FINE)
    assert jsd(Beta(0.1, 0.2), q) == pytest.approx(math.log(2), abs=FINE)


def test_partly_overlapping_supports():
    assert kl(Uniform(0, 1), Uniform(0, 3)) == pytest.approx(math.log(3), abs=FINE)
    assert kl(Uniform(0, 3), Uniform(0, 1)) == math.inf
    assert total_variation(Uniform(0, 2), Uniform(1, 3)) == pytest.approx(0.5, abs=FINE)
    assert jsd(Uniform(0, 2), Uniform(1, 3)) == pytest.approx(math.log(2) / 2, abs=FINE)
    # A Gaussian leaves any interval with positive probability, if only with 1e-545.
    assert kl(gaussian(), Uniform(-50, 50)) == kl(gaussian(), Beta(1, 1)) == math.inf
    assert kl(Uniform(0, 3), Uniform(0, 2)) == kl(Uniform(-1, 2), Uniform(0, 2)) == math.inf
    assert kl(Beta(0.1, 0.2), gaussian()) < math.inf


def test_a_hole_in_the_second_density_makes_kl_infinite():
    class Holed(Uniform):
        breaks = (0.0, 0.4, 0.6, 1.0)

        def log_prob(self, x):
            hole = ((x > 0.4) & (x < 0.6))[:, 0]
            return (super().log_prob(x) - math.log(0.8)).masked_fill(hole, -math.inf)

    assert kl(Uniform(0, 1), Holed(0, 1)) == math.inf
    assert kl(Holed(0, 1), Uniform(0, 1)) == pytest.approx(-math.log(0.8), abs=FINE)


def test_narrow_mixtures_far_apart():
    p = GaussianMixture([[0.0], [1e3]], [1e-3, 1e-3], [0.5, 0.5])
    q = GaussianMixture([[0.0], [1e3]], [1e-3, 2e-3], [0.25, 0.75])
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * (math.log(0.5 / 0.75) + kl_gaussian(0, 1e-3, 0, 2e-3))
    assert kl(p, q) == pytest.approx(expected, abs=FINE)
    apart = GaussianMixture([[-5e3], [5e3]], [1e-3, 1e-3], [0.5, 0.5])
    assert jsd(p, apart) == pytest.approx(math.log(2), abs=FINE)
    assert total_variation(p, apart) == pytest.approx(1, abs=FINE)


def test_a_narrow_law_inside_the_unit_interval_is_not_missed_beside_a_beta():
    width = 1e-6
    narrow, wide = Uniform(0.4 - width / 2, 0.4 + width / 2), Beta(2, 2)
    log_wide = wide.log_prob(torch.tensor([[0.4]], dtype=torch.float64)).item()
    assert kl(narrow, wide) == pytest.approx(-math.log(width) - log_wide, abs=FINE)
    assert total_variation(gaussian(0.4, 1e-6), wide) == pytest.approx(1, abs=1e-4)


def test_a_law_has_no_divergence_from_itself():
    for law in (gaussian(3, 0.2), Beta(0.1, 0.2), Uniform(0, 1)):
        for divergence in (kl, jsd, total_variation):
            assert 0 <= divergence(law, law) < 1e-12


def test_divergences_do_not_change_with_the_variable():
    """x -> 1 - x turns Beta(a, b) into Beta(b, a), though floats crowd at 0, not at 1."""
    for divergence in (kl, jsd, total_variation):
        assert divergence(Beta(0.1, 0.2), Beta(3, 0.4)) == pytest.approx(
            divergence(Beta(0.2, 0.1), Beta(0.4, 3)), abs=FINE
        )


@dataclass(frozen=True)
class Tampered:
    """A Gaussian with a wrong normalisation, or with breaks that miss it."""

    log_factor: float = 0.0
    breaks: tuple = gaussian().breaks
    dim: int = 1
    support: tuple = (-math.inf, math.inf)

    def log_prob(self, x):
        return gaussian().log_prob(x) + self.log_factor


def test_lost_mass_is_an_error():
    with pytest.raises(QuadratureError, match=r"p integrates to 1\.00000"):
        kl(Tampered(log_factor=1e-6), gaussian())
    with pytest.raises(QuadratureError, match=r"q integrates to 0\.68"):
        jsd(Uniform(-1, 1), Tampered(breaks=(-1.0, 1.0)))


def test_what_double_precision_cannot_resolve_is_an_error():
    with pytest.raises(QuadratureError, match="did not converge"):
        kl(gaussian(1e6, 1e-6), gaussian(1e6, 2e-6))


def test_only_two_laws_on_the_line_are_taken():
    with pytest.raises(ValueError, match=r"got GaussianMixture with dim 2.*monte_carlo"):
        kl(ring(), ring())
    with pytest.raises(ValueError, match="got one of each"):
        jsd(gaussian(), [0.5, 0.5])
    with pytest.raises(ValueError, match="got Normal with dim unknown"):
        kl(torch.distributions.Normal(0, 1), gaussian())
    with pytest.raises(ValueError, match="value needs two targets"):
        value(lambda x: x, [0.5, 0.5], [0.5, 0.5])


# ---------- value function
def test_the_constant_discriminator_has_value_minus_log_four():
    assert value(torch.zeros_like, gaussian(), Beta(2, 3)) == pytest.approx(-math.log(4), abs=FINE)


@pytest.mark.parametrize("pair", [(gaussian(0, 1), gaussian(1, 2)), (Beta(2, 3), Uniform(0, 1))])
def test_value_at_the_log_ratio_is_the_largest_and_equals_two_jsd_minus_log_four(pair):
    p, q = pair

    def log_ratio(x):
        return p.log_prob(x) - q.log_prob(x)

    best = value(log_ratio, p, q)
    assert best == pytest.approx(2 * jsd(p, q) - math.log(4), abs=FINE)
    for step in (-0.1, 0.1):
        assert value(lambda x, step=step: log_ratio(x) + step * torch.cos(3 * x[:, 0]), p, q) < best - 1e-4


def test_value_of_a_step_by_hand():
    p, q = Uniform(0, 1), Uniform(0, 2)
    s = torch.tensor(1.5, dtype=torch.float64)
    by_hand = 0.25 * torch.nn.functional.logsigmoid(-s) + 0.75 * torch.nn.functional.logsigmoid(s)
    by_hand += 0.125 * torch.nn.functional.logsigmoid(s) + 0.875 * torch.nn.functional.logsigmoid(-s)
    assert value(lambda x: torch.where(x < 0.25, -s, s), p, q) == pytest.approx(by_hand.item(), abs=FINE)


def test_a_perfect_discriminator_has_value_zero_and_a_wrong_certainty_minus_infinity():
    p, q = Uniform(0, 1), Uniform(2, 3)

    def log_ratio(x):  # NaN between the supports, where D is arbitrary
        return p.log_prob(x) - q.log_prob(x)

    assert value(log_ratio, p, q) == 0
    assert value(lambda x: -log_ratio(x), p, q) == -math.inf


def test_value_refuses_what_a_function_of_x_cannot_resolve():
    p, q = Beta(0.1, 0.2), Uniform(0, 1)
    with pytest.raises(QuadratureError, match="round to an end"):
        value(lambda x: p.log_prob(x) - q.log_prob(x), p, q)


def test_value_refuses_a_bad_logit():
    with pytest.raises(ValueError, match=r"logit must map \(21, 1\) to \(21,\), it gave \(21, 2\)"):
        value(lambda x: torch.cat([x, x], dim=1), gaussian(), gaussian())
    with pytest.raises(ValueError, match="logit is NaN at x = "):
        value(lambda x: x.log(), gaussian(), gaussian())


def test_value_takes_a_float32_network():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    p, q = gaussian(0, 1), gaussian(1, 1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        real = torch.nn.functional.logsigmoid(network(p.sample(200_000, generator)))[:, 0]
        fake = torch.nn.functional.logsigmoid(-network(q.sample(200_000, generator)))[:, 0]
    estimate = monte_carlo(real + fake)
    exact = value(lambda x: network.double()(x), p, q)
    assert abs(estimate.mean - exact) < 4 * estimate.standard_error


# ---------- Monte Carlo
@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200, 1e307])
def test_monte_carlo_stays_within_the_range_of_float64(scale):
    estimate = monte_carlo(scale * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert estimate == pytest.approx((2 * scale, scale / math.sqrt(3)), rel=1e-9)
    assert monte_carlo([0.0, 0.0]) == (0, 0)


def test_probabilities_may_have_any_floating_type():
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        p, q = torch.tensor([0.5, 0.5], dtype=dtype), torch.tensor([0.25, 0.75], dtype=dtype)
        assert kl(p, q) == pytest.approx(0.5 * math.log(4 / 3), abs=1e-12)
    with pytest.raises(ValueError, match="it sums to"):
        kl(torch.tensor([0.5, 0.7]).bfloat16(), q)


def test_monte_carlo_by_hand_and_in_the_long_run():
    assert monte_carlo(torch.tensor([1.0, 2.0, 3.0])) == pytest.approx((2.0, 1 / math.sqrt(3)))
    p, q = gaussian(0, 1), gaussian(1, 2)
    x = p.sample(100_000, torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, error = monte_carlo(p.log_prob(x) - q.log_prob(x))
    assert abs(mean - kl(p, q)) < 4 * error < 0.02


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.zeros(1), "n >= 2"),
        (torch.zeros(3, 1), r"got \(3, 1\)"),
        (torch.tensor([1.0, math.inf, math.nan]), "2 of 3 values are not finite"),
    ],
)
def test_monte_carlo_refuses_what_has_no_mean(values, message):
    with pytest.raises(ValueError, match=message):
        monte_carlo(values)


def test_an_integral_beyond_its_bound_is_an_error_and_not_cut_off(monkeypatch):
    halves = divergences._halves_against_middle

    def doubled(log_p, log_q, x):
        return tuple(2 * term for term in halves(log_p, log_q, x))

    monkeypatch.setattr(divergences, "_halves_against_middle", doubled)
    with pytest.raises(QuadratureError, match=r"1\.38\d+, outside \[0, 0\.693"):
        jsd(Uniform(0, 1), Uniform(2, 3))
