"""The figures of the chapter "The direction of KL".

Each function draws in the style that is active when it is called and returns the figure. Everything shown
is computed here from closed forms and from sums over a grid.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy import optimize

from gancourse.figures import COLOURS

WIDTH = 5.2  # inches: 12 pt letters stay readable when the page is 360 px wide
_Z = np.linspace(-9, 9, 1201)
_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def _normal(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """Density of N(mean, deviation^2) at x, any shape."""
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))


def _reverse_kl(mean: float, log_width: float, m: float) -> tuple[float, np.ndarray]:
    """KL(N(mean, width^2) || two modes at plus and minus m) and its slope in mean and log width."""
    width = np.exp(log_width)
    t = m * (mean + width * _Z)
    log_cosh = np.logaddexp(t, -t) - np.log(2)
    value = -log_width - 0.5 + (width**2 + mean**2 + m**2) / 2 - _WEIGHTS @ log_cosh
    pull = m * np.tanh(t)
    return value, np.array([mean - _WEIGHTS @ pull, width**2 - 1 - width * (_WEIGHTS @ (_Z * pull))])


def _fit(m: float, mean: float, width: float) -> tuple[float, float, float]:
    """Mean, width and value of the local minimum that a descent from the given start reaches."""
    found = optimize.minimize(
        lambda v: _reverse_kl(v[0], v[1], m), [mean, np.log(width)], jac=True, options={"gtol": 1e-9}
    )
    # Rounded: the last digits of a search differ between processors, and the picture must not.
    return round(found.x[0], 6), round(np.exp(found.x[1]), 6), round(found.fun, 6)


def forward_reverse_fits() -> Figure:
    """Two modes, the forward fit, and the reverse fits from moment matching and from a mode."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.3))
    m, x = 2.6, np.linspace(-7, 7, 700)
    data = (_normal(x, -m, 1) + _normal(x, m, 1)) / 2
    axes.fill_between(x, data, color=COLOURS["data"], alpha=0.25, linewidth=0, label="data $p$")
    wide = np.sqrt(1 + m**2)
    axes.plot(x, _normal(x, 0, wide), "--", color=COLOURS["accent"], label="forward KL")
    for start, name, line, label in (
        ((0.0, wide), "discriminator", "-.", "reverse KL, started from the forward fit"),
        ((m, 1.0), "generator", "-", "reverse KL, started in a mode"),
    ):
        mean, width, _ = _fit(m, *start)
        axes.plot(x, _normal(x, mean, width), line, color=COLOURS[name], label=label)
    axes.set(xlabel="$x$", ylabel="density", xlim=(-7, 7), ylim=(0, 0.45), yticks=[0, 0.2, 0.4])
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def reverse_kl_minima() -> Figure:
    """Value of the broad minimum and of the minimum in a mode, over half the distance of the modes."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.1))
    m = np.linspace(0.4, 4.5, 165)
    broad = [_fit(k, 0.0, 1 + 0.8 * k) for k in m]
    modes = [(k, *_fit(k, k, 1.0)) for k in m]
    modes = [(k, value) for k, mean, _, value in modes if mean > 0.5]
    axes.plot(m, [value for *_, value in broad], color=COLOURS["discriminator"], label="broad minimum")
    axes.plot(*zip(*modes, strict=True), "--", color=COLOURS["generator"], label="minimum in a mode")
    axes.axhline(np.log(2), color=COLOURS["muted"], linestyle=":", linewidth=1.5)
    axes.set(xlabel="half the distance $m$", ylabel="reverse KL, nats", xlim=(0.4, 4.5), ylim=(0, 1.6))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def five_losses() -> Figure:
    """Size of the derivative in the logit of the five losses that stand in one table."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.9))
    s = np.linspace(-6, 6, 600)
    sigma = 1 / (1 + np.exp(-s))
    axes.axvspan(-6, 0, color=COLOURS["muted"], alpha=0.16, linewidth=0)
    for values, name, line, label in (
        (sigma, "generator", "-", r"$\log(1-D)$"),
        (1 - sigma, "accent", "--", r"$-\log D$"),
        (np.ones_like(s), "data", ":", r"$-$logit $D$"),
        (sigma * (1 - sigma), "muted", "-", "$-D$"),
        (np.exp(s), "discriminator", "-.", r"$-e^{\mathrm{logit}\,D}$"),
    ):
        axes.semilogy(s, values, line, color=COLOURS[name], label=label)
    axes.text(-5.8, 25, "discriminator wins", va="center")
    axes.set(xlim=(-6, 6), ylim=(1e-3, 1e2), xlabel="logit $s$ of a generated sample")
    axes.set_ylabel("size of the gradient")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def pearson_conjugate() -> Figure:
    """Pearson's conjugate and the parabola that most tables print for it."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    t = np.linspace(-6, 2, 400)
    axes.plot(t, t**2 / 4 + t, "--", color=COLOURS["generator"], label="$t^2/4+t$")
    axes.plot(
        t, np.maximum(t, -2) ** 2 / 4 + np.maximum(t, -2), color=COLOURS["discriminator"], label="$f^*(t)$"
    )
    axes.axvline(-2, color=COLOURS["muted"], linewidth=1)
    axes.set(xlabel="$t$", xlim=(-6, 2), ylim=(-1.5, 3.2), yticks=[-1, 0, 1, 2, 3])
    figure.legend(loc="outside lower center", ncols=2)
    return figure


# name of the files -> what draws it
FIGURES: dict[str, Callable[[], Figure]] = {
    "forward-reverse-fits": forward_reverse_fits,
    "reverse-kl-minima": reverse_kl_minima,
    "five-losses": five_losses,
    "pearson-conjugate": pearson_conjugate,
}
