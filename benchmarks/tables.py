"""Tables of results in Markdown, computed from what the benchmarks stored; needs no torch.

The book includes the parts between the comments `<!-- name -->`; see book/results.md.
"""

import math
from collections.abc import Callable, Sequence
from statistics import fmean

Run = dict[str, object]
Record = dict[str, object]

BEST = "relativistic + R1 + R2"
INTERVAL = 8  # steps between two penalties in R3GAN's Appendix E
MODES = {"ring": 8, "grid": 25}
AIMS = {"high_quality": 0.95, "reverse_kl": 0.02, "seconds": 300}
PACGAN = (
    "PacGAN, Table 1: batch-norm generator 4 × 400, maxout discriminator 3 × 200, 400,000 steps of 100 "
    "packs, mean ± standard error of 10 runs"
)
VEEGAN = "VEEGAN, Table 1: networks and budget of that paper, mean of 5 runs"
# (method, modes, high quality in per cent, reverse KL in nats, setup), as printed there.
PUBLISHED = {
    "ring": (
        ("GAN", "1", "99.3", "–", VEEGAN),
        ("Unrolled GAN", "7.6", "35.6", "–", VEEGAN),
        ("VEEGAN", "8", "52.9", "–", VEEGAN),
        ("GAN", "6.3 ± 0.5", "98.2", "0.45", PACGAN),
        ("PacGAN2", "7.9 ± 0.1", "95.6", "0.07", PACGAN),
        ("PacGAN4", "7.8 ± 0.1", "95.9", "0.07", PACGAN),
    ),
    "grid": (
        ("GAN", "3.3", "0.5", "–", VEEGAN),
        ("Unrolled GAN", "23.6", "16", "–", VEEGAN),
        ("VEEGAN", "24.6", "40", "–", VEEGAN),
        ("GAN", "17.3 ± 0.8", "94.8", "0.70", PACGAN),
        ("PacGAN2", "23.8 ± 0.7", "91.3", "0.13", PACGAN),
        ("PacGAN4", "24.8 ± 0.2", "93.6", "0.04", PACGAN),
    ),
}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """The mean and, where values differ as shown, the smallest and the largest."""
    low, high = show(min(values)), show(max(values))
    return show(fmean(values)) if low == high else f"{show(fmean(values))} ({low} to {high})"


def per_cent(value: float) -> str:
    """A fraction in per cent."""
    return f"{100 * value:.1f}"


def nats(value: float) -> str:
    """A divergence, with a sign for infinity."""
    return "∞" if value == math.inf else f"{value:.4f}"


def reverse_kl(score: Run) -> float:
    """The reverse KL; without a single sample of high quality it has no value and counts as infinite."""
    return math.inf if score["reverse_kl"] is None else score["reverse_kl"]


def of(record: Record, **wanted: object) -> list[Run]:
    """The runs with these values, in the order of their seeds."""
    runs = [row for row in record["runs"] if all(row[key] == value for key, value in wanted.items())]
    return sorted(runs, key=lambda row: row["seed"])


def scored(scores: Sequence[Run], modes: int) -> list[str]:
    """Three cells for a group of scores: modes, high quality, reverse KL."""
    found = [score["modes"] for score in scores]
    if set(found) == {modes}:
        shown = f"{modes} of {modes}" + (", every seed" if len(found) > 1 else "")
    else:
        shown = f"{spread(found, lambda value: f'{value:.3g}')} of {modes}"
    return [
        shown,
        spread([score["high_quality"] for score in scores], per_cent),
        spread([reverse_kl(score) for score in scores], nats),
    ]


def seeds(runs: Sequence[Run]) -> str:
    """How many seeds a group of runs has, in words."""
    return f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"


def setup(settings: dict[str, object], runs: Sequence[Run]) -> str:
    """What a method's runs took, and whether some of them diverged."""
    finished = [row for row in runs if "diverged" not in row]
    said = [f"{settings['steps']:,} steps"]
    if settings["critic_steps"] > 1:
        said.append(f"{settings['critic_steps']} critic steps each")
    said.append(seeds(runs))
    if finished:
        said.append(f"{fmean([row['processor_seconds'] for row in finished]):.0f} s of processor time a run")
    if len(finished) < len(runs):
        said.append(f"diverged on {len(runs) - len(finished)}")
    return ", ".join(said)


def modes_table(record: Record, target: str) -> str:
    """Our rows, a perfect sampler's, and the published ones."""
    rows = [["A perfect sampler", *scored(record["reference"][target], MODES[target]), "the target itself"]]
    for method, settings in record["methods"].items():
        runs = of(record, target=target, method=method)
        finished = [row["average"] for row in runs if "diverged" not in row]
        if runs and settings["every"] == 1:
            cells = scored(finished, MODES[target]) if finished else ["–"] * 3
            rows.append([method, *cells, setup(settings, runs)])
    rows += [list(row) for row in PUBLISHED[target]]
    return table(["Method", "Modes", "High quality, %", "Reverse KL, nats", "Setup"], rows)


