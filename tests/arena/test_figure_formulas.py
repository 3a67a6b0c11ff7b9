"""Every formula of the figures that answer, against Python on at least 200 points."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats
from scipy.spatial.distance import cdist

from gancourse import divergences
from gancourse.targets import Uniform, gaussian

pytestmark = pytest.mark.xdist_group("site")


def close(found: object, expected: object, atol: float = 1e-10) -> None:
    np.testing.assert_allclose(np.asarray(found, dtype=float), np.asarray(expected), rtol=1e-10, atol=atol)


@functools.cache
def constants(core) -> dict[str, float]:
    return core.evaluate("({ MODE: F.MODE, GAMMA: F.GAMMA, NOISE: F.NOISE })")


def test_the_optimal_discriminator_and_both_gradients(core):
    """D* from SciPy's densities; the pulls by autograd through the losses themselves."""
    rng = np.random.default_rng(0)
    points = [
        {"x": x, "m1": m1, "s1": s1, "m2": m2, "s2": s2}
        for x in np.linspace(-6, 6, 25)
        for m1, s1, m2, s2 in rng.uniform([-3, 0.4, -3, 0.4], [3, 2.5, 3, 2.5], (10, 4))
    ]
    found = core.evaluate("points => points.map(({ x, ...laws }) => F.optimal(x, laws))", points)
    p, q = (np.array([stats.norm.pdf(at["x"], at[f"m{i}"], at[f"s{i}"]) for at in points]) for i in (1, 2))
    close([f["D"] for f in found], p / (p + q))
    x = torch.tensor([at["x"] for at in points], dtype=torch.float64, requires_grad=True)
    column = {name: torch.tensor([at[name] for at in points]).double() for name in ("m1", "s1", "m2", "s2")}
    laws = [torch.distributions.Normal(column[f"m{i}"], column[f"s{i}"]) for i in (1, 2)]
    logit = laws[0].log_prob(x) - laws[1].log_prob(x)
    for name, loss in (
        ("minimax", torch.nn.functional.logsigmoid(-logit)),  # torch's softplus is cut off at 20
        ("nonsaturating", -torch.nn.functional.logsigmoid(logit)),
    ):
        (slope,) = torch.autograd.grad(loss.sum(), x, retain_graph=True)
        close([f[name] for f in found], -slope)


def test_the_saturation_curves(core):
    s = np.linspace(-40, 40, 401)
    found = core.evaluate("xs => xs.map(F.saturation)", s.tolist())
    logit = torch.tensor(s, requires_grad=True)
    for name, loss in (
        ("minimax", torch.log(1 - torch.special.expit(logit))),
        ("nonsaturating", -torch.nn.functional.logsigmoid(logit)),
    ):
        (slope,) = torch.autograd.grad(loss.sum(), logit)
        # Written naively, log(1 - D) has no gradient any more where D rounds to 1.
        here = np.isfinite(slope.numpy()) & (s < 15)
        close(np.array([f[name] for f in found])[here], -slope.numpy()[here])
        assert here.sum() >= 200
    assert found[-1]["minimax"] == pytest.approx(1)


def test_the_error_function(core):
    x = np.linspace(-7, 7, 401)
    close(core.evaluate("xs => xs.map(F.erf)", x.tolist()), special.erf(x), atol=1e-14)


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
def test_distances_of_shifted_laws(core, law):
    """At 201 shifts against sums over a fine grid, at every tenth also against the library's quadrature."""
    shifts = np.linspace(0, 4, 201)
    found = core.evaluate(
        """([ts, law]) => ts.map((t) =>
          Object.values(F.distances(t, law)).map((d) => (d === Infinity ? 1e300 : d)))""",
        [shifts.tolist(), law],
    )
    if law == "gaussian":
        make, width, quantile = gaussian, 0.001, stats.norm.ppf
        x = np.arange(-10, 14, width)
    else:
        make, width, quantile = (lambda t: Uniform(t - 0.5, t + 0.5)), 0.01, (lambda u: u - 0.5)
        x = np.arange(-0.5, 4.5, width) + width / 2  # the shifts are multiples of two cells
    u = (np.arange(1000) + 0.5) / 1000
    density = stats.norm.pdf if law == "gaussian" else lambda x: (np.abs(x) < 0.5).astype(float)
    p = density(x)
    for i, (t, (jsd, kl, reverse, tv, w1)) in enumerate(zip(shifts, found, strict=True)):
        q = density(x - t)
        half = (p + q) / 2
        expected = [
            (special.rel_entr(p, half) + special.rel_entr(q, half)).sum() * width / 2,
            min(special.rel_entr(p, q).sum() * width, 1e300),
            min(special.rel_entr(q, p).sum() * width, 1e300),
            np.abs(p - q).sum() * width / 2,
            stats.wasserstein_distance(quantile(u), quantile(u) + t),
        ]
        close([jsd, kl, reverse, tv, w1], expected, atol=1e-6)
        if i % 10 == 0:
            laws = make(0.0), make(float(t))
            close([jsd, tv], [divergences.jsd(*laws), divergences.total_variation(*laws)], atol=1e-8)
            close(kl, min(divergences.kl(*laws), 1e300), atol=1e-8)


