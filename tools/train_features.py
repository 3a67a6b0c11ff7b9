"""Train the classifiers behind `gancourse.features`: `make features`, or `make features DATA=mnist`.

One thread and a fixed seed. The same machine and versions give the same bytes; others give other weights of
about the same accuracy, and scores made with them do not compare with earlier ones.
"""

import argparse
import datetime
import hashlib
import io
import json
import platform
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from gancourse import data, features
from gancourse.metrics import frechet_distance
from tools.measure import processor
from tools.project import ROOT

FOLDER = ROOT / "src" / "gancourse" / "weights"
SEED = 0
WIDTHS = (16, 32, 64)
DIM = 64
BATCH = 128
FRECHET_IMAGES = 2000
HELD_OUT_DIGITS = 360


@dataclass(frozen=True)
class Recipe:
    """How to train: passes over the data, largest learning rate, pixels a batch is shifted, mirroring."""

    epochs: int
    rate: float
    shift: int
    mirror: bool


RECIPES = {
    "digits": Recipe(epochs=40, rate=3e-3, shift=1, mirror=False),
    "mnist": Recipe(epochs=6, rate=3e-3, shift=2, mirror=False),
    "fashion-mnist": Recipe(epochs=8, rate=3e-3, shift=1, mirror=True),
}


def split(name: str) -> tuple[data.Images, data.Images, str]:
    """The training images, the test images, and how they were split."""
    if name == "digits":
        everything = data.digits()
        # At random, because a fixed step through the file would hit some classes more than others.
        order = shuffled(len(everything)).split(HELD_OUT_DIGITS)
        test, training = (
            data.Images(name, everything.images[part], everything.labels[part])
            for part in (order[0], torch.cat(order[1:]))
        )
        return training, test, "a fifth, drawn at random; an easier test than the end of the file"
    load = {"mnist": data.mnist, "fashion-mnist": data.fashion_mnist}[name]
    return load("train"), load("test"), "the published test set"


