"""Features of small grey images, from classifiers of our own whose weights come with the library.

One convolutional network a data set, made by tools/train_features.py. The weights are plain arrays in .npz
files, which run no code when they are read; `manifest.json` beside them pins the sha256 of each file and
keeps what was measured when it was made.
"""

import hashlib
import io
import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

NOT_INCEPTION = "Features of the course's own classifier: not comparable with an Inception FID."
SLOPE = 0.1  # of the leaky ReLU, so that no unit is ever dead and covariances keep their rank

_FOLDER = files("gancourse") / "weights"
_CHUNK = 500  # images at a time: bounds the memory, and one size gives one rounding


class WeightsError(RuntimeError):
    """The weights of a classifier are missing or are not those that the library was released with."""


def features(images: Tensor, dataset: str) -> Tensor:
    """Penultimate activations of the classifier of a data set, scaled to a mean variance of one.

    images: (n, 1, h, w) floating point in [-1, 1], of the data set's size. dataset: "digits", "mnist" or
    "fashion-mnist". Returns (n, 64) float32 on the CPU, without gradient. Over the training images the
    variances of the coordinates average one, so that a Fréchet distance of 64 is as large as their sum.

    The forward pass runs in float32 on the CPU, wherever the images are, inside autocast too: scores made on
    different machines then differ by rounding only, within 1e-4 of a feature (their scale is one) and within
    a relative 1e-3 of a Fréchet distance.
    Raises ValueError for another data set, a wrong shape or type, NaN, and pixels outside [-1, 1];
    WeightsError when the weights are not those of the release.
    """
    return activations(images, dataset)[0]


def classify(images: Tensor, dataset: str) -> Tensor:
    """The class that the classifier of a data set gives each image, (n,) int64 on the CPU.

    Arguments, precision and errors as for `features`; `record(dataset)["test_accuracy"]` says how often it
    is right.
    """
    return activations(images, dataset)[1].argmax(dim=1)


def record(dataset: str) -> dict[str, Any]:
    """What was measured when the weights of a data set were made.

    Keys: file, sha256, image_size, test_accuracy (of the stored weights, a fraction), test_images,
    test_split, frechet_train_to_test and frechet_images (what real images score against real images, so
    many of each), seed, epochs, cpu_seconds, date, machine, versions.
    Raises ValueError for an unknown data set, WeightsError when the records are missing.
    """
    manifest = json.loads(_read("manifest.json"))
    if dataset not in manifest:
        raise ValueError(f"There is no classifier for {dataset!r}; choose one of {', '.join(manifest)}.")
    return manifest[dataset]


def activations(images: Tensor, dataset: str) -> tuple[Tensor, Tensor]:
    """Features (n, 64) and logits (n, 10) from one pass. Arguments, precision and errors as `features`."""
    size = record(dataset)["image_size"]
    if not isinstance(images, Tensor) or not images.is_floating_point():
        kind = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(f"images must be a floating-point torch tensor in [-1, 1], got {kind}.")
    if images.ndim != 4 or images.shape[1:] != (1, size, size) or len(images) == 0:
        raise ValueError(
            f"images of {dataset} must have shape (n, 1, {size}, {size}) with n > 0, got "
            f"{tuple(images.shape)}."
        )
    images = images.detach().float().cpu()
    if not images.isfinite().all():
        bad = int((~images.isfinite()).flatten(1).any(dim=1).sum())
        raise ValueError(f"{bad} of {len(images)} images hold NaN or infinite pixels: did training diverge?")
    low, high = images.min().item(), images.max().item()
    if low < -1.01 or high > 1.01:  # a hundredth for the rounding of half precision
        raise ValueError(f"pixels must be in [-1, 1], these go from {low:.4g} to {high:.4g}; rescale them.")

    weights = _weights(dataset)
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        chunks = [forward(weights, chunk) for chunk in images.split(_CHUNK)]
    hidden, logits = zip(*chunks, strict=True)
    return torch.cat(hidden), torch.cat(logits)


def forward(weights: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Features (n, d) and logits (n, classes) of images (n, 1, h, w).

    weights: conv1, conv2, conv3 (3 x 3, each followed by a leaky ReLU and a halving of the size), hidden and
    output, each as name.weight and name.bias.
    """
    x = images
    for name in ("conv1", "conv2", "conv3"):
        x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
        x = functional.leaky_relu(functional.max_pool2d(x, 2), SLOPE)
    x = functional.linear(x.flatten(1), weights["hidden.weight"], weights["hidden.bias"])
    x = functional.leaky_relu(x, SLOPE)
    return x, functional.linear(x, weights["output.weight"], weights["output.bias"])


def _read(name: str) -> bytes:
    path = _FOLDER / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"Cannot read the weights {path}: {error}. Install gancourse again.") from error


@cache
def _weights(dataset: str) -> dict[str, Tensor]:
    row = record(dataset)
    content = _read(row["file"])
    found = hashlib.sha256(content).hexdigest()
    if found != row["sha256"]:
        raise WeightsError(
            f"Cannot use the weights {_FOLDER / row['file']}: their sha256 is {found}, but {row['sha256']} "
            "was released; scores made with them would not compare with others. Install gancourse again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
