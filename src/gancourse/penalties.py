"""What holds a discriminator back: gradient penalties, weight clipping, spectral normalisation.

Gradient penalties look at the slope of D at every example by itself. Batch norm in training mode makes the
logit of one example depend on all others, and then there is no such slope: use a discriminator without it.
No function here changes a `.grad`, and only the last two change a network.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

Network = TypeVar("Network", bound=nn.Module)

_BATCH_NORM = nn.modules.batchnorm._BatchNorm
_NORMALISATIONS = (
    nn.modules.batchnorm._NormBase,  # batch and instance norm
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
)


def input_gradients(logits: Tensor, samples: Tensor) -> Tensor:
    """The gradient of every example's logit in that example, itself differentiable in D's weights.

    Args:
        logits: D(samples), shape (n,) or (n, 1), each depending on its own sample only.
        samples: shape (n, ...), n > 0, with `requires_grad` set before D was called.

    Returns:
        Shape (n, d), all dimensions of an example in one row.

    Raises:
        ValueError: wrong shapes, or logits that do not depend on the samples.
    """
    n = len(samples) if samples.ndim else 0
    if samples.ndim < 2 or n == 0 or logits.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"Each of n > 0 samples, shape (n, ...), has one logit, shape (n,) or (n, 1); got samples of "
            f"shape {tuple(samples.shape)} and logits of shape {tuple(logits.shape)}."
        )
    gradients = None
    if samples.requires_grad and logits.requires_grad:
        (gradients,) = torch.autograd.grad(logits.sum(), samples, create_graph=True, allow_unused=True)
    if gradients is None:
        raise ValueError(
            "The logits do not depend on these samples: call samples.requires_grad_() first, then the "
            "discriminator on this very tensor, not under torch.no_grad()."
        )
    return gradients.flatten(1)


def zero_centered_penalty(logits: Tensor, samples: Tensor, gamma: float) -> Tensor:
    """(gamma/2) E |grad_x D(x)|²: R1 when the samples are real, R2 when they are generated.

    It reuses the logits of the discriminator's loss, so it costs no further forward pass:

        real.requires_grad_()
        real_logits = D(real)
        loss = discriminator_loss(real_logits, fake_logits) + zero_centered_penalty(real_logits, real, gamma)

    It sees logits, not the network, so batch norm in D goes unnoticed: use a D without it.

    Args:
        logits: D(samples), shape (n,) or (n, 1).
        samples: shape (n, ...), with `requires_grad` set before D was called.
        gamma: weight, at least 0; mind the half.

    Returns:
        A scalar, the mean over examples of the squared norm over all other dimensions, times gamma/2.

    Raises:
        ValueError: as for `input_gradients`, or a negative weight.

    Source: Mescheder, Geiger and Nowozin 2018.
    """
    return _weight("gamma", gamma) / 2 * input_gradients(logits, samples).square().sum(dim=1).mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    weight: float = 10.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """weight E (|grad f(x)| - 1)², at points drawn uniformly from the segments between real and fake samples.

    The k-th real sample is joined with the k-th generated one, an independent pair.

    Args:
        critic: maps (n, ...) to (n,) or (n, 1); where there are labels, `partial(critic, labels=labels)` from
            functools. In a lambda or another function, batch norm goes unnoticed.
        real: real samples, shape (n, ...).
        fake: as many generated ones of the same shape; no gradient reaches the generator.
        weight: the paper's lambda, at least 0.
        generator: random generator for the positions on the segments, one for each example.

    Returns:
        A scalar, the mean over examples, the norm being that over all other dimensions.

    Raises:
        ValueError: shapes or types that differ, no samples, samples that are not floating point, a negative
            weight, or a critic whose batch norm reads the batch: in training mode, or without running
            statistics.

    Source: Gulrajani et al. 2017, Algorithm 1.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"Each real sample is joined with a generated one: real {tuple(real.shape)} and fake "
            f"{tuple(fake.shape)} must have the same shape."
        )
    if not (real.is_floating_point() and fake.is_floating_point()):
        raise ValueError(f"Samples must be floating point; got {real.dtype} and {fake.dtype}.")
    if real.dtype != fake.dtype:
        raise ValueError(
            f"Real and fake samples must have one type; got {real.dtype} and {fake.dtype}: convert one."
        )
    if real.ndim < 2:
        raise ValueError(f"Samples have the shape (n, ...); got {tuple(real.shape)}.")
    network = critic.func if isinstance(critic, partial) else critic
    network = getattr(network, "__self__", network)  # of a bound method such as critic.forward
    if isinstance(network, nn.Module) and any(
        isinstance(module, _BATCH_NORM) and (module.training or module.running_mean is None)
        for module in network.modules()
    ):
        raise ValueError(
            "This critic has batch norm, which ties the examples of a batch together, so there is no "
            "gradient of one example to penalise. Use a critic without it."
        )
    shape = (len(real),) + (1,) * (real.ndim - 1)
    position = torch.rand(shape, generator=generator, dtype=real.dtype, device=real.device)
    points = torch.lerp(real.detach(), fake.detach(), position).requires_grad_()
    norms = torch.linalg.vector_norm(input_gradients(critic(points), points), dim=1)
    return _weight("weight", weight) * (norms - 1).square().mean()


