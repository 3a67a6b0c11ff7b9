"""Small networks for the labs; every discriminator returns a logit, never a probability."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn


def mlp(sizes: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A multilayer perceptron with an activation after every layer but the last.

    Args:
        sizes: widths from input to output, at least two; (2, 128, 128, 1) has three linear layers.
        activation: makes the activation module.

    Returns:
        A module from shape (n, sizes[0]) to (n, sizes[-1]), with PyTorch's own initialisation.

    Raises:
        ValueError: fewer than two sizes, or one that is not positive.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"An MLP needs at least two positive sizes, input first; got {tuple(sizes)}.")
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def dcgan(image_size: int, latent_dim: int = 64, width: int = 32) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator for square grey images after the rules of DCGAN.

    Strided (transposed) convolutions, batch norm in the generator and in all but the first layer of the
    discriminator, ReLU and tanh against LeakyReLU(0.2). Weights start from N(0, 0.02²), batch-norm scales
    from N(1, 0.02²), biases at 0.

    Args:
        image_size: 8, 16, 28 or 32 pixels.
        latent_dim: dimension of z.
        width: channels at the highest resolution.

    Returns:
        generator: (n, latent_dim) -> (n, 1, image_size, image_size) in [-1, 1].
        discriminator: (n, 1, image_size, image_size) -> (n,) logits.

    Raises:
        ValueError: another image size.

    Source: Radford, Metz and Chintala 2016.
    """
    halvings = {8: 1, 16: 2, 28: 2, 32: 3}.get(image_size)
    if halvings is None:
        raise ValueError(f"These networks are for images of 8, 16, 28 or 32 pixels; got {image_size}.")
    start = image_size >> halvings
    channels = [width << level for level in reversed(range(halvings))]

    up: list[nn.Module] = [
        nn.Linear(latent_dim, 2 * channels[0] * start**2, bias=False),
        nn.Unflatten(1, (2 * channels[0], start, start)),
        nn.BatchNorm2d(2 * channels[0]),
        nn.ReLU(),
    ]
    for fan_in, fan_out in zip([2 * channels[0], *channels[:-1]], channels, strict=True):
        up += [nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
    up += [nn.Conv2d(channels[-1], 1, 3, 1, 1), nn.Tanh()]

    down: list[nn.Module] = [nn.Conv2d(1, width, 3, 1, 1), nn.LeakyReLU(0.2)]
    for fan_in in reversed(channels):
        down += [
            nn.Conv2d(fan_in, 2 * fan_in, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * fan_in),
            nn.LeakyReLU(0.2),
        ]
    down += [nn.Flatten(), nn.Linear(2 * channels[0] * start**2, 1), nn.Flatten(0)]
    return _initialise(nn.Sequential(*up)), _initialise(nn.Sequential(*down))


def _initialise(network: nn.Sequential) -> nn.Sequential:
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def gradient_norm(network: nn.Module) -> Tensor:
    """Euclidean norm of all stored gradients of a network, a scalar on its device."""
    return nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
