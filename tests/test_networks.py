import copy
import inspect
from itertools import pairwise

import pytest
import torch
from torch import nn

from gancourse.networks import (
    ConditionalGenerator,
    MovingAverage,
    ProjectionDiscriminator,
    ResidualBlock,
    count_parameters,
    dcgan,
    dcgan_critic,
    gradient_norm,
    mlp,
    pack,
    resnet,
)
from gancourse.penalties import spectral_norm

SIZES = [8, 16, 28, 32]
DEVICES = pytest.mark.parametrize("device", ["cpu", "meta", *(["cuda"] if torch.cuda.is_available() else [])])


def test_mlp_has_an_activation_after_every_layer_but_the_last():
    network = mlp((2, 5, 7, 1), nn.Tanh)
    assert [type(layer).__name__ for layer in network] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    assert count_parameters(network) == 2 * 5 + 5 + 5 * 7 + 7 + 7 + 1
    assert network(torch.zeros(4, 2)).shape == (4, 1)


def test_mlp_starts_as_pytorch_starts_its_layers():
    torch.manual_seed(0)
    network = mlp((2, 5, 1))
    torch.manual_seed(0)
    for layer, plain in zip([network[0], network[2]], [nn.Linear(2, 5), nn.Linear(5, 1)], strict=True):
        assert torch.equal(layer.weight, plain.weight)
        assert torch.equal(layer.bias, plain.bias)


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
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                count = module.weight.numel()
                assert abs(module.weight.mean()) < 4 * 0.02 / count**0.5
                assert module.weight.std() == pytest.approx(0.02, rel=4 / (2 * count) ** 0.5)
            if getattr(module, "bias", None) is not None:
                assert (module.bias == 0).all()
        scales = [module.weight for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        scales = torch.cat(scales)
        assert abs(scales.mean() - 1) < 4 * 0.02 / len(scales) ** 0.5
        assert scales.std() == pytest.approx(0.02, rel=4 / (2 * len(scales)) ** 0.5)


def test_layers_before_batch_norm_have_no_bias_and_all_others_have_one():
    for network in dcgan(28, width=4):
        layers = [layer for layer in network if not isinstance(layer, nn.Unflatten)]
        for layer, after in zip(layers, [*layers[1:], None], strict=True):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert (layer.bias is None) == isinstance(after, nn.BatchNorm2d)
    assert all(layer.bias is not None for layer in dcgan_critic(28, width=4) if hasattr(layer, "weight"))


@pytest.mark.parametrize("size", SIZES)
def test_widths_double_from_the_image_to_the_smallest_map(size):
    halvings = {8: 1, 16: 2, 28: 2, 32: 3}[size]
    widths = [4 << level for level in range(halvings + 1)]
    for make in (dcgan, resnet):
        generator, discriminator = make(size, latent_dim=5, width=4)
        batch_or_block = (nn.BatchNorm2d, ResidualBlock)
        up = [layer for layer in generator if isinstance(layer, batch_or_block)]
        found = [getattr(layer, "num_features", None) or layer.branch[1].in_channels for layer in up]
        assert found == widths[::-1]
        for network in (discriminator, dcgan_critic(size, width=4)):
            convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
            assert [layer.out_channels for layer in convolutions] == widths
            (logit,) = (layer for layer in network if isinstance(layer, nn.Linear))
            assert logit.in_features == widths[-1] * (size >> halvings) ** 2


@pytest.mark.parametrize("size", SIZES)
def test_the_critic_has_the_convolutions_of_the_discriminator(size):
    _, discriminator = dcgan(size, width=4)
    ours, theirs = (
        [layer for layer in network if isinstance(layer, nn.Conv2d)]
        for network in (dcgan_critic(size, width=4), discriminator)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert (one.kernel_size, one.stride, one.padding) == (other.kernel_size, other.stride, other.padding)


def test_images_end_in_a_tanh():
    for make in (dcgan, resnet):
        assert isinstance(make(8, width=4)[0][-1], nn.Tanh)


@pytest.mark.parametrize("make", [dcgan, dcgan_critic, resnet])
@pytest.mark.parametrize("name", ["latent_dim", "width", "channels", "packing"])
def test_networks_of_nothing_are_refused(make, name):
    if name not in inspect.signature(make).parameters:
        return
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be at least 1; got {size}"):
            make(8, **{name: size})


def test_dcgan_discriminator_has_no_batch_norm_at_its_input():
    _, discriminator = dcgan(28)
    assert [type(layer).__name__ for layer in discriminator[:3]] == ["Conv2d", "LeakyReLU", "Conv2d"]


@pytest.mark.parametrize("size", SIZES)
def test_dcgan_follows_the_rules_of_dcgan(size):
    generator, discriminator = dcgan(size)
    kinds = [[type(layer) for layer in network] for network in (generator, discriminator)]
    weights = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    allowed = {*weights, nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Flatten, nn.Unflatten}
    assert {kind for network in kinds for kind in network} <= allowed  # no pooling
    up, down = kinds

    halvings = {8: 1, 16: 2, 28: 2, 32: 3}[size]
    assert up.count(nn.ConvTranspose2d) == down.count(nn.Conv2d) - 1 == halvings
    for network in (generator, discriminator):
        strided = [layer for layer in network if getattr(layer, "stride", None) == (2, 2)]
        assert len(strided) == halvings
        assert all(layer.kernel_size == (4, 4) for layer in strided)  # a multiple of the stride

    assert [kind for kind in up if kind in weights][1:] == [nn.ConvTranspose2d] * halvings + [nn.Conv2d]
    assert [kind for kind in down if kind in weights][-1] is nn.Linear  # linear at the ends only
    assert down.count(nn.Linear) == up.count(nn.Linear) == 1

    assert up.count(nn.BatchNorm2d) == halvings + 1  # everywhere but at the output
    assert up[-2:] == [nn.Conv2d, nn.Tanh]
    assert down.count(nn.BatchNorm2d) == halvings  # everywhere but at the input
    assert nn.LeakyReLU not in up
    assert not {nn.ReLU, nn.Tanh} & set(down)
    assert up.count(nn.ReLU) == down.count(nn.LeakyReLU) == halvings + 1
    assert all(after is nn.LeakyReLU for before, after in pairwise(down) if before is nn.BatchNorm2d)
    assert all(layer.negative_slope == 0.2 for layer in discriminator if isinstance(layer, nn.LeakyReLU))
    for layer, after in zip(generator, list(generator)[1:], strict=False):
        assert isinstance(after, nn.ReLU) or not isinstance(layer, nn.BatchNorm2d)


@pytest.mark.parametrize("make", [dcgan, dcgan_critic, resnet])
def test_images_of_other_sizes_are_refused(make):
    with pytest.raises(ValueError, match="8, 16, 28 or 32"):
        make(30)


@pytest.mark.parametrize("size", SIZES)
def test_resnet_and_critic_map_noise_to_images_and_images_to_logits(size):
    torch.manual_seed(0)
    generator, discriminator = resnet(size, latent_dim=5, width=4, channels=3)
    images = generator(torch.randn(2, 5))
    assert images.shape == (2, 3, size, size)
    assert 0.1 < images.std() < 1
    assert images.abs().max() <= 1
    for network in (discriminator, dcgan_critic(size, width=4, channels=3)):
        logits = network(images)
        assert logits.shape == (2,)
        assert logits[0] != logits[1]


@pytest.mark.parametrize("make", [resnet, dcgan])
def test_each_pixel_and_each_latent_number_counts(make):
    torch.manual_seed(0)
    generator, discriminator = make(28, latent_dim=6, width=4)
    z = torch.randn(3, 6, requires_grad=True)
    images = generator(z)
    images.retain_grad()
    discriminator(images).square().sum().backward()
    assert (images.grad != 0).all()
    assert (z.grad != 0).all()


def test_resnet_and_critic_have_no_normalisation():
    generator, discriminator = resnet(32)
    normalisation = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    for network in (generator, discriminator, dcgan_critic(32)):
        assert not any(isinstance(module, normalisation) for module in network.modules())


def mean_squares(network, x):
    """Mean square after each top-level layer that has weights of its own."""
    found = []
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.Linear | nn.Conv2d | ResidualBlock):
            found.append(x.square().mean().item())
    return found


@pytest.mark.parametrize("size", SIZES)
def test_a_signal_keeps_its_mean_square_through_a_fresh_resnet(size):
    """Averaged over 80 draws of the weights, within four standard errors of what is stated.

    Zero padding in a 3x3 layer takes 2 of the 3 size places along each axis.
    """
    torch.manual_seed(0)
    z, images = (x / x.square().mean().sqrt() for x in (torch.randn(8, 64), torch.randn(8, 1, size, size)))
    draws = []
    with torch.no_grad():
        for _ in range(80):
            generator, discriminator = resnet(size, width=8)
            draws.append(mean_squares(generator, z) + mean_squares(discriminator, images))
    draws = torch.tensor(draws)
    border = ((3 * size - 2) / (3 * size)) ** 2
    inside = len(mean_squares(generator, z)) - 1
    expected = torch.tensor([1.0] * inside + [border] * (draws.shape[1] - inside))
    standard_errors = draws.std(0) / 80**0.5
    assert ((draws.mean(0) - expected).abs() < 4 * standard_errors).all()
    assert (standard_errors < 0.12).all()  # so a factor of two, such as a forgotten gain, would show


def test_a_residual_block_starts_as_the_identity_and_does_not_stay_it():
    torch.manual_seed(0)
    block, x = ResidualBlock(6, blocks=3), torch.randn(4, 6, 5, 5)
    assert torch.equal(block(x), x)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        block(x).pow(3).sum().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())
    assert not torch.allclose(block(x), x)


