"""The GAN arena and the figures that answer, in a notebook: the modules of the course's site as widgets.

    from gancourse.arena import Arena
    arena = Arena(preset="collapse")
    arena                    # the last line of a cell shows it
    arena.training = True
    arena.samples            # the generated points of this moment

They need anywidget, which the extra `arena` installs; the rest of the library does without.
"""

from importlib import import_module

__all__ = ["FIGURES", "Arena", "Figure"]


def __getattr__(name: str) -> object:
    """Load the widgets when they are first asked for, and say what is missing where they cannot be."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        widgets = import_module("gancourse.arena.widgets")
    except ModuleNotFoundError as error:
        if error.name != "anywidget":
            raise
        raise ImportError(
            f"gancourse.arena.{name} needs anywidget, which is not installed: pip install anywidget"
        ) from error
    return getattr(widgets, name)
