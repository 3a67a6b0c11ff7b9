"""The figures of the page "Results", drawn from what the benchmarks stored."""

import json
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from gancourse.features import NOT_INCEPTION
from gancourse.figures import COLOURS
from gancourse.targets import grid, ring

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
WIDTH = 5.2  # inches: 12 pt letters stay readable when the page is 360 px wide
COVERAGE = {
    "non-saturating": ("non-\nsaturating", "data"),
    "packing of two": ("packing\nof two", "discriminator"),
    "WGAN-GP": ("WGAN-GP", "generator"),
    "relativistic + R1 + R2": ("relativistic\n+ R1 + R2", "accent"),
}
QUALITY = {
    "minimax": ("muted", "-"),
    "non-saturating": ("data", "-"),
    "least squares": ("discriminator", "-"),
    "hinge": ("discriminator", "--"),
    "WGAN-GP": ("generator", "-"),
    "relativistic + R1 + R2": ("accent", "-"),
}
PERFECT = 100 * (1 - np.exp(-4.5))  # share of a Gaussian of the plane within three standard deviations


def _read(name: str) -> dict:
    return json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))


def _measured(runs: list[dict]) -> dict[str, tuple[str, str]]:
    """The methods that have runs, in the order in which they are shown."""
    names = {run["method"] for run in runs}
    return {method: look for method, look in COVERAGE.items() if method in names}


def results_coverage() -> Figure:
    """High quality of every seed, a row for each method, one panel for each target."""
    runs = _read("coverage")["runs"]
    drawn = _measured(runs)
    worst = min(row["average"]["high_quality"] for row in runs if "diverged" not in row)
    figure, panels = plt.subplots(2, 1, figsize=(WIDTH, 6.2), sharex=True)
    for axes, target, modes in zip(panels, ("ring", "grid"), (8, 25), strict=True):
        axes.axvline(PERFECT, color=plt.rcParams["text.color"], linewidth=1.2)
        axes.axvline(95, color=plt.rcParams["text.color"], linewidth=1.2, linestyle=":")
        for height, (method, (_, colour)) in enumerate(reversed(drawn.items())):
            rows = [row for row in runs if (row["target"], row["method"]) == (target, method)]
            rows = sorted((row for row in rows if "diverged" not in row), key=lambda row: row["seed"])
            for number, row in enumerate(rows):
                score = row["average"]
                whole = score["modes"] == modes
                axes.plot(
                    100 * score["high_quality"],
                    height + 0.11 * ((len(rows) - 1) / 2 - number),
                    marker="o",
                    markersize=8,
                    markerfacecolor=COLOURS[colour] if whole else "none",
                    markeredgecolor=COLOURS[colour],
                    markeredgewidth=1.6,
                )
        axes.set_yticks(range(len(drawn)), [label for label, _ in reversed(drawn.values())])
        axes.set(title=target, xlim=(min(70.0, 100 * worst - 3), 101), ylim=(-0.6, len(drawn) - 0.4))
    panels[1].set_xlabel("samples of high quality, %")
    return figure


def _scatter(axes: Axes, points: np.ndarray, means: np.ndarray, colour: str) -> None:
    half = 1.22 * np.abs(means).max()
    axes.scatter(*means.T, s=90, facecolors="none", edgecolors=COLOURS["muted"], linewidths=0.9)
    axes.scatter(*points.T, s=4, color=COLOURS[colour], linewidths=0)
    axes.set(xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[], aspect="equal")


def results_samples() -> Figure:
    """Samples of the first seed, methods down, ring and grid across; circles mark the modes."""
    runs = _read("coverage")["runs"]
    drawn = _measured(runs)
    size = (WIDTH, 2.5 * len(drawn))
    figure, panels = plt.subplots(len(drawn), 2, figsize=size, squeeze=False)
    for row, (method, (label, colour)) in zip(panels, drawn.items(), strict=True):
        for axes, (target, law) in zip(row, (("ring", ring()), ("grid", grid())), strict=True):
            found = [
                run
                for run in runs
                if (run["target"], run["method"], run["seed"]) == (target, method, 0) and "points" in run
            ]
            points = np.array(found[0]["points"]) if found else np.empty((0, 2))
            _scatter(axes, points, law.means.numpy(), colour)
        row[0].set_ylabel(label)
    return figure


def results_quality() -> Figure:
    """Fréchet distance and coverage against the time spent, a line for each seed."""
    record = _read("quality")
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 7.2), sharex=True)
    for method, (colour, line) in QUALITY.items():
        rows = [row for row in record["runs"] if row["method"] == method and row["scores"]]
        for index, row in enumerate(rows):
            times = [score["seconds"] for score in row["scores"]]
            for axes, key in ((upper, "frechet"), (lower, "coverage")):
                axes.plot(
                    times,
                    [score[key] for score in row["scores"]],
                    color=COLOURS[colour],
                    linestyle=line,
                    marker="o",
                    markersize=3.5,
                    linewidth=1.6,
                    label=method if index == 0 and axes is lower else None,
                )
    for axes, key, label in (
        (upper, "frechet", "Fréchet distance,\nour features"),
        (lower, "coverage", "coverage"),
    ):
        axes.axhline(record["real"][key], color=plt.rcParams["text.color"], linewidth=1.2, linestyle=":")
        axes.set_ylabel(label)
    upper.set_title(textwrap.fill(NOT_INCEPTION, 50))
    upper.set_yscale("log")
    upper.yaxis.set_major_locator(FixedLocator([0.3, 1, 3, 10, 30, 100]))
    upper.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    upper.yaxis.set_minor_formatter(NullFormatter())
    lower.set(xlabel="training time on one thread, s", ylim=(-0.03, 1.0))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


FIGURES = {
    "results-coverage": results_coverage,
    "results-samples": results_samples,
    "results-quality": results_quality,
}
