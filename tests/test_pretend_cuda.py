"""The pretended device refuses what CUDA refuses; each of these lines would otherwise pass on a CPU."""

import os
import subprocess
import sys

import pytest

from tests import pretend_cuda

SCRIPT = """
from tests import pretend_cuda
pretend_cuda.begin()
import torch
from torch import nn
from gancourse.networks import dcgan, mlp
from gancourse.training import State, has_bfloat16, run

there = torch.device("cuda")
assert torch.cuda.is_available() and torch.cuda.get_device_name() and has_bfloat16(there)


def refuses(call, *words):
    try:
        call()
    except (RuntimeError, TypeError) as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError(f"not refused: {words}")


x = torch.randn(3, 2, device=there)
both = "Expected all tensors to be on the same device"
refuses(lambda: x + torch.ones(3, 2), both)
refuses(lambda: torch.cat([torch.ones(1, 2), x]), both)
refuses(lambda: nn.Linear(2, 1)(x), both)
refuses(lambda: mlp((2, 1)).to(there)(x.cpu()), both)
refuses(lambda: x.numpy(), "cpu()")
refuses(lambda: torch.randn(2, device=there, generator=torch.Generator()), "device type for generator")
refuses(lambda: torch.randn(2, generator=torch.Generator(there)), "device")

# What CUDA allows, with the CPU's numbers.
assert torch.equal((x * torch.tensor(2.0)).cpu(), x.cpu() * 2)
assert torch.equal(x[torch.tensor([2, 0])].cpu(), x.cpu()[[2, 0]])
assert torch.equal(x[x > 0].cpu(), x.cpu()[x.cpu() > 0])
one, other = (torch.Generator(there).manual_seed(7) for _ in range(2))
assert torch.equal(torch.randn(5, device=there, generator=one), torch.randn(5, device=there, generator=other))
generator, discriminator = (network.to(there) for network in dcgan(28, 4, 8))
z = torch.randn(5, 4, device=there)
discriminator(generator(z)).sum().backward()
assert all(weight.grad.is_cuda for weight in generator.parameters())

# What a step puts into a state comes back where it was.
state = State(generator=generator)
state.host, state.device = torch.zeros(2), torch.zeros(2, device=there)
again = State(generator=dcgan(28, 4, 8)[0].to(there))
again.load_state_dict(state.state_dict())
assert (again.host.device.type, again.device.device.type) == ("cpu", "cuda")
assert all(weight.grad.is_cuda for weight in again.generator.parameters())
"""

RUNS = (
    SCRIPT
    + """
class Data:
    def sample(self, n, generator=None):
        return torch.randn(n, 2, generator=generator, device=there)


def train(step, folder=None):
    torch.manual_seed(0)
    network = mlp((2, 8, 1)).to(there)
    adam = torch.optim.Adam(network.parameters(), fused=True)
    state = State(network=network, adam=adam, noise=torch.Generator(there).manual_seed(1))
    return run(step, state, Data(), steps=100, batch_size=4, name="toy", folder=folder)


def descend(state, real):
    assert torch.backends.cudnn.deterministic
    noise = torch.randn(len(real), 2, device=real.device, generator=state.noise)
    loss = state.network(real + noise).square().mean()
    state.adam.zero_grad()
    loss.backward()
    state.adam.step()
    return {"loss": loss}


def reads(state, real):
    return {key: value.item() for key, value in descend(state, real).items()}


def fetches(state, real):
    return descend(state, real + torch.tensor([0.0, 0.0], device=real.device))


for step in (descend, reads, fetches):
    before = pretend_cuda.replayed
    train(step)
    print(step.__name__, pretend_cuda.replayed > before)
kept = train(descend, "runs")
assert kept.history["loss"][-1] == train(descend).history["loss"][-1]
assert train(descend, "runs").resumed_at == 100
assert not torch.backends.cudnn.deterministic
"""
)


@pytest.fixture
def python(compiled, tmp_path):
    """Runs a script in a process of its own."""

    def run(script):
        command = [sys.executable, "-c", script]
        environment = {**os.environ, "PYTHONPATH": str(pretend_cuda.SOURCE.parents[1])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def test_it_refuses_what_cuda_refuses(python):
    python(SCRIPT)


def test_a_step_is_recorded_there_unless_it_waits_for_the_device(python):
    plain = "toy: steps are plain, not a recorded CUDA graph: called a synchronizing CUDA operation: "
    assert python(RUNS).splitlines()[:5] == [
        "descend True",
        f"{plain}aten::_local_scalar_dense",
        "reads False",
        f"{plain}copying between host and device",
        "fetches False",
    ]


def test_it_must_come_before_torch():
    with pytest.raises(RuntimeError, match="imported already"):
        pretend_cuda.begin()
