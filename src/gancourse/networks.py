"""Small networks for the labs; every discriminator returns a logit, never a probability.

All are made on the CPU in float32 and move with `.to(device)`. How they start is part of what they are: each
docstring states it, and a test holds it to that.
"""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import chain, pairwise

import torch
from torch import Tensor, nn

_SLOPE = 0.2
# By this factor LeakyReLU shrinks the root mean square of a symmetric law.
_LEAKY_RMS = math.sqrt((1 + _SLOPE**2) / 2)


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


def dcgan(
    image_size: int, latent_dim: int = 64, width: int = 32, channels: int = 1, packing: int = 1
) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator for square images after the rules of DCGAN.

    Strided (transposed) convolutions, no pooling, no hidden linear layer; batch norm everywhere but at the
    generator's output and the discriminator's input; ReLU and tanh against LeakyReLU(0.2). Unlike the
    paper's, the layers next to the image have stride 1. Weights start from N(0, 0.02²), batch-norm scales
    from N(1, 0.02²), biases at 0.

    Args:
        image_size: 8, 16, 28 or 32 pixels.
        latent_dim: dimension of z.
        width: channels at the highest resolution.
        channels: of an image, 1 for grey ones.
        packing: images that the discriminator sees at once, stacked by `pack`.

    Returns:
        generator: (n, latent_dim) -> (n, channels, image_size, image_size) in [-1, 1].
        discriminator: (n, packing * channels, image_size, image_size) -> (n,) logits.

    Raises:
        ValueError: another image size, or a number below 1.

    Source: Radford, Metz and Chintala 2016; packing: Lin et al. 2018.
    """
    _check_positive(latent_dim=latent_dim, width=width, channels=channels, packing=packing)
    start, widths = _resolutions(image_size, width)
    up: list[nn.Module] = [
        nn.Linear(latent_dim, widths[0] * start**2, bias=False),
        nn.Unflatten(1, (widths[0], start, start)),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    for fan_in, fan_out in pairwise(widths):
        up += [nn.ConvTranspose2d(fan_in, fan_out, 4, 2, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
    up += [nn.Conv2d(widths[-1], channels, 3, 1, 1), nn.Tanh()]

    down: list[nn.Module] = [nn.Conv2d(packing * channels, width, 3, 1, 1), nn.LeakyReLU(_SLOPE)]
    for fan_in, fan_out in pairwise(reversed(widths)):
        down += [
            nn.Conv2d(fan_in, fan_out, 4, 2, 1, bias=False),
            nn.BatchNorm2d(fan_out),
            nn.LeakyReLU(_SLOPE),
        ]
    down += [nn.Flatten(), nn.Linear(widths[0] * start**2, 1), nn.Flatten(0)]
    return _start_small(nn.Sequential(*up)), _start_small(nn.Sequential(*down))


def dcgan_critic(image_size: int, width: int = 32, channels: int = 1) -> nn.Sequential:
    """The discriminator of `dcgan` without batch norm, for gradient penalties and spectral normalisation.

    `spectral_norm(dcgan_critic(28))`, from `gancourse.penalties`, is the spectrally normalised DCGAN.
    Without batch norm the first weights decide how a signal fades: they start from N(0, 1/fan-in), times
    2/(1 + 0.2²) after a LeakyReLU, so that its mean square stays, up to what zero padding takes; biases at 0.

    Args:
        image_size: 8, 16, 28 or 32 pixels.
        width: channels at the highest resolution.
        channels: of an image, times the number of images in a pack.

    Returns:
        (n, channels, image_size, image_size) -> (n,) logits.

    Raises:
        ValueError: another image size, or a number below 1.

    Source: Radford, Metz and Chintala 2016; the initialisation: He et al. 2015.
    """
    _check_positive(width=width, channels=channels)
    start, widths = _resolutions(image_size, width)
    layers: list[nn.Module] = [_preserving(nn.Conv2d(channels, width, 3, 1, 1)), nn.LeakyReLU(_SLOPE)]
    for fan_in, fan_out in pairwise(reversed(widths)):
        convolution = nn.Conv2d(fan_in, fan_out, 4, 2, 1)
        layers += [_preserving(convolution, after_leaky=True), nn.LeakyReLU(_SLOPE)]
    logit = nn.Linear(widths[0] * start**2, 1)
    return nn.Sequential(*layers, nn.Flatten(), _preserving(logit, after_leaky=True), nn.Flatten(0))


class ResidualBlock(nn.Module):
    """x + conv(LeakyReLU(conv(LeakyReLU(x)))) with two 3x3 convolutions and no normalisation.

    The second convolution starts at 0, so the block starts as the identity and a deep stack of blocks
    neither fades nor explodes. The first starts from a law that gives its output the mean square
    x² / blocks.

    Args:
        channels: of input and output.
        blocks: how many such blocks the network has.

    Source: Zhang, Dauphin and Ma 2019 (Fixup), without its scalar multipliers.
    """

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))
        _preserving(first, after_leaky=True, gain=blocks**-0.5)
        nn.init.zeros_(second.weight)
        nn.init.zeros_(second.bias)
        self.branch = nn.Sequential(nn.LeakyReLU(_SLOPE), first, nn.LeakyReLU(_SLOPE), second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def resnet(
    image_size: int, latent_dim: int = 64, width: int = 32, channels: int = 1
) -> tuple[nn.Sequential, nn.Sequential]:
    """Generator and discriminator without any normalisation, for R1 and R2 penalties.

    One `ResidualBlock` at each resolution; between two of them a linear layer changes resolution and
    channels: 1x1 convolution and nearest-neighbour doubling upwards, 2x2 convolution of stride 2 downwards.
    These and the first and last layers start from N(0, 1/fan-in), times 2/(1 + 0.2²) after a LeakyReLU,
    biases at 0. So a z from N(0, I) reaches the tanh, and an image the logit, with its mean square
    unchanged, up to what zero padding takes at the border and chance in the weights.

    Args:
        image_size: 8, 16, 28 or 32 pixels.
        latent_dim: dimension of z.
        width: channels at the highest resolution.
        channels: of an image, 1 for grey ones.

    Returns:
        generator: (n, latent_dim) -> (n, channels, image_size, image_size) in [-1, 1].
        discriminator: (n, channels, image_size, image_size) -> (n,) logits.

    Raises:
        ValueError: another image size, or a number below 1.

    Source: after Huang et al. 2024 (R3GAN) and Mescheder, Geiger and Nowozin 2018, made small.
    """
    _check_positive(latent_dim=latent_dim, width=width, channels=channels)
    start, widths = _resolutions(image_size, width)
    blocks = len(widths)
    up: list[nn.Module] = [
        _preserving(nn.Linear(latent_dim, widths[0] * start**2)),
        nn.Unflatten(1, (widths[0], start, start)),
        ResidualBlock(widths[0], blocks),
    ]
    for fan_in, fan_out in pairwise(widths):
        # Doubling after the convolution gives the same image as before it, at a quarter of the work.
        up += [
            _preserving(nn.Conv2d(fan_in, fan_out, 1)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            ResidualBlock(fan_out, blocks),
        ]
    to_image = _preserving(nn.Conv2d(widths[-1], channels, 3, 1, 1), after_leaky=True)
    up += [nn.LeakyReLU(_SLOPE), to_image, nn.Tanh()]

    down: list[nn.Module] = [
        _preserving(nn.Conv2d(channels, width, 3, 1, 1)),
        ResidualBlock(width, blocks),
    ]
    for fan_in, fan_out in pairwise(reversed(widths)):
        down += [_preserving(nn.Conv2d(fan_in, fan_out, 2, 2)), ResidualBlock(fan_out, blocks)]
    to_logit = _preserving(nn.Linear(widths[0] * start**2, 1), after_leaky=True)
    down += [nn.LeakyReLU(_SLOPE), nn.Flatten(), to_logit, nn.Flatten(0)]
    return nn.Sequential(*up), nn.Sequential(*down)


class ConditionalGenerator(nn.Module):
    """A generator that is told the class: an embedding of the label is concatenated to z.

    Rows of the embedding start from N(0, I), like z.

    Args:
        generator: maps (n, latent_dim + embedding_dim) to samples.
        classes: number of classes.
        embedding_dim: numbers that stand for a class.

    Source: Mirza and Osindero 2014.
    """

    def __init__(self, generator: nn.Module, classes: int, embedding_dim: int):
        super().__init__()
        self.generator = generator
        self.embedding = nn.Embedding(classes, embedding_dim)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """z (n, latent_dim) and labels (n,), integers from 0, to n samples.

        Raises ValueError for other labels; whether one is too large is checked on the CPU only, where
        reading it costs no wait.
        """
        _check_labels(labels, len(z), self.embedding.num_embeddings)
        return self.generator(torch.cat([z, self.embedding(labels)], dim=1))


class ProjectionDiscriminator(nn.Module):
    """A discriminator that is told the class: logit(x, y) = psi(phi(x)) + v_y . phi(x).

    phi is all but the last layer of a given discriminator, psi its last layer, v_y the embedding of the
    label. Rows of the embedding start from N(0, 1/d) in the d dimensions of phi.

    Args:
        discriminator: a `Sequential` whose last weight layer is a `Linear` to one logit, such as `mlp`,
            `dcgan`, `dcgan_critic` and `resnet` give. It becomes part of this network.
        classes: number of classes.

    Raises:
        ValueError: a network with another end.

    Source: Miyato and Koyama 2018.
    """

    def __init__(self, discriminator: nn.Sequential, classes: int):
        super().__init__()
        layers = list(discriminator) if isinstance(discriminator, nn.Sequential) else []
        while layers and isinstance(layers[-1], nn.Flatten):
            layers.pop()
        if not (layers and isinstance(layers[-1], nn.Linear) and layers[-1].out_features == 1):
            raise ValueError(
                "A projection discriminator is made from a Sequential that ends with a Linear layer to one "
                f"logit; got {type(discriminator).__name__}, ending with "
                f"{type(layers[-1]).__name__ if layers else 'nothing'}."
            )
        self.logit = layers.pop()
        self.features = nn.Sequential(*layers)
        self.embedding = nn.Embedding(classes, self.logit.in_features)
        nn.init.normal_(self.embedding.weight, 0.0, self.logit.in_features**-0.5)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Samples (n, ...) and labels (n,), integers from 0, to logits (n,).

        Raises ValueError for other labels, as `ConditionalGenerator` does.
        """
        _check_labels(labels, len(x), self.embedding.num_embeddings)
        features = self.features(x)
        return self.logit(features)[:, 0] + (self.embedding(labels) * features).sum(dim=1)