def test_a_residual_block_is_the_formula_it_states():
    torch.manual_seed(0)
    block, x = ResidualBlock(3, blocks=2), torch.randn(2, 3, 5, 5)
    first, second = (layer for layer in block.branch if isinstance(layer, nn.Conv2d))
    nn.init.normal_(second.weight)

    def leaky(t):
        return torch.where(t > 0, t, 0.2 * t)

    torch.testing.assert_close(block(x), x + second(leaky(first(leaky(x)))))


def test_the_blocks_of_a_resnet_share_the_growth():
    torch.manual_seed(0)
    for network in resnet(28, width=32):
        blocks = [layer for layer in network if isinstance(layer, ResidualBlock)]
        assert len(blocks) == 3
        for block in blocks:
            weight = block.branch[1].weight.detach()
            expected = (2 / 1.04 / weight[0].numel() / 3) ** 0.5
            assert weight.std() == pytest.approx(expected, rel=4 / (2 * weight.numel()) ** 0.5)


def test_the_first_convolution_of_a_block_has_the_stated_law():
    torch.manual_seed(0)
    for blocks in (1, 3):
        block = ResidualBlock(64, blocks).requires_grad_(False)
        first, second = (layer for layer in block.branch if isinstance(layer, nn.Conv2d))
        expected = (2 / 1.04 / (64 * 9) / blocks) ** 0.5
        assert first.weight.std() == pytest.approx(expected, rel=4 / (2 * first.weight.numel()) ** 0.5)
        assert first.weight.mean().abs() < 4 * expected / first.weight.numel() ** 0.5
        assert not any(tensor.any() for tensor in (first.bias, second.weight, second.bias))


