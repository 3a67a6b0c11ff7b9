"""Which methods find every mode of the ring and the grid: `python -m benchmarks.coverage`.

Every method trains the same networks with the same optimiser, decay and batch, on one thread; five seeds
each. What is scored follows the published protocol (`gancourse.evaluation.mode_coverage`, 2500 samples); the
training budget is our own. A run that stands in benchmarks/coverage.json with the same settings is not
repeated, so the command can be stopped and started again. At the end it writes benchmarks/coverage.md.
"""

import argparse
import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks import tables
from benchmarks.records import circumstances, read, store
from gancourse.evaluation import mode_coverage
from gancourse.networks import MovingAverage, mlp, pack
from gancourse.objectives import OBJECTIVES
from gancourse.penalties import gradient_penalty, zero_centered_penalty
from gancourse.targets import GaussianMixture, grid, ring
from gancourse.training import State, Step, TrainingDiverged, run

RESULT = Path(__file__).with_suffix(".json")
REPORT = Path(__file__).with_suffix(".md")
TARGETS = {"ring": ring, "grid": grid}
SAMPLES = 2500
POINTS = 300  # of the first seed, for the picture
SETTINGS = {
    "latent_dim": 2,
    "width": 128,
    "hidden_layers": 4,
    "input_gain": 4.0,  # of z and of the discriminator's view of a sample
    "batch": 128,
    "learning_rate": 1e-3,
    "betas": (0.0, 0.9),
    "average_decay": 0.999,
    "anneal_until": 0.6,  # share of the steps after which the penalty keeps its last weight
}


@dataclass(frozen=True)
class Method:
    """What differs between two methods.

    Attributes:
        objective: a key of `gancourse.objectives.OBJECTIVES`.
        steps: generator steps of a run.
        critic_steps: discriminator steps before each of them.
        packing: samples that the discriminator sees at once; a batch has as many packs as others samples.
        gamma: first and last weight of R1 and R2, in coordinates of unit variance; None for neither.
        every: R1 and R2 are computed at every so many steps, with their weight times as much.
        gradient_penalty: weight of WGAN-GP's penalty.

    Raises:
        ValueError: settings that cannot be or that hide each other.
    """

    objective: str
    steps: int
    critic_steps: int = 1
    packing: int = 1
    gamma: tuple[float, float] | None = None
    every: int = 1
    gradient_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"There is no objective {self.objective!r}; choose one of {list(OBJECTIVES)}.")
        counts = (self.steps, self.critic_steps, self.packing, self.every)
        if min(counts) < 1:
            raise ValueError(f"Steps, critic steps, packing and interval are at least 1; got {counts}.")
        if self.packing > 1 and (self.gamma or self.gradient_penalty):
            raise ValueError(
                "A pack has several samples, a gradient penalty looks at one: choose one of them."
            )
        if self.every > 1 and self.gamma is None:
            raise ValueError("An interval without R1 and R2 would change nothing; give a gamma.")
        if self.gamma is not None and not 0 < self.gamma[1] <= self.gamma[0]:
            raise ValueError(
                f"R1 and R2 are annealed from one positive weight down to another: {self.gamma}."
            )


METHODS = {
    "non-saturating": Method("non-saturating", 20_000),
    "packing of two": Method("non-saturating", 20_000, packing=2),
    # 0.1 as in the toy script of the authors' code; with the 10 of their images it finds one mode here.
    "WGAN-GP": Method("Wasserstein", 4000, critic_steps=5, gradient_penalty=0.1),
    "relativistic + R1 + R2": Method("relativistic", 20_000, gamma=(0.3, 0.03)),
    # R3GAN's interval. The paper gives no weight: eight times the weight is usual, and here is the same, too.
    "relativistic + R1 + R2 every 8 steps": Method("relativistic", 20_000, gamma=(0.3, 0.03), every=8),
    "relativistic + R1 + R2 every 8 steps, same weight": Method(
        "relativistic", 20_000, gamma=(0.3 / 8, 0.03 / 8), every=8
    ),
    "relativistic + R1 + R2 every 16 steps": Method("relativistic", 20_000, gamma=(0.3, 0.03), every=16),
}


