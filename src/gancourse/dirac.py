"""The Dirac-GAN: one point of data at 0, one generated point theta, a discriminator with one weight psi.

It is the smallest GAN that oscillates. The generated law is a unit mass at theta, the discriminator's logit
-psi x. The minus is Mescheder's: his discriminator is high on generated samples, ours on real ones. Step by
step the players follow the field (-dL_G/dtheta, -dL_D/dpsi), which vanishes at the equilibrium (0, 0).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gancourse.objectives import Objective

Critic = Callable[[Tensor], Tensor]
Penalty = Callable[[Critic, Tensor, Tensor], Tensor]


def vector_field(
    objective: Objective, theta: float, psi: float, penalty: Penalty | None = None
) -> tuple[float, float]:
    """The directions in which gradient descent moves (theta, psi), by automatic differentiation.

    Args:
        objective: the game.
        theta: the generated point.
        psi: the weight of the discriminator x -> -psi x.
        penalty: maps (critic, real, fake), samples of shape (1, 1), to a scalar that is added to the
            discriminator's loss.

    Returns:
        (-dL_G/dtheta, -dL_D/dpsi).

    Source: Mescheder, Geiger and Nowozin 2018.
    """
    fake = torch.tensor([[theta]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor(psi, dtype=torch.float64, requires_grad=True)
    real = torch.zeros_like(fake)

    def critic(x: Tensor) -> Tensor:
        return -weight * x

    generator_loss = objective.generator_loss(critic(real), critic(fake))
    (slope_theta,) = torch.autograd.grad(generator_loss, fake)
    discriminator_loss = objective.discriminator_loss(critic(real), critic(fake.detach()))
    if penalty is not None:
        discriminator_loss = discriminator_loss + penalty(critic, real, fake.detach())
    (slope_psi,) = torch.autograd.grad(discriminator_loss, weight)
    return -slope_theta.item(), -slope_psi.item()


def trajectory(
    objective: Objective,
    penalty: Penalty | None = None,
    *,
    clip: float = math.inf,
    step: float = 0.2,
    steps: int = 500,
    start: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Simultaneous gradient descent of both players.

    Args:
        objective: the game.
        penalty: as for `vector_field`.
        clip: psi is clipped to [-clip, clip] after every step.
        step: learning rate of both players.
        steps: how many.
        start: (theta, psi) at the beginning.

    Returns:
        (theta, psi) before the first and after every step, shape (steps + 1, 2), float64. The norm of a row
        is the distance to the equilibrium.

    Raises:
        ValueError: fewer than one step, or a clip that is not positive.
    """
    if steps < 1:
        raise ValueError(f"A trajectory has at least one step; got {steps}.")
    if not clip > 0:
        raise ValueError(f"psi is clipped to a positive bound; got {clip}.")
    theta, psi = start
    path = [start]
    for _ in range(steps):
        toward_theta, toward_psi = vector_field(objective, theta, psi, penalty)
        theta, psi = theta + step * toward_theta, psi + step * toward_psi
        psi = max(-clip, min(clip, psi))
        path.append((theta, psi))
    return torch.tensor(path, dtype=torch.float64)