def test_resnet_and_critic_start_from_the_stated_laws():
    torch.manual_seed(0)
    generator, discriminator = resnet(28, width=48)
    for network in (generator, discriminator, dcgan_critic(28, width=48)):
        before = None
        for layer in network.requires_grad_(False):
            if isinstance(layer, nn.Linear | nn.Conv2d):
                variance = (2 / 1.04 if before is nn.LeakyReLU else 1) / layer.weight[0].numel()
                count = layer.weight.numel()
                assert layer.weight.std() == pytest.approx(variance**0.5, rel=4 / (2 * count) ** 0.5)
                assert layer.weight.mean().abs() < 4 * (variance / count) ** 0.5
                assert not layer.bias.any()
            if not isinstance(layer, nn.Flatten):
                before = type(layer)


def test_doubling_after_a_pointwise_convolution_is_the_same_as_before():
    torch.manual_seed(0)
    up, convolution, x = nn.Upsample(scale_factor=2), nn.Conv2d(3, 2, 1), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(up(convolution(x)), convolution(up(x)))


def test_a_packed_discriminator_sees_the_images_of_a_pack():
    _, discriminator = dcgan(8, width=4, channels=3, packing=2)
    assert discriminator(pack(torch.zeros(6, 3, 8, 8), 2)).shape == (3,)