def mixture(core, a: float) -> torch.distributions.Distribution:
    mode = constants(core)["MODE"]
    parts = torch.distributions.Normal(torch.tensor([-a, a], dtype=torch.float64), mode)
    return torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2).double()), parts
    )


def simpson() -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights for a standard normal; log p bends too sharply for Gauss and Hermite."""
    nodes = torch.linspace(-9, 9, 6001, dtype=torch.float64)
    weights = torch.full_like(nodes, 2.0)
    weights[1::2] = 4.0
    weights = weights * torch.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


def test_reverse_kl_and_its_slopes(core):
    """KL(q || p) by Simpson's rule with 6001 nodes, its slopes by autograd through it."""
    grid = list(itertools.product(np.linspace(-3, 3, 9), np.linspace(-1.2, 1.2, 6), (0.0, 0.7, 1.5, 2.6)))
    assert len(grid) >= 200
    found = core.evaluate(
        "grid => grid.map(([m, l, a]) => F.reverse(m, l, a))", [list(map(float, g)) for g in grid]
    )
    nodes, weights = simpson()
    for (m, log_s, a), f in zip(grid, found, strict=True):
        mean = torch.tensor(m, dtype=torch.float64, requires_grad=True)
        log_std = torch.tensor(log_s, dtype=torch.float64, requires_grad=True)
        x = mean + log_std.exp() * nodes
        own = torch.distributions.Normal(mean, log_std.exp()).log_prob(x)
        kl = (weights * (own - mixture(core, a).log_prob(x))).sum()
        slopes = torch.autograd.grad(kl, (mean, log_std))
        close([f["kl"], f["dm"], f["dl"]], [kl.item(), *(slope.item() for slope in slopes)], atol=1e-7)


def test_the_forward_fit_minimises_forward_kl(core):
    """Against the minimum that SciPy finds for the cross-entropy of p under N(m, s^2)."""
    mode = core.evaluate("F.MODE")
    halves = np.linspace(0, 3, 201)
    found = core.evaluate("xs => xs.map(F.forwardFit)", halves.tolist())
    x = np.linspace(-9, 9, 3001)
    for a, f in zip(halves, found, strict=True):
        p = (stats.norm.pdf(x, -a, mode) + stats.norm.pdf(x, a, mode)) / 2
        mean = np.trapezoid(x * p, x)
        log_s = optimize.minimize_scalar(
            lambda s, p=p: -np.trapezoid(p * stats.norm.logpdf(x, 0, np.exp(s)), x),
            bounds=(-2, 2),
            method="bounded",
            options={"xatol": 1e-10},
        ).x
        close([f["m"], f["s"]], [mean, math.exp(log_s)], atol=1e-6)