def _check_labels(labels: Tensor, n: int, classes: int) -> None:
    # Labels of another shape would broadcast, without a word.
    if labels.shape != (n,) or labels.dtype not in (torch.int32, torch.int64):
        raise ValueError(
            f"Each of {n} samples has one label: integers of shape ({n},); got {labels.dtype} of shape "
            f"{tuple(labels.shape)}."
        )
    if labels.device.type == "cpu" and n and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"Labels of {classes} classes go from 0 to {classes - 1}; got {labels.min()} to {labels.max()}."
        )


class MovingAverage(nn.Module):
    """A copy of a network whose weights follow those of the original as an exponential moving average.

    After n updates the copy moves to decay * copy + (1 - decay) * original with the decay
    min(decay, (1 + n)/(10 + n)), so that short runs do not keep the random start. Batch-norm statistics are
    averaged like weights, because those of the original belong to other weights; counts are copied (with
    `use_buffers=True`, `torch.optim.swa_utils.AveragedModel` averages counts and rounds them down for ever).
    Of a spectrally normalised network the weights before division are averaged; what they are divided by is
    found anew, by a step of the power method on the average at every update.
    No value is read on the host, so an update may stand in a captured CUDA step. The copy is in evaluation
    mode, without gradients, and stays so: `train()` does nothing.

    Args:
        network: the original, which stays as it is.
        decay: in [0, 1); 0.999 looks back over about 1000 updates.

    Raises:
        ValueError: a decay outside [0, 1), or a network without parameters and buffers.

    Source: the warm-up is that of TensorFlow's `ExponentialMovingAverage` with `num_updates`.
    """

    def __init__(self, network: nn.Module, decay: float = 0.999):
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"A moving average has a decay in [0, 1); with {decay} it would not follow.")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)
        some = next(iter(_tensors(network).values()), None)
        if some is None:
            raise ValueError("This network has no parameters and no buffers, so there is nothing to average.")
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64, device=some.device))
        super().train(False)

    def train(self, mode: bool = True) -> "MovingAverage":
        """Nothing: an average in training mode would move its batch-norm statistics by sampling."""
        return self

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow the original, after a step of its optimiser.

        Raises ValueError for a network whose tensors have other names or shapes; then nothing has changed.
        """
        averages, currents = _tensors(self.network), _tensors(network)
        if _shapes(averages) != _shapes(currents):
            differing = sorted({name for name, _ in _shapes(averages) ^ _shapes(currents)})
            raise ValueError(
                f"A moving average follows the network it was made from; this one differs in {differing}."
            )
        toward = (9 / (10 + self.updates)).clamp(min=1 - self.decay)
        self.updates += 1
        for name, average in averages.items():
            if average.is_floating_point():
                average.lerp_(currents[name], toward.to(average.dtype))
            else:
                average.copy_(currents[name])
        for module in self.network.modules():
            if isinstance(module, nn.utils.parametrize.ParametrizationList):
                module.train()
                module()
                module.eval()

    def forward(self, *args: Tensor, **named: Tensor) -> Tensor:
        return self.network(*args, **named)


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, without those of parametrisations, which follow from the weights."""
    own = {
        id(buffer)
        for module in network.modules()
        if isinstance(module, nn.utils.parametrize.ParametrizationList)
        for buffer in module.buffers()
    }
    tensors = chain(network.named_parameters(), network.named_buffers())
    return {name: tensor for name, tensor in tensors if id(tensor) not in own}


