import copy
from functools import partial

import pytest
import torch
from scipy import stats
from torch import nn

from gancourse.networks import ProjectionDiscriminator, dcgan, dcgan_critic, mlp, resnet
from gancourse.penalties import (
    clip_weights,
    gradient_penalty,
    input_gradients,
    spectral_norm,
    zero_centered_penalty,
)

DEVICES = pytest.mark.parametrize("device", ["cpu", "meta", *(["cuda"] if torch.cuda.is_available() else [])])


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Quadratic(nn.Module):
    """x -> x.A x/2 + b.x on flattened inputs; its gradient is A x + b."""

    def __init__(self, dim):
        super().__init__()
        half = normal(dim, dim, seed=5)
        self.A = nn.Parameter(half + half.T)
        self.b = nn.Parameter(normal(dim, seed=6))

    def forward(self, x):
        x = x.flatten(1)
        return ((x @ self.A) * x).sum(1) / 2 + x @ self.b

    def slope(self, x):
        return (x.flatten(1) @ self.A + self.b).detach()


def test_input_gradients_are_those_of_each_example():
    critic, x = Quadratic(12), normal(5, 3, 2, 2).requires_grad_()
    for logits in (critic(x), critic(x)[:, None]):
        torch.testing.assert_close(input_gradients(logits, x).detach(), critic.slope(x))


def test_input_gradients_agree_with_finite_differences():
    torch.manual_seed(0)
    network = mlp((4, 16, 1), nn.Softplus).double()
    x, h = normal(3, 4).requires_grad_(), 1e-6
    by_difference = torch.stack(
        [(network(x + h * step) - network(x - h * step))[:, 0] / (2 * h) for step in torch.eye(4).double()],
        dim=1,
    )
    torch.testing.assert_close(input_gradients(network(x), x), by_difference, atol=1e-8, rtol=0)


def test_r1_and_r2_are_half_gamma_times_the_mean_of_squared_norms():
    critic = Quadratic(12)
    for seed, gamma in ((1, 1.0), (2, 0.3), (3, 10.0), (4, 0.0)):
        x = normal(7, 3, 2, 2, seed=seed).requires_grad_()
        expected = gamma / 2 * (critic.slope(x) ** 2).sum(1).mean()
        assert zero_centered_penalty(critic(x), x, gamma).item() == pytest.approx(expected.item())


def test_the_wgan_penalty_of_a_linear_critic_knows_no_place():
    w = normal(12)
    real, fake = normal(7, 3, 2, 2, seed=1), normal(7, 3, 2, 2, seed=2)
    for weight in (10.0, 0.5):
        penalty = gradient_penalty(lambda x: x.flatten(1) @ w, real, fake, weight)
        assert penalty == pytest.approx(weight * (w.norm().item() - 1) ** 2)
    assert gradient_penalty(lambda x: x.flatten(1) @ w, real, fake) == pytest.approx(
        10 * (w.norm().item() - 1) ** 2
    )


class Recorder(nn.Module):
    """A critic that keeps the points it was shown."""

    def __init__(self, critic):
        super().__init__()
        self.critic = critic

    def forward(self, x):
        self.seen = x.detach().clone()
        return self.critic(x)


def test_the_wgan_penalty_is_the_mean_over_examples_of_their_own_norms():
    critic = Recorder(Quadratic(12))
    real, fake = normal(7, 3, 2, 2, seed=1), normal(7, 3, 2, 2, seed=2)
    penalty = gradient_penalty(critic, real, fake, 2.0, torch.Generator().manual_seed(0)).item()
    norms = critic.critic.slope(critic.seen).norm(dim=1)
    assert penalty == pytest.approx(2 * ((norms - 1) ** 2).mean().item())
    for wrong in (critic.critic.slope(critic.seen).norm(), norms.mean()):
        assert penalty != pytest.approx(2 * (wrong.item() - 1) ** 2, rel=0.05)