def network(image_size: int) -> nn.ModuleDict:
    """The classifier in training, with a batch norm after every layer but the last."""
    layers, fan_in = nn.ModuleDict(), 1
    for index, width in enumerate(WIDTHS, 1):
        layers[f"conv{index}"] = nn.Sequential(
            nn.Conv2d(fan_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        fan_in = width
    flat = fan_in * (image_size >> len(WIDTHS)) ** 2
    layers["hidden"] = nn.Sequential(nn.Linear(flat, DIM, bias=False), nn.BatchNorm1d(DIM))
    layers["output"] = nn.Linear(DIM, 10)
    return layers


def logits(layers: nn.ModuleDict, images: Tensor) -> Tensor:
    """What `features.forward` computes, with the batch norms in place."""
    x = images
    for index in range(1, len(WIDTHS) + 1):
        x = functional.leaky_relu(functional.max_pool2d(layers[f"conv{index}"](x), 2), features.SLOPE)
    return layers["output"](functional.leaky_relu(layers["hidden"](x.flatten(1)), features.SLOPE))


def train(training: data.Images, recipe: Recipe, seed: int = SEED) -> nn.ModuleDict:
    """Train a classifier with AdamW and a one-cycle rate; each batch is shifted, and mirrored if wanted."""
    torch.manual_seed(seed)
    layers = network(training.images.shape[-1])
    batches = len(training) // BATCH
    optimizer = torch.optim.AdamW(layers.parameters(), lr=recipe.rate, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, recipe.epochs * batches)
    for epoch in range(recipe.epochs):
        total = torch.zeros(())
        for index in torch.randperm(len(training))[: batches * BATCH].view(batches, BATCH):
            images = shifted(training.images[index], recipe.shift)
            if recipe.mirror and torch.rand(()) < 0.5:
                images = images.flip(3)
            loss = functional.cross_entropy(logits(layers, images), training.labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        print(f"{training.name}: epoch {epoch + 1}, loss {total / batches:.4f}", flush=True)
    return layers.eval()


def shifted(images: Tensor, most: int) -> Tensor:
    """A batch moved by the same random number of pixels in each direction, at most `most`."""
    size = images.shape[-1]
    padded = functional.pad(images, (most,) * 4, value=-1.0)
    down, right = torch.randint(2 * most + 1, (2,)).tolist()
    return padded[:, :, down : down + size, right : right + size]


def folded(layers: nn.ModuleDict, images: Tensor) -> dict[str, Tensor]:
    """The weights that `features.forward` takes, batch norms folded in.

    The features are scaled so that their variances over the images average one; a leaky ReLU commutes with
    that, and the last layer undoes it, so the logits stay.
    """
    parts = {name: layers[name] for name in layers}
    for name, layer in parts.items():
        if name != "output":
            fuse = fuse_linear_bn_eval if name == "hidden" else fuse_conv_bn_eval
            parts[name] = fuse(*layer)
    weights = {
        f"{name}.{kind}": getattr(part, kind).detach().clone()
        for name, part in parts.items()
        for kind in ("weight", "bias")
    }
    with torch.no_grad():
        hidden = torch.cat([features.forward(weights, chunk)[0] for chunk in images.split(1000)])
    scale = hidden.var(dim=0).mean().sqrt()
    weights["hidden.weight"] /= scale
    weights["hidden.bias"] /= scale
    weights["output.weight"] *= scale
    return weights


def packed(weights: dict[str, Tensor]) -> bytes:
    """The weights as an .npz file in half precision, the same bytes for the same numbers."""
    file = io.BytesIO()
    np.savez(file, **{name: tensor.numpy().astype(np.float16) for name, tensor in weights.items()})
    return file.getvalue()


def make(name: str, folder: Path = FOLDER) -> dict:
    """Train one classifier, write its weights and its row of the manifest, and return that row."""
    training, test, how = split(name)
    begin = time.process_time()  # one thread, so this is what an idle core takes
    weights = folded(train(training, RECIPES[name]), training.images)
    seconds = time.process_time() - begin
    content = packed(weights)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.npz").write_bytes(content)
    row = {
        "file": f"{name}.npz",
        "sha256": hashlib.sha256(content).hexdigest(),
        "image_size": training.images.shape[-1],
        "test_images": len(test),
        "test_split": how,
        "seed": SEED,
        "epochs": RECIPES[name].epochs,
        "cpu_seconds": round(seconds, 1),
        "date": datetime.date.today().isoformat(),
        "machine": processor(),
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in ("numpy", "torch")},
        },
    }
    record(name, row, folder)
    row |= measured(name, training, test)
    record(name, row, folder)
    return row


def measured(name: str, training: data.Images, test: data.Images) -> dict:
    """What the stored weights do, used as everybody will use them."""
    right = features.classify(test.images, name) == test.labels
    count = min(FRECHET_IMAGES, len(test))
    points = [features.features(drawn(part.images, count), name) for part in (training, test)]
    return {
        "test_accuracy": right.double().mean().item(),
        "frechet_images": count,
        "frechet_train_to_test": frechet_distance(*points),
    }


def drawn(images: Tensor, count: int) -> Tensor:
    """So many images, drawn at random but always the same."""
    return images[shuffled(len(images))[:count]]


def shuffled(count: int) -> Tensor:
    """The numbers below `count` in a random order, always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED))


def record(name: str, row: dict, folder: Path) -> None:
    """Write one row of the manifest, keeping the others."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    manifest[name] = row
    path.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.train_features", description=__doc__)
    parser.add_argument("--data", default="", help="one data set (default: all)")
    options = parser.parse_args(arguments)
    if options.data and options.data not in RECIPES:
        sys.exit(f"There is no data set {options.data!r}; choose one of {', '.join(RECIPES)}.")
    torch.set_num_threads(1)
    for name in [options.data] if options.data else RECIPES:
        row = make(name)
        size = (FOLDER / row["file"]).stat().st_size
        accuracy = f"{row['test_accuracy']:.2%} of {row['test_images']} test images"
        print(f"{name}: {accuracy}, {row['cpu_seconds']} s, {size} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
