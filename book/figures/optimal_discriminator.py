"""The figures of the chapter "The GAN game and the optimal discriminator" and of the front page.

Each function draws in the style that is active when it is called and returns the figure. Everything shown
is computed from closed forms; the only random numbers are the dots of `front_page`, drawn from a fixed seed.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from gancourse.figures import COLOURS

WIDTH = 5.2  # inches: 12 pt letters stay readable when the page is 360 px wide


def _normal(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Density of N(mean, deviation^2) at x, any shape."""
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _sigmoid(s: np.ndarray) -> np.ndarray:
    """The logistic function, any shape."""
    return 1 / (1 + np.exp(-s))


def _node(axes: Axes, x: float, text: str, colour: str, *, y: float = 2.4, thick: bool = False) -> None:
    """A rounded box with its centre at (x, y); a thick one is being updated."""
    box = FancyBboxPatch(
        (x - 0.75, y - 0.5),
        1.5,
        1.0,
        boxstyle="round,pad=0.08",
        facecolor=(*to_rgb(colour), 0.35 if thick else 0.12),
        edgecolor=colour,
        linewidth=2.6 if thick else 1.2,
    )
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center")


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], *, back: bool = False, bend: float = 0.0
) -> None:
    """A solid arrow for values; a dashed one, in the accent colour, for gradients."""
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=13,
        linewidth=2.0 if back else 1.4,
        linestyle=(0, (4, 2)) if back else "solid",
        color=COLOURS["accent"] if back else plt.rcParams["text.color"],
        connectionstyle=f"arc3,rad={bend}",
        shrinkA=0,
        shrinkB=0,
    )
    axes.add_patch(arrow)


