"""The figures of the chapter "Bilevel optimisation: GANs and actor-critic".

Each function draws in the style that is active when it is called and returns the figure. The policies are
computed by value iteration and the slopes by the hypergradient's formula, at every run.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from gancourse.figures import COLOURS
from gancourse.gridworld import CELLS, draw_policy, gridworld

WIDTH = 5.2  # inches: 12 pt letters stay readable when the page is 360 px wide
PRICES = (-2.0, -0.5, -0.04, 0.0)


def _inner_optimum(x: np.ndarray) -> np.ndarray:
    """y*(x) of the inner objective (y - sin(1.4 x) - x / 2)^2 / 2."""
    return np.sin(1.4 * x) + x / 2


def _outer(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The outer objective of the picture."""
    return 0.5 * (x + 0.5) ** 2 + (y - 1.5) ** 2


def hypergradient() -> Figure:
    """Level lines of F with the curve of inner optima; below, F along the curve with both slopes."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 6.2), sharex=True)
    x, here = np.linspace(-1.5, 1.5, 400), 0.15
    columns, rows = np.meshgrid(x, np.linspace(-1.6, 2.2, 300))
    upper.contour(columns, rows, _outer(columns, rows), levels=14, colors=COLOURS["muted"], linewidths=0.8)
    upper.plot(x, _inner_optimum(x), color=COLOURS["discriminator"], label="$y^*(x)$")
    y = _inner_optimum(here)
    by_x, by_y = here + 0.5, 2 * (y - 1.5)
    mixed, curvature = -(1.4 * np.cos(1.4 * here) + 0.5), 1.0
    true = by_x - mixed / curvature * by_y
    upper.plot(here, y, "o", color=plt.rcParams["text.color"], zorder=5)
    move = 0.6
    for end, name in (
        ((here + move, y), "generator"),
        ((here + move, y - move * mixed / curvature), "accent"),
    ):
        upper.add_patch(
            FancyArrowPatch(
                (here, y),
                end,
                arrowstyle="-|>",
                mutation_scale=14,
                linewidth=2,
                color=COLOURS[name],
                zorder=4,
            )
        )
    upper.set(ylim=(-1.6, 2.2), ylabel="$y$")
    upper.legend(loc="upper left")
    phi = _outer(x, _inner_optimum(x))
    lower.plot(x, phi, color=COLOURS["discriminator"], label=r"$\Phi(x)$")
    near = np.linspace(here - 0.5, here + 0.5, 2)
    value = _outer(here, y)
    for slope, name, line, label in (
        (true, "accent", "-", "hypergradient"),
        (by_x, "generator", "--", "$y^*$ frozen"),
    ):
        lower.plot(near, value + slope * (near - here), line, color=COLOURS[name], label=label)
    lower.plot(here, value, "o", color=plt.rcParams["text.color"], zorder=5)
    lower.set(xlim=(-1.5, 1.5), ylim=(0, 8), xlabel="$x$", ylabel=r"$\Phi(x)$")
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _best_actions(step_reward: float, noise: float) -> np.ndarray:
    """Which actions of each cell are best without a discount, ties included: shape (9, 4)."""
    world, values = gridworld(step_reward, noise), np.zeros(len(CELLS))
    for _ in range(3000):
        values = (world.reward + world.transition @ values).max(1)
    worth = world.reward + world.transition @ values
    return worth.max(1, keepdims=True) - worth < 1e-9


def gridworld_policies() -> Figure:
    """Best actions at four step rewards, with exact moves and with noise."""
    figure, grid = plt.subplots(len(PRICES), 2, figsize=(WIDTH, 8.0))
    for row, price in zip(grid, PRICES, strict=True):
        for axes, noise in zip(row, (0.0, 0.1), strict=True):
            draw_policy(axes, _best_actions(price, noise))
            axes.set_title(f"$r={price:g}$, " + ("exact" if noise == 0 else "noise 0.1"))
    return figure


def _node(axes: Axes, x: float, y: float, text: str, colour: str, width: float = 1.5) -> None:
    """A rounded box with its centre at (x, y)."""
    box = FancyBboxPatch(
        (x - width / 2, y - 0.42),
        width,
        0.84,
        boxstyle="round,pad=0.06",
        facecolor=(*to_rgb(colour), 0.15),
        edgecolor=colour,
        linewidth=1.4,
    )
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center")


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], back: bool = False, bend: float = 0.0
) -> None:
    """A solid arrow for values; a dashed one, in the accent colour, for gradients."""
    axes.add_patch(
        FancyArrowPatch(
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
    )


def gan_actor_critic() -> Figure:
    """The flow of values and gradients in a GAN and in the actor-critic that equals it."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 6.2))
    for axes, title in ((upper, "GAN"), (lower, "actor-critic")):
        axes.set(xlim=(0, 10.6), ylim=(-0.2, 4.3), title=title)
        axes.axis("off")
        axes.text(0.3, 2.6, "$z$", ha="center", va="center", fontsize=14)
        _arrow(axes, (0.6, 2.6), (1.15, 2.6))

    _node(upper, 2.0, 2.6, "$G$", COLOURS["generator"])
    _node(upper, 6.9, 2.6, "$D$", COLOURS["discriminator"])
    _node(upper, 4.6, 0.7, "real $x$", COLOURS["data"], 1.9)
    upper.text(4.5, 2.2, "$G(z)$", ha="center", va="center")
    _arrow(upper, (2.85, 2.6), (6.05, 2.6))
    _arrow(upper, (5.65, 0.95), (6.5, 2.05))
    _arrow(upper, (7.75, 2.6), (8.9, 2.6))
    upper.text(9.7, 2.6, "loss", ha="center", va="center")
    _arrow(upper, (9.6, 3.0), (7.3, 3.2), back=True, bend=0.3)
    _arrow(upper, (6.6, 3.2), (2.3, 3.2), back=True, bend=0.25)

    _node(lower, 2.0, 2.6, "actor", COLOURS["generator"])
    _node(lower, 4.8, 2.6, "coin", COLOURS["muted"])
    _node(lower, 7.6, 2.6, "critic", COLOURS["discriminator"])
    _node(lower, 4.8, 0.7, "real $x$", COLOURS["data"], 1.9)
    lower.text(3.45, 2.2, "$a$", ha="center", va="center")
    lower.text(6.2, 2.2, "$y$", ha="center", va="center")
    _arrow(lower, (2.85, 2.6), (3.95, 2.6))
    _arrow(lower, (4.8, 1.2), (4.8, 2.1))
    _arrow(lower, (5.65, 2.6), (6.75, 2.6))
    _arrow(lower, (8.45, 2.6), (9.2, 2.6))
    lower.text(9.85, 2.6, "loss", ha="center", va="center")
    _arrow(lower, (5.6, 2.15), (9.75, 2.2), bend=0.38)
    lower.text(7.9, 0.98, "reward $r$", ha="center", va="center")
    _arrow(lower, (9.7, 3.0), (8.0, 3.2), back=True, bend=0.3)
    _arrow(lower, (7.3, 3.2), (2.3, 3.2), back=True, bend=0.25)
    return figure


# name of the files -> what draws it
FIGURES: dict[str, Callable[[], Figure]] = {
    "bilevel-hypergradient": hypergradient,
    "gridworld-policies": gridworld_policies,
    "gan-actor-critic": gan_actor_critic,
}