def fingerprint(target: str, method: Method) -> str:
    """Hash of all that decides how a run of one seed ends, but for versions and machine."""
    text = json.dumps([target, asdict(method), SETTINGS, SAMPLES], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Scaled:
    """A target divided by its standard deviation, so that one set of hyper-parameters serves all of them."""

    def __init__(self, target: GaussianMixture):
        variance = target.weights @ (target.means.square().sum(dim=1) / target.dim + target.stds.square())
        self.target, self.scale = target, math.sqrt(variance.item())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n points, shape (n, d)."""
        return self.target.sample(n, generator) / self.scale


def noise(n: int, generator: torch.Generator) -> Tensor:
    """Latent vectors, shape (n, latent_dim)."""
    return SETTINGS["input_gain"] * torch.randn(n, SETTINGS["latent_dim"], generator=generator)


def start(method: Method, seed: int) -> State:
    """Networks, optimisers, decays, average and random generator of a run, the same for every method."""
    torch.manual_seed(seed)
    hidden = [SETTINGS["width"]] * SETTINGS["hidden_layers"]
    generator = mlp([SETTINGS["latent_dim"], *hidden, 2])
    discriminator = mlp([2 * method.packing, *hidden, 1])
    adams = [
        torch.optim.Adam(
            network.parameters(), lr=SETTINGS["learning_rate"], betas=SETTINGS["betas"], fused=True
        )
        for network in (generator, discriminator)
    ]
    return State(
        generator=generator,
        discriminator=discriminator,
        average=MovingAverage(generator, SETTINGS["average_decay"]),
        generator_adam=adams[0],
        discriminator_adam=adams[1],
        generator_decay=CosineAnnealingLR(adams[0], method.steps),
        discriminator_decay=CosineAnnealingLR(adams[1], method.steps),
        random=torch.Generator().manual_seed(seed),
        done=torch.zeros((), dtype=torch.int64),
    )


def step_of(method: Method) -> Step:
    """The training step of a method, for `gancourse.training.run`."""
    objective = OBJECTIVES[method.objective]

    def gamma_at(done: int) -> float:
        first, last = method.gamma
        return first * (last / first) ** min(1.0, done / (SETTINGS["anneal_until"] * method.steps))

    def logits(discriminator: nn.Module, samples: Tensor) -> Tensor:
        return discriminator(pack(SETTINGS["input_gain"] * samples, method.packing))

    def improve_discriminator(state: State, real: Tensor, done: int) -> Tensor:
        with torch.no_grad():
            fake = state.generator(noise(len(real), state.random))
        both = torch.cat([real, fake])
        penalised = method.gamma is not None and done % method.every == 0
        scores = logits(state.discriminator, both.requires_grad_(penalised))
        loss = objective.discriminator_loss(*scores.chunk(2))
        if penalised:
            # The mean over both halves is half of R1 plus R2.
            weight = 2 * method.every * gamma_at(done)
            loss = loss + zero_centered_penalty(scores, both, weight)
        if method.gradient_penalty:
            loss = loss + gradient_penalty(
                lambda x: logits(state.discriminator, x),
                real,
                fake,
                method.gradient_penalty,
                generator=state.random,
            )
        state.discriminator_adam.zero_grad()
        loss.backward()
        state.discriminator_adam.step()
        return loss

    def step(state: State, real: Tensor) -> dict[str, Tensor]:
        done = int(state.done)
        batches = real.chunk(method.critic_steps)
        for batch in batches:
            discriminator_loss = improve_discriminator(state, batch, done)
        fake = state.generator(noise(len(batches[-1]), state.random))
        state.discriminator.requires_grad_(False)
        compared = logits(state.discriminator, batches[-1]) if objective.relativistic else None
        generator_loss = objective.generator_loss(compared, logits(state.discriminator, fake))
        state.generator_adam.zero_grad()
        generator_loss.backward()
        state.generator_adam.step()
        state.discriminator.requires_grad_(True)
        state.average.update(state.generator)
        state.generator_decay.step()
        state.discriminator_decay.step()
        state.done += 1
        return {"discriminator loss": discriminator_loss, "generator loss": generator_loss}

    return step


def score(samples: Tensor, target: GaussianMixture) -> dict[str, float]:
    """Modes, fraction of high quality and reverse KL in nats, for JSON: a KL without modes is None."""
    found = mode_coverage(samples, target)
    reverse_kl = None if math.isnan(found.reverse_kl) else round(found.reverse_kl, 6)
    return {"modes": found.modes, "high_quality": found.high_quality, "reverse_kl": reverse_kl}


def measure(name: str, target_name: str, method: Method, seed: int) -> dict[str, object]:
    """Train once and score the last generator and the average of the generators."""
    target = TARGETS[target_name]()
    data, state = Scaled(target), start(method, seed)
    record: dict[str, object] = {
        "target": target_name,
        "method": name,
        "seed": seed,
        "settings": fingerprint(target_name, method),
        "steps": method.steps,
    }
    wall, processor_time = time.perf_counter(), time.process_time()
    try:
        run(
            step_of(method),
            state,
            data,
            steps=method.steps,
            batch_size=method.critic_steps * method.packing * SETTINGS["batch"],
            name=f"{target_name}, {name}, seed {seed}",
            seed=seed,
        )
    except TrainingDiverged as error:
        return record | {"diverged": str(error)}
    record["seconds"] = round(time.perf_counter() - wall, 1)
    record["processor_seconds"] = round(time.process_time() - processor_time, 1)
    for kind, network in (("average", state.average), ("last", state.generator)):
        with torch.no_grad():
            # The same z for both: they differ in their weights only.
            z = noise(SAMPLES, torch.Generator().manual_seed(10_000 + seed))
            samples = data.scale * network(z)
        record[kind] = score(samples, target)
        if kind == "average" and seed == 0:
            record["points"] = [[round(x, 3) for x in point] for point in samples[:POINTS].tolist()]
    return record


def reference(target_name: str, seed: int) -> dict[str, float]:
    """What 2500 samples of the target itself score."""
    target = TARGETS[target_name]()
    return score(target.sample(SAMPLES, torch.Generator().manual_seed(seed)), target)


def wanted(targets: list[str], methods: list[str], seeds: list[int]) -> list[tuple[str, str, int, Method]]:
    """All runs asked for, seed by seed; lazy penalties only on the grid, of which the claim speaks."""
    return [
        (target, name, seed, METHODS[name])
        for seed in seeds
        for target in targets
        for name in methods
        if not (METHODS[name].every > 1 and target != "grid")
    ]


def stale(row: dict[str, object]) -> bool:
    """Whether a stored run was made with other settings, or by a method that is gone."""
    method = METHODS.get(row["method"])
    return method is None or row["settings"] != fingerprint(row["target"], method)


def fresh_runs() -> list[dict[str, object]]:
    """The stored runs that need no repetition."""
    return [row for row in read(RESULT)["runs"] if not stale(row)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4], metavar="SEED")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for target, name, seed, method in wanted(options.targets, options.methods, options.seeds):
        if (target, name, seed) in {(row["target"], row["method"], row["seed"]) for row in fresh_runs()}:
            continue
        row = measure(name, target, method, seed)
        record = read(RESULT) | {"runs": [*fresh_runs(), row]}  # read now: another process may have written
        record |= circumstances()
        record |= {
            "command": "python -m benchmarks.coverage",
            "samples": SAMPLES,
            "common": SETTINGS,
            "methods": {name: asdict(method) for name, method in METHODS.items()},
            "reference": {target: [reference(target, seed) for seed in range(5)] for target in TARGETS},
        }
        store(RESULT, record, ("target", "method", "seed"))
        print({key: value for key, value in row.items() if key != "points"}, flush=True)
    REPORT.write_text(tables.coverage(read(RESULT)), encoding="utf-8")


if __name__ == "__main__":
    main()
