"""The 4 x 3 gridworld of the textbooks as a Markov decision process, and a picture of a policy on it."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from gancourse.figures import COLOURS

ACTIONS = ("up", "right", "down", "left")
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))
COLUMNS, ROWS = 4, 3
WALL = (2, 2)
EXITS = {(4, 3): 1.0, (4, 2): -1.0}
CELLS = tuple(
    (column, row)
    for row in range(1, ROWS + 1)
    for column in range(1, COLUMNS + 1)
    if (column, row) != WALL and (column, row) not in EXITS
)


@dataclass(frozen=True, eq=False)
class Gridworld:
    """A gridworld whose nine open cells are its states; an exit ends the episode.

    Attributes:
        transition: shape (9, 4, 9), probability of the next cell; what is missing to 1 leaves by an exit.
        reward: shape (9, 4), expected reward of a step, that of the exit included.
        step_reward: what each step pays.
        noise: probability of slipping to a given side.
    """

    transition: np.ndarray
    reward: np.ndarray
    step_reward: float
    noise: float


def gridworld(step_reward: float, noise: float = 0.1) -> Gridworld:
    """The 4 x 3 world with a wall at (2, 2) and exits that pay +1 at (4, 3) and -1 at (4, 2).

    A move goes where it should with probability 1 - 2 noise and at a right angle to it with probability
    `noise` for each side. A move into the wall or the border leaves the agent where it is. States are in the
    order of `CELLS`, (column, row) from the lower left; actions in that of `ACTIONS`.

    Raises:
        ValueError: a noise outside [0, 1/2], or a step reward that is not finite.

    Source: Russell and Norvig, Artificial Intelligence: A Modern Approach (the layout).
    """
    if not 0 <= noise <= 0.5:
        raise ValueError(f"The noise of one side is a probability of at most 1/2; got {noise}.")
    if not np.isfinite(step_reward):
        raise ValueError(f"A step reward is a finite number; got {step_reward}.")
    transition = np.zeros((len(CELLS), len(ACTIONS), len(CELLS)))
    reward = np.full((len(CELLS), len(ACTIONS)), float(step_reward))
    for state, cell in enumerate(CELLS):
        for action in range(len(ACTIONS)):
            for turn, probability in ((0, 1 - 2 * noise), (1, noise), (-1, noise)):
                target = _move(cell, MOVES[(action + turn) % 4])
                if target in EXITS:
                    reward[state, action] += probability * EXITS[target]
                else:
                    transition[state, action, CELLS.index(target)] += probability
    return Gridworld(transition, reward, float(step_reward), float(noise))


def _move(cell: tuple[int, int], move: tuple[int, int]) -> tuple[int, int]:
    target = (cell[0] + move[0], cell[1] + move[1])
    inside = 1 <= target[0] <= COLUMNS and 1 <= target[1] <= ROWS
    return target if inside and target != WALL else cell


def draw_policy(axes: Axes, best: np.ndarray, values: np.ndarray | None = None) -> None:
    """Draw the world with an arrow for each best action of a cell: several arrows are a tie.

    Args:
        axes: where to draw; its frame and ticks go.
        best: shape (9, 4), true where an action is one of the best.
        values: shape (9,), written small into the cells; None writes none.

    Raises:
        ValueError: another shape.
    """
    best = np.asarray(best, dtype=bool)
    if best.shape != (len(CELLS), len(ACTIONS)):
        raise ValueError(
            f"`best` has one row for each cell and one column for each action; got {best.shape}."
        )
    ink = axes.xaxis.label.get_color()
    for column in range(1, COLUMNS + 1):
        for row in range(1, ROWS + 1):
            box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor="none", edgecolor=COLOURS["muted"])
            axes.add_patch(box)
    axes.add_patch(Rectangle((WALL[0] - 0.5, WALL[1] - 0.5), 1, 1, color=COLOURS["muted"]))
    for cell, pay in EXITS.items():
        colour = COLOURS["data" if pay > 0 else "generator"]
        axes.add_patch(Rectangle((cell[0] - 0.5, cell[1] - 0.5), 1, 1, facecolor=colour, alpha=0.3))
        axes.text(*cell, f"{pay:+.0f}", ha="center", va="center")
    for state, (column, row) in enumerate(CELLS):
        for action in np.flatnonzero(best[state]):
            right, up = MOVES[action]
            arrow = {"arrowstyle": "-|>", "color": ink, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
            end = (column + 0.42 * right, row + 0.42 * up)
            axes.annotate("", xy=end, xytext=(column, row), arrowprops=arrow)
        if values is not None:
            axes.text(column + 0.46, row - 0.46, f"{values[state]:.2f}", ha="right", va="bottom", fontsize=7)
    axes.set(xlim=(0.45, COLUMNS + 0.55), ylim=(0.45, ROWS + 0.55), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.grid(False)
