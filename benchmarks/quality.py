"""How good images are after how much computing: `python -m benchmarks.quality`.

Every objective trains the same small DCGAN on Fashion-MNIST for the same time on one thread. The clock is the
process's own processor time and stands still while a generator is scored. A run that stands in
benchmarks/quality.json with the same settings is not repeated. At the end it writes benchmarks/quality.md.
"""

import argparse
import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import tables
from benchmarks.records import circumstances, read, store
from gancourse import data
from gancourse.evaluation import image_quality
from gancourse.networks import MovingAverage, count_parameters, dcgan, dcgan_critic
from gancourse.objectives import OBJECTIVES
from gancourse.penalties import gradient_penalty, zero_centered_penalty
from gancourse.training import State, Step, TrainingDiverged, run

RESULT = Path(__file__).with_suffix(".json")
REPORT = Path(__file__).with_suffix(".md")
SETTINGS = {
    "latent_dim": 64,
    "width": 8,
    "batch": 64,
    "learning_rate": 5e-4,
    "betas": (0.5, 0.9),
    "average_decay": 0.99,
    "score_at": (5, 10, 20, 40),  # processor seconds
    "samples": 2500,
}
SLICE = 5  # steps between two looks at the clock


@dataclass(frozen=True)
class Method:
    """What differs between two methods.

    Attributes:
        objective: a key of `gancourse.objectives.OBJECTIVES`.
        critic_steps: discriminator steps before each generator step.
        gamma: weight of R1 and of R2.
        gradient_penalty: weight of WGAN-GP's penalty.

    Raises:
        ValueError: settings that cannot be.
    """

    objective: str
    critic_steps: int = 1
    gamma: float = 0.0
    gradient_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise ValueError(f"There is no objective {self.objective!r}; choose one of {list(OBJECTIVES)}.")
        if self.critic_steps < 1 or min(self.gamma, self.gradient_penalty) < 0:
            raise ValueError(f"At least one critic step and no negative weight; got {self}.")


METHODS = {
    "minimax": Method("minimax"),
    "non-saturating": Method("non-saturating"),
    "least squares": Method("least squares"),
    "hinge": Method("hinge"),
    "WGAN-GP": Method("Wasserstein", critic_steps=5, gradient_penalty=10.0),
    "relativistic + R1 + R2": Method("relativistic", gamma=1.0),
}


def fingerprint(method: Method) -> str:
    """Hash of all that decides how a run of one seed ends, but for versions and the machine's speed."""
    text = json.dumps([asdict(method), SETTINGS, SLICE], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def start(seed: int) -> State:
    """Networks, optimisers, average and random generator of a run, the same for every method."""
    torch.manual_seed(seed)
    generator, _ = dcgan(28, SETTINGS["latent_dim"], SETTINGS["width"])
    critic = dcgan_critic(28, SETTINGS["width"])
    adams = [
        torch.optim.Adam(
            network.parameters(), lr=SETTINGS["learning_rate"], betas=SETTINGS["betas"], fused=True
        )
        for network in (generator, critic)
    ]
    return State(
        generator=generator,
        critic=critic,
        average=MovingAverage(generator, SETTINGS["average_decay"]),
        generator_adam=adams[0],
        critic_adam=adams[1],
        random=torch.Generator().manual_seed(seed),
    )


def noise(n: int, generator: torch.Generator) -> Tensor:
    """Latent vectors, shape (n, latent_dim)."""
    return torch.randn(n, SETTINGS["latent_dim"], generator=generator)


def step_of(method: Method) -> Step:
    """The training step of a method, for `gancourse.training.run`."""
    objective = OBJECTIVES[method.objective]

    def improve_critic(state: State, real: Tensor) -> Tensor:
        with torch.no_grad():
            fake = state.generator(noise(len(real), state.random))
        both = torch.cat([real, fake]).requires_grad_(method.gamma > 0)
        scores = state.critic(both)  # no batch norm, so one pass over both is the same as two
        loss = objective.discriminator_loss(*scores.chunk(2))
        if method.gamma:
            loss = loss + zero_centered_penalty(scores, both, 2 * method.gamma)  # half of R1 plus R2
        if method.gradient_penalty:
            weight = method.gradient_penalty
            loss = loss + gradient_penalty(state.critic, real, fake, weight, generator=state.random)
        state.critic_adam.zero_grad()
        loss.backward()
        state.critic_adam.step()
        return loss

    def step(state: State, real: Tensor) -> dict[str, Tensor]:
        batches = real.chunk(method.critic_steps)
        for batch in batches:
            critic_loss = improve_critic(state, batch)
        fake = state.generator(noise(len(batches[-1]), state.random))
        state.critic.requires_grad_(False)
        compared = state.critic(batches[-1]) if objective.relativistic else None
        generator_loss = objective.generator_loss(compared, state.critic(fake))
        state.generator_adam.zero_grad()
        generator_loss.backward()
        state.generator_adam.step()
        state.critic.requires_grad_(True)
        state.average.update(state.generator)
        return {"critic loss": critic_loss, "generator loss": generator_loss}

    return step


def some(images: data.Images, n: int, seed: int) -> data.Images:
    """n images drawn without replacement: the files are not in random order."""
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:n]
    return data.Images(images.name, images.images[chosen], images.labels[chosen])


