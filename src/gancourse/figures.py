"""The look of every figure: one palette that holds in light, in dark and for colour-blind eyes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

# Each colour keeps a contrast of at least 3 against both backgrounds of the site.
COLOURS = {
    "data": "#1f77b4",
    "generator": "#d1601c",
    "discriminator": "#7a5ad0",
    "accent": "#0f8a6d",
    "muted": "#7a7f87",
}
_INK = {"light": "#1c2127", "dark": "#e6e9ee"}


@contextmanager
def style(mode: str = "light") -> Iterator[None]:
    """Draw inside this context in the course's style.

    Args:
        mode: "light" or "dark", the page the figure stands on; both have a transparent background.

    Raises:
        ValueError: any other mode.
    """
    if mode not in _INK:
        raise ValueError(f"A figure is drawn for 'light' or 'dark' pages; got {mode!r}.")
    ink = _INK[mode]
    settings = {
        "axes.edgecolor": ink,
        "axes.grid": True,
        "axes.labelcolor": ink,
        "axes.prop_cycle": mpl.cycler(color=list(COLOURS.values())),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": ink,
        "axes.titlesize": 12,
        "figure.constrained_layout.use": True,
        "figure.figsize": (6.4, 3.6),
        "font.size": 12,
        "grid.alpha": 0.25,
        "grid.color": COLOURS["muted"],
        "legend.frameon": False,
        "lines.linewidth": 2.0,
        "savefig.transparent": True,
        "svg.fonttype": "path",
        "svg.hashsalt": "gancourse",
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
    }
    with mpl.rc_context(settings):
        yield


def save_pair(draw: Callable[[], Figure], folder: Path, name: str) -> None:
    """Write `<name>-light.svg` and `<name>-dark.svg`, the same bytes at every run.

    Args:
        draw: a function without arguments that returns the figure.
        folder: where the two files go; it is made when missing.
        name: file name without ending.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for mode in _INK:
        with style(mode):
            figure = draw()
            figure.savefig(folder / f"{name}-{mode}.svg", metadata={"Date": None})
            plt.close(figure)


def notebook_style() -> None:
    """Use the light style on a white background for every following figure of a notebook."""
    with style("light"):
        settings = dict(mpl.rcParams)
    settings |= {"savefig.transparent": False, "figure.facecolor": "white", "figure.dpi": 100}
    backend_keys = {"backend", "backend_fallback", "interactive", "toolbar", "webagg.port"}
    mpl.rcParams.update({key: value for key, value in settings.items() if key not in backend_keys})


def image_grid(images: np.ndarray, columns: int = 10) -> np.ndarray:
    """Tile images into one, row by row.

    Args:
        images: shape (n, 1, h, w), values in [-1, 1]; a torch tensor on any device is taken as well.
        columns: images in a row.

    Returns:
        Shape (rows * (h + 1) - 1, columns * (w + 1) - 1), values in [0, 1], with lines of white between.

    Raises:
        ValueError: another shape, or no image at all.
    """
    if hasattr(images, "detach"):
        images = images.detach().cpu().float().numpy()
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1] != 1 or len(images) == 0:
        raise ValueError(f"Images have shape (n, 1, height, width) with n > 0; got {images.shape}.")
    count, _, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1))
    for index, image in enumerate(images[:, 0]):
        top, left = (index // columns) * (height + 1), (index % columns) * (width + 1)
        grid[top : top + height, left : left + width] = np.clip((image + 1) / 2, 0, 1)
    return grid
