"""The benchmark on a thousand modes: its law and its score are right, and the command writes its report."""

import math
import re

import pytest
import torch

from benchmarks import stacked
from gancourse.data import Images, digits
from gancourse.penalties import zero_centered_penalty


@pytest.fixture
def grey():
    return 2 * torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0)) - 1


def test_channels_are_drawn_apart_and_from_the_images(grey):
    law = stacked.Stacked(grey)
    sample = law.sample(50, torch.Generator().manual_seed(1))
    assert sample.shape == (50, 3, 28, 28)
    index = [
        [int((grey[:, 0] == channel).flatten(1).all(1).nonzero()) for channel in image] for image in sample
    ]
    assert len({tuple(row) for row in index}) > 40
    assert any(len(set(row)) == 3 for row in index)
    assert torch.equal(sample, law.sample(50, torch.Generator().manual_seed(1)))


def test_one_image_over_and_over_is_one_mode_at_the_largest_divergence(grey):
    found = stacked.score(grey[:3].view(1, 3, 28, 28).expand(200, -1, -1, -1))
    assert found["modes"] == 1
    assert math.isclose(found["kl"], math.log(1000))


@pytest.mark.parametrize("modes", [2, 1000])
def test_equal_shares_of_some_modes_have_the_divergence_of_a_uniform_law(monkeypatch, modes, grey):
    numbers = torch.arange(modes).repeat_interleave(2)
    read_off = torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], 1).flatten()
    monkeypatch.setattr(stacked, "classify", lambda images, name: read_off)
    found = stacked.score(grey[:1].expand(2 * modes, 3, 28, 28))
    assert found["modes"] == modes
    assert math.isclose(found["kl"], math.log(1000 / modes), abs_tol=1e-12)


def test_the_order_of_the_channels_is_part_of_the_mode(monkeypatch):
    monkeypatch.setattr(stacked, "classify", lambda images, name: (images.mean((1, 2, 3)) > 0).long())
    bright, dark = torch.full((28, 28), 0.5), torch.full((28, 28), -0.5)
    images = torch.stack([torch.stack([bright, dark, dark]), torch.stack([dark, bright, dark])])
    assert stacked.score(images)["modes"] == 2


@pytest.mark.parametrize("name", stacked.METHODS)
def test_a_step_moves_each_player_by_its_own_optimiser(name, grey):
    method = stacked.METHODS[name]
    state = stacked.start(method, 2, 0, torch.device("cpu"))
    real = stacked.Stacked(grey).sample(4, torch.Generator().manual_seed(0))
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in state.critic.modules()) == method.batch_norm
    for kept, moved in (("critic", "generator"), ("generator", "critic")):
        adam = getattr(state, f"{kept}_adam")
        before = {player: _flat(getattr(state, player)) for player in (kept, moved)}
        rate, adam.param_groups[0]["lr"] = adam.param_groups[0]["lr"], 0.0
        stacked.step_of(method)(state, real)
        adam.param_groups[0]["lr"] = rate
        assert torch.equal(_flat(getattr(state, kept)), before[kept])
        assert not torch.equal(_flat(getattr(state, moved)), before[moved])


@pytest.mark.parametrize(
    ("name", "steps", "weight"),
    [
        ("DCGAN", [], 0),
        ("relativistic + R1 + R2", range(9), 1),
        ("relativistic + R1 + R2 every 8 steps", [0, 8], 8),
    ],
)
def test_penalties_act_at_their_steps_with_their_weight(monkeypatch, grey, name, steps, weight):
    seen = []

    def spy(logits, samples, gamma):
        seen.append((int(state.done), gamma))
        return zero_centered_penalty(logits, samples, gamma)

    monkeypatch.setattr(stacked, "zero_centered_penalty", spy)
    method = stacked.METHODS[name]
    state = stacked.start(method, 2, 0, torch.device("cpu"))
    for _ in range(9):
        stacked.step_of(method)(state, stacked.Stacked(grey).sample(4, state.random))
    assert seen == [(step, weight) for step in steps for _ in ("R1", "R2")]


def _flat(network):
    return torch.cat([weight.detach().flatten().clone() for weight in network.parameters()])


def test_the_report_has_our_rows_and_the_published_ones(tmp_path, monkeypatch):
    images = digits().images[:300].repeat_interleave(4, 2).repeat_interleave(4, 3)[..., 2:30, 2:30]
    monkeypatch.setattr(stacked, "mnist", lambda split: Images("mnist", images, torch.zeros(300).long()))
    threads = torch.get_num_threads()
    tiny = ["--steps", "2", "--width", "2", "--seeds", "0", "1", "--samples", "500"]
    stacked.main([*tiny, "--to", str(tmp_path / "stacked.md")])
    torch.set_num_threads(threads)
    text = (tmp_path / "stacked.md").read_text(encoding="utf-8")
    for name in stacked.METHODS:
        assert re.search(
            rf"^\| {re.escape(name)} \| \d.* \| \d.* \| 2 steps, 2 seeds, \d+ s a run \|$", text, re.M
        )
    assert "| PacDCGAN2 | 1000 | 0.06 | PacGAN, Table 2: means of 10 runs |" in text


def test_runs_that_diverged_are_named_and_not_averaged():
    good = {"modes": 10, "kl": 2.0, "seconds": 5.0}
    assert stacked.row("x", [good, None], lambda s: f"{s:.0f} s") == ["x", "10", "2.000", "5 s, 1 diverged"]
    assert stacked.row("x", [None], lambda s: "") == ["x", "diverged", "–", ""]