def test_packs_hold_consecutive_samples_side_by_side():
    points = torch.arange(12.0).reshape(6, 2)
    assert pack(points, 3).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    images = torch.randn(6, 3, 4, 4)
    packed = pack(images, 2)
    assert packed.shape == (3, 6, 4, 4)
    assert torch.equal(packed[1, :3], images[2])
    assert torch.equal(packed[1, 3:], images[3])
    assert torch.equal(pack(images, 1), images)


@pytest.mark.parametrize(("shape", "size"), [((5, 2), 2), ((6, 2), 0), ((6,), 2)])
def test_what_makes_no_whole_packs_is_refused(shape, size):
    with pytest.raises(ValueError, match="n a multiple of"):
        pack(torch.zeros(shape), size)


def test_a_conditional_generator_joins_z_and_the_embedding_of_the_label():
    torch.manual_seed(0)
    inner = mlp((5, 8, 2))
    generator = ConditionalGenerator(inner, classes=4, embedding_dim=2)
    z, labels = torch.randn(3, 3), torch.tensor([3, 0, 3])
    by_hand = torch.stack([inner(torch.cat([z[k], generator.embedding.weight[labels[k]]])) for k in range(3)])
    torch.testing.assert_close(generator(z, labels), by_hand)
    generator(z, labels).sum().backward()
    assert generator.embedding.weight.grad.abs().sum(1).gt(0).tolist() == [True, False, False, True]


def test_embeddings_start_from_the_stated_laws():
    torch.manual_seed(0)
    rows = ConditionalGenerator(mlp((100, 1)), 200, 64).embedding.weight.detach()
    assert rows.std() == pytest.approx(1, rel=4 / (2 * rows.numel()) ** 0.5)
    rows = ProjectionDiscriminator(mlp((2, 64, 1)), 200).embedding.weight.detach()
    assert rows.std() == pytest.approx(1 / 8, rel=4 / (2 * rows.numel()) ** 0.5)


@pytest.mark.parametrize(
    "discriminator", [mlp((64, 8, 1)), dcgan(8, width=4)[1], dcgan_critic(8, width=4), resnet(8, width=4)[1]]
)
def test_a_projection_discriminator_adds_the_inner_product_with_the_label_s_row(discriminator):
    torch.manual_seed(0)
    x = torch.randn(5, 64) if isinstance(discriminator[0], nn.Linear) else torch.randn(5, 1, 8, 8)
    labels = torch.tensor([0, 2, 1, 2, 0])
    plain = discriminator.eval()(x).detach()
    conditional = ProjectionDiscriminator(discriminator, classes=3)
    features = conditional.features(x)
    by_hand = [plain[k].item() + conditional.embedding.weight[labels[k]] @ features[k] for k in range(5)]
    torch.testing.assert_close(conditional(x, labels), torch.stack(by_hand))
    assert count_parameters(conditional) == count_parameters(discriminator) + 3 * features.shape[1]


def test_a_projection_discriminator_can_be_spectrally_normalised():
    torch.manual_seed(0)
    discriminator = spectral_norm(ProjectionDiscriminator(dcgan_critic(8, width=4), classes=3))
    for _ in range(300):
        discriminator(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64))
    assert torch.linalg.matrix_norm(discriminator.embedding.weight, 2).item() == pytest.approx(1, abs=1e-3)


CONDITIONAL = [ConditionalGenerator(mlp((5, 2)), 4, 2), ProjectionDiscriminator(mlp((3, 8, 1)), 4)]


@pytest.mark.parametrize("network", CONDITIONAL, ids=lambda network: type(network).__name__)
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor(1), r"integers of shape \(8,\); got torch.int64 of shape \(\)"),
        (torch.tensor([1]), r"integers of shape \(8,\); got torch.int64 of shape \(1,\)"),
        (torch.zeros(8, 1, dtype=torch.int64), r"got torch.int64 of shape \(8, 1\)"),
        (torch.zeros(8), r"got torch.float32 of shape \(8,\)"),
        (torch.arange(8), "Labels of 4 classes go from 0 to 3; got 0 to 7"),
        (torch.arange(8) % 4 - 1, "Labels of 4 classes go from 0 to 3; got -1 to 2"),
    ],
    ids=["none", "one", "column", "float", "large", "negative"],
)
def test_labels_that_are_not_one_class_a_sample_are_refused(network, labels, message):
    with pytest.raises(ValueError, match=message):
        network(torch.zeros(8, 3), labels)