def last_table(record: Record) -> str:
    """The last generator beside the average of the generators of the same runs."""
    rows = []
    for target in MODES:
        for method, settings in record["methods"].items():
            runs = [row for row in of(record, target=target, method=method) if "diverged" not in row]
            if runs and settings["every"] == 1:
                cells = []
                for kind in ("last", "average"):
                    cells.append(spread([row[kind]["high_quality"] for row in runs], per_cent))
                    cells.append(spread([reverse_kl(row[kind]) for row in runs], nats))
                rows.append([f"{method}, {target}", *cells])
    heads = ["Method", "Last: high quality, %", "Last: reverse KL", "Average: high quality, %"]
    return table([*heads, "Average: reverse KL"], rows)


def aims_table(record: Record) -> str:
    """What was aimed at for the best method, on every seed, and whether it was reached."""
    rows = []
    for target, modes in MODES.items():
        runs = of(record, target=target, method=BEST)
        average = [row["average"] for row in runs]
        fewest = min(score["modes"] for score in average)
        worst = min(score["high_quality"] for score in average)
        largest = max(reverse_kl(score) for score in average)
        longest = max(row["processor_seconds"] for row in runs)
        checks = (
            (f"all {modes} modes", f"{fewest}", fewest == modes),
            (
                f"at least {100 * AIMS['high_quality']:.0f} % high quality",
                per_cent(worst) + " %",
                worst >= AIMS["high_quality"],
            ),
            (f"reverse KL at most {AIMS['reverse_kl']}", nats(largest), largest <= AIMS["reverse_kl"]),
            (
                f"under {AIMS['seconds'] // 60} minutes of one core",
                f"{longest:.0f} s",
                longest < AIMS["seconds"],
            ),
        )
        for aim, found, reached in checks:
            rows.append([f"{target}: {aim}", found, f"{len(runs)}", "yes" if reached else "**no**"])
    return table(["Aim, on every seed", "Worst seed", "Seeds", "Reached"], rows)


def interval(record: Record, method: str) -> str:
    """How often a method computes R1 and R2, and with which weight beside that of the best method."""
    every = record["methods"][method]["every"]
    weight = every * record["methods"][method]["gamma"][0] / record["methods"][BEST]["gamma"][0]
    if every == 1:
        return "every step"
    return f"every {every} steps, {'the same' if round(weight, 6) == 1 else f'{weight:g} times the'} weight"


def lazy_table(record: Record) -> str:
    """R1 and R2 at every step against ever so many, on the grid, seed by seed."""
    rows = []
    for method, settings in record["methods"].items():
        for row in of(record, target="grid", method=method) if settings["gamma"] else ():
            name = interval(record, method)
            if "diverged" in row:
                rows.append([name, str(row["seed"]), "diverged", "–", "–", "–"])
                continue
            found = row["average"]
            kl = nats(reverse_kl(found))
            time = f"{row['processor_seconds']:.0f}"
            quality = per_cent(found["high_quality"])
            rows.append([name, str(row["seed"]), f"{found['modes']} of 25", quality, kl, time])
    heads = ["R1 and R2", "Seed", "Modes", "High quality, %", "Reverse KL", "Processor time, s"]
    return table(heads, rows)


def claims_table(record: Record) -> str:
    """What was published on these targets, what we saw, and whether the two agree."""

    def shown(runs: Sequence[Run], modes: int) -> str:
        ends = [row["average"] for row in runs if "diverged" not in row]
        found = f"{scored(ends, modes)[0]}, {scored(ends, modes)[1]} %" if ends else "no run ended"
        diverged = f", diverged on {len(runs) - len(ends)}" if len(ends) < len(runs) else ""
        return f"{found}{diverged} ({seeds(runs)})"

    def whole(run: Run, modes: int) -> bool:
        return "diverged" not in run and run["average"]["modes"] == modes

    rows = []
    for target, modes in MODES.items():
        plain, packed, best = (
            of(record, target=target, method=method) for method in ("non-saturating", "packing of two", BEST)
        )
        if plain:
            lost = "yes" if not all(whole(run, modes) for run in plain) else "**no**"
            rows.append([f"A plain GAN misses modes of the {target}", shown(plain, modes), lost])
        if plain and packed:
            counts = [sum(whole(run, modes) for run in runs) / len(runs) for runs in (plain, packed)]
            means = [
                fmean([run["average"]["modes"] if "diverged" not in run else 0 for run in runs])
                for runs in (plain, packed)
            ]
            verdict = "both find all" if min(counts) == 1 else "yes" if means[1] > means[0] else "**no**"
            rows.append([f"Packing finds more modes of the {target}", shown(packed, modes), verdict])
        for method, settings in record["methods"].items():
            lazy = of(record, target=target, method=method)
            if best and lazy and settings["every"] == INTERVAL:
                fails = not all(whole(run, modes) for run in lazy)
                what = f"every step: {shown(best, modes)}; lazy: {shown(lazy, modes)}"
                claim = f"R1 and R2, {interval(record, method)}, fail on the {target}"
                rows.append([claim, what, "yes" if fails else "**no**"])
    return table(["Published claim", "Here: modes and high quality", "Reproduced"], rows)


