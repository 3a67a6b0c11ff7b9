"""The quality benchmark with tiny budgets."""

import json

import pytest
import torch

from benchmarks import quality
from gancourse.data import Images


@pytest.fixture
def images() -> Images:
    chance = torch.Generator().manual_seed(0)
    pixels = 2 * torch.rand(300, 1, 28, 28, generator=chance) - 1
    return Images("fashion-mnist", pixels, torch.zeros(300, dtype=torch.int64))


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    few = {"width": 2, "batch": 4, "samples": 100, "score_at": (0.001, 0.002)}
    monkeypatch.setattr(quality, "SETTINGS", quality.SETTINGS | few)


@pytest.mark.parametrize("name", quality.METHODS)
def test_a_run_is_scored_at_every_time(name, images):
    record = quality.measure(name, quality.METHODS[name], 0, images.images, images)
    assert len(record["scores"]) == 2
    first, last = record["scores"]
    assert 0 < first["steps"] <= last["steps"]
    assert first["frechet"] > 0
    assert 0 <= last["coverage"] <= 1
    json.dumps(record, allow_nan=False)


def test_scoring_takes_no_training_time(images, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(quality.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(quality, "SETTINGS", quality.SETTINGS | {"score_at": (2, 3)})
    record = quality.measure("hinge", quality.METHODS["hinge"], 0, images.images, images)
    # Two readings a slice, one unit apart: three slices are three units.
    assert [(row["seconds"], row["steps"]) for row in record["scores"]] == [(2, 10), (3, 15)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "hopeful"}, "no objective"),
        ({"critic_steps": 0}, "At least one critic step"),
        ({"gamma": -1.0}, "no negative weight"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        quality.Method(**{"objective": "hinge"} | settings)


def test_images_are_drawn_at_random_without_repetition(images):
    chosen = quality.some(images, 200, seed=0)
    assert len(torch.unique(chosen.images.flatten(1), dim=0)) == 200
    assert not torch.equal(chosen.images, images.images[:200])