def test_a_projection_looks_for_the_last_linear_layer_behind_all_that_flattens():
    network = ProjectionDiscriminator(nn.Sequential(nn.Linear(2, 1), nn.Flatten(), nn.Flatten(0)), 3)
    assert network(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)).shape == (4,)


@pytest.mark.parametrize(
    "network", [nn.Linear(2, 1), mlp((2, 3)), nn.Sequential(), nn.Sequential(nn.Linear(2, 1), nn.Tanh())]
)
def test_a_projection_needs_a_last_linear_layer(network):
    with pytest.raises(ValueError, match="ends with a Linear layer to one logit"):
        ProjectionDiscriminator(network, 3)


@DEVICES
def test_networks_work_where_they_are_moved(device):
    labels = torch.zeros(4, dtype=torch.int64, device=device)
    for make in (dcgan, resnet):
        generator, discriminator = (network.to(device) for network in make(28, latent_dim=6, width=4))
        z = torch.randn(4, 6, device=device)
        assert discriminator(generator(z)).device.type == device
        average = MovingAverage(generator)
        average.update(generator)
        assert average(z).device.type == device
        conditional = ConditionalGenerator(generator, 3, 2).to(device)
        projection = ProjectionDiscriminator(discriminator, 3).to(device)
        assert projection(conditional(z[:, :4], labels), labels).shape == (4,)


def moving_weight(network, value):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(value)


def test_a_moving_average_takes_labels_by_name_like_the_original():
    generator = ConditionalGenerator(mlp((5, 2)), 4, 2)
    z, labels = torch.randn(3, 3), torch.arange(3)
    assert torch.equal(MovingAverage(generator)(z, labels=labels), generator(z, labels=labels))