@pytest.mark.parametrize("a", [0.5, 1.2, 1.8, 2.6, 3.0])
def test_the_reverse_fit_ends_in_a_minimum_and_the_shading_says_in_which(core, a):
    """216 starts: no slope and upward bends at the end by autograd through Simpson's rule."""
    cells, rows = 36, 24
    starts = [
        (-4 + (j + 0.5) * 8 / cells, -1.5 + (i + 0.5) * 3 / rows)
        for i in range(0, rows, 2)
        for j in range(1, cells, 2)
    ]
    found = core.evaluate("([starts, a]) => starts.map(([m, l]) => F.descend(m, l, a).at(-1))", [starts, a])
    shading = np.array(core.evaluate("a => F.basinsOf(a, [-4, 4], [-1.5, 1.5], 36, 24)", a))
    different = np.unique(np.round(found, 3), axis=0)
    assert len(different) == (1 if a < 1.5 else 3)

    nodes, weights = simpson()
    law, at = mixture(core, a), torch.tensor(different, requires_grad=True)
    log_prob = law.log_prob(at[:, :1] + at[:, 1:].exp() * nodes)
    kl = (-at[:, 1] - log_prob @ weights).sum()
    (slopes,) = torch.autograd.grad(kl, at, create_graph=True)
    assert slopes.abs().max() < 2e-2  # of ends rounded to three digits
    bends = torch.stack(
        [torch.autograd.grad(slopes[:, k].sum(), at, retain_graph=True)[0] for k in (0, 1)], dim=1
    )
    assert (torch.linalg.eigvalsh((bends + bends.mT) / 2) > 0).all()

    mean = np.array(found)[:, 0]
    side = np.where(np.abs(mean) <= 0.4 * max(a, 0.5), 1, np.where(mean < 0, 0, 2))
    # The shading follows interpolated slopes: a cell on the border may fall to either side.
    assert np.mean(shading[0::2, 1::2].ravel() == side) > 0.97


@pytest.mark.parametrize("a", [1.2, 1.8, 3.0])
def test_no_step_of_the_reverse_fit_jumps_over_a_valley(core, a):
    """Where the slope is steepest, at the widest starts: as with steps of a hundredth of the length."""
    ends = core.evaluate(
        """a => [-4, -3.2, -2, -1.1, -0.5, 0.4, 0.9, 1.7, 2.8, 3.9].map((m) => [0.05, 0.002].map((rate) =>
          F.descend(m, 1.5, a, (m, l) => F.reverse(m, l, a), rate, 30000).at(-1)))""",
        a,
    )
    close(*np.swapaxes(ends, 0, 1), atol=1e-3)


METHODS = [
    "simultaneous",
    "alternating",
    "nonsaturating",
    "wasserstein",
    "clipping",
    "wgan-gp",
    "noise",
    "r1",
    "consensus",
]


def dirac_field(
    core, method: str, theta: torch.Tensor, psi: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same field by autograd through the two players' objectives."""
    log_sigmoid = torch.nn.functional.logsigmoid
    gamma, noise = constants(core)["GAMMA"], constants(core)["NOISE"]
    nodes, weights = (torch.tensor(v) for v in special.roots_hermitenorm(60))
    weights = weights / weights.sum()

    def mean(f):
        return (f(noise * nodes) * weights).sum() if method == "noise" else f(torch.zeros(()).double())

    if method in ("wasserstein", "clipping", "wgan-gp"):
        for_d, for_g = -psi * theta, psi * theta
    else:
        for_d = mean(lambda n: log_sigmoid(psi * n)) + mean(lambda n: log_sigmoid(-psi * (theta + n)))
        minimax = method in ("simultaneous", "alternating", "consensus")
        for_g = -log_sigmoid(-psi * theta) if minimax else mean(lambda n: log_sigmoid(psi * (theta + n)))
    if method == "r1":
        for_d = for_d - gamma / 2 * psi**2
    if method == "wgan-gp":
        for_d = for_d - gamma / 2 * (psi.abs() - 1) ** 2
    (v_g,) = torch.autograd.grad(for_g, theta, create_graph=True)
    (v_d,) = torch.autograd.grad(for_d, psi, create_graph=True)
    if method == "consensus":
        slopes = torch.autograd.grad((v_g**2 + v_d**2) / 2, (theta, psi))
        v_g, v_d = v_g - gamma * slopes[0], v_d - gamma * slopes[1]
    return v_g.detach(), v_d.detach()


@pytest.mark.parametrize("method", METHODS)
def test_the_dirac_gan(core, method):
    axis = np.linspace(-2.5, 2.5, 15) + 0.013  # the gradient penalty has no slope at psi = 0
    grid = [[float(a), float(b)] for a in axis for b in axis]
    assert len(grid) >= 200
    found = core.evaluate("([m, grid]) => grid.map(([t, p]) => F.field(m, t, p))", [method, grid])
    for (theta, psi), f in zip(grid, found, strict=True):
        at = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (theta, psi))
        close(f, [v.item() for v in dirac_field(core, method, *at)], atol=1e-8)

    assert set(core.evaluate("Object.keys(F.METHODS)")) == set(METHODS)
    theta, psi, step = 1.1, 0.8, 0.2
    path = core.evaluate("m => F.orbit(m, 1.1, 0.8, 0.2, 40)", method)
    for place in path:
        close([theta, psi], place, atol=1e-7)
        at = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (theta, psi)]
        v_g, v_d = (v.item() for v in dirac_field(core, method, *at))
        psi += step * v_d
        if method == "clipping":
            psi = min(1.0, max(-1.0, psi))
        if method not in ("simultaneous", "consensus"):
            at = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (theta, psi)]
            v_g = dirac_field(core, method, *at)[0].item()
        theta += step * v_g


