"""Our loop beside the usual tutorial's: `python -m benchmarks.speed`, which writes benchmarks/speed.md.

Both sides train the same networks, batches of 64 and Adam at 2e-4. Ours is `gancourse.training.run` with the
step printed in labs/optimal_discriminator.py, or for WGAN-GP in labs/wasserstein_duality.py, taken from that
file. The tutorial's reads one PIL image at a
time through transforms and a DataLoader, has a sigmoid and BCELoss, separate passes over real and generated
images, and `.item()` at every step. Blocks of both are timed in turns; a ratio is the median over the pairs.
On a GPU take blocks of 1000 updates or more, so that recording the step is a small part of one.
"""

import argparse
import ast
import datetime
import os
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import flop_registry

from gancourse import products
from gancourse.data import Images, load
from gancourse.networks import count_parameters, dcgan
from gancourse.training import State, has_bfloat16, run
from tools.measure import processor

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).with_suffix(".md")
LAB = ROOT / "labs" / "optimal_discriminator.py"
PENALTY_LAB = ROOT / "labs" / "wasserstein_duality.py"
LATENT_DIM, BATCH, N_CRITIC, WEIGHT = 100, 64, 5, 10.0
ADAM = {"lr": 2e-4, "betas": (0.5, 0.999)}
WIDTH = 16  # of the DCGAN, as in the lab's profile cpu
AIMS = {("float32", True): 2.0, ("float32", False): 1.6, ("bfloat16", True): 3.0, ("bfloat16", False): 2.0}


# ---------------------------------------------------------------------------------------------- networks


