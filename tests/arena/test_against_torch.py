"""Networks, losses, gradients and Adam of the arena, against PyTorch in this very run."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

pytestmark = pytest.mark.xdist_group("site")

STEPS, K, BATCH, WIDTH = 100, 2, 24, 10
RATES = {"lr_d": 0.003, "lr_g": 0.002}
LOSSES = ("minimax", "nonsaturating", "wasserstein")
CASES = [(loss, r1) for loss in LOSSES for r1 in (False, True)]

TRAIN = """({ loss, r1, rates, width, G, D, real, fake, z }) => {
  const game = new A.Game({ width, loss, r1, ...rates });
  game.G.params.set(G);
  game.D.params.set(D);
  const losses = z.map((latent, t) => {
    const values = real[t].map((x, j) =>
      game.discriminatorStep(Float64Array.from(x), Float64Array.from(fake[t][j])));
    return [...values, game.generatorStep(Float64Array.from(latent))];
  });
  return { G: [...game.G.params], D: [...game.D.params], losses };
}"""


def network(outputs: int) -> nn.Sequential:
    layers = nn.Linear(2, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, outputs)
    return nn.Sequential(*layers).double()


def flat(module: nn.Module) -> list[float]:
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()]).tolist()


def discriminator_loss(loss: str, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    if loss == "wasserstein":
        return fake.mean() - real.mean()
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(loss: str, fake: torch.Tensor) -> torch.Tensor:
    terms = {"minimax": -softplus(fake), "nonsaturating": softplus(-fake), "wasserstein": -fake}
    return terms[loss].mean()


def r1_penalty(critic: nn.Module, real: torch.Tensor, gamma: float) -> torch.Tensor:
    points = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gamma / 2 * slope.square().sum(dim=1).mean()


@pytest.fixture(scope="module")
def start() -> dict:
    """Initial weights and all batches, the same for every case."""
    torch.manual_seed(20)
    generator, critic = network(2), network(1)
    batches = {
        "real": 0.7 * torch.randn(STEPS, K, BATCH, 2, dtype=torch.float64) + 0.5,
        "fake": torch.randn(STEPS, K, BATCH, 2, dtype=torch.float64),
        "z": torch.randn(STEPS, BATCH, 2, dtype=torch.float64),
    }
    return {"G": flat(generator), "D": flat(critic), **batches}


def load(module: nn.Module, values: list[float]) -> nn.Module:
    nn.utils.vector_to_parameters(torch.tensor(values, dtype=torch.float64), module.parameters())
    return module


def torch_run(start: dict, loss: str, r1: bool, gamma: float, limit: float) -> dict:
    generator, critic = load(network(2), start["G"]), load(network(1), start["D"])
    adam_g = torch.optim.Adam(generator.parameters(), lr=RATES["lr_g"], betas=(0.5, 0.999))
    adam_d = torch.optim.Adam(critic.parameters(), lr=RATES["lr_d"], betas=(0.5, 0.999))
    losses = []
    for t in range(STEPS):
        row = []
        for j in range(K):
            real, fake = start["real"][t, j], generator(start["fake"][t, j]).detach()
            value = discriminator_loss(loss, critic(real), critic(fake))
            total = value + r1_penalty(critic, real, gamma) if r1 else value
            adam_d.zero_grad()
            total.backward()
            adam_d.step()
            if loss == "wasserstein":
                with torch.no_grad():
                    for parameter in critic.parameters():
                        parameter.clamp_(-limit, limit)
            row.append(value.item())
        value = generator_loss(loss, critic(generator(start["z"][t])))
        adam_g.zero_grad()
        value.backward()
        adam_g.step()
        losses.append([*row, value.item()])
    return {"G": flat(generator), "D": flat(critic), "losses": losses}


@pytest.mark.parametrize(("loss", "r1"), CASES)
def test_a_hundred_steps_agree_with_torch(core, start, loss, r1):
    expected = torch_run(start, loss, r1, core.evaluate("A.PENALTY"), core.evaluate("A.LIMIT"))
    batches = {name: start[name].flatten(-2).tolist() for name in ("real", "fake", "z")}
    case = {
        "loss": loss,
        "r1": r1,
        "rates": RATES,
        "width": WIDTH,
        "G": start["G"],
        "D": start["D"],
        **batches,
    }
    found = core.evaluate(TRAIN, case)
    for name in ("G", "D", "losses"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-8, err_msg=name)
    # It did train, and clipping and the penalty did something.
    assert np.abs(np.subtract(expected["D"], start["D"])).max() > 0.05
    assert (np.abs(found["D"]).max() <= core.evaluate("A.LIMIT")) == (loss == "wasserstein")


def test_the_penalty_is_not_idle(start):
    with_r1, without = (torch_run(start, "nonsaturating", r1, 0.1, 0.1)["D"] for r1 in (True, False))
    assert np.abs(np.subtract(with_r1, without)).max() > 1e-3


@pytest.mark.parametrize(("loss", "r1"), CASES)
def test_gradients_agree_with_finite_differences(core, start, loss, r1):
    """Central differences of the total loss by every weight; their own error is of the order of 1e-9."""
    found = core.evaluate(
        """({ loss, r1, width, G, D, real, z }) => {
          const game = new A.Game({ width, loss, r1, lr_d: 0, lr_g: 0 });
          game.G.params.set(G);
          game.D.params.set(D);
          const x = Float64Array.from(real), latent = Float64Array.from(z), step = 1e-5;
          const differences = (network, value) => [...network.params].map((weight, i) => {
            const [up, down] = [weight + step, weight - step].map((w) => ((network.params[i] = w), value()));
            network.params[i] = weight;
            return (up - down) / (2 * step);
          });
          const D_ = differences(game.D, () => game.discriminatorGradient(x, latent).total);
          const G_ = differences(game.G, () => game.generatorGradient(latent));
          game.discriminatorGradient(x, latent);
          const own = [...game.D.grads];
          game.generatorGradient(latent);
          return [[own, D_], [[...game.G.grads], G_]];
        }""",
        {
            "loss": loss,
            "r1": r1,
            "width": WIDTH,
            "G": start["G"],
            "D": start["D"],
            "real": start["real"][0, 0].flatten().tolist(),
            "z": start["z"][0].flatten().tolist(),
        },
    )
    for own, differences in found:
        assert np.abs(differences).max() > 1e-3
        np.testing.assert_allclose(own, differences, rtol=0, atol=1e-8)


def test_the_pull_on_a_generated_point_is_the_slope_of_its_loss(core, start):
    for loss in LOSSES:
        critic = load(network(1), start["D"])
        found = core.evaluate(
            """({ loss, D }) => {
              const run = new A.Run({ ...A.DEFAULTS, loss, width: 10 });
              run.game.D.params.set(D);
              const { points, pulls } = run.generated();
              return [[...points], [...pulls]];
            }""",
            {"loss": loss, "D": start["D"]},
        )
        points = torch.tensor(found[0], dtype=torch.float64).reshape(-1, 2).requires_grad_()
        (slope,) = torch.autograd.grad(generator_loss(loss, critic(points)) * len(points), points)
        np.testing.assert_allclose(found[1], -slope.flatten(), rtol=0, atol=1e-12)