def game() -> Figure:
    """The two steps of the game as computation graphs, with the way of the gradients."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 5.6))
    for axes, title in ((upper, "discriminator step"), (lower, "generator step")):
        axes.set(xlim=(0, 10.4), ylim=(-0.3, 4.0), title=title)
        axes.axis("off")
        axes.text(0.35, 2.4, "$z$", ha="center", va="center", fontsize=14)
        _arrow(axes, (0.65, 2.4), (1.35, 2.4))
        axes.text(4.1, 1.95, "$G(z)$", ha="center", va="center")
        _arrow(axes, (3.05, 2.4), (5.35, 2.4))
        _arrow(axes, (7.05, 2.4), (8.55, 2.4))
        axes.text(7.8, 1.95, "$s$", ha="center", va="center")
        axes.text(9.45, 2.4, "loss", ha="center", va="center")

    _node(upper, 2.2, "$G$", COLOURS["generator"])
    _node(upper, 6.2, "$D$", COLOURS["discriminator"], thick=True)
    _node(upper, 6.2, "real $x$", COLOURS["data"], y=0.5)
    _arrow(upper, (6.2, 1.1), (6.2, 1.8))
    _arrow(upper, (9.3, 2.75), (6.5, 3.05), back=True, bend=0.35)
    _arrow(upper, (5.9, 3.05), (4.25, 3.3), back=True, bend=0.3)
    upper.plot([4.1, 4.1], [2.75, 3.85], color=COLOURS["accent"], linewidth=4)
    upper.text(3.85, 3.55, "detach", ha="right", va="center", color=COLOURS["accent"])

    _node(lower, 2.2, "$G$", COLOURS["generator"], thick=True)
    _node(lower, 6.2, "$D$", COLOURS["discriminator"])
    lower.text(6.2, 1.35, "held fixed", ha="center", va="center")
    _arrow(lower, (9.3, 2.75), (6.5, 3.05), back=True, bend=0.35)
    _arrow(lower, (5.9, 3.05), (2.5, 3.05), back=True, bend=0.25)
    lower.plot([0.4, 1.5], [0.35, 0.35], color=plt.rcParams["text.color"], linewidth=1.4)
    lower.text(1.7, 0.35, "values", va="center")
    lower.plot([4.3, 5.4], [0.35, 0.35], color=COLOURS["accent"], linewidth=2, linestyle=(0, (4, 2)))
    lower.text(5.6, 0.35, "gradients", va="center")
    return figure


def pointwise_objective() -> Figure:
    """a log y + b log(1 - y) over [0, 1] for five pairs (a, b), each with its maximiser."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    y = np.linspace(1e-4, 1 - 1e-4, 2000)
    cases = [
        (1.0, 1.0, "discriminator", "-"),
        (1.5, 0.5, "data", "-"),
        (0.4, 1.6, "generator", "-"),
        (1.0, 0.0, "data", ":"),
        (0.0, 1.0, "generator", ":"),
    ]
    for a, b, name, line in cases:
        axes.plot(
            y,
            a * np.log(y) + b * np.log1p(-y),
            color=COLOURS[name],
            linestyle=line,
            label=f"$a={a:g},\\ b={b:g}$",
        )
        best = a / (a + b)
        value = (a * np.log(best) if a else 0.0) + (b * np.log1p(-best) if b else 0.0)
        axes.plot(
            best, value, "o", color=COLOURS[name], markersize=8, clip_on=False, zorder=5, fillstyle="full"
        )
    axes.set(xlabel="$y$", ylabel=r"$a\log y + b\log(1-y)$", xlim=(0, 1), ylim=(-4, 0.05))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def gaussian_logit() -> Figure:
    """Two pairs of Gaussians: densities above, D* in the middle, its logit below."""
    figure, grid = plt.subplots(
        3, 2, figsize=(WIDTH, 5.8), sharex="col", sharey="row", gridspec_kw={"height_ratios": [1, 1, 1.1]}
    )
    x = np.linspace(-5, 5, 800)
    for column, (deviation, title) in enumerate(((1.0, "equal variances"), (2.0, "unequal variances"))):
        data, fake = _normal(x, 1.0, 1.0), _normal(x, -1.0, deviation)
        logit = np.log(data) - np.log(fake)
        top, middle, bottom = grid[:, column]
        top.plot(x, data, color=COLOURS["data"], label="$p_d$")
        top.plot(x, fake, color=COLOURS["generator"], linestyle="--", label="$p_g$")
        top.set(title=title, ylim=(0, 0.46), yticks=[0, 0.2, 0.4])
        middle.plot(x, _sigmoid(logit), color=COLOURS["discriminator"])
        middle.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1])
        bottom.plot(x, logit, color=COLOURS["discriminator"])
        bottom.axhline(0, color=COLOURS["muted"], linewidth=1)
        bottom.set(ylim=(-10.5, 10.5), yticks=[-8, 0, 8], xticks=[-4, 0, 4], xlabel="$x$")
    grid[0, 0].set_ylabel("density")
    grid[1, 0].set_ylabel("$D^*$")
    grid[2, 0].set_ylabel(r"logit $D^*$")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def off_support() -> Figure:
    """Uniform laws on [0, 2] and [1, 3]: D* is pinned on the supports, anything goes elsewhere."""
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(WIDTH, 4.6), sharex=True, gridspec_kw={"height_ratios": [1, 1.7]}
    )
    for name, label, left, right, line in (
        ("data", "$p_d$", 0, 2, "-"),
        ("generator", "$p_g$", 1, 3, "--"),
    ):
        upper.plot(
            [left, left, right, right], [0, 0.5, 0.5, 0], color=COLOURS[name], linestyle=line, label=label
        )
    upper.set(ylim=(0, 0.62), yticks=[0, 0.5], ylabel="density")
    upper.legend(loc="upper right", ncols=2, borderaxespad=0)

    for left, right, value in ((0, 1, 1.0), (1, 2, 0.5), (2, 3, 0.0)):
        lower.plot([left, right], [value, value], color=COLOURS["discriminator"], linewidth=4, zorder=4)
    before, after = np.linspace(-1.5, 0, 100), np.linspace(3, 4.5, 100)
    free = (
        (np.ones_like(before), np.zeros_like(after)),
        (1 + 0.66 * before, 0.66 * (after - 3)),
        (0.5 + 0.5 * np.cos(5 * before), 0.5 - 0.5 * np.cos(4 * (after - 3))),
    )
    for line, (left_part, right_part) in zip(("--", "-.", ":"), free, strict=True):
        for where, values in ((before, left_part), (after, right_part)):
            lower.plot(where, values, color=COLOURS["accent"], linestyle=line, linewidth=1.6)
    lower.set(xlim=(-1.5, 4.5), ylim=(-0.08, 1.08), yticks=[0, 0.5, 1], xlabel="$x$", ylabel="$D(x)$")
    return figure


