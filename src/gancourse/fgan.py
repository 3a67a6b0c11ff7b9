"""The f-divergences of the f-GAN table, each with the lower bound that a discriminator maximises.

For a convex f the divergence is D_f(p||q) = E_q[f(p/q)], the singular part of p counted with weight
lim f(u)/u, and for every T with values where the conjugate f* is finite

    D_f(p||q) >= E_p[T] - E_q[f*(T)],   with equality at T* = f'(p/q).

T is g_f(v), where v is the bare output of a network and g_f an increasing map onto (or into) that domain.
Here p is the law of the data and q that of the generator.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gancourse.objectives import Objective, batch_mean, blind

_Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FDivergence:
    """One row of the table; all functions work element by element, in nats.

    Attributes:
        name: of the divergence.
        f: convex function of u = p/q >= 0.
        activation: g_f, from the bare output v of the network to T.
        conjugate: f*(t) = sup_{u >= 0} (u t - f(u)) on the whole line, +inf where the supremum is.
        conjugate_of_activation: f*(g_f(v)) in one formula that loses no digits where v is large.
        supremum: of the t with finite f*(t), which is also lim f(u)/u.

    Source: Nowozin, Cseke and Tomioka 2016, whose table 2 recommends activations; ours increase with v.
    """

    name: str
    f: _Map = field(repr=False)
    activation: _Map = field(repr=False)
    conjugate: _Map = field(repr=False)
    conjugate_of_activation: _Map = field(repr=False)
    supremum: float

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Minus the lower bound on D_f(p_d||p_g): E f*(g_f(v)) on fake minus E g_f(v) on real, in nats.

        KL, reverse KL and squared Hellinger hold an exponential of the logit: there the loss is +inf, not
        NaN, once it leaves the range of the dtype (in float32 for logits beyond about 88).
        """
        return batch_mean(self.conjugate_of_activation(fake_logits)) - batch_mean(
            self.activation(real_logits)
        )

    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """The generator's part of the bound, -E f*(g_f(v)), in nats: the saddle point as it stands."""
        return -batch_mean(self.conjugate_of_activation(fake_logits))

    def nonsaturating_generator_loss(self, fake_logits: Tensor) -> Tensor:
        """-E g_f(v), in nats; in the row GAN this is -E log D.

        Neither this nor the saddle point's loss ever grows with v, and where p_d = p_g and D is optimal
        their gradients are equal.
        """
        return -batch_mean(self.activation(fake_logits))

    @property
    def objective(self) -> Objective:
        """The game with the saddle point's generator loss."""
        return Objective(f"f-GAN {self.name}", self.discriminator_loss, blind(self.generator_loss))

    @property
    def nonsaturating_objective(self) -> Objective:
        """The game with the non-saturating generator loss."""
        return Objective(
            f"f-GAN {self.name}, non-saturating",
            self.discriminator_loss,
            blind(self.nonsaturating_generator_loss),
        )


def _below(end: float, formula: _Map) -> _Map:
    """The formula for t < end, +inf from there on; gradients stay finite on both sides."""

    def conjugate(t: Tensor) -> Tensor:
        inside = t < end
        return torch.where(inside, formula(torch.where(inside, t, end - 1.0)), math.inf)

    return conjugate


def _total_variation_conjugate(t: Tensor) -> Tensor:
    return torch.where(t <= 0.5, t.clamp(min=-0.5), math.inf)


def _pearson_conjugate(t: Tensor) -> Tensor:
    # The supremum over u >= 0 sits at u = 1 + t/2, and at u = 0 for t < -2: there f* is the constant -1, and
    # the formula t²/4 + t, which grows again, would turn the generator's gradient round.
    t = t.clamp(min=-2)
    return t * t / 4 + t


F_DIVERGENCES: dict[str, FDivergence] = {
    row.name: row
    for row in (
        FDivergence(
            "KL",  # KL(p||q)
            f=lambda u: torch.xlogy(u, u),
            activation=lambda v: v,
            conjugate=lambda t: torch.exp(t - 1),
            conjugate_of_activation=lambda v: torch.exp(v - 1),
            supremum=math.inf,
        ),
        FDivergence(
            "reverse KL",  # KL(q||p)
            f=lambda u: -torch.log(u),
            activation=lambda v: -torch.exp(-v),
            conjugate=_below(0.0, lambda t: -1 - torch.log(-t)),
            conjugate_of_activation=lambda v: v - 1,
            supremum=0.0,
        ),
        FDivergence(
            "Pearson",  # the integral of (p - q)²/q
            f=lambda u: (u - 1).square(),
            activation=lambda v: v,
            conjugate=_pearson_conjugate,
            conjugate_of_activation=_pearson_conjugate,
            supremum=math.inf,
        ),
        FDivergence(
            "squared Hellinger",  # the integral of (sqrt p - sqrt q)²
            f=lambda u: (torch.sqrt(u) - 1).square(),
            activation=lambda v: -torch.expm1(-v),
            conjugate=_below(1.0, lambda t: t / (1 - t)),
            conjugate_of_activation=torch.expm1,
            supremum=1.0,
        ),
        FDivergence(
            "Jensen-Shannon",  # 2 JSD(p, q)
            f=lambda u: torch.xlogy(u, u) - torch.xlogy(1 + u, (1 + u) / 2),
            activation=lambda v: math.log(2) - softplus(-v),
            conjugate=_below(math.log(2), lambda t: -torch.log(2 - torch.exp(t))),
            conjugate_of_activation=lambda v: softplus(v) - math.log(2),
            supremum=math.log(2),
        ),
        FDivergence(
            "GAN",  # 2 JSD(p, q) - log 4: f(1) = -log 4, so no divergence in the strict sense
            f=lambda u: torch.xlogy(u, u) - torch.xlogy(1 + u, 1 + u),
            activation=lambda v: -softplus(-v),
            conjugate=_below(0.0, lambda t: -torch.log(-torch.expm1(t))),
            conjugate_of_activation=softplus,
            supremum=0.0,
        ),
        FDivergence(
            "total variation",  # T* = sign(p - q)/2 is approached by the hyperbolic tangent, never reached
            f=lambda u: (u - 1).abs() / 2,
            activation=lambda v: torch.tanh(v) / 2,
            conjugate=_total_variation_conjugate,
            conjugate_of_activation=lambda v: torch.tanh(v) / 2,
            supremum=0.5,
        ),
    )
}
