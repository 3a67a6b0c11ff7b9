"""Losses of the two players, from logits, averaged over the batch; every loss is one to minimise.

Losses of the players of one game bear its name: `hinge_discriminator_loss` and `hinge_generator_loss`.
`OBJECTIVES` collects the games so that one training step serves them all; the rows of the f-GAN table are in
`gancourse.fgan`, penalties on the discriminator in `gancourse.penalties`. Nothing here calls a network. An
empty batch is a ValueError everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn.functional import relu, softplus


def batch_mean(values: Tensor) -> Tensor:
    """The mean of all values, a scalar. Raises ValueError for an empty batch, whose mean is NaN."""
    if values.numel() == 0:
        raise ValueError(f"A loss is a mean over samples, and this batch is empty: {tuple(values.shape)}.")
    return values.mean()


def _check_one_each(logits: Tensor) -> None:
    if logits.ndim != 1 and (logits.ndim != 2 or logits.shape[1] != 1):
        raise ValueError(
            f"Each sample has one logit, shape (n,) or (n, 1); got logits of shape {tuple(logits.shape)}."
        )


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The negative of V(D, G): cross-entropy on real with target 1 plus on fake with target 0.

    Args:
        real_logits: logit of D on real samples, shape (n,) or (n, 1).
        fake_logits: logit of D on generated samples, shape (m,) or (m, 1).

    Returns:
        A scalar in nats, 0 for a perfect discriminator and log 4 for D = 1/2.

    Raises:
        ValueError: logits of another shape.

    Source: Goodfellow et al. 2014, Algorithm 1; the book's proposition value-is-cross-entropy.
    """
    for logits in (real_logits, fake_logits):
        _check_one_each(logits)
    return batch_mean(softplus(-real_logits)) + batch_mean(softplus(fake_logits))


def soft_target_loss(logits: Tensor, target: float) -> Tensor:
    """Cross-entropy of D against a soft target: -target log D - (1 - target) log(1 - D).

    Args:
        logits: logit of D, any shape.
        target: in [0, 1]; 1 and 0 give the two halves of `discriminator_loss`.

    Returns:
        A scalar in nats.

    Raises:
        ValueError: a target outside [0, 1], for which the risk has no minimum.

    Source: Salimans et al. 2016, section 3.4; the book's propositions label-smoothing and no-optimum.
    """
    if not 0 <= target <= 1:
        raise ValueError(f"A soft target lies in [0, 1]; with {target} the loss is unbounded below.")
    return batch_mean(target * softplus(-logits) + (1 - target) * softplus(logits))


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """E_z log(1 - D(G(z))), the generator's part of V; its gradient in the logit is -sigma(s).

    Args:
        fake_logits: logit of D on generated samples, any shape.

    Returns:
        A scalar in nats, at most 0.

    Source: Goodfellow et al. 2014, equation 1.
    """
    return -batch_mean(softplus(fake_logits))


def nonsaturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E_z log D(G(z)); its gradient in the logit is -(1 - sigma(s)).

    Args:
        fake_logits: logit of D on generated samples, any shape.

    Returns:
        A scalar in nats, at least 0.

    Source: Goodfellow et al. 2014, section 3.
    """
    return batch_mean(softplus(-fake_logits))


def least_squares_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the squared distance of D from 1 on real plus from 0 on fake; D is the network's bare output.

    Args:
        real_logits: output of D on real samples, any shape.
        fake_logits: output of D on generated samples, any shape.

    Returns:
        A scalar without unit, at least 0; its minimiser is p_d/(p_d + p_g).

    Source: Mao et al. 2017, with a = 0 and b = 1.
    """
    return (batch_mean((real_logits - 1).square()) + batch_mean(fake_logits.square())) / 2


def least_squares_generator_loss(fake_logits: Tensor) -> Tensor:
    """Half the squared distance of D from 1 on generated samples.

    Args:
        fake_logits: output of D on generated samples, any shape.

    Returns:
        A scalar without unit, at least 0.

    Source: Mao et al. 2017, with c = 1.
    """
    return batch_mean((fake_logits - 1).square()) / 2


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E max(0, 1 - D) on real plus E max(0, 1 + D) on fake: no gradient from samples beyond the margin.

    Args:
        real_logits: output of D on real samples, any shape.
        fake_logits: output of D on generated samples, any shape.

    Returns:
        A scalar without unit, at least 0; the sign of p_d - p_g minimises it, to 2 - 2 TV(p_d, p_g).

    Source: Lim and Ye 2017; Miyato et al. 2018.
    """
    return batch_mean(relu(1 - real_logits)) + batch_mean(relu(1 + fake_logits))


def hinge_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E D(G(z)), the same as `wasserstein_generator_loss`: the margin binds the discriminator only.

    Args:
        fake_logits: output of D on generated samples, any shape.

    Returns:
        A scalar without unit.

    Source: Lim and Ye 2017; Miyato et al. 2018.
    """
    return -batch_mean(fake_logits)


