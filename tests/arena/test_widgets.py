"""The Python side: what is shipped, what the traits accept, and what is said when anywidget is missing."""

import subprocess
import sys

import numpy as np
import pytest
import traitlets

import gancourse.arena
from gancourse.arena import FIGURES, Arena, Figure
from tools.project import ROOT

MODULES = ROOT / "src" / "gancourse" / "arena"
LIMIT = 60_000  # bytes of one module, unminified


def test_the_modules_are_small_and_need_nothing():
    for name in ("arena", "figures"):
        text = (MODULES / f"{name}.mjs").read_text(encoding="utf-8")
        assert len(text.encode()) < LIMIT
        assert "import " not in text.replace("w3.org", "")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_the_widgets_carry_the_modules_text():
    assert str(Arena(training=False)._esm) == (MODULES / "arena.mjs").read_text(encoding="utf-8")
    assert str(Figure("dirac-gan")._esm) == (MODULES / "figures.mjs").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "wrong",
    [{"loss": "hinge"}, {"lr_d": 0}, {"lr_g": 1.5}, {"k": 0}, {"batch": 4}, {"width": 65}, {"preset": "no"}],
)
def test_a_control_takes_only_what_it_has(wrong):
    with pytest.raises(traitlets.TraitError):
        Arena(**wrong)


def test_samples_are_an_array():
    arena = Arena()
    assert arena.samples.shape == (0, 2)
    arena._samples = np.arange(6, dtype="<f8").tobytes()
    np.testing.assert_array_equal(arena.samples, [[0, 1], [2, 3], [4, 5]])


def test_an_unknown_figure_is_an_error():
    with pytest.raises(traitlets.TraitError):
        Figure("nonsense")
    with pytest.raises(AttributeError):
        _ = gancourse.arena.Nonsense


@pytest.mark.xdist_group("site")
def test_both_sides_agree_on_controls_presets_and_figures(core):
    settings, presets, figures = core.evaluate(
        """[
          A.SETTINGS,
          Object.fromEntries(Object.entries(A.PRESETS).map(([name, preset]) => [name, preset.settings])),
          Object.keys(F.FIGURES),
        ]"""
    )
    traits = Arena().traits()
    assert {*settings, "preset", "training", "size", "measures", "_samples"} <= set(traits)
    for name, setting in settings.items():
        trait = traits[name]
        assert trait.default_value == setting["initial"], name
        if "choices" in setting:
            assert list(trait.values) == setting["choices"]
        if "min" in setting:
            assert (trait.min, trait.max) == (setting["min"], setting["max"]), name
    assert list(traits["preset"].values) == ["", *presets]
    for own in presets.values():
        Arena(**own)
    assert set(FIGURES) == set(figures)


def test_without_anywidget_the_error_names_the_extra():
    code = "import sys; sys.modules['anywidget'] = None\nfrom gancourse.arena import Arena"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "pip install anywidget" in run.stderr.splitlines()[-1]