def _spurious() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, p_d and p_g of the label-smoothing figure: p_g has a mode at 3 where p_d is almost nothing."""
    x = np.linspace(-5, 6, 1600)
    data = 0.98 * _normal(x, -2.0, 0.9) + 0.02 * _normal(x, 2.0, 3.0)
    fake = 0.5 * _normal(x, -2.0, 0.9) + 0.5 * _normal(x, 3.0, 0.6)
    return x, data, fake


def label_smoothing() -> Figure:
    """D* with and without smoothed targets beside a spurious mode, and the slope a sample there feels."""
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(WIDTH, 6.6), sharex=True)
    x, data, fake = _spurious()
    plain = data / (data + fake)
    top.plot(x, data, color=COLOURS["data"], label="$p_d$")
    top.plot(x, fake, color=COLOURS["generator"], linestyle="--", label="$p_g$")
    top.set(ylim=(0, 0.5), yticks=[0, 0.2, 0.4], ylabel="density")
    top.legend(loc="upper right", ncols=2, borderaxespad=0)
    for alpha, beta, name, line in (
        (1.0, 0.0, "discriminator", "-"),
        (0.9, 0.0, "accent", "--"),
        (0.9, 0.1, "generator", ":"),
    ):
        smooth = beta + (alpha - beta) * plain
        look = {"color": COLOURS[name], "linestyle": line}
        middle.plot(x, smooth, label=rf"$\alpha={alpha:g},\ \beta={beta:g}$", **look)
        bottom.plot(x, np.gradient(np.log(smooth), x), **look)
    middle.set(ylim=(0, 1), yticks=[0, 0.5, 1], ylabel=r"$D^*_{\alpha,\beta}$")
    bottom.set(xlabel="$x$", ylabel=r"$\partial_x \log D^*_{\alpha,\beta}$", xticks=[-4, -2, 0, 2, 4, 6])
    for axes in (top, middle, bottom):
        axes.axvline(3.0, color=COLOURS["muted"], linewidth=1)
        axes.set_xlim(-5, 6)
    figure.legend(*middle.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def saturation() -> Figure:
    """How strongly each generator loss pulls on the logit, against the logit."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    s = np.linspace(-6, 6, 600)
    axes.axvspan(-6, 0, color=COLOURS["muted"], alpha=0.16, linewidth=0)
    axes.plot(s, _sigmoid(s), color=COLOURS["generator"], label=r"minimax: $\sigma(s)$")
    axes.plot(
        s, _sigmoid(-s), color=COLOURS["accent"], linestyle="--", label=r"non-saturating: $1-\sigma(s)$"
    )
    axes.text(-5.8, 0.5, "discriminator\nwins", va="center")
    axes.text(5.8, 0.5, "generator\nwins", va="center", ha="right")
    axes.set(xlim=(-6, 6), ylim=(0, 1.02), yticks=[0, 0.5, 1], xlabel="logit $s$ of a generated sample")
    axes.set_ylabel("size of the gradient")
    values = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    top = axes.secondary_xaxis("top")
    top.set_xticks(np.log(values / (1 - values)), [f"{v:g}" for v in values])
    top.set_xlabel("$D(G(z))$")
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def front_page() -> Figure:
    """Exact D* for a ring of eight Gaussians against a made-up generator that covers five of them."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.9))
    angles = 2 * np.pi * np.arange(8) / 8
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    covered, real_deviation, fake_deviation = centres[[0, 1, 2, 3, 6]], 0.09, 0.2

    def density(points: np.ndarray, modes: np.ndarray, deviation: float) -> np.ndarray:
        squares = ((points[..., None, :] - modes) ** 2).sum(-1)
        return np.exp(-squares / (2 * deviation**2)).mean(-1) / (2 * np.pi * deviation**2)

    axis = np.linspace(-1.7, 1.7, 220)
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    data, fake = density(points, centres, real_deviation), density(points, covered, fake_deviation)
    best = data / (data + fake)
    picture = np.empty((*best.shape, 4))
    picture[..., :3] = np.where(best[..., None] > 0.5, to_rgb(COLOURS["data"]), to_rgb(COLOURS["generator"]))
    # Fade out where there is hardly any mass: D* is defined there but nobody will ever look.
    picture[..., 3] = 0.7 * np.abs(2 * best - 1) ** 0.6 * np.clip((data + fake) / 0.02, 0, 1)
    axes.imshow(picture, extent=(-1.7, 1.7, -1.7, 1.7), origin="lower", interpolation="none")

    generator = np.random.default_rng(2014)
    real = centres[generator.integers(8, size=260)] + real_deviation * generator.normal(size=(260, 2))
    made = covered[generator.integers(5, size=260)] + fake_deviation * generator.normal(size=(260, 2))
    axes.scatter(*real.T, s=9, color=COLOURS["data"], label="data", linewidths=0)
    axes.scatter(
        *made.T, s=16, color=COLOURS["generator"], marker="x", linewidths=1, label="generated", zorder=1.5
    )
    axes.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, markerscale=1.6)
    return figure


# name of the files -> what draws it, and what it shows for those who cannot see it
FIGURES: dict[str, Callable[[], Figure]] = {
    "game": game,
    "pointwise-objective": pointwise_objective,
    "gaussian-logit": gaussian_logit,
    "off-support": off_support,
    "label-smoothing": label_smoothing,
    "saturation": saturation,
    "front-page": front_page,
}
