import copy

import pytest
import torch
from torch import nn

from gancourse import products
from gancourse.penalties import spectral_norm
from gancourse.products import LEAST, by_one_dnn, linear
from gancourse.training import State, run

pytestmark = pytest.mark.skipif(
    not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")),
    reason="this PyTorch has no oneDNN, so there is no second library to test",
)
BATCH, WIDE = 64, 512  # 64 * 512 * 512 multiplications are more than LEAST


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDE, WIDE), nn.LeakyReLU(0.2), nn.Linear(WIDE, WIDE, bias=False))


def penalised(model, x):
    """A loss with a derivative of second order, as a gradient penalty is."""
    out = model(x)
    (slope,) = torch.autograd.grad(out.tanh().sum(), x, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean() + out.square().mean()


def gradients(model, x):
    loss = penalised(model, x)
    return [loss.detach(), *torch.autograd.grad(loss, [x, *model.parameters()])]


@pytest.fixture
def calls(monkeypatch):
    """The sizes of what oneDNN multiplied."""
    seen = []
    forward = products._Linear.forward

    def counted(x, weight, bias):
        seen.append((*x.shape, weight.shape[0]))
        return forward(x, weight, bias)

    monkeypatch.setattr(products._Linear, "forward", staticmethod(counted))
    return seen


def test_values_and_derivatives_of_both_orders_are_right(calls):
    model, x = network(), torch.randn(BATCH, WIDE, generator=torch.Generator().manual_seed(1))
    with by_one_dnn([model]):
        found = gradients(model, x.clone().requires_grad_())
    assert calls
    exact = gradients(model.double(), x.double().requires_grad_())
    for ours, truth in zip(found, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - truth).abs().max() < 1e-5 * truth.abs().max() + 1e-9


def test_every_product_of_a_big_layer_is_the_other_librarys(calls):
    layer, x = nn.Linear(WIDE, 2 * WIDE), torch.randn(BATCH, WIDE, requires_grad=True)
    with by_one_dnn([layer]):
        layer(x).sum().backward()
    assert sorted(calls) == sorted(
        [(BATCH, WIDE, 2 * WIDE), (BATCH, 2 * WIDE, WIDE), (2 * WIDE, BATCH, WIDE)]
    )


def test_what_need_not_be_differentiated_is_not_multiplied(calls):
    layer, x = nn.Linear(WIDE, WIDE).requires_grad_(False), torch.randn(BATCH, WIDE, requires_grad=True)
    with by_one_dnn([layer]):
        layer(x).sum().backward()
    assert len(calls) == 2
    assert layer.weight.grad is None
    assert layer.bias.grad is None


@pytest.mark.parametrize(
    ("shape", "width", "dtype"),
    [
        ((BATCH, 64), 64, torch.float32),
        ((BATCH - 1, LEAST // BATCH // WIDE), WIDE, torch.float32),
        ((BATCH, WIDE), WIDE, torch.float64),
        ((2, BATCH, WIDE), WIDE, torch.float32),
    ],
    ids=["small", "just too small", "double", "three axes"],
)
def test_what_is_not_meant_stays_bit_for_bit(calls, shape, width, dtype):
    layer, x = nn.Linear(shape[-1], width, dtype=dtype), torch.randn(*shape, dtype=dtype)
    with by_one_dnn([layer]):
        inside = layer(x)
    assert not calls
    assert torch.equal(inside, layer(x))


def test_autocast_goes_first(calls):
    layer, x = nn.Linear(WIDE, WIDE), torch.randn(BATCH, WIDE)
    with by_one_dnn([layer]), torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert not calls


def test_the_layers_are_as_before_when_it_is_over(calls):
    model, x = network(), torch.randn(BATCH, WIDE)
    before = model(x)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), by_one_dnn([model, model[0]]):
        model(torch.cat([model(x), x], dim=1))
    assert len(calls) == 2
    assert torch.equal(model(x), before)
    assert all("forward" not in vars(layer) for layer in model.modules())
    assert len(calls) == 2


def test_a_layer_with_a_forward_of_its_own_keeps_it(calls):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    layer, x = Doubled(WIDE, WIDE), torch.randn(BATCH, WIDE)
    before = layer(x)
    with by_one_dnn([layer]):
        assert torch.equal(layer(x), before)
    assert not calls


def test_spectral_norm_and_copies_of_a_network_work_within(calls):
    model, x = nn.Sequential(spectral_norm(nn.Linear(WIDE, WIDE))).eval(), torch.randn(BATCH, WIDE)
    before = model(x)
    with by_one_dnn([model]):
        inside, copied = model(x), copy.deepcopy(model)(x)
    assert len(calls) == 2
    assert torch.equal(inside, copied)
    assert (inside - before).abs().max() < 1e-5 * before.abs().max()


def test_a_bias_may_be_missing():
    weight, x = torch.randn(WIDE, WIDE), torch.randn(BATCH, WIDE)
    assert (linear(x, weight) - x @ weight.T).abs().max() < 1e-3


def test_gradients_of_single_examples_by_torch_func_work():
    model, x = network(), torch.randn(3, BATCH, WIDE)
    weights = dict(model.named_parameters())

    def loss(weights, x):
        return torch.func.functional_call(model, weights, (x,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))
    plain = each(weights, x)
    with by_one_dnn([model]):
        inside = each(weights, x)
    for name, gradient in plain.items():
        assert (inside[name] - gradient).abs().max() < 1e-5 * gradient.abs().max()


@pytest.mark.parametrize(
    ("description", "capability", "found"),
    [
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t: fpu", "AVX512", True),
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t: fpu", "AVX512", False),
        ("processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t: fpu", "AVX2", False),
        ("processor\t: 0\nFeatures\t: asimd", "AVX512", False),
        (None, "AVX512", False),
    ],
)
def test_the_processor_decides(monkeypatch, tmp_path, description, capability, found):
    file = tmp_path / "cpuinfo"
    if description is not None:
        file.write_text(description, encoding="utf-8")
    monkeypatch.setattr(products, "_PROCESSOR", file)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert products.help_here.__wrapped__() is found


@pytest.mark.parametrize("error", [AttributeError, RuntimeError, TypeError])
def test_a_pytorch_without_the_operation_keeps_its_own_product(monkeypatch, tmp_path, error):
    def gone(x, weight, bias):
        raise error("no such operation")

    file = tmp_path / "cpuinfo"
    file.write_text("vendor_id\t: AuthenticAMD\n", encoding="utf-8")
    monkeypatch.setattr(products, "_PROCESSOR", file)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert products.help_here.__wrapped__()
    monkeypatch.setattr(products._Linear, "forward", staticmethod(gone))
    assert not products.help_here.__wrapped__()


def step(state, real):
    loss = state.network(real).square().mean()
    state.optimizer.zero_grad()
    loss.backward()
    state.optimizer.step()
    return {"loss": loss}


def train(folder=None, precision="float32", **changes):
    model = network()
    state = State(network=model, optimizer=torch.optim.Adam(model.parameters(), fused=True))
    data = torch.randn(256, WIDE, generator=torch.Generator().manual_seed(2))
    settings = {"steps": 60, "batch_size": BATCH, "name": "wide", "folder": folder, "checkpoint_seconds": 0}
    result = run(step, state, data, precision=precision, **(settings | changes))
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]), result


@pytest.mark.parametrize(("helps", "precision"), [(True, "float32"), (False, "float32"), (True, "bfloat16")])
def test_the_loop_uses_it_in_float32_where_it_helps(monkeypatch, calls, helps, precision):
    monkeypatch.setattr(products, "help_here", lambda: helps)
    monkeypatch.setattr("gancourse.training.has_bfloat16", lambda device: True)
    train(precision=precision, steps=2)
    assert bool(calls) == (helps and precision == "float32")


def test_a_run_resumes_bit_for_bit(monkeypatch, tmp_path):
    def stop(state):
        raise KeyboardInterrupt

    monkeypatch.setattr(products, "help_here", lambda: True)
    whole, expected = train(snapshot=lambda s: torch.zeros(()), snapshot_at=[55])
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, snapshot=stop, snapshot_at=[55])
    again, result = train(tmp_path, snapshot=lambda s: torch.zeros(()), snapshot_at=[55])
    assert result.resumed_at == 50
    assert torch.equal(again, whole)
    assert result.history["loss"].tolist() == expected.history["loss"].tolist()
