"""Whether bfloat16 costs quality: `python -m benchmarks.precision`, which writes benchmarks/precision.md.

Trains the networks of `benchmarks.speed` with the lab's step from several seeds in both precisions, and
judges the images by the features of `gancourse.features`. A difference counts when it is larger than the
spread between seeds.
"""

import argparse
import datetime
import platform
import shlex
import statistics
import sys
from pathlib import Path

import torch

from benchmarks.speed import BATCH, GAMES, LATENT_DIM, lab_step, new_state, table
from gancourse.data import digits, fashion_mnist, mnist
from gancourse.evaluation import ImageQuality, image_quality
from gancourse.features import NOT_INCEPTION
from gancourse.training import PRECISIONS, has_bfloat16, run
from tools.measure import processor

RESULT = Path(__file__).with_suffix(".md")
DATA = {"digits": lambda split: digits(), "mnist": mnist, "fashion-mnist": fashion_mnist}


def quality(name: str, precision: str, seed: int, steps: int, samples: int) -> ImageQuality:
    """What a GAN trained in a precision from a seed makes, against test images (digits: all there are)."""
    device = torch.device("cpu")
    images, reference = DATA[name]("train").images, DATA[name]("test")
    state = new_state(GAMES["GAN"], images.shape[-1], device, seed=seed, fused=True)
    label = f"{precision}, seed {seed}"
    settings = {"steps": steps, "batch_size": BATCH, "seed": seed, "precision": precision}
    run(lab_step(device), state, images, name=label, **settings)
    noise = torch.randn(samples, LATENT_DIM, generator=torch.Generator().manual_seed(1000 + seed))
    with torch.no_grad():
        fakes = state.generator(noise)
    return image_quality(fakes, reference)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", default="fashion-mnist", choices=DATA, help="what to train on")
    parser.add_argument("--steps", type=int, default=1500, help="updates of the generator")
    parser.add_argument("--seeds", type=int, default=3, help="runs in each precision")
    parser.add_argument("--samples", type=int, default=2000, help="images that are judged")
    parser.add_argument("--to", type=Path, default=RESULT, help="where the report goes")
    options = parser.parse_args(arguments)
    if not has_bfloat16(torch.device("cpu")):
        sys.exit("This processor does not multiply in bfloat16: there is nothing to compare.")
    torch.set_num_threads(1)
    rows = [["", "Seed", "Fréchet distance", "Coverage", "Precision", "Classes shown"]]
    distances: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for seed in range(options.seeds):
        for precision in PRECISIONS:
            found = quality(options.data, precision, seed, options.steps, options.samples)
            distances[precision].append(found.frechet)
            numbers = (f"{found.frechet:.2f}", f"{found.coverage:.3f}", f"{found.precision:.3f}")
            rows.append([precision, str(seed), *numbers, str(found.classes)])
    means = {precision: statistics.mean(found) for precision, found in distances.items()}
    spread = max(max(found) - min(found) for found in distances.values())
    gap = means["bfloat16"] - means["float32"]
    verdict = "within" if abs(gap) <= spread else "outside"
    text = f"""# What bfloat16 costs in quality

`{shlex.join(["python", "-m", "benchmarks.precision", *arguments])}`
on {datetime.date.today().isoformat()}, {processor()}, Python {platform.python_version()}, torch {torch.__version__}, {options.data}, one thread.

The networks, batches and optimiser of [speed.md](speed.md) with the step of the lab on the optimal discriminator, {options.steps} updates, {options.samples} images. {NOT_INCEPTION}

{table(rows)}
Mean Fréchet distance: {means["float32"]:.2f} in float32 and {means["bfloat16"]:.2f} in bfloat16. The difference, {gap:+.2f}, lies {verdict} the spread between seeds, {spread:.2f}. With {options.seeds} seeds a smaller effect cannot be told from chance.
"""  # noqa: E501
    options.to.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