def test_points_lie_on_the_segments_at_one_uniform_place_each():
    critic = Recorder(Quadratic(12))
    real, fake = normal(4000, 3, 2, 2, seed=1), normal(4000, 3, 2, 2, seed=2)
    gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(3))
    place = ((critic.seen - real) / (fake - real)).flatten(1)
    torch.testing.assert_close(place, place[:, :1].expand_as(place), atol=1e-6, rtol=0)
    place = place[:, 0].numpy()
    assert place.min() >= 0
    assert place.max() <= 1
    assert stats.kstest(place, "uniform").pvalue > 1e-3  # one fixed seed; a normal or a constant gives 0


def test_the_same_generator_gives_the_same_places():
    critic, real, fake = Quadratic(4), normal(5, 4, seed=1), normal(5, 4, seed=2)
    first, again, other = (
        gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert first == again != other


def penalties_of(critic, real, fake):
    """Every penalty as a scalar function of the critic's weights, for one draw of places."""
    yield gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(0))
    for samples in (real, fake):
        samples = samples.clone().requires_grad_()
        yield zero_centered_penalty(critic(samples), samples, 3.0)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_gradients_in_the_weights_agree_with_finite_differences(which):
    torch.manual_seed(0)
    network = mlp((3, 5, 1), nn.Tanh).double()
    names = [name for name, _ in network.named_parameters()]
    real, fake = normal(4, 3, seed=1), normal(4, 3, seed=2)

    def penalty(*weights):
        def critic(x):
            return torch.func.functional_call(network, dict(zip(names, weights, strict=True)), (x,))

        return list(penalties_of(critic, real, fake))[which]

    weights = tuple(parameter.detach().clone().requires_grad_() for parameter in network.parameters())
    assert torch.autograd.gradcheck(penalty, weights)
    assert torch.autograd.gradgradcheck(penalty, weights)


def test_a_larger_batch_of_the_same_examples_has_the_same_penalty():
    critic, x = Quadratic(4), normal(6, 4)
    twice = x.repeat(2, 1).requires_grad_()
    x.requires_grad_()
    once = zero_centered_penalty(critic(x), x, 1.0).item()
    assert zero_centered_penalty(critic(twice), twice, 1.0).item() == pytest.approx(once)


def snapshot(network):
    return copy.deepcopy(network.state_dict())


def unchanged(network, before):
    return all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_computing_a_penalty_changes_nothing():
    torch.manual_seed(0)
    generator, critic = mlp((3, 8, 4)), mlp((4, 8, 1))
    real, z = normal(6, 4, dtype=torch.float32), normal(6, 3, dtype=torch.float32)
    fake, before = generator(z), snapshot(critic)
    list(penalties_of(critic, real, fake.detach()))
    assert unchanged(critic, before)
    assert all(parameter.grad is None for parameter in (*critic.parameters(), *generator.parameters()))
    assert real.grad is None
    assert not real.requires_grad


def test_no_gradient_reaches_the_generator_through_the_wgan_penalty():
    torch.manual_seed(0)
    generator, critic = mlp((3, 8, 4)), mlp((4, 8, 1))
    fake = generator(normal(6, 3, dtype=torch.float32))
    gradient_penalty(critic, normal(6, 4, dtype=torch.float32), fake).backward()
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert critic[0].weight.grad.abs().sum() > 0


def test_a_critic_without_slope_has_finite_gradients():
    critic = mlp((4, 8, 1)).double()
    nn.init.constant_(critic[0].bias, -100.0)  # every ReLU is dead
    nn.init.zeros_(critic[2].bias)
    real, fake = normal(6, 4, seed=1), normal(6, 4, seed=2)
    wgan, r1, r2 = penalties_of(critic, real, fake)
    assert (wgan.item(), r1.item(), r2.item()) == (10, 0, 0)
    (wgan + r1 + r2).backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in critic.parameters())


