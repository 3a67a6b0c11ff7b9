"""The coverage benchmark with tiny budgets: what it trains, what it stores, what it refuses."""

import dataclasses
import json
import math

import pytest
import torch

from benchmarks import coverage
from benchmarks.records import read, store
from gancourse.penalties import zero_centered_penalty
from gancourse.targets import grid, ring

TINY = {
    name: dataclasses.replace(method, steps=17, critic_steps=min(2, method.critic_steps))
    for name, method in coverage.METHODS.items()
}


@pytest.mark.parametrize("name", coverage.METHODS)
def test_a_run_is_scored_and_repeatable(name):
    first, again, other = (coverage.measure(name, "grid", TINY[name], seed) for seed in (0, 0, 1))
    assert len(first["points"]) == coverage.POINTS
    assert "points" not in other
    for kind in ("average", "last"):
        assert set(first[kind]) == {"modes", "high_quality", "reverse_kl"}
        assert first[kind] == again[kind]
    assert first["points"] == again["points"]
    json.dumps(first, allow_nan=False)


def weights(state: coverage.State) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.discriminator.parameters()])


def test_lazy_penalties_act_at_every_eighth_step_with_their_weight_eight_times(monkeypatch):
    seen = []

    def spy(logits, samples, gamma):
        seen.append((int(state.done), gamma))
        return zero_centered_penalty(logits, samples, gamma)

    monkeypatch.setattr(coverage, "zero_centered_penalty", spy)
    lazy = "relativistic + R1 + R2 every 8 steps"
    for name, steps, factor in ((coverage.tables.BEST, range(17), 2), (lazy, (0, 8, 16), 16)):
        seen.clear()
        method = TINY[name]
        state, step = coverage.start(method, 0), coverage.step_of(method)
        for _ in range(17):
            step(state, coverage.Scaled(grid()).sample(coverage.SETTINGS["batch"], state.random))
        assert [done for done, _ in seen] == list(steps)
        assert seen[0][1] == pytest.approx(factor * 0.3)
        assert seen[-1][1] == pytest.approx(factor * 0.03)
    same = coverage.METHODS["relativistic + R1 + R2 every 8 steps, same weight"]
    assert [same.every * gamma for gamma in same.gamma] == [0.3, 0.03]


def test_as_many_packs_are_judged_as_samples_without_packing(monkeypatch):
    judged = []
    monkeypatch.setattr(coverage, "run", lambda *given, **named: judged.append(named["batch_size"]))
    for name in ("non-saturating", "packing of two"):
        coverage.measure(name, "ring", TINY[name], 1)
    assert judged == [coverage.SETTINGS["batch"], 2 * coverage.SETTINGS["batch"]]


def test_the_penalty_on_both_halves_at_once_is_r1_plus_r2():
    state = coverage.start(TINY[coverage.tables.BEST], 0)
    halves = [torch.randn(8, 2).requires_grad_() for _ in range(2)]
    apart = sum(zero_centered_penalty(state.discriminator(half), half, 0.7) for half in halves)
    both = torch.cat([half.detach() for half in halves]).requires_grad_()
    together = zero_centered_penalty(state.discriminator(both), both, 2 * 0.7)
    torch.testing.assert_close(together, apart)


def test_each_player_is_trained_by_its_own_optimiser_alone():
    for method in TINY.values():
        state, step = coverage.start(method, 0), coverage.step_of(method)
        state.generator_adam.param_groups[0]["lr"] = 0.0
        before = [p.clone() for p in state.generator.parameters()]
        was = weights(state)
        real = torch.randn(method.critic_steps * coverage.SETTINGS["batch"], 2)
        step(state, real)
        assert all(torch.equal(a, b) for a, b in zip(before, state.generator.parameters(), strict=True))
        assert not torch.equal(was, weights(state))


def test_data_have_unit_variance_and_samples_go_back():
    for target in (ring(), grid()):
        data = coverage.Scaled(target)
        x = data.sample(20_000, torch.Generator().manual_seed(0))
        assert x.square().mean().item() == pytest.approx(1, abs=0.02)
        assert coverage.score(data.scale * x, target)["high_quality"] == pytest.approx(
            1 - math.exp(-4.5), abs=0.005
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "hopeful"}, "no objective 'hopeful'"),
        ({"steps": 0}, "at least 1"),
        ({"packing": 2, "gamma": (0.3, 0.03)}, "looks at one"),
        ({"every": 16}, "give a gamma"),
        ({"gamma": (0.03, 0.3)}, "annealed"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        coverage.Method(**{"objective": "non-saturating", "steps": 10} | settings)


def test_what_has_been_measured_is_not_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(coverage, "RESULT", tmp_path / "coverage.json")
    monkeypatch.setattr(coverage, "REPORT", tmp_path / "coverage.md")
    monkeypatch.setattr(coverage, "METHODS", TINY)
    asked = ["--targets", "ring", "grid", "--methods", coverage.tables.BEST, "--seeds", "0"]
    coverage.main(asked)
    text = (tmp_path / "coverage.json").read_text(encoding="utf-8")
    assert (tmp_path / "coverage.md").read_text(encoding="utf-8") == coverage.tables.coverage(
        json.loads(text)
    )
    trained = []
    real = coverage.measure
    monkeypatch.setattr(coverage, "measure", lambda *given: trained.append(given[1]) or real(*given))
    coverage.main(asked)
    assert trained == []
    changed = dataclasses.replace(TINY[coverage.tables.BEST], steps=18)
    monkeypatch.setitem(TINY, coverage.tables.BEST, changed)
    coverage.main(asked)
    assert trained == ["ring", "grid"]
    assert len(read(tmp_path / "coverage.json")["runs"]) == 2


def test_an_unknown_method_is_refused(capsys):
    with pytest.raises(SystemExit):
        coverage.main(["--methods", "hope"])
    assert "invalid choice: 'hope'" in capsys.readouterr().err


def test_a_damaged_file_of_results_is_refused_and_left(tmp_path):
    path = tmp_path / "results.json"
    store(path, {"date": "today", "runs": [{"seed": 1}, {"seed": 0}]}, ("seed",))
    assert [row["seed"] for row in read(path)["runs"]] == [0, 1]
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="holds no results"):
        read(path)
    assert path.read_text(encoding="utf-8") == "{"
