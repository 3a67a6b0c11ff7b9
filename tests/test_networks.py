import pytest
import torch
from torch import nn

from gancourse.networks import count_parameters, dcgan, gradient_norm, mlp


def test_mlp_has_an_activation_after_every_layer_but_the_last():
    network = mlp((2, 5, 7, 1), nn.Tanh)
    assert [type(layer).__name__ for layer in network] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    assert count_parameters(network) == 2 * 5 + 5 + 5 * 7 + 7 + 7 + 1
    assert network(torch.zeros(4, 2)).shape == (4, 1)


@pytest.mark.parametrize("sizes", [(3,), (), (2, 0, 1)])
def test_mlp_rejects_what_is_no_network(sizes):
    with pytest.raises(ValueError, match="at least two positive sizes"):
        mlp(sizes)


@pytest.mark.parametrize("size", [8, 16, 28, 32])
def test_dcgan_maps_noise_to_images_and_images_to_logits(size):
    generator, discriminator = dcgan(size, latent_dim=5, width=4)
    images = generator(torch.randn(3, 5))
    assert images.shape == (3, 1, size, size)
    assert images.abs().max() <= 1
    assert discriminator(images).shape == (3,)


def test_dcgan_starts_from_the_stated_laws():
    torch.manual_seed(0)
    for network in dcgan(28, width=32):
        network.requires_grad_(False)
        for module in network.modules():
            if (
                isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
                and module.weight.numel() > 2000
            ):
                count = module.weight.numel()
                assert abs(module.weight.mean()) < 4 * 0.02 / count**0.5
                assert module.weight.std() == pytest.approx(0.02, rel=4 / (2 * count) ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean() == pytest.approx(1, abs=0.02)
            if getattr(module, "bias", None) is not None:
                assert (module.bias == 0).all()


def test_dcgan_discriminator_has_no_batch_norm_at_its_input():
    _, discriminator = dcgan(28)
    assert [type(layer).__name__ for layer in discriminator[:3]] == ["Conv2d", "LeakyReLU", "Conv2d"]


def test_dcgan_names_the_sizes_it_has():
    with pytest.raises(ValueError, match="8, 16, 28 or 32"):
        dcgan(30)


def test_gradient_norm_is_that_of_all_gradients_together():
    network = mlp((2, 3, 1))
    network(torch.ones(1, 2)).sum().backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm()
    assert gradient_norm(network) == pytest.approx(expected.item())
