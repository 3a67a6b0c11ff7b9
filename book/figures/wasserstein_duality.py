"""The figures of the chapter "Wasserstein duality".

Each function draws in the style that is active when it is called and returns the figure. Everything shown is
computed: plans and prices by linear programmes, the bias of batches by exact sums over binomials.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import optimize, special, stats

from gancourse.figures import COLOURS

WIDTH = 5.2  # inches: 12 pt letters stay readable when the page is 360 px wide


def _ends(axes: plt.Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)


def parallel_lines() -> Figure:
    """Two parallel segments, and five distances between them over their offset."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9), gridspec_kw={"width_ratios": [1, 2.2]})
    left.plot([0, 0], [0, 1], color=COLOURS["data"], linewidth=5)
    left.plot([0.7, 0.7], [0, 1], color=COLOURS["generator"], linewidth=5)
    left.annotate(
        "", (0.66, 0.5), (0.04, 0.5), arrowprops={"arrowstyle": "<->", "color": COLOURS["accent"], "lw": 1.6}
    )
    left.text(0.35, 0.55, r"$\theta$", ha="center")
    left.text(0, 1.06, "$P$", ha="center", color=COLOURS["data"])
    left.text(0.7, 1.06, r"$Q_\theta$", ha="center", color=COLOURS["generator"])
    left.set(xlim=(-0.2, 0.9), ylim=(-0.1, 1.25))
    _ends(left)

    theta = np.linspace(-1, 1, 3)
    right.plot(theta, np.abs(theta), color=COLOURS["data"], label="$W_1$")
    for height, name, label, line in (
        (1.0, "accent", "TV", "-"),
        (np.log(2), "discriminator", "JSD", "--"),
        (1.28, "generator", "both KL: ∞", ":"),
    ):
        right.plot([-1, -0.03], [height] * 2, color=COLOURS[name], linestyle=line, label=label)
        right.plot([0.03, 1], [height] * 2, color=COLOURS[name], linestyle=line)
        right.plot(0, height, "o", markerfacecolor="none", color=COLOURS[name])
    right.plot(0, 0, "o", color=COLOURS["muted"], zorder=5)
    right.set(xlabel=r"$\theta$", ylim=(-0.06, 1.4), xticks=[-1, 0, 1], yticks=[0, 0.5, 1])
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def transport_rays() -> Figure:
    """An optimal plan of six points against six, levels of an optimal f, and one independent pair."""
    generator = np.random.default_rng(11)
    x = generator.uniform(0, 1, (6, 2)) * [0.42, 1]
    y = generator.uniform(0, 1, (6, 2)) * [0.42, 1] + [0.58, 0]
    cost = np.linalg.norm(x[:, None] - y[None], axis=-1)
    rows, columns = optimize.linear_sum_assignment(cost)
    pairs = np.hstack([np.kron(np.eye(6), np.ones((6, 1))), np.kron(np.ones((6, 1)), np.eye(6))])
    prices = optimize.linprog(-np.ones(12), A_ub=pairs, b_ub=cost.ravel(), bounds=(None, None)).x

    figure, axes = plt.subplots(figsize=(WIDTH, 4.9))
    side = np.linspace(-0.08, 1.08, 240)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    levels = (np.linalg.norm(grid[:, :, None] - y, axis=-1) - prices[6:]).min(-1)
    axes.contour(side, side, levels, 24, colors=COLOURS["muted"], linewidths=0.8, linestyles="solid")
    for i, j in zip(rows, columns, strict=True):
        axes.plot(*np.stack([x[i], y[j]], 1), color=COLOURS["accent"], linewidth=2.6)
    # Of all pairs that the plan does not join, the one over which f rises the least per length.
    slopes = (prices[:6, None] + prices[None, 6:]) / cost
    i, j = np.unravel_index(slopes.argmin(), slopes.shape)
    axes.plot(*np.stack([x[i], y[j]], 1), linestyle="--", color=plt.rcParams["text.color"], linewidth=1.6)
    axes.plot(*x.T, "o", color=COLOURS["data"], markersize=9, label="$P$", zorder=4)
    axes.plot(*y.T, "s", color=COLOURS["generator"], markersize=9, label="$Q$", zorder=4)
    axes.set_aspect("equal")
    _ends(axes)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def penalty_overshoot() -> Figure:
    """What the penalised critic reports for two points at distance d."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    d = np.linspace(0, 20, 200)
    for weight, name, line in ((1, "generator", "-"), (10, "discriminator", "--"), (100, "accent", "-.")):
        axes.plot(
            d, d + d**2 / (2 * weight), color=COLOURS[name], linestyle=line, label=rf"$\lambda={weight}$"
        )
    axes.plot(d, d, color=COLOURS["muted"], linewidth=3, label="$W_1$", zorder=1)
    axes.set(xlim=(0, 20), ylim=(0, 60), xlabel="distance $d$", ylabel="reported")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def split_mass() -> Figure:
    """W1 over the generated point, and the optimal critic with its kink at that point."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 5.0), sharex=True)
    theta, at = np.linspace(-2, 2, 401), 0.3
    upper.plot(theta, (np.abs(theta + 1) + np.abs(theta - 1)) / 2, color=COLOURS["discriminator"])
    upper.plot(at, 1, "s", color=COLOURS["generator"], markersize=9)
    upper.set(ylabel=r"$W_1(P,\delta_\theta)$", ylim=(0, 2.2), yticks=[0, 1, 2])
    z = np.linspace(-1, 1, 401)
    lower.plot(z, np.abs(z - at), color=COLOURS["discriminator"])
    lower.plot([-1, 1], [0, 0], "o", color=COLOURS["data"], markersize=9, label="data")
    lower.plot(at, 0, "s", color=COLOURS["generator"], markersize=9, label="generated")
    lower.set(ylabel="$f^*$ on $[-1,1]$", xlabel=r"$\theta$ above, $z$ below", ylim=(-0.15, 1.5))
    lower.set(xlim=(-2, 2), xticks=[-2, -1, 0, 1, 2], yticks=[0, 1])
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _batch_distance(n: int) -> float:
    """Exact mean W1 between two independent batches of n uniform numbers on [0, 1]."""
    nodes, weights = special.roots_legendre(n + 2)  # exact: the integrand is a polynomial of degree 2n
    counts = np.arange(n + 1)
    chance = stats.binom.pmf(counts[:, None], n, (nodes + 1) / 2)
    gap = np.abs(counts[:, None] - counts[None]) / n
    return float(((gap @ chance) * chance).sum(0) @ weights / 2)


def batch_bias() -> Figure:
    """Exact mean distance between two batches of one law on the line, and the rates of higher dimensions."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    sizes = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    exact = np.array([_batch_distance(int(n)) for n in sizes])
    axes.loglog(sizes, exact, "o", color=COLOURS["discriminator"], label="exact, one dimension")
    for rate, name, label in (
        (1 / 2, "discriminator", "$n^{-1/2}$"),
        (1 / 5, "generator", "$n^{-1/5}$"),
        (1 / 10, "accent", "$n^{-1/10}$"),
    ):
        axes.loglog(sizes, exact[-1] * (sizes / 512) ** -rate, ":", color=COLOURS[name], label=label)
    axes.set(xlabel="batch size $n$", ylabel="mean $W_1$ of two batches")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


# name of the files -> what draws it
FIGURES: dict[str, Callable[[], Figure]] = {
    "parallel-lines": parallel_lines,
    "transport-rays": transport_rays,
    "penalty-overshoot": penalty_overshoot,
    "split-mass": split_mass,
    "batch-bias": batch_bias,
}
