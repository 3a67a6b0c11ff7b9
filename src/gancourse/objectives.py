"""Losses of the two players, from logits, in nats, averaged over the batch."""

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The negative of V(D, G): cross-entropy on real with target 1 plus on fake with target 0.

    Args:
        real_logits: logit of D on real samples, shape (n,) or (n, 1).
        fake_logits: logit of D on generated samples, shape (m,) or (m, 1).

    Returns:
        A scalar in nats, 0 for a perfect discriminator and log 4 for D = 1/2.

    Source: Goodfellow et al. 2014, Algorithm 1; the book's proposition value-is-cross-entropy.
    """
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


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
    return (target * softplus(-logits) + (1 - target) * softplus(logits)).mean()


def minimax_generator_loss(fake_logits: Tensor) -> Tensor:
    """E_z log(1 - D(G(z))), the generator's part of V; its gradient in the logit is -sigma(s).

    Args:
        fake_logits: logit of D on generated samples, any shape.

    Returns:
        A scalar in nats, at most 0.

    Source: Goodfellow et al. 2014, equation 1.
    """
    return -softplus(fake_logits).mean()


def nonsaturating_generator_loss(fake_logits: Tensor) -> Tensor:
    """-E_z log D(G(z)); its gradient in the logit is -(1 - sigma(s)).

    Args:
        fake_logits: logit of D on generated samples, any shape.

    Returns:
        A scalar in nats, at least 0.

    Source: Goodfellow et al. 2014, section 3.
    """
    return softplus(-fake_logits).mean()