def test_which_methods_bring_the_dirac_gan_to_rest(core):
    """As in Mescheder, Geiger and Nowozin (2018): R1, instance noise and consensus.

    The non-saturating loss comes inward too, but slower than any geometric rate.
    """
    ends = core.evaluate(
        """Object.fromEntries(Object.keys(F.METHODS).map((m) =>
          [m, Math.hypot(...F.orbit(m, 1, 1, 0.1, 3000).at(-1))]))"""
    )
    assert {name for name, far in ends.items() if far < 1e-3} == {"r1", "noise", "consensus"}
    assert ends["simultaneous"] > 1.5
    assert 1e-3 < ends["nonsaturating"] < 0.5
    assert min(ends[name] for name in ("alternating", "wasserstein", "clipping", "wgan-gp")) > 0.5


def test_consensus_comes_to_rest_from_starts_near_enough_alone(core):
    far = core.evaluate(
        """[1.4, 2.5].map((r) => Math.max(...[0, 1, 2, 3, 4, 5, 6, 7].map((k) =>
          Math.hypot(...F.orbit("consensus", r * Math.cos(k), r * Math.sin(k), 0.1, 5000).at(-1)))))"""
    )
    assert far[0] < 1e-3
    assert far[1] > 1


def test_optimal_transport_and_its_dual(core):
    """200 pairs of random sets: the cost against SciPy; the dual solution feasible, tight, of equal value."""
    rng = np.random.default_rng(3)
    sets = rng.uniform(size=(200, 2, 6, 2))
    found = core.evaluate(
        """sets => sets.map(([x, y]) => {
          const { match, u, v, cost } = F.transport(x, y);
          const [f, g] = [x, y].map((set) => set.map((p) => F.potential(p, y, v)));
          return { match, u, v, cost, f, g };
        })""",
        sets.tolist(),
    )
    for (x, y), f in zip(sets, found, strict=True):
        costs = cdist(x, y)
        close(f["cost"], costs[optimize.linear_sum_assignment(costs)].mean())
        assert sorted(f["match"]) == list(range(6))
        slack = costs - np.add.outer(f["u"], f["v"])
        assert slack.min() > -1e-12
        close(slack[range(6), f["match"]], 0)
        # The potential on the plane: 1-Lipschitz, and as good in the dual problem as any.
        close(np.mean(f["f"]) - np.mean(f["g"]), f["cost"])
        values, points = np.concatenate([f["f"], f["g"]]), np.concatenate([x, y])
        assert (np.abs(np.subtract.outer(values, values)) <= cdist(points, points) + 1e-12).all()


@pytest.mark.parametrize(
    ("method", "start", "step", "words"),
    [
        ("r1", [1, 1], 0.2, "comes to rest"),
        ("consensus", [1, 1], 0.02, "on its way"),
        ("nonsaturating", [1, 1], 0.2, "comes closer"),
        ("simultaneous", [1, 1], 0.2, "moves away"),
        ("alternating", [1, 1], 0.2, "circles"),
        ("clipping", [-3, -3], 0.2, "circles"),  # from far outside, to a circle that it keeps
        ("wgan-gp", [-0.75, 0], 0.2, "circles"),  # from inside
        ("wasserstein", [1, 1], 0.02, "neither settled nor escaped"),
    ],
)
def test_what_is_said_of_an_orbit_is_what_it_does_in_the_end(core, method, start, step, words):
    told = core.evaluate("([m, [a, b], h]) => F.fate(F.orbit(m, a, b, h, 300))", [method, start, step])
    assert words in told
