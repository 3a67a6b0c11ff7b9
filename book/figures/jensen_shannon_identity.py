"""The figures of the chapter "The Jensen–Shannon identity".

Each function draws in the style that is active when it is called and returns the figure. Everything shown is
computed from closed forms and sums over a grid; there are no random numbers.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from gancourse.figures import COLOURS

WIDTH = 5.2  # inches: 12 pt letters stay readable when the page is 360 px wide


def _normal(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Density of N(mean, deviation^2) at x, any shape."""
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, p_d and p_g of the figures on the regret: two modes against one shifted one."""
    x = np.linspace(-6, 6, 2401)
    data = 0.4 * _normal(x, -1.5, 0.5) + 0.6 * _normal(x, 1.0, 0.8)
    return x, data, _normal(x, 1.5, 1.0)


def _coins(a: np.ndarray, s: np.ndarray) -> np.ndarray:
    """KL(Bern(a) || Bern(sigmoid(s))) for 0 < a < 1: exact for large logits s as well."""
    entropy = -a * np.log(a) - (1 - a) * np.log1p(-a)
    return a * np.logaddexp(0, -s) + (1 - a) * np.logaddexp(0, s) - entropy


def regret_gap() -> Figure:
    """The bound of discriminators with logit c times the true one, and where on the line it is lost."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 5.6))
    x, data, fake = _pair()
    middle, best = (data + fake) / 2, np.log(data) - np.log(fake)
    share, step = data / (data + fake), x[1] - x[0]
    truth = float((middle * _coins(share, np.zeros_like(x))).sum() * step)  # the gap of D = 1/2
    scales = np.linspace(0, 4, 161)
    bounds = [truth - float((middle * _coins(share, c * best)).sum() * step) for c in scales]
    upper.fill_between(scales, bounds, truth, color=COLOURS["muted"], alpha=0.25, linewidth=0)
    upper.plot(scales, bounds, color=COLOURS["discriminator"], label="$B(D)$")
    upper.axhline(truth, color=COLOURS["accent"], linestyle="--", label="JSD")
    upper.axhline(0, color=COLOURS["muted"], linewidth=1)
    upper.set(xlabel="scale $c$ of the logit", ylabel="nats", xlim=(0, 4))
    upper.legend(loc="lower center", ncols=2)
    for c, line, name in ((0.3, ":", "data"), (1.0, "-", "accent"), (2.5, "--", "generator")):
        lost = middle * _coins(share, c * best)
        lower.plot(x, lost, linestyle=line, color=COLOURS[name], label=f"$c={c:g}$")
    lower.set(xlabel="$x$", ylabel="regret times $m$", xlim=(-4, 4))
    lower.set_ylim(bottom=-0.001)
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def calibration_refinement() -> Figure:
    """JSD of one pair of laws as bound + calibration + refinement for six discriminators."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    x, data, fake = _pair()
    best, step = np.log(data) - np.log(fake), x[1] - x[0]
    share, middle = data / (data + fake), (data + fake) / 2
    truth = float((middle * _coins(share, np.zeros_like(x))).sum() * step)
    every = np.arange(len(x))
    two, four = (np.searchsorted(cuts, best) for cuts in ([0.0], [-1.0, 0.0, 1.0]))
    cases = [
        ("optimal", every, 1.0),
        ("optimal, logit × 1.7", every, 1.7),
        ("four levels", four, 1.0),
        ("two levels", two, 1.0),
        ("two levels, logit × 2", two, 2.0),
        ("always ½", np.zeros_like(every), 1.0),
    ]
    parts = {"bound": [], "calibration": [], "refinement": []}
    for _, group, scale in cases:
        real, made = np.bincount(group, data)[group], np.bincount(group, fake)[group]
        fraction, logit = real / (real + made), np.log(real) - np.log(made)
        calibration = float((middle * _coins(fraction, scale * logit)).sum() * step)
        refinement = float((middle * _coins(share, logit)).sum() * step)
        parts["bound"].append(truth - calibration - refinement)
        parts["calibration"].append(calibration)
        parts["refinement"].append(refinement)
    left = np.zeros(len(cases))
    for (name, sizes), colour, hatch in zip(
        parts.items(), ("discriminator", "generator", "muted"), ("", "//", ".."), strict=True
    ):
        colour = COLOURS[colour]
        axes.barh(
            range(len(cases)), sizes, left=left, color=colour, hatch=hatch, edgecolor="none", label=name
        )
        left = left + sizes
    axes.axvline(truth, color=COLOURS["accent"], linestyle="--")
    axes.set_yticks(range(len(cases)), [name for name, *_ in cases])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="nats (dashed: JSD)")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1, handlelength=1.2)
    return figure


def improving_steps() -> Figure:
    """C on two states with the steps of two sequences from t = 0.9: one stops at 0.7, one reaches 1/2."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))

    def criterion(t: np.ndarray) -> np.ndarray:
        """C((t, 1 - t)) for p_d = (1/2, 1/2): minus the entropies of r, weighted with nu."""
        total = 0.0
        for mass in (t, 1 - t):
            total = total - 0.5 * np.log(0.5 / (0.5 + mass)) - mass * np.log(mass / (0.5 + mass))
        return -total

    t = np.linspace(0.3, 0.95, 400)
    axes.plot(t, criterion(t), color=COLOURS["muted"])
    powers = 0.5 ** np.arange(8)
    for points, name, look, label in (
        (
            0.7 + 0.2 * powers,
            "generator",
            {"marker": "o", "markersize": 11, "fillstyle": "none", "markeredgewidth": 2},
            "improving, steps 0.1, 0.05, …",
        ),
        (0.5 + 0.4 * powers, "accent", {"marker": "s", "markersize": 6}, "exponentiated gradient"),
    ):
        axes.plot(points, criterion(points), linestyle="none", color=COLOURS[name], label=label, **look)
    axes.axhline(-np.log(4), color=COLOURS["muted"], linestyle=":", linewidth=1.4)
    axes.text(0.94, -np.log(4) + 0.006, r"$-\log 4$", ha="right", va="bottom")
    axes.set(xlabel="$t$, mass of the first state", ylabel="$C$", xlim=(0.3, 0.95))
    figure.legend(loc="outside lower center", ncols=1)
    return figure


# name of the files -> what draws it
FIGURES: dict[str, Callable[[], Figure]] = {
    "regret-gap": regret_gap,
    "calibration-refinement": calibration_refinement,
    "improving-steps": improving_steps,
}
