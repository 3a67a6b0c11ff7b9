import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from gancourse import products
from gancourse.penalties import spectral_norm
from gancourse.products import LEAST, are_big, by_one_dnn
from gancourse.training import State, run

BATCH, WIDE = 64, 512  # 64 * 512 * 512 multiplications are more than LEAST
needs_a_second_library = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() != "AVX512",
    reason="PyTorch hands float32 products to oneDNN on processors with AVX-512 alone",
)
needs_every_bit = pytest.mark.skipif(
    not products._keep_every_bit(), reason="on this processor oneDNN rounds to bfloat16 when it is let"
)


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
def multiplied(capfd):
    """What oneDNN multiplied, by its own report: a function that calls another and returns the sizes."""

    def sizes(function):
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            function()
        told = re.findall(r"exec,cpu,matmul,.*?,(\d+)x(\d+):\d+x(\d+),", capfd.readouterr().out)
        return sorted(tuple(map(int, size)) for size in told)

    return sizes


@needs_every_bit
def test_values_and_derivatives_of_both_orders_are_right():
    model, x = network(), torch.randn(BATCH, WIDE, generator=torch.Generator().manual_seed(1))
    with by_one_dnn():
        found = gradients(model, x.clone().requires_grad_())
    exact = gradients(model.double(), x.double().requires_grad_())
    for ours, truth in zip(found, exact, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - truth).abs().max() < 1e-5 * truth.abs().max() + 1e-9


@needs_a_second_library
def test_every_product_is_the_other_librarys_and_none_is_needless(multiplied):
    layer, x = nn.Linear(WIDE, 2 * WIDE), torch.randn(BATCH, WIDE, requires_grad=True)

    def both_ways(inputs):
        with by_one_dnn():
            layer(x).sum().backward(inputs=inputs)

    forward, for_x, for_weight = (BATCH, WIDE, 2 * WIDE), (BATCH, 2 * WIDE, WIDE), (2 * WIDE, BATCH, WIDE)
    assert multiplied(lambda: both_ways([x, layer.weight])) == sorted([forward, for_x, for_weight])
    assert multiplied(lambda: both_ways([x])) == sorted([forward, for_x])
    assert multiplied(lambda: layer(x)) == []


@pytest.mark.parametrize(
    "setting",
    ["torch.backends.cuda.matmul.fp32_precision = 'tf32'", "torch.backends.fp32_precision = 'tf32'"],
)
def test_the_newer_settings_of_precision_are_left_alone(setting):
    code = f"""
import torch
from gancourse import products
{setting}
with products.by_one_dnn():
    print(torch.backends.mkldnn.matmul.fp32_precision, products.help_here() in (True, False))
"""
    before = f"import torch\n{setting}\nprint(torch.backends.mkldnn.matmul.fp32_precision, True)"
    told, expected = (
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
        for text in (code, before)
    )
    assert told == expected


def test_the_setting_is_as_before_when_it_is_over():
    before, x = torch.get_float32_matmul_precision(), torch.randn(BATCH, WIDE)
    with by_one_dnn():
        assert torch.get_float32_matmul_precision() == "medium"
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), by_one_dnn():
        x @ x
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("layer", "batch_size", "found"),
    [
        (nn.Linear(LEAST // 64 // 64, 64), 64, True),
        (nn.Linear(LEAST // 64 // 64, 64), 63, False),
        (spectral_norm(nn.Linear(WIDE, WIDE)), 64, True),
        (nn.Conv2d(512, 512, 3), 64, False),
        (nn.ReLU(), 64, False),
    ],
    ids=["just enough", "too few examples", "spectral norm", "convolution", "no weights"],
)
def test_the_biggest_linear_layer_decides(layer, batch_size, found):
    assert are_big([nn.Sequential(nn.Linear(2, 2), layer), nn.Linear(1, 1)], batch_size) is found


@needs_every_bit
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


@pytest.mark.parametrize(
    ("owner", "name", "is_rounded"),
    [
        (torch, "addmm", lambda *factors: True),
        (torch.Tensor, "__matmul__", lambda a, b: a.is_contiguous() and b.is_contiguous()),
        (torch.Tensor, "__matmul__", lambda a, b: not a.is_contiguous()),
        (torch.Tensor, "__matmul__", lambda a, b: not b.is_contiguous()),
    ],
    ids=["with a bias", "without", "first factor transposed", "second factor transposed"],
)
def test_where_any_product_rounds_the_usual_ones_stay(monkeypatch, tmp_path, owner, name, is_rounded):
    file, exact = tmp_path / "cpuinfo", getattr(owner, name)
    file.write_text("vendor_id\t: AuthenticAMD\n", encoding="utf-8")
    monkeypatch.setattr(products, "_PROCESSOR", file)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")

    def rounding(*factors):
        return exact(*factors).bfloat16().float() if is_rounded(*factors) else exact(*factors)

    monkeypatch.setattr(owner, name, rounding)
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


@needs_a_second_library
@pytest.mark.parametrize(
    ("helps", "precision", "batch_size"),
    [
        (True, "float32", BATCH),
        (False, "float32", BATCH),
        (True, "bfloat16", BATCH),
        (True, "float32", 16),
    ],
    ids=["meant", "no help here", "bfloat16", "small"],
)
def test_the_loop_uses_it_in_float32_where_it_helps(monkeypatch, helps, precision, batch_size):
    seen = []
    monkeypatch.setattr(products, "help_here", lambda: helps)
    monkeypatch.setattr("gancourse.training.has_bfloat16", lambda device: True)
    train(
        precision=precision,
        batch_size=batch_size,
        steps=2,
        snapshot=lambda state: torch.tensor(seen.append(torch.get_float32_matmul_precision()) is None),
        snapshot_at=[1, 2],
    )
    meant = helps and precision == "float32" and batch_size == BATCH
    assert seen == ["medium" if meant else "highest"] * 2


def test_a_run_resumes_bit_for_bit(monkeypatch, interrupt, tmp_path):
    monkeypatch.setattr(products, "help_here", lambda: True)
    whole, expected = train(steps=120)
    interrupt(after=100)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, steps=120)
    again, result = train(tmp_path, steps=120)
    assert result.resumed_at == 50
    assert torch.equal(again, whole)
    assert result.history["loss"].tolist() == expected.history["loss"].tolist()


def test_all_settings_of_precision_are_as_before_afterwards():
    kinds = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)
    for kind in kinds:
        kind.fp32_precision = "none"  # the default
    with by_one_dnn():
        assert [kind.fp32_precision for kind in kinds] == ["bf16", "tf32"]
    assert [kind.fp32_precision for kind in kinds] == ["none", "none"]
    assert torch.get_float32_matmul_precision() == "highest"
