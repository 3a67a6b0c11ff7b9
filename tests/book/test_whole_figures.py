"""The chapters' figures: what is written in them lies inside them."""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from gancourse.figures import style

FOLDER = Path(__file__).parents[2] / "book" / "figures"


def words(figure: Figure) -> list[Text]:
    """Titles, labels, legends and notes; ticks beyond an axis belong to it, but are not drawn."""
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.findobj(Axes):
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        found += axes.get_legend().get_texts() if axes.get_legend() else []
    return [text for text in found if text.get_visible() and text.get_text()]


def cut_off(figure: Figure) -> list[str]:
    """Words of a figure that reach beyond its edges."""
    figure.canvas.draw()
    whole = figure.bbox.padded(1)
    boxes = [(text.get_text(), text.get_window_extent()) for text in words(figure)]
    return [
        said
        for said, box in boxes
        if box.x0 < whole.x0 or box.y0 < whole.y0 or box.x1 > whole.x1 or box.y1 > whole.y1
    ]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_nothing_written_in_a_figure_is_cut_off(path):
    spec = importlib.util.spec_from_file_location("drawn", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = {}
    for name, draw in module.FIGURES.items():
        with style("light"):
            figure = draw()
            assert words(figure)
            found[name] = cut_off(figure)
            plt.close(figure)
    assert not {name: said for name, said in found.items() if said}


def test_a_title_that_is_too_long_is_seen():
    with style("light"):
        figure, axes = plt.subplots(figsize=(3, 2))
        axes.set_title("a title")
        assert cut_off(figure) == []
        axes.set_title(9 * "a long title ")
        assert cut_off(figure) == [9 * "a long title "]
        plt.close(figure)