@torch.no_grad()
def clip_weights(network: nn.Module, bound: float) -> None:
    """Clip every parameter of a network to [-bound, bound], in place, after a step of its optimiser.

    This makes a critic K-Lipschitz for a K that is not known. It is not gradient clipping.

    Raises:
        ValueError: a bound that is not positive and finite.

    Source: Arjovsky, Chintala and Bottou 2017, Algorithm 1.
    """
    if not 0 < bound < math.inf:
        raise ValueError(f"Weights are clipped to a positive finite bound; got {bound}.")
    for parameter in network.parameters():
        parameter.clamp_(-bound, bound)


def spectral_norm(network: Network) -> Network:
    """Divide every weight matrix of a network by its largest singular value, from now on, in place.

    A convolution of any dimension counts as the matrix (out, in x window), the paper's convention, so it may
    still stretch its input, by at most the square root of the number of windows a pixel lies in. Embeddings
    count. One step of the power method refines the estimate at every forward pass in training mode, in the
    generator's step as well; in evaluation mode nothing moves.

    Returns:
        The same network.

    Raises:
        ValueError: a network without weight matrices, with a weight matrix in another kind of layer, with a
            normalisation, which scales activations up again, with a layer that is normalised already or has
            no shape yet, or with weights that are all zero, such as those that `resnet` starts from: their
            largest singular value is zero as well. The network is then as it was.

    Source: Miyato et al. 2018.
    """
    modules = list(network.modules())
    if any(nn.utils.parametrize.is_parametrized(module) for module in modules):
        raise ValueError("The weights of this network are parametrised already: apply spectral norm once.")
    for module in modules:
        if isinstance(module, _NORMALISATIONS):
            raise ValueError(
                f"{type(module).__name__} scales up what spectral norm bounds: use a network without it."
            )
    layers = [m for m in modules if isinstance(m, nn.Linear | nn.modules.conv._ConvNd | nn.Embedding)]
    for layer in layers:
        if is_lazy(layer.weight):
            raise ValueError(f"{type(layer).__name__} has no shape yet: call the network on a batch first.")
        if not layer.weight.is_meta and not layer.weight.any():
            raise ValueError(
                f"The weights of one {type(layer).__name__} are all zero, and so is the singular value to "
                "divide by. A ResidualBlock starts so: give it other weights, or use dcgan_critic."
            )
    bounded = {id(layer.weight) for layer in layers}
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and id(parameter) not in bounded:
            raise ValueError(
                f"Spectral norm bounds linear layers, convolutions and embeddings, but not {name} of shape "
                f"{tuple(parameter.shape)}: use a network without it."
            )
    if not layers:
        raise ValueError("Spectral norm needs weight matrices, and this network has none.")
    for layer in layers:
        nn.utils.parametrizations.spectral_norm(layer)
    return network


def _weight(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"A penalty has a finite {name} of at least 0, or it rewards; got {value}.")
    return value