def tutorial_networks(pixels: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator 100-128-256-512-1024-pixels² with batch norm, discriminator pixels²-512-256-1 to a logit."""
    layers: list[nn.Module] = [nn.Linear(LATENT_DIM, 128), nn.LeakyReLU(0.2)]
    for fan_in, fan_out in ((128, 256), (256, 512), (512, 1024)):
        layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), nn.LeakyReLU(0.2)]
    layers += [nn.Linear(1024, pixels**2), nn.Tanh(), nn.Unflatten(1, (1, pixels, pixels))]
    discriminator = nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels**2, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
        nn.Flatten(0),
    )
    return nn.Sequential(*layers), discriminator


@dataclass(frozen=True)
class Game:
    """What both sides train.

    networks: pixels -> generator and discriminator; critic_steps: updates of D for one of G; penalty: whether
    it is WGAN-GP.
    """

    networks: Callable[[int], tuple[nn.Sequential, nn.Sequential]]
    critic_steps: int = 1
    penalty: bool = False

    @property
    def judge(self) -> str:
        """What the lab's step calls the generator's opponent."""
        return "critic" if self.penalty else "discriminator"


GAMES = {
    "GAN": Game(tutorial_networks),
    "WGAN-GP": Game(tutorial_networks, N_CRITIC, penalty=True),
    "DCGAN": Game(lambda pixels: dcgan(pixels, LATENT_DIM, WIDTH)),
}


def new_state(game: Game, pixels: int, device: torch.device, seed: int = 0, **adam) -> State:
    """Networks and optimisers from a seed; `fused=True` is the lab's, nothing the tutorial's."""
    torch.manual_seed(seed)
    players = {}
    for name, network in zip(("generator", game.judge), game.networks(pixels), strict=True):
        players[name] = network.to(device)
        players[f"{name}_optimizer"] = torch.optim.Adam(network.parameters(), **ADAM, **adam)
    return State(**players, noise=torch.Generator(device).manual_seed(seed))


# -------------------------------------------------------------------------------------- the tutorial's side


class PicturesOneByOne(Dataset):
    """A data set that makes a PIL image of every example and sends it through a list of transforms."""

    def __init__(self, images: Tensor):
        self.pixels = ((images[:, 0] + 1) * 127.5).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.fromarray(self.pixels[index].numpy(), mode="L")
        for transform in (to_tensor, normalize):
            picture = transform(picture)
        return picture


def to_tensor(picture: Image.Image) -> Tensor:
    array = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    return array.view(picture.size[1], picture.size[0], 1).permute(2, 0, 1).contiguous().float().div(255)


def normalize(picture: Tensor) -> Tensor:
    mean, std = torch.as_tensor([0.5]).view(-1, 1, 1), torch.as_tensor([0.5]).view(-1, 1, 1)
    return picture.clone().sub_(mean).div_(std)


def batches_one_by_one(images: Tensor) -> Iterator[Tensor]:
    """Batches without end, through a DataLoader."""
    loader = DataLoader(PicturesOneByOne(images), batch_size=BATCH, shuffle=True, drop_last=True)
    while True:
        yield from loader


def batches_preloaded(images: Tensor) -> Iterator[Tensor]:
    """Batches without end, from a tensor on the device."""
    while True:
        yield images[torch.randint(len(images), (BATCH,), device=images.device)]


def tutorial_updates(game: Game, state: State, batches: Iterator[Tensor], updates: int) -> None:
    """Train by so many updates of G in the style of the usual tutorial."""
    generator, discriminator = state.generator, getattr(state, game.judge)
    d_optimizer = getattr(state, f"{game.judge}_optimizer")
    if not game.penalty:
        discriminator = nn.Sequential(discriminator, nn.Sigmoid())
    device = next(generator.parameters()).device
    loss = nn.BCELoss()
    for _ in range(updates):
        if not game.penalty:
            real = next(batches).to(device)
            valid, wrong = (torch.full((len(real),), target, device=device) for target in (1.0, 0.0))
            state.generator_optimizer.zero_grad()
            fake = generator(torch.randn(len(real), LATENT_DIM, device=device))
            g_loss = loss(discriminator(fake), valid)
            g_loss.backward()
            state.generator_optimizer.step()

            d_optimizer.zero_grad()
            real_loss = loss(discriminator(real), valid)
            fake_loss = loss(discriminator(fake.detach()), wrong)
            d_loss = (real_loss + fake_loss) / 2
            d_loss.backward()
            d_optimizer.step()
        else:
            for _ in range(game.critic_steps):
                real = next(batches).to(device)
                d_optimizer.zero_grad()
                fake = generator(torch.randn(len(real), LATENT_DIM, device=device)).detach()
                alpha = torch.rand(len(real), 1, 1, 1, device=device)
                between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
                output = discriminator(between)
                gradients = torch.autograd.grad(
                    outputs=output,
                    inputs=between,
                    grad_outputs=torch.ones_like(output),
                    create_graph=True,
                    retain_graph=True,
                )[0].view(len(real), -1)
                penalty = ((gradients.norm(2, dim=1) - 1) ** 2).mean()
                d_loss = -discriminator(real).mean() + discriminator(fake).mean() + WEIGHT * penalty
                d_loss.backward()
                d_optimizer.step()
                d_loss.item()
            state.generator_optimizer.zero_grad()
            g_loss = -discriminator(generator(torch.randn(BATCH, LATENT_DIM, device=device))).mean()
            g_loss.backward()
            state.generator_optimizer.step()
        d_loss.item(), g_loss.item()


# --------------------------------------------------------------------------------------------- our side


def printed(lab: Path, names: tuple[str, ...], device: torch.device) -> dict:
    """Functions of a lab, executed from its source, and what they need to stand in.

    Raises:
        ValueError: the lab no longer defines one of them under its name.
    """
    tree = ast.parse(lab.read_text(encoding="utf-8"))
    found = {part.name: part for part in tree.body if isinstance(part, ast.FunctionDef)}
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{lab.name} defines no function {missing[0]!r}, which its step was made of.")
    scope = {"torch": torch, "functional": functional, "session": SimpleNamespace(device=device)}
    scope |= {"LATENT_DIM": LATENT_DIM, "N_CRITIC": N_CRITIC, "PENALTY": WEIGHT}
    module = ast.Module(body=[found[name] for name in names], type_ignores=[])
    exec(compile(module, str(lab), "exec"), scope)
    return scope


def lab_step(device: torch.device, name: str = "thrifty_gan_step") -> Callable[..., dict[str, Tensor]]:
    """A non-saturating step of labs/optimal_discriminator.py, unless named otherwise what trains images."""
    parts = ("sample_generator", "discriminator_step", "generator_step", "non_saturating", name)
    scope = printed(LAB, parts, device)
    return scope[name](scope["non_saturating"])


def wgan_gp_step(device: torch.device) -> Callable[..., dict[str, Tensor]]:
    """The step of labs/wasserstein_duality.py: five updates of the critic, each on its part of the batch."""
    parts = ("sample_generator", "gradient_penalty", "ascend", "critic_step", "generator_step", "wgan_step")
    return printed(PENALTY_LAB, parts, device)["wgan_step"]("penalty")


def one_pass_step(state: State, real: Tensor) -> dict[str, Tensor]:
    """The lab's step with one pass of D over real and generated images; with batch norm it is another D."""
    fake = state.generator(torch.randn(len(real), LATENT_DIM, device=real.device, generator=state.noise))
    on_real, on_fake = state.discriminator(torch.cat([real, fake.detach()])).chunk(2)
    loss = functional.softplus(-on_real).mean() + functional.softplus(on_fake).mean()
    state.discriminator_optimizer.zero_grad()
    loss.backward()
    state.discriminator_optimizer.step()
    logits = state.discriminator(fake)
    state.generator_optimizer.zero_grad()
    functional.softplus(-logits).mean().backward(inputs=list(state.generator.parameters()))
    state.generator_optimizer.step()
    return {"V": -loss, "D(G(z))": logits.sigmoid().mean()}


# ------------------------------------------------------------------------------------------- measurements


def blocks_of(
    name: str, images: Tensor, updates: int, precisions: list[str]
) -> dict[str, Callable[[], None]]:
    """For every way to train a game, what runs one block of it."""
    game, pixels, device = GAMES[name], images.shape[-1], images.device
    ways: dict[str, Callable[[], None]] = {}

    def tutorial(batches: Iterator[Tensor]) -> Callable[[], None]:
        state = new_state(game, pixels, device)
        return lambda: tutorial_updates(game, state, batches, updates)

    def ours(step: Callable, precision: str) -> Callable[[], None]:
        state = new_state(game, pixels, device, fused=True)
        size = BATCH * game.critic_steps
        return lambda: run(
            step, state, images, steps=updates, batch_size=size, name=name, precision=precision
        )

    ways["tutorial, end to end"] = tutorial(batches_one_by_one(images.cpu()))
    ways["tutorial, preloaded"] = tutorial(batches_preloaded(images))
    for precision in precisions:
        ways[precision] = ours(wgan_gp_step(device) if game.penalty else lab_step(device), precision)
    if name == "GAN":
        for precision in precisions:
            ways[f"{precision}, new noise for G"] = ours(lab_step(device, "gan_step"), precision)
            ways[f"{precision}, one pass of D"] = ours(one_pass_step, precision)
    return ways


def clock() -> float:
    """Seconds of processor time where one thread does all the work, so that other programs do not count."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def time_in_turns(ways: dict[str, Callable[[], None]], blocks: int) -> dict[str, list[float]]:
    """Seconds of every block, all ways in turns, in another order each time."""
    for block in ways.values():
        block()
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(blocks):
        for way in list(ways)[:: 1 if turn % 2 else -1]:
            begun = clock()
            ways[way]()
            seconds[way].append(clock() - begun)
    return seconds


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def best(function: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """Seconds of the fastest of some calls."""
    function()
    found = []
    for _ in range(repeats):
        synchronize(device)
        begun = clock()
        function()
        synchronize(device)
        found.append(clock() - begun)
    return min(found)


def limits(device: torch.device, precisions: list[str], size: int) -> dict[str, float]:
    """FLOP/s of a big product of matrices in each precision, and bytes/s of a big copy, read and written.

    "plain" is PyTorch's usual product in float32, "float32" the faster one where there are two.
    """
    found = {}
    for precision in precisions:
        a = torch.randn(size, size, device=device).to(getattr(torch, precision))
        found[precision] = 2 * size**3 / best(lambda a=a: functional.linear(a, a), device)
    found["plain"] = found["float32"]
    if device.type == "cpu" and products.help_here():
        a = torch.randn(size, size)
        with products.by_one_dnn():
            found["float32"] = 2 * size**3 / best(lambda: functional.linear(a, a), device)
    a = torch.randn(16 * size**2, device=device)
    b = torch.empty_like(a)
    found["bytes"] = 2 * a.nbytes / best(lambda: b.copy_(a), device)
    return found


class Counter(TorchDispatchMode):
    """Adds up operations by PyTorch's own formulas; its `FlopCounterMode` refuses `backward(inputs=...)`."""

    total = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        named = named or {}
        result = function(*arguments, **named)
        formula = flop_registry.get(function._overloadpacket)
        self.total += formula(*arguments, **named, out_val=result) if formula else 0
        return result


def flops(update: Callable[[], None]) -> int:
    """Operations in products and convolutions of one update of G."""
    with Counter() as counter:
        update()
    return counter.total


KINDS = {
    "products and convolutions": ("mm", "matmul", "convolution", "bmm"),
    "Adam": ("_fused_adam",),
    "batch norm": ("batch_norm",),
    "random numbers and batches": ("normal_", "randn", "randint", "index", "uniform_", "rand"),
    "casts and copies": ("copy_", "_to_copy"),
}


def profiled(block: Callable[[], None], tries: int = 8) -> tuple[torch.profiler.profile, float]:
    """A profile of a block and its seconds: of so many the one with the fewest page faults.

    The profiler's notes split the memory that a step frees and takes again, so that tensors come to lie on
    new pages, and each page's first use is slow. Without the profiler a step meets next to none of that.
    """
    found = []
    for _ in range(tries):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            begun = clock()
            block()
            whole = clock() - begun
        found.append((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, profile, whole))
    return min(found, key=lambda one: one[0])[1:]


def shares(block: Callable[[], None]) -> dict[str, float]:
    """Share of the processor's time in each kind of operation, from the profiler, on the CPU."""
    profile, whole = profiled(block)
    spent = dict.fromkeys([*KINDS, "other operations"], 0.0)
    for event in profile.key_averages():
        library, _, name = event.key.rpartition("::")
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), None)
        if library == "aten":
            spent[kind or "other operations"] += event.self_cpu_time_total / 1e6
    spent["Python, autograd and the profiler"] = max(0.0, whole - sum(spent.values()))
    return {kind: seconds / sum(spent.values()) for kind, seconds in spent.items()}


