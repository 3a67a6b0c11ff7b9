"""The still pictures of the figures that answer and of the arena, for paper and where no script runs.

Each function draws in the style that is active when it is called and returns the figure. Everything shown is
computed from closed forms, quadrature or a few lines of simulation; nothing is random but fixed seeds.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment, linprog, minimize
from scipy.special import expit, rel_entr, roots_hermitenorm
from scipy.stats import norm

from gancourse.figures import COLOURS

WIDTH = 5.2


def live_optimum() -> Figure:
    """Two Gaussians of equal width, D* between them, and both pulls on a generated point."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 5.0), sharex=True)
    x = np.linspace(-6, 6, 600)
    logit = norm.logpdf(x, 1, 1) - norm.logpdf(x, -1, 1)
    slope = np.gradient(logit, x)
    upper.plot(x, norm.pdf(x, 1, 1), color=COLOURS["data"], label="$p_d$")
    upper.plot(x, norm.pdf(x, -1, 1), color=COLOURS["generator"], linestyle="--", label="$p_g$")
    upper.plot(x, expit(logit), color=COLOURS["discriminator"], label="$D^*$")
    lower.plot(x, expit(logit) * slope, color=COLOURS["generator"], label="minimax")
    lower.plot(x, expit(-logit) * slope, color=COLOURS["accent"], linestyle="--", label="non-saturating")
    upper.legend(loc="upper left")
    lower.legend(loc="center right", title="pull")
    lower.set(xlabel="$x$", ylabel="− slope of the loss in $x$")
    return figure


def live_saturation() -> Figure:
    """The size of both gradients in the logit, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    s = np.linspace(-8, 8, 400)
    axes.semilogy(s, expit(s), color=COLOURS["generator"], label=r"minimax: $\sigma(s)$")
    axes.semilogy(
        s, expit(-s), color=COLOURS["accent"], linestyle="--", label=r"non-saturating: $1-\sigma(s)$"
    )
    axes.set(xlabel="logit $s$ of a generated sample", ylabel="size of the gradient", xlim=(-8, 8))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def live_divergences() -> Figure:
    """Five distances between N(0, 1) and N(t, 1) over t, by sums over a fine grid."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    shifts, x = np.linspace(0, 4, 161), np.arange(-9, 13, 0.005)
    p = norm.pdf(x)
    rows = []
    for t in shifts:
        q = norm.pdf(x, t)
        half = (p + q) / 2
        rows.append(
            [
                (rel_entr(p, half) + rel_entr(q, half)).sum() / 2,
                rel_entr(p, q).sum(),
                np.abs(p - q).sum() / 2,
                200 * t,
            ]
        )
    looks = [
        ("JSD", "discriminator", "-"),
        ("KL", "generator", "-"),
        ("TV", "accent", "--"),
        ("$W_1$", "data", ":"),
    ]
    for (name, colour, line), values in zip(looks, 0.005 * np.array(rows).T, strict=True):
        axes.plot(shifts, values, color=COLOURS[colour], linestyle=line, label=name)
    axes.set(xlabel="shift", ylim=(0, 3), xlim=(0, 4))
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def live_gaussian_fits() -> Figure:
    """Two modes with the forward and both reverse fits of one Gaussian."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    half, mode = 1.8, 0.5
    nodes, weights = roots_hermitenorm(100)

    def reverse(at: np.ndarray) -> float:
        points = at[0] + np.exp(at[1]) * nodes
        log_p = np.logaddexp(norm.logpdf(points, -half, mode), norm.logpdf(points, half, mode)) - np.log(2)
        return float(weights @ (norm.logpdf(points, at[0], np.exp(at[1])) - log_p) / weights.sum())

    x = np.linspace(-4.5, 4.5, 600)
    axes.plot(x, (norm.pdf(x, -half, mode) + norm.pdf(x, half, mode)) / 2, color=COLOURS["data"], label="$p$")
    wide = norm.pdf(x, 0, np.sqrt(mode**2 + half**2))
    axes.plot(x, wide, color=COLOURS["accent"], linestyle="--", label="forward KL")
    for start, line in ((1.0, "-"), (-1.0, ":")):
        # Rounded: the last digits of a search differ between processors, and the picture must not.
        mean, log_width = minimize(reverse, [start, -0.3]).x.round(3)
        curve = norm.pdf(x, mean, np.exp(log_width))
        label = f"reverse KL, from {'right' if start > 0 else 'left'}"
        axes.plot(x, curve, color=COLOURS["generator"], linestyle=line, label=label)
    axes.set(xlabel="$x$", ylabel="density")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def live_dirac() -> Figure:
    """Orbits of the Dirac-GAN from (1, 1): in turn, both at once, and with R1."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    looks = {
        "in turn": ("discriminator", "-"),
        "both at once": ("generator", "--"),
        "with R1": ("accent", "-"),
    }
    for name, (colour, line) in looks.items():
        theta, psi, path = 1.0, 1.0, [(1.0, 1.0)]
        for _ in range(100):
            penalty = psi if name == "with R1" else 0.0
            new = psi + 0.2 * (-theta * expit(theta * psi) - penalty)
            seen = psi if name == "both at once" else new
            weight = expit(-theta * seen) if name == "with R1" else expit(theta * seen)
            theta, psi = theta + 0.2 * seen * weight, new
            path.append((theta, psi))
        axes.plot(*np.transpose(path), color=COLOURS[colour], linestyle=line, label=name)
    axes.plot(1, 1, "o", color=COLOURS["data"], label="start")
    axes.plot(0, 0, "*", color=COLOURS["data"], markersize=12, label="equilibrium")
    axes.set(xlabel=r"generated point $\theta$", ylabel=r"slope $\psi$", aspect="equal")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def live_transport() -> Figure:
    """Five points against five: who goes where at least cost, and the levels of a dual potential."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    x = np.array([[0.15, 0.8], [0.2, 0.45], [0.3, 0.2], [0.35, 0.65], [0.1, 0.15]])
    y = np.array([[0.85, 0.85], [0.6, 0.75], [0.9, 0.45], [0.65, 0.3], [0.8, 0.12]])
    costs = np.linalg.norm(x[:, None] - y, axis=2)
    # The dual linear programme: the largest sum of u + v with u_i + v_j at most the cost.
    rows = np.concatenate([np.kron(np.eye(5), np.ones((5, 1))), np.tile(np.eye(5), (5, 1))], axis=1)
    v = linprog(-np.ones(10), rows, costs.ravel(), bounds=[(0, 0)] + [(None, None)] * 9).x[5:]
    axis = np.linspace(0, 1, 120)
    plane = np.stack(np.meshgrid(axis, axis), axis=-1)
    f = (np.linalg.norm(plane[..., None, :] - y, axis=-1) - v).min(axis=-1)
    axes.contour(axis, axis, f, levels=12, colors=COLOURS["muted"], linewidths=1, linestyles="solid")
    for i, j in zip(*linear_sum_assignment(costs), strict=True):
        axes.plot(*np.transpose([x[i], y[j]]), color=COLOURS["accent"])
    axes.plot(*x.T, "o", color=COLOURS["data"], markersize=9, label="P")
    axes.plot(*y.T, "s", color=COLOURS["generator"], markersize=9, label="Q")
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.grid(visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "live-optimum": live_optimum,
    "live-saturation": live_saturation,
    "live-divergences": live_divergences,
    "live-gaussian-fits": live_gaussian_fits,
    "live-dirac": live_dirac,
    "live-transport": live_transport,
}