def test_labels_ride_along():
    critic = Quadratic(4)
    labels = torch.tensor([0.5, 1, 2, 3, 4], dtype=torch.float64)
    real, fake = normal(5, 4, seed=1), normal(5, 4, seed=2)
    with_labels = gradient_penalty(lambda x: critic(x) * labels, real, fake)
    assert with_labels != gradient_penalty(critic, real, fake)


@DEVICES
def test_penalties_live_where_the_data_live(device):
    for critic in (dcgan_critic(8, width=4).to(device), resnet(8, width=4)[1].to(device)):
        real, fake = (torch.zeros(6, 1, 8, 8, device=device) for _ in range(2))
        assert gradient_penalty(critic, real, fake).device.type == device
        real.requires_grad_()
        zero_centered_penalty(critic(real), real, 1.0).backward()
        clip_weights(critic, 0.01)


def test_batch_norm_has_no_gradient_per_example():
    """Why penalties refuse it: the logit of one example moves with the others."""
    torch.manual_seed(0)
    (_, with_norm), without = dcgan(8, width=4), dcgan_critic(8, width=4)
    x = torch.randn(6, 1, 8, 8, requires_grad=True)
    for network, tied in ((with_norm, True), (without, False)):
        (gradient,) = torch.autograd.grad(network(x)[0], x)
        assert (gradient[1:].abs().sum() > 1e-6) == tied
    real, fake = torch.randn(2, 6, 1, 8, 8)
    with pytest.raises(ValueError, match="batch norm, which ties"):
        gradient_penalty(with_norm, real, fake)
    gradient_penalty(with_norm.eval(), real, fake)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm1d(8),
        nn.BatchNorm1d(8, track_running_stats=False).eval(),
        nn.LazyBatchNorm1d(),
        nn.SyncBatchNorm(8),
    ],
    ids=["1d", "no statistics", "lazy", "sync"],
)
def test_every_batch_norm_that_reads_the_batch_is_refused(norm):
    critic = nn.Sequential(nn.Linear(4, 8), norm, nn.Linear(8, 1))
    real, fake = torch.randn(2, 6, 4)
    for seen in (critic, critic.forward, partial(critic.forward)):
        with pytest.raises(ValueError, match="batch norm, which ties"):
            gradient_penalty(seen, real, fake)


def test_a_critic_with_labels_is_looked_into():
    torch.manual_seed(0)
    real, fake, labels = torch.randn(6, 1, 8, 8), torch.randn(6, 1, 8, 8), torch.arange(6) % 3
    tied, untied = (
        ProjectionDiscriminator(network, classes=3)
        for network in (dcgan(8, width=4)[1], dcgan_critic(8, width=4))
    )
    with pytest.raises(ValueError, match="batch norm, which ties"):
        gradient_penalty(partial(tied, labels=labels), real, fake)
    found, expected = (
        gradient_penalty(critic, real, fake, generator=torch.Generator().manual_seed(0))
        for critic in (partial(untied, labels=labels), lambda x: untied(x, labels))
    )
    assert found == expected