# ------------------------------------------------------------------------------------------------- report


def table(rows: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body]) + "\n"


def compared(base: list[float], way: list[float]) -> str:
    """How many times faster a way is, block by block: the median and, in brackets, the quartiles."""
    low, middle, high = np.quantile(np.divide(base, way), (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def report(images: Images, device: torch.device, threads: int, options: argparse.Namespace) -> str:
    """What was measured with so many threads, as Markdown."""
    torch.set_num_threads(threads)
    precisions = ["float32", *(["bfloat16"] if has_bfloat16(device) else [])]
    ceiling = limits(device, precisions, options.matrix)
    rates = [["", "Updates of G a second", "Beside the tutorial, end to end", "Beside it, preloaded", "Aim"]]
    work = [["", "GFLOP an update", "GFLOP/s", "Share of the limit", "Adam's traffic", "Limit reached"]]
    kinds: dict[str, dict[str, float]] = {}
    for name in GAMES:
        ways = blocks_of(name, images.images, options.steps, precisions)
        seconds = time_in_turns(ways, options.blocks)
        tutorials = [way for way in ways if way.startswith("tutorial")]
        for way in ways:
            ratios = [compared(seconds[base], seconds[way]) for base in tutorials]
            aims = (
                " and ".join(f"{AIMS[way, whole]:g}" for whole in (True, False) if (way, whole) in AIMS)
                or "–"
            )
            rate = options.steps / statistics.median(seconds[way])
            told = ["–", "–"] if way in tutorials else ratios
            label = way if way in tutorials else f"ours, {way}"
            rates.append([f"{name}: {label}", f"{rate:.1f}", *told, aims])
        state = new_state(GAMES[name], images.images.shape[-1], device)
        numbers = count_parameters(state.generator)
        numbers += GAMES[name].critic_steps * count_parameters(getattr(state, GAMES[name].judge))
        traffic = 7 * 4 * numbers  # weight, gradient and two moments are read, all but the gradient written
        # One plain step of each: a recording hides its operations.
        counted = blocks_of(name, images.images, 1, precisions)
        for way in ("tutorial, preloaded", *precisions):
            operations = flops(counted[way])
            spent = statistics.median(seconds[way]) / options.steps
            limit = ceiling["float32" if way in tutorials else way]
            least = operations / limit + traffic / ceiling["bytes"]
            work.append(
                [
                    f"{name}: {way if way in tutorials else f'ours, {way}'}",
                    f"{operations / 1e9:.2f}",
                    f"{operations / spent / 1e9:.0f}",
                    f"{operations / limit / spent:.0%}",
                    f"{traffic / ceiling['bytes'] / spent:.0%}",
                    f"{least / spent:.0%}",
                ]
            )
        if device.type == "cpu":
            kinds |= {f"{name}, {precision}": shares(ways[precision]) for precision in precisions}
    # The book's page of results shows what stands between two such comments.
    number = f"{threads} thread{'s' if threads > 1 else ''}"
    parts = [f"## {number}\n", f"<!-- rates, {number} -->\n", table(rates), f"<!-- limits, {number} -->\n"]
    measured = ", ".join(f"{ceiling[p] / 1e9:.0f} GFLOP/s in {p}" for p in precisions)
    if ceiling["float32"] != ceiling["plain"]:
        measured += (
            f" ({ceiling['plain'] / 1e9:.0f} by PyTorch's usual product, which the tutorial's loop uses)"
        )
    parts.append(
        f"**Distance from the machine's limit.** A product of two matrices of {options.matrix} rows gives "
        f"{measured}; a big copy moves {ceiling['bytes'] / 1e9:.0f} GB/s. The last column is the time that "
        "products at that rate and Adam's traffic at that bandwidth would take, as a share of what was "
        "taken.\n"
    )
    parts.append(table(work))
    if kinds:
        parts.append(
            "**Where our time goes**, by the profiler, which itself takes some: of eight blocks the one with "
            "the fewest page faults, which the profiler causes and plain training hardly meets.\n"
        )
        names = next(iter(kinds.values()))
        rows = [["", *kinds], *([kind, *(f"{kinds[way][kind]:.0%}" for way in kinds)] for kind in names)]
        parts.append(table(rows))
    return "\n".join(parts)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=11, help="pairs of blocks")
    parser.add_argument("--steps", type=int, default=12, help="updates of the generator in a block")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="threads of both sides")
    parser.add_argument("--data", default="mnist", help="digits, mnist or fashion-mnist")
    parser.add_argument("--matrix", type=int, default=2048, help="rows of the matrix that gives the limit")
    parser.add_argument("--to", type=Path, default=RESULT, help="where the report goes")
    options = parser.parse_args(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images, load_before = load(options.data).to(device), os.getloadavg()[0]
    machine = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    command = shlex.join(["python", "-m", "benchmarks.speed", *arguments])
    head = f"""# How fast training is

<!-- machine -->

`{command}`
on {datetime.date.today().isoformat()}, {machine}, Python {platform.python_version()}, torch {torch.__version__}, {images.name}, load before the run {load_before:.1f}.

<!-- setup -->

The same networks, batches of {BATCH} and Adam at 2e-4 on both sides. The *GAN* has the generator 100-128-256-512-1024-{images.images[0].numel()} with batch norm and the discriminator {images.images[0].numel()}-512-256-1; *WGAN-GP* has the same networks and five updates of the critic for one of the generator; the *DCGAN* has {WIDTH} channels at full resolution.
Ours is `gancourse.training.run`, without checkpoints, with the step of `labs/{LAB.name}`, for WGAN-GP that of `labs/{PENALTY_LAB.name}`. The tutorial's loop reads PIL images one by one through a DataLoader, or, preloaded, batches from a tensor. Reading the files is in neither. Both sides use the samples of the discriminator's update for the generator as well. The rows "new noise for G" run the lab's other step, Goodfellow et al.'s Algorithm 1, which makes one more pass through the generator; the rows "one pass of D" show what a single pass of D over real and generated images would save, which with batch norm is another D.
Medians, and quartiles in brackets, over {options.blocks} pairs of blocks of {options.steps} updates, taken in turns; on one thread of a CPU, seconds are of processor time, so that other programs do not count, though they slow caches and shared cores. Aims: end to end and preloaded. The recording of a step on CUDA was {"part of this run" if device.type == "cuda" else "not measured: there was no GPU"}.
"""  # noqa: E501
    text = head
    for threads in options.threads:
        text += "\n" + report(images, device, threads, options)
        options.to.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