def _shapes(tensors: dict[str, Tensor]) -> set[tuple[str, torch.Size]]:
    return {(name, tensor.shape) for name, tensor in tensors.items()}


def pack(samples: Tensor, size: int) -> Tensor:
    """Stack every `size` consecutive samples into one, side by side or channel upon channel.

    A discriminator of packs sees several samples of one kind at once, so that missing variety shows.

    Args:
        samples: independent ones, shape (n, d) or (n, channels, height, width).
        size: samples in a pack.

    Returns:
        (n/size, size * d) or (n/size, size * channels, height, width).

    Raises:
        ValueError: a batch that is not a whole number of packs.

    Source: Lin, Khetan, Fanti and Oh 2018 (PacGAN).
    """
    if samples.ndim < 2 or size < 1 or len(samples) % size:
        raise ValueError(
            f"Packs of {size} need samples of shape (n, c, ...) with n a multiple of {size}; got "
            f"{tuple(samples.shape)}."
        )
    return samples.reshape(len(samples) // size, size * samples.shape[1], *samples.shape[2:])


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}.")


def _resolutions(image_size: int, width: int) -> tuple[int, list[int]]:
    """Side of the smallest feature map, and channels from there up to the full resolution."""
    halvings = {8: 1, 16: 2, 28: 2, 32: 3}.get(image_size)
    if halvings is None:
        raise ValueError(f"These networks are for images of 8, 16, 28 or 32 pixels; got {image_size}.")
    return image_size >> halvings, [width << level for level in reversed(range(halvings + 1))]


def _preserving(
    layer: nn.Linear | nn.Conv2d, *, after_leaky: bool = False, gain: float = 1.0
) -> nn.Linear | nn.Conv2d:
    """Start a layer so that it multiplies the root mean square of its input by `gain`, on average.

    after_leaky: the input has just lost some to a LeakyReLU, which the layer makes up for.
    """
    if after_leaky:
        gain = gain / _LEAKY_RMS
    nn.init.normal_(layer.weight, 0.0, gain * layer.weight[0].numel() ** -0.5)
    nn.init.zeros_(layer.bias)
    return layer


def _start_small(network: nn.Sequential) -> nn.Sequential:
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