def test_bad_input_is_named():
    critic, x = Quadratic(4), normal(6, 4)
    with pytest.raises(ValueError, match="requires_grad_"):
        zero_centered_penalty(critic(x), x, 1.0)
    x.requires_grad_()
    with pytest.raises(ValueError, match="requires_grad_"):  # another tensor than D was called on
        zero_centered_penalty(critic(x.clone()), normal(6, 4).requires_grad_(), 1.0)
    with torch.no_grad(), pytest.raises(ValueError, match=r"torch\.no_grad"):
        zero_centered_penalty(critic(x), x, 1.0)
    with pytest.raises(ValueError, match="one logit"):
        input_gradients(critic(x).mean(), x)
    with pytest.raises(ValueError, match="one logit"):
        input_gradients(normal(6).requires_grad_(), normal(6).requires_grad_())
    with pytest.raises(ValueError, match=r"samples of shape \(\)"):
        input_gradients(normal(6).requires_grad_(), torch.zeros((), requires_grad=True))
    with pytest.raises(ValueError, match=r"shape \(n, \.\.\.\); got \(\)"):
        gradient_penalty(critic, torch.zeros(()), torch.zeros(()))
    with pytest.raises(ValueError, match=r"one type; got torch\.float64 and torch\.float32"):
        gradient_penalty(critic, normal(6, 4), normal(6, 4).float())
    with pytest.raises(ValueError, match="gamma"):
        zero_centered_penalty(critic(x), x, -1.0)
    for weight in (float("inf"), -0.1):
        with pytest.raises(ValueError, match="finite weight of at least 0"):
            gradient_penalty(critic, normal(6, 4), normal(6, 4), weight)
    empty = torch.zeros(0, 4, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="n > 0 samples"):
        zero_centered_penalty(critic(empty), empty, 1.0)
    with pytest.raises(ValueError, match="n > 0 samples"):
        gradient_penalty(critic, empty, empty)
    with pytest.raises(ValueError, match=r"floating point; got torch\.int64"):
        gradient_penalty(critic, torch.zeros(6, 4, dtype=torch.int64), torch.zeros(6, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match="weight"):
        gradient_penalty(critic, normal(6, 4), normal(6, 4), float("nan"))
    with pytest.raises(ValueError, match="same shape"):
        gradient_penalty(critic, normal(6, 4), normal(5, 4))


def test_clipping_bounds_every_parameter_and_moves_no_other():
    torch.manual_seed(0)
    network = mlp((3, 50, 1))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    clip_weights(network, 0.1)
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(new.detach(), old.clamp(-0.1, 0.1), rtol=0, atol=0)
        assert new.grad is None
        assert new.requires_grad
    assert any((old.abs() > 0.1).any() for old in before)
    for bound in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="positive finite bound"):
            clip_weights(network, bound)


def largest_singular_value(layer):
    return torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()


def test_spectral_norm_brings_every_weight_matrix_to_norm_one():
    torch.manual_seed(0)
    network = dcgan_critic(8, width=4).double()
    assert spectral_norm(network) is network
    for _ in range(300):
        network(torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    layers = [layer for layer in network if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(layers) == 3
    for layer in layers:
        assert largest_singular_value(layer) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "sizes", "out"),
    [
        (nn.Conv1d, (3,), 0),
        (nn.Conv3d, (3,), 0),
        (nn.ConvTranspose1d, (4, 2, 1), 1),
        (nn.ConvTranspose2d, (4, 2, 1), 1),
        (nn.ConvTranspose3d, (4, 2, 1), 1),
    ],
)
def test_the_matrix_of_every_convolution_has_its_outputs_as_rows(make, sizes, out):
    torch.manual_seed(0)
    layer = make(2, 3, *sizes)
    network = spectral_norm(nn.Sequential(layer)).double()
    x = torch.zeros(1, 2, *(4,) * (layer.weight.dim() - 2), dtype=torch.float64)
    for _ in range(300):
        network(x)
    matrix = layer.weight.detach().movedim(out, 0).flatten(1)
    assert matrix.shape[0] == 3
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-6)


def test_a_forward_pass_makes_one_step_of_the_power_method():
    torch.manual_seed(0)
    network = spectral_norm(nn.Sequential(nn.Linear(6, 8))).double()
    parametrization = network[0].parametrizations.weight
    weight = parametrization.original.detach()
    parametrization[0]._v.copy_(nn.functional.normalize(normal(6), dim=0))
    u = nn.functional.normalize(weight @ parametrization[0]._v, dim=0)
    v = nn.functional.normalize(weight.T @ u, dim=0)
    network(normal(1, 6))
    torch.testing.assert_close(parametrization[0]._u, u)
    torch.testing.assert_close(parametrization[0]._v, v)


def test_spectral_norm_scales_up_the_smallest_weights_too():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8)).double()
    network[0].weight.data.mul_(1e-8)
    spectral_norm(network)
    for _ in range(300):
        network(normal(1, 6))
    assert largest_singular_value(network[0]) == pytest.approx(1, abs=1e-6)