def wasserstein_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E f on fake minus E f on real: minus the critic's estimate of K W_1, if the critic f is K-Lipschitz.

    Unbounded below without a constraint on the critic: see `gancourse.penalties`.

    Args:
        real_logits: the critic on real samples, any shape.
        fake_logits: the critic on generated samples, any shape.

    Returns:
        A scalar in the unit of the data times K.

    Source: Arjovsky, Chintala and Bottou 2017, Algorithm 1.
    """
    return batch_mean(fake_logits) - batch_mean(real_logits)


def wasserstein_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E_z f(G(z)).

    Args:
        fake_logits: the critic on generated samples, any shape.

    Returns:
        A scalar in the unit of the data times the critic's Lipschitz constant.

    Source: Arjovsky, Chintala and Bottou 2017, Algorithm 1.
    """
    return -batch_mean(fake_logits)


def relativistic_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E softplus(-(s(x) - s(G(z)))) over pairs: is this real sample more real than this generated one?

    Args:
        real_logits: output of D on real samples, shape (n,) or (n, 1).
        fake_logits: output of D on as many generated samples; the k-th is paired with the k-th real one.

    Returns:
        A scalar in nats, log 2 for a D that tells nothing apart.

    Raises:
        ValueError: shapes that differ or are others.

    Source: Jolicoeur-Martineau 2019; Huang et al. 2024 (R3GAN), who call it RpGAN.
    """
    return batch_mean(softplus(-_differences(real_logits, fake_logits)))


def relativistic_generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E softplus(-(s(G(z)) - s(x))) over pairs: the discriminator's question, turned round.

    Its gradient in the logit of a generated sample depends on the real sample it is paired with.

    Args:
        real_logits: output of D on real samples; no gradient need reach it.
        fake_logits: output of D on as many generated samples, of the same shape.

    Returns:
        A scalar in nats, log 2 for a D that tells nothing apart.

    Raises:
        ValueError: shapes that differ or are others, or no real logits.

    Source: Jolicoeur-Martineau 2019; Huang et al. 2024 (R3GAN), who call it RpGAN.
    """
    return batch_mean(softplus(_differences(real_logits, fake_logits)))


def _differences(real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
    if real_logits is None:
        raise ValueError("A relativistic loss compares pairs: give the logits of real samples as well.")
    # (n,) minus (n, 1) would broadcast to all n² pairs, a different loss, without a word.
    if real_logits.shape != fake_logits.shape:
        raise ValueError(
            f"A relativistic loss compares pairs: real logits of shape {tuple(real_logits.shape)} and fake "
            f"logits of shape {tuple(fake_logits.shape)} must have the same shape."
        )
    _check_one_each(fake_logits)
    return real_logits - fake_logits


@dataclass(frozen=True)
class Objective:
    """The losses of both players, called alike in every game: `loss(real_logits, fake_logits)`.

    A step for any objective reads

        objective.discriminator_loss(D(real), D(fake.detach()))
        objective.generator_loss(D(real) if objective.relativistic else None, D(fake))

    Attributes:
        name: of the game.
        discriminator_loss: real and fake logits to a scalar.
        generator_loss: real and fake logits to a scalar; None stands for real logits unless `relativistic`.
        relativistic: whether the generator's loss depends on real logits.
    """

    name: str
    discriminator_loss: Callable[[Tensor, Tensor], Tensor] = field(repr=False)
    generator_loss: Callable[[Tensor | None, Tensor], Tensor] = field(repr=False)
    relativistic: bool = False


def blind(generator_loss: Callable[[Tensor], Tensor]) -> Callable[[Tensor | None, Tensor], Tensor]:
    """A generator's loss on fake logits as a function of real and fake logits that ignores the first."""

    def loss(real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        return generator_loss(fake_logits)

    return loss


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("minimax", discriminator_loss, blind(minimax_generator_loss)),
        Objective("non-saturating", discriminator_loss, blind(nonsaturating_generator_loss)),
        Objective("least squares", least_squares_discriminator_loss, blind(least_squares_generator_loss)),
        Objective("hinge", hinge_discriminator_loss, blind(hinge_generator_loss)),
        Objective("Wasserstein", wasserstein_discriminator_loss, blind(wasserstein_generator_loss)),
        Objective(
            "relativistic", relativistic_discriminator_loss, relativistic_generator_loss, relativistic=True
        ),
    )
}
