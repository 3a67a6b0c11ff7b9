"""Stacked MNIST, a thousand modes: `python -m benchmarks.stacked`, which writes benchmarks/stacked.md.

Three digits drawn at random are the three channels of one image, so there are 10³ combinations. A generated
image belongs to the mode that the course's classifier of MNIST reads off its channels. What is scored follows
PacGAN: 26,000 samples, how many modes occur, and the KL divergence of their frequencies from the uniform law
(VEEGAN's is from that of the data, which is nearly the same). The published rows were trained for many epochs
on a GPU; `--steps` sets the budget.
"""

import argparse
import datetime
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.tables import spread, table
from gancourse.data import mnist
from gancourse.features import classify
from gancourse.networks import MovingAverage, dcgan, dcgan_critic
from gancourse.objectives import OBJECTIVES
from gancourse.penalties import zero_centered_penalty
from gancourse.training import State, Step, TrainingDiverged, run
from tools.measure import processor

RESULT = Path(__file__).with_suffix(".md")
MODES = 1000
LATENT_DIM, BATCH, RATE, BETAS, DECAY = 64, 64, 5e-4, (0.5, 0.9), 0.99
# (method, modes, KL in nats, source), as printed there.
PUBLISHED = (
    ("DCGAN", "99", "3.4", "VEEGAN, Table 2: means of 5 runs"),
    ("VEEGAN", "150", "2.95", "VEEGAN, Table 2: means of 5 runs"),
    ("PacDCGAN2", "1000", "0.06", "PacGAN, Table 2: means of 10 runs"),
    ("GAN + R1 + R2", "693", "0.9270", "R3GAN, Table 1"),
    ("RpGAN + R1 + R2", "1000", "0.0781", "R3GAN, Table 1"),
    ("R3GAN", "1000", "0.029", "R3GAN, Table 3"),
)


@dataclass(frozen=True)
class Method:
    """What differs between two methods.

    Attributes:
        objective: a key of `gancourse.objectives.OBJECTIVES`.
        gamma: weight of R1 and of R2.
        every: R1 and R2 are computed at every so many steps, with their weight times as much.
        batch_norm: in the discriminator.
    """

    objective: str
    gamma: float = 0.0
    every: int = 1
    batch_norm: bool = False


METHODS = {
    "DCGAN": Method("non-saturating", batch_norm=True),
    "non-saturating + R1 + R2": Method("non-saturating", gamma=1.0),
    "relativistic + R1 + R2": Method("relativistic", gamma=1.0),
    "relativistic + R1 + R2 every 8 steps": Method("relativistic", gamma=1.0, every=8),
}