def test_a_moving_average_is_the_recursion_it_states():
    network = nn.Linear(2, 1, bias=False).double()
    moving_weight(network, 5.0)
    average, expected = MovingAverage(network, decay=0.7), 5.0
    for n in range(60):
        value = float(n * n % 11)
        moving_weight(network, value)
        average.update(network)
        decay = min(0.7, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
        # The decay itself is kept in float32.
        assert average.network.weight[0, 0].item() == pytest.approx(expected, rel=1e-6)
    assert average.updates == 60


def test_a_moving_average_forgets_its_random_start_in_a_short_run():
    network = nn.Linear(2, 1, bias=False)
    moving_weight(network, 1.0)
    average = MovingAverage(network, decay=0.999)
    moving_weight(network, 0.0)
    for _ in range(50):
        average.update(network)
    assert average.network.weight.abs().max() < 1e-9


def test_a_moving_average_averages_batch_norm_statistics_and_copies_counts():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    average = MovingAverage(network, decay=0.5)
    mean, variance = torch.zeros(3).double(), torch.ones(3).double()
    for n in range(30):
        network(3 + 2 * torch.randn(64, 2).double())
        average.update(network)
        decay = min(0.5, (1 + n) / (10 + n))
        mean = torch.lerp(network[1].running_mean, mean, decay)
        variance = torch.lerp(network[1].running_var, variance, decay)
    torch.testing.assert_close(average.network[1].running_mean, mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(average.network[1].running_var, variance, rtol=1e-6, atol=0)
    assert average.network[1].num_batches_tracked == network[1].num_batches_tracked == 30
    assert not torch.allclose(mean, network[1].running_mean)


def test_a_moving_average_changes_nothing_but_itself_and_is_not_changed_by_sampling():
    torch.manual_seed(0)
    generator, _ = dcgan(8, latent_dim=3, width=4)
    average = MovingAverage(generator)
    generator(torch.randn(4, 3)).sum().backward()
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter += 0.1
    before = copy.deepcopy(generator.state_dict())
    average.update(generator)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert generator.training
    assert all(parameter.requires_grad for parameter in generator.parameters())

    kept = copy.deepcopy(average.state_dict())
    images = average(torch.randn(4, 3))
    assert not images.requires_grad
    assert all(torch.equal(value, kept[name]) for name, value in average.state_dict().items())
    assert count_parameters(average) == 0


def test_a_moving_average_continues_from_a_checkpoint_as_if_it_had_not_stopped():
    torch.manual_seed(0)
    network = mlp((2, 3, 1))
    average, resumed = MovingAverage(network), MovingAverage(mlp((2, 3, 1)))
    for step in range(20):
        if step == 10:
            resumed.load_state_dict(average.state_dict())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += torch.randn_like(parameter)
        for each in (average, resumed):
            each.update(network)
    for one, other in zip(average.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_moving_average_follows_a_single_number():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.0))

    network = Scale()
    average = MovingAverage(network, decay=0.5)
    moving_weight(network, 1.0)
    average.update(network)
    assert average.network.scale.item() == pytest.approx(0.9)


def test_a_moving_average_keeps_count_in_its_state():
    network = mlp((2, 1))
    average, resumed = MovingAverage(network), MovingAverage(network)
    for _ in range(7):
        average.update(network)
    resumed.load_state_dict(average.state_dict())
    assert resumed.updates == average.state_dict()["updates"] == 7


def test_a_moving_average_stays_in_evaluation_mode():
    torch.manual_seed(0)
    average = MovingAverage(dcgan(8, latent_dim=3, width=4)[0])
    kept = copy.deepcopy(average.state_dict())
    assert average.train() is average
    average(torch.randn(4, 3))
    assert not any(module.training for module in average.modules())
    assert all(torch.equal(value, kept[name]) for name, value in average.state_dict().items())


def test_a_moving_average_of_a_spectrally_normalised_network_is_one_too():
    torch.manual_seed(0)
    network = spectral_norm(mlp((8, 32, 32, 8)))
    average, expected = MovingAverage(network, decay=0.99), copy.deepcopy(network[0].parametrizations.weight)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for n in range(300):
        x = torch.randn(64, 8)
        optimizer.zero_grad()
        (network(x) - 3 * x.roll(1, 1)).square().mean().backward()
        optimizer.step()
        average.update(network)
        decay = min(0.99, (1 + n) / (10 + n))
        expected.original.data.lerp_(network[0].parametrizations.weight.original.data, 1 - decay)
    torch.testing.assert_close(average.network[0].parametrizations.weight.original, expected.original)
    for _ in range(300):  # the original at rest, the estimates become exact
        average.update(network)
    for layer in average.network[::2]:
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-3)
        for vector in layer.parametrizations.weight.buffers():
            assert vector.norm().item() == pytest.approx(1)
    x = torch.randn(64, 8)
    torch.testing.assert_close(average(x), network.eval()(x), rtol=0, atol=0.5)


@pytest.mark.parametrize(
    ("other", "names"),
    [
        (nn.Linear(1, 2), r"\['weight'\]"),  # would broadcast
        (nn.Linear(3, 2, bias=False), r"\['bias'\]"),
        (nn.Sequential(nn.Linear(3, 2)), r"\['0.bias', '0.weight', 'bias', 'weight'\]"),
        (spectral_norm(nn.Linear(3, 2)), r"\['parametrizations.weight.original', 'weight'\]"),
    ],
)
def test_a_moving_average_of_another_network_is_refused_and_left_as_it_was(other, names):
    average = MovingAverage(nn.Linear(3, 2))
    kept = copy.deepcopy(average.state_dict())
    with pytest.raises(ValueError, match=f"differs in {names}"):
        average.update(other)
    assert all(torch.equal(value, kept[name]) for name, value in average.state_dict().items())


def test_a_network_without_numbers_has_no_average():
    with pytest.raises(ValueError, match="no parameters and no buffers"):
        MovingAverage(nn.ReLU())


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_a_moving_average_that_would_not_follow_is_refused(decay):
    with pytest.raises(ValueError, match="decay in"):
        MovingAverage(mlp((2, 1)), decay)


def test_gradient_norm_is_that_of_all_gradients_together():
    network = mlp((2, 3, 1))
    network(torch.ones(1, 2)).sum().backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm()
    assert gradient_norm(network) == pytest.approx(expected.item())
