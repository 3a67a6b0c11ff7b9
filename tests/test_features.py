"""Features: what their weights reach, that these are the released ones, and the same scores everywhere."""

import fnmatch
import hashlib
import json
import math
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from gancourse import data, features
from gancourse.metrics import frechet_distance
from tools import project, train_features

WEIGHTS = project.ROOT / "src" / "gancourse" / "weights"
BARS = {"digits": 0.97, "mnist": 0.99, "fashion-mnist": 0.91}
SUBSET = 2000


@pytest.fixture(params=BARS)
def dataset(request):
    if request.param != "digits" and not os.environ.get("GANCOURSE_DATA"):
        pytest.skip(f"GANCOURSE_DATA names no folder with {request.param}")
    return request.param


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the weights that may be damaged."""
    for path in WEIGHTS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(features, "_FOLDER", tmp_path)
    features._weights.cache_clear()
    yield tmp_path
    features._weights.cache_clear()


@pytest.mark.parametrize("name", BARS)
def test_the_stored_record_reaches_the_bar_and_fits_the_file(name):
    row = features.record(name)
    content = (WEIGHTS / row["file"]).read_bytes()
    assert row["test_accuracy"] >= BARS[name]
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() == row["sha256"]
    assert {"date", "seed", "versions", "machine", "test_split", "cpu_seconds"} <= row.keys()
    assert (row["seed"], row["epochs"]) == (train_features.SEED, train_features.RECIPES[name].epochs)


def test_the_stored_weights_reach_the_bar_and_the_recorded_scores(dataset):
    training, test, how = train_features.split(dataset)
    row = features.record(dataset)
    assert (len(test), how) == (row["test_images"], row["test_split"])
    count = min(SUBSET, len(test))
    right = (features.classify(test.images[:count], dataset) == test.labels[:count]).double()
    recorded = row["test_accuracy"]
    if count == len(test):
        assert right.mean().item() == pytest.approx(recorded)
    else:
        assert right.mean() >= BARS[dataset] - 0.01
        assert abs(right.mean() - recorded) < 4 * math.sqrt(recorded * (1 - recorded) / count)
    # Another machine may round otherwise, but real images must get the score they got where this was made.
    images = (train_features.drawn(part.images, row["frechet_images"]) for part in (training, test))
    first, second = (features.features(part, dataset) for part in images)
    assert frechet_distance(first, second) == pytest.approx(row["frechet_train_to_test"], rel=1e-3)


def test_the_held_out_digits_are_a_fifth_of_every_class_and_the_rest_trains(digits):
    training, test, _ = train_features.split("digits")
    assert (len(training), len(test)) == (1437, 360)
    both = torch.cat([training.images, test.images])
    assert torch.equal(*(images.flatten(1).unique(dim=0) for images in (both, digits.images)))
    counts, held_out = (torch.bincount(part.labels, minlength=10) for part in (digits, test))
    assert ((held_out / counts - 0.2).abs() < 4 * (0.2 * 0.8 / counts).sqrt()).all()


def test_features_are_scaled_to_a_mean_variance_of_one():
    training, _, _ = train_features.split("digits")
    points = features.features(training.images, "digits")
    assert points.shape == (len(training), train_features.DIM)
    assert points.dtype == torch.float32
    assert not points.requires_grad
    assert points.var(dim=0).mean() == pytest.approx(1, abs=0.01)
    assert points.var(dim=0).min() > 0.01  # no unit is dead


def test_the_forward_pass_is_float32_whatever_the_surroundings(digits):
    images = digits.images[:700].clone().requires_grad_()
    plain = features.features(images, "digits")
    weights = {name: tensor.double() for name, tensor in features._weights("digits").items()}
    exact, _ = features.forward(weights, digits.images[:700].double())
    assert (plain - exact).abs().max() < 1e-4
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(features.features(images, "digits"), plain)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert (features.features(images, "digits") - exact).abs().max() < 1e-4
    finally:
        torch.set_float32_matmul_precision(before)
    parts = torch.cat([features.features(part, "digits") for part in images.split(300)])
    assert (parts - exact).abs().max() < 1e-4
    assert (features.features(images.double(), "digits") - exact).abs().max() < 1e-4


def test_pixels_may_leave_the_range_by_a_hundredth():
    images = torch.zeros(3, 1, 8, 8)
    for value in (-1.009, 1.009):
        images[0, 0, 0, 0] = value
        assert not features.features(images.clone().requires_grad_(), "digits").requires_grad
    for value in (-1.02, 1.02):
        images[0, 0, 0, 0] = value
        with pytest.raises(ValueError, match=r"pixels must be in \[-1, 1\]"):
            features.features(images, "digits")


def test_worse_images_score_worse(digits):
    real = features.features(digits.images[::2], "digits")
    noise = torch.randn(digits.images[1::2].shape, generator=torch.Generator().manual_seed(0))
    distances = [
        frechet_distance(
            real, features.features((digits.images[1::2] + level * noise).clamp(-1, 1), "digits")
        )
        for level in (0.0, 0.2, 0.4, 0.8, 1.6)
    ]
    assert distances == sorted(distances)
    assert distances[1] > 1.2 * distances[0]
    assert distances[-1] > 10 * distances[0]


# --- weights that are not the released ones -----------------------------------------------------------------


def test_damaged_weights_are_refused_by_name(folder, digits):
    path = folder / "digits.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        features.WeightsError, match=r"digits\.npz: their sha256 is .* Install gancourse again"
    ):
        features.features(digits.images[:3], "digits")


@pytest.mark.parametrize("name", ["digits.npz", "manifest.json"])
def test_missing_weights_are_named(folder, digits, name):
    (folder / name).unlink()
    with pytest.raises(features.WeightsError, match=rf"Cannot read the weights .*{name}.* Install gancourse"):
        features.classify(digits.images[:3], "digits")


def test_reading_weights_runs_no_code(folder, digits):
    class Malicious:
        def __reduce__(self):
            return Path.touch, (folder / "ran",)

    path = folder / "digits.npz"
    with path.open("wb") as file:
        np.savez(file, **{"conv1.weight": np.array([Malicious()], dtype=object)})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["digits"]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        features.features(digits.images[:3], "digits")
    assert not (folder / "ran").exists()


def test_the_weights_are_packaged():
    settings = tomllib.loads((project.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["gancourse"]
    files = [f"weights/{path.name}" for path in WEIGHTS.iterdir()]
    assert len(files) == 1 + len(BARS)
    assert all(any(fnmatch.fnmatch(file, pattern) for pattern in patterns) for file in files)


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [features.features, features.classify, features.activations])
@pytest.mark.parametrize(
    ("images", "name", "message"),
    [
        (torch.zeros(3, 1, 8, 8), "cifar", "no classifier for 'cifar'; choose one of .*mnist"),
        (
            torch.zeros(3, 1, 8, 8),
            "mnist",
            r"must have shape \(n, 1, 28, 28\) with n > 0, got \(3, 1, 8, 8\)",
        ),
        (torch.zeros(3, 8, 8), "digits", r"got \(3, 8, 8\)"),
        (torch.zeros(0, 1, 8, 8), "digits", r"n > 0, got \(0, 1, 8, 8\)"),
        (torch.zeros(3, 1, 8, 8, dtype=torch.uint8), "digits", "floating-point torch tensor.*uint8"),
        (np.zeros((3, 1, 8, 8)), "digits", "floating-point torch tensor.*ndarray"),
        (torch.full((3, 1, 8, 8), math.nan), "digits", "3 of 3 images hold NaN or infinite pixels"),
        (torch.full((3, 1, 8, 8), 16.0), "digits", r"must be in \[-1, 1\], these go from 16 to 16"),
    ],
)
def test_bad_images_are_refused_in_words(function, images, name, message):
    with pytest.raises(ValueError, match=message):
        function(images, name)


# --- the script that makes them -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    training, _, _ = train_features.split("digits")
    return training, train_features.train(training, train_features.Recipe(1, 3e-3, 1, True), seed=3)


def test_folding_batch_norms_in_changes_no_logit(trained):
    training, layers = trained
    weights = train_features.folded(layers, training.images)
    with torch.no_grad():
        before = train_features.logits(layers, training.images)
        points, after = features.forward(weights, training.images)
    assert torch.allclose(before, after, atol=1e-4)
    assert points.var(dim=0).mean() == pytest.approx(1, abs=1e-4)


def test_training_and_packing_repeat_to_the_byte(trained):
    training, layers = trained
    again = train_features.train(training, train_features.Recipe(1, 3e-3, 1, True), seed=3)
    first, second = (
        train_features.packed(train_features.folded(each, training.images)) for each in (layers, again)
    )
    assert first == second
    other = train_features.train(training, train_features.Recipe(1, 3e-3, 1, True), seed=4)
    assert first != train_features.packed(train_features.folded(other, training.images))


def test_making_weights_measures_what_it_stored(folder, monkeypatch):
    monkeypatch.setitem(train_features.RECIPES, "digits", train_features.Recipe(2, 3e-3, 1, False))
    row = train_features.make("digits", folder)
    _, test, _ = train_features.split("digits")
    assert features.record("digits") == row
    assert features.record("mnist")["test_images"] == 10_000  # the other rows stay
    right = features.classify(test.images, "digits") == test.labels
    assert right.float().mean().item() == pytest.approx(row["test_accuracy"])
    assert (
        row["test_accuracy"]
        < features.json.loads((WEIGHTS / "manifest.json").read_text())["digits"]["test_accuracy"]
    )


def test_an_unknown_data_set_is_refused():
    with pytest.raises(SystemExit, match="There is no data set 'cifar'; choose one of digits"):
        train_features.main(["--data", "cifar"])
