import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from gancourse import figures


def _draw():
    figure, axis = plt.subplots()
    axis.plot([0, 1], [0, 1], label="line")
    axis.set_xlabel("x")
    return figure


def test_a_pair_is_reproducible_and_differs_in_ink_only(tmp_path):
    before = plt.get_fignums()
    figures.save_pair(_draw, tmp_path / "new folder", "line")
    light, dark = (tmp_path / "new folder" / f"line-{mode}.svg" for mode in ("light", "dark"))
    first = light.read_bytes(), dark.read_bytes()
    figures.save_pair(_draw, tmp_path / "new folder", "line")
    assert (light.read_bytes(), dark.read_bytes()) == first
    assert first[0] != first[1]
    assert (
        ElementTree.fromstring(first[0]).attrib["viewBox"]
        == ElementTree.fromstring(first[1]).attrib["viewBox"]
    )
    assert plt.get_fignums() == before


def _contrast(first, second):
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#14181e"])
@pytest.mark.parametrize("name", figures.COLOURS)
def test_every_colour_stands_out_on_both_pages(name, background):
    assert _contrast(figures.COLOURS[name], background) >= 3


def test_an_unknown_mode_is_an_error():
    with pytest.raises(ValueError, match="'light' or 'dark'"), figures.style("sepia"):
        pass


def test_a_grid_of_images_keeps_their_order():
    images = torch.stack([torch.full((1, 2, 3), value) for value in (-1.0, 0.0, 1.0)])
    grid = figures.image_grid(images, columns=2)
    assert grid.shape == (5, 7)
    assert (grid[0:2, 0:3] == 0).all()
    assert (grid[0:2, 4:7] == 0.5).all()
    assert (grid[3:5, 0:3] == 1).all()
    assert (grid[2] == 1).all()
    assert (grid[:, 3] == 1).all()


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (4, 8, 8), (4, 3, 8, 8)])
def test_other_shapes_are_an_error(shape):
    with pytest.raises(ValueError, match=r"\(n, 1, height, width\)"):
        figures.image_grid(np.zeros(shape))