def machine(record: Record) -> str:
    """Where, when and how a record was made."""
    where = f"{record['machine']}, PyTorch {record['torch']}, one thread"
    return f"`{record['command']}` on {record['date']}: {where}."


def parts(title: str, opening: str, **named: str) -> str:
    """A document whose parts the book can include one by one."""
    text = "\n\n".join(f"<!-- {name} -->\n\n{part}" for name, part in named.items())
    return f"# {title}\n\n{opening}\n\n{text}\n\n<!-- end -->\n"


def coverage(record: Record) -> str:
    """benchmarks/coverage.md from benchmarks/coverage.json."""
    common = record["common"]
    first, last = record["methods"][BEST]["gamma"]
    betas = ", ".join(f"{beta:g}" for beta in common["betas"])
    budget = (
        "All our methods share one setup. Both networks are perceptrons with "
        f"{common['hidden_layers']} hidden ReLU layers of {common['width']} units, no normalisation; z has "
        f"{common['latent_dim']} dimensions. The data are divided by their standard deviation; z and what "
        f"the discriminator sees are multiplied by {common['input_gain']:g}. Batches of {common['batch']} "
        "(packs, where samples are packed), "
        f"Adam with rate {common['learning_rate']:g} falling to 0 along a cosine, β = ({betas}). "
        f"The weight γ of R1 and R2 falls from {first:g} to {last:g} during the first "
        f"{100 * common['anneal_until']:.0f} % of the steps; WGAN-GP's penalty has the weight "
        f"{record['methods']['WGAN-GP']['gradient_penalty']:g}. Scored is the moving average of the "
        f"generator's weights (decay {common['average_decay']:g}), with {record['samples']} samples."
    )
    return parts(
        "Which methods find every mode",
        "Computed from coverage.json; do not edit.",
        machine=machine(record),
        budget=budget,
        ring=modes_table(record, "ring"),
        grid=modes_table(record, "grid"),
        aims=aims_table(record),
        last=last_table(record),
        lazy=lazy_table(record),
        claims=claims_table(record),
    )


def quality_table(record: Record) -> str:
    """Scores at the last time, the best Fréchet distance first."""
    rows = []
    for method, settings in record["methods"].items():
        runs = of(record, method=method)
        ends = [row["scores"][-1] for row in runs if "diverged" not in row]
        if ends:
            steps = f"{spread([end['steps'] for end in ends], lambda value: f'{value:.0f}')}"
            if settings["critic_steps"] > 1:
                steps += f", {settings['critic_steps']} critic steps each"
            cells = [
                spread([end[key] for end in ends], lambda value: f"{value:.2f}")
                for key in ("frechet", "coverage", "precision", "recall")
            ]
            rows.append((fmean([end["frechet"] for end in ends]), [method, *cells, steps]))
        elif runs:
            rows.append((float("inf"), [method, "diverged"]))
    ordered = [cells for _, cells in sorted(rows, key=lambda row: row[0])]
    real = [f"{record['real'][key]:.2f}" for key in ("frechet", "coverage", "precision", "recall")]
    heads = ["Method", "Fréchet distance", "Coverage", "Precision", "Recall", "Generator steps"]
    return table(heads, [*ordered, ["Training images", *real, "–"]])


def quality(record: Record) -> str:
    """benchmarks/quality.md from benchmarks/quality.json."""
    common, size = record["common"], record["parameters"]
    count = len({row["seed"] for row in record["runs"]})
    betas = ", ".join(f"{beta:g}" for beta in common["betas"])
    budget = (
        f"Fashion-MNIST, {common['score_at'][-1]} seconds of processor time a run, "
        f"{count} seed{'s' if count > 1 else ''}. The generator is our DCGAN of width {common['width']} with "
        f"batch norm ({size['generator']:,} weights), the critic its mirror without ({size['critic']:,} "
        f"weights). Batches of {common['batch']}, Adam with rate {common['learning_rate']:g} and "
        f"β = ({betas}). γ of R1 and R2 is {record['methods'][BEST]['gamma']:g}, the weight of WGAN-GP's "
        f"penalty {record['methods']['WGAN-GP']['gradient_penalty']:g}. Scored is the average of the "
        f"generator's weights (decay {common['average_decay']:g}): {common['samples']} samples against as "
        "many test images."
    )
    return parts(
        "Image quality against time",
        "Computed from quality.json; do not edit.",
        machine=machine(record),
        budget=budget,
        scores=quality_table(record),
    )