class Stacked:
    """A law on images with three channels, each a grey image drawn at random."""

    def __init__(self, images: Tensor):
        self.images = images

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n images, shape (n, 3, h, w), on the device of the grey ones."""
        device = self.images.device
        chosen = torch.randint(len(self.images), (n, 3), generator=generator, device=device)
        return self.images[chosen].squeeze(2)


def score(images: Tensor) -> dict[str, float]:
    """Modes and KL divergence in nats of stacked images, shape (n, 3, 28, 28)."""
    digits = classify(images.reshape(-1, 1, *images.shape[2:]), "mnist").view(-1, 3)
    counts = torch.bincount(digits @ torch.tensor([100, 10, 1]), minlength=MODES).double()
    shares = counts[counts > 0] / counts.sum()
    return {"modes": len(shares), "kl": float((shares * (shares * MODES).log()).sum())}


def start(method: Method, width: int, seed: int, device: torch.device) -> State:
    """Networks, optimisers, average and random generator of a run."""
    torch.manual_seed(seed)
    generator, discriminator = dcgan(28, LATENT_DIM, width, channels=3)
    critic = discriminator if method.batch_norm else dcgan_critic(28, width, channels=3)
    generator, critic = generator.to(device), critic.to(device)

    def adam(network: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=RATE, betas=BETAS, fused=True)

    return State(
        generator=generator,
        critic=critic,
        average=MovingAverage(generator, DECAY),
        generator_adam=adam(generator),
        critic_adam=adam(critic),
        random=torch.Generator(device).manual_seed(seed),
        done=torch.zeros((), dtype=torch.int64, device=device),
    )


def noise(n: int, generator: torch.Generator) -> Tensor:
    """Latent vectors, shape (n, LATENT_DIM)."""
    return torch.randn(n, LATENT_DIM, generator=generator, device=generator.device)


def step_of(method: Method) -> Step:
    """The training step of a method. Real and generated images pass D apart: with batch norm that matters."""
    objective = OBJECTIVES[method.objective]

    def step(state: State, real: Tensor) -> dict[str, Tensor]:
        fake = state.generator(noise(len(real), state.random))
        # Without an interval no number is read from the device, which would stall a GPU at every step.
        penalised = method.gamma > 0 and (method.every == 1 or int(state.done) % method.every == 0)
        pair = [batch.detach().requires_grad_(penalised) for batch in (real, fake)]
        logits = [state.critic(batch) for batch in pair]
        loss = objective.discriminator_loss(*logits)
        if penalised:
            for scores, batch in zip(logits, pair, strict=True):
                loss = loss + zero_centered_penalty(scores, batch, method.every * method.gamma)
        state.critic_adam.zero_grad()
        loss.backward()
        state.critic_adam.step()
        compared = state.critic(real).detach() if objective.relativistic else None
        generator_loss = objective.generator_loss(compared, state.critic(fake))
        state.generator_adam.zero_grad()
        generator_loss.backward(inputs=list(state.generator.parameters()))
        state.generator_adam.step()
        state.average.update(state.generator)
        state.done += 1
        return {"critic loss": loss, "generator loss": generator_loss}

    return step


def measure(
    name: str, images: Tensor, seed: int, steps: int, width: int, samples: int
) -> dict[str, float] | None:
    """Train once and score the averaged generator; None when training diverged."""
    method = METHODS[name]
    # On the CPU one thread does all the work: its own time, so that other programs do not count.
    clock = time.process_time if images.device.type == "cpu" else time.perf_counter
    state, begun = start(method, width, seed, images.device), clock()
    label = f"stacked, {name}, seed {seed}"
    try:
        run(step_of(method), state, Stacked(images), steps=steps, batch_size=BATCH, name=label, seed=seed)
    except TrainingDiverged:
        return None
    seconds = clock() - begun
    z = noise(samples, torch.Generator(images.device).manual_seed(10_000 + seed))
    with torch.no_grad():
        made = torch.cat([state.average(part).cpu() for part in z.split(500)])
    return score(made.clamp(-1, 1)) | {"seconds": seconds}


def row(name: str, runs: list[dict[str, float] | None], setup: Callable[[float], str]) -> list[str]:
    """A line of the table; runs that diverged are named and not averaged."""
    ended = [found for found in runs if found]
    if not ended:
        return [name, "diverged", "–", ""]
    modes = spread([found["modes"] for found in ended], lambda value: f"{value:.0f}")
    kl = spread([found["kl"] for found in ended], lambda value: f"{value:.3f}")
    lost = f", {len(runs) - len(ended)} diverged" if len(ended) < len(runs) else ""
    return [name, modes, kl, setup(sum(found["seconds"] for found in ended) / len(ended)) + lost]


def main(arguments: list[str]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stacked", description=__doc__.splitlines()[0])
    long = device.type == "cuda"
    parser.add_argument(
        "--steps", type=int, default=30_000 if long else 3000, help="generator steps of a run"
    )
    parser.add_argument("--width", type=int, default=64 if long else 8, help="channels at full resolution")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2] if long else [0], metavar="SEED")
    parser.add_argument("--samples", type=int, default=26_000, help="generated images that are scored")
    parser.add_argument("--to", type=Path, default=RESULT, help="where the report goes")
    options = parser.parse_args(arguments)
    if device.type == "cpu":
        torch.set_num_threads(1)
    images = mnist("train").images.to(device)
    law, chance = Stacked(mnist("test").images), torch.Generator().manual_seed(0)
    real = torch.cat([law.sample(min(500, options.samples), chance) for _ in range(0, options.samples, 500)])
    rows = [row("Stacked test images", [score(real) | {"seconds": 0.0}], lambda _: "the target itself")]
    for name in METHODS:
        runs = [
            measure(name, images, seed, options.steps, options.width, options.samples)
            for seed in options.seeds
        ]
        rows.append(
            row(
                name,
                runs,
                lambda seconds: (
                    f"{options.steps:,} steps, {len(options.seeds)} "
                    f"seed{'s' if len(options.seeds) > 1 else ''}, {seconds:.0f} s a run"
                ),
            )
        )
    rows += [[name, modes, kl, source] for name, modes, kl, source in PUBLISHED]
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{processor()}, one thread"
    command = shlex.join(["python", "-m", "benchmarks.stacked", *arguments])
    text = f"""# A thousand modes: stacked MNIST

<!-- machine -->

`{command}`
on {datetime.date.today().isoformat()}, {machine}, Python {platform.python_version()}, torch {torch.__version__}.

<!-- budget -->

Our generator is a DCGAN of width {options.width} with three channels. DCGAN's discriminator has batch norm, that of the other rows has none. Batches of {BATCH}, Adam with rate {RATE:g} and β = ({BETAS[0]:g}, {BETAS[1]:g}); γ of R1 and R2 is {METHODS["relativistic + R1 + R2"].gamma:g}, and eight times that where they are computed at every eighth step only. Scored is the average of the generator's weights (decay {DECAY:g}) with {options.samples:,} samples. Modes are read off by the course's own classifier, not by that of the papers.

<!-- scores -->

{table(["Method", "Modes of 1000", "KL, nats", "Setup"], rows)}

<!-- end -->
"""  # noqa: E501
    options.to.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