def score(images: Tensor, reference: data.Images) -> dict[str, float]:
    """Scores of generated or real images, rounded for JSON."""
    found = image_quality(images, reference)
    kept = ("frechet", "precision", "recall", "density", "coverage")
    return {key: round(getattr(found, key), 4) for key in kept} | {"classes": found.classes}


def measure(
    name: str, method: Method, seed: int, training: Tensor, reference: data.Images
) -> dict[str, object]:
    """Train until the last time in `score_at` and score the averaged generator at each of them."""
    state, step, spent, done = start(seed), step_of(method), 0.0, 0
    record: dict[str, object] = {"method": name, "seed": seed, "settings": fingerprint(method), "scores": []}
    z = noise(SETTINGS["samples"], torch.Generator().manual_seed(10_000 + seed))
    for limit in SETTINGS["score_at"]:
        while spent < limit:
            begun = time.process_time()
            try:
                run(
                    step,
                    state,
                    training,
                    steps=SLICE,
                    batch_size=method.critic_steps * SETTINGS["batch"],
                    name=f"{name}, seed {seed}",
                    seed=seed * 1_000_003 + done,
                )
            except TrainingDiverged as error:
                return record | {"diverged": str(error)}
            spent += time.process_time() - begun
            done += SLICE
        with torch.no_grad():
            images = torch.cat([state.average(part) for part in z.split(250)])
        record["scores"].append({"seconds": round(spent, 1), "steps": done, **score(images, reference)})
    return record


def stale(row: dict[str, object]) -> bool:
    """Whether a stored run was made with other settings, or by a method that is gone."""
    method = METHODS.get(row["method"])
    return method is None or row["settings"] != fingerprint(method)


def fresh_runs() -> list[dict[str, object]]:
    """The stored runs that need no repetition."""
    return [row for row in read(RESULT)["runs"] if not stale(row)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    training = data.fashion_mnist("train")
    reference = some(data.fashion_mnist("test"), SETTINGS["samples"], seed=0)
    for seed in options.seeds:
        for name in options.methods:
            if (name, seed) in {(row["method"], row["seed"]) for row in fresh_runs()}:
                continue
            row = measure(name, METHODS[name], seed, training.images, reference)
            record = read(RESULT) | {
                "runs": [*fresh_runs(), row]
            }  # read now: another process may have written
            state = start(seed)
            record |= circumstances()
            record |= {
                "command": "python -m benchmarks.quality",
                "common": SETTINGS,
                "methods": {name: asdict(method) for name, method in METHODS.items()},
                "parameters": {
                    "generator": count_parameters(state.generator),
                    "critic": count_parameters(state.critic),
                },
                "real": score(some(training, SETTINGS["samples"], seed=1).images, reference),
            }
            store(RESULT, record, ("method", "seed"))
            print(row, flush=True)
    REPORT.write_text(tables.quality(read(RESULT)), encoding="utf-8")


if __name__ == "__main__":
    main()