def test_a_spectrally_normalised_perceptron_is_one_lipschitz_and_a_plain_one_is_not():
    for normalised in (True, False):
        torch.manual_seed(0)
        network = mlp((6, 32, 32, 1)).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(4)
        if normalised:
            spectral_norm(network)
        for _ in range(300):
            network(normal(1, 6))
        x = normal(500, 6).requires_grad_()
        steepest = input_gradients(network(x), x).norm(dim=1).max()
        assert steepest <= 1 + 1e-6 if normalised else steepest > 5


def test_a_normalised_convolution_stretches_by_no_more_than_stated():
    """At stride 1 and size 3 a pixel lies in 9 windows."""
    torch.manual_seed(0)
    network = spectral_norm(nn.Sequential(nn.Conv2d(2, 3, 3, 1, 1, bias=False))).double()
    for _ in range(300):
        network(torch.zeros(1, 2, 5, 5, dtype=torch.float64))
    matrix = torch.autograd.functional.jacobian(
        lambda x: network.eval()(x).flatten(), torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    ).flatten(1)
    assert 1 < torch.linalg.matrix_norm(matrix, 2) <= 3


def test_spectral_norm_moves_its_estimate_in_training_mode_only_and_no_weight_ever():
    torch.manual_seed(0)
    network = spectral_norm(mlp((6, 8, 1)))
    before = snapshot(network)
    network.eval()(torch.zeros(1, 6))
    assert unchanged(network, before)
    network.train()(torch.zeros(1, 6))
    moved = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert moved
    assert all(name.endswith(("_u", "_v")) for name in moved)


def test_spectral_norm_and_gradient_penalties_go_together():
    torch.manual_seed(0)
    network = spectral_norm(mlp((4, 8, 1)))
    x = torch.randn(5, 4, requires_grad=True)
    logits = network(x)
    loss = logits.mean() - network(torch.randn(5, 4)).mean() + zero_centered_penalty(logits, x, 1.0)
    loss.backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(8), "BatchNorm1d scales up"),
        (nn.BatchNorm1d(8).eval(), "BatchNorm1d scales up"),
        (nn.SyncBatchNorm(8), "SyncBatchNorm scales up"),
        (nn.InstanceNorm1d(8), "InstanceNorm1d scales up"),
        (nn.LayerNorm(8), "LayerNorm scales up"),
        (nn.GroupNorm(2, 8), "GroupNorm scales up"),
        (nn.RMSNorm(8), "RMSNorm scales up"),
        (nn.Bilinear(2, 2, 1), r"not 1\.weight of shape \(1, 2, 2\)"),
        (nn.RNN(8, 8), r"not 1\.weight_ih_l0 of shape \(8, 8\)"),
        (spectral_norm(nn.Linear(8, 8)), "apply spectral norm once"),
        (nn.LazyLinear(8), "LazyLinear has no shape yet"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_spectral_norm_refuses_what_it_cannot_bound_and_leaves_the_rest_as_it_was(layer, message):
    network = nn.Sequential(nn.Linear(4, 8), layer)
    with pytest.raises(ValueError, match=message):
        spectral_norm(network)
    assert not nn.utils.parametrize.is_parametrized(network[0])


def test_spectral_norm_needs_a_weight_matrix():
    with pytest.raises(ValueError, match="BatchNorm2d scales up"):
        spectral_norm(dcgan(8, width=4)[1])
    with pytest.raises(ValueError, match="this network has none"):
        spectral_norm(nn.Sequential(nn.ReLU()))


def test_a_network_whose_blocks_start_at_zero_has_no_spectral_norm():
    for network in resnet(8, width=4):
        with pytest.raises(ValueError, match="ResidualBlock starts so"):
            spectral_norm(network)
        assert not any(map(nn.utils.parametrize.is_parametrized, network.modules()))
