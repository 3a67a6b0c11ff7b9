"""The benchmarks of training run and measure the lab's step; times are not judged."""

import copy
import re
import types

import pytest
import torch

from benchmarks import precision, speed
from gancourse.data import digits

CPU = torch.device("cpu")


def test_the_report_has_a_row_for_every_way(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "has_bfloat16", lambda device: True)
    monkeypatch.setattr("gancourse.training.has_bfloat16", lambda device: True)
    threads = torch.get_num_threads()
    tiny = ["--blocks", "1", "--steps", "1", "--data", "digits", "--matrix", "64"]
    speed.main([*tiny, "--to", str(tmp_path / "speed.md")])
    torch.set_num_threads(threads)
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert "python -m benchmarks.speed --blocks 1" in text
    for game in speed.GAMES:
        for way in ("tutorial, end to end", "tutorial, preloaded"):
            assert re.search(rf"^\| {game}: {way} \| [\d.]+ \| – \| – \| – \|$", text, re.MULTILINE)
        for way, aims in (("float32", "2 and 1.6"), ("bfloat16", "3 and 2")):
            ratio = r"[\d.]+ \([\d.]+–[\d.]+\)"
            row = rf"^\| {game}: ours, {way} \| [\d.]+ \| {ratio} \| {ratio} \| {aims} \|$"
            assert re.search(row, text, re.MULTILINE)
    assert "nan" not in text


def test_a_ratio_is_the_median_over_pairs_with_its_quartiles():
    assert speed.compared([2, 4, 9, 8, 50], [1, 1, 3, 2, 10]) == "4.00 (3.00–4.00)"


def test_the_profile_with_the_fewest_page_faults_is_taken(monkeypatch):
    faults = iter([0, 9, 9, 12, 12, 40])  # before and after each of three blocks
    monkeypatch.setattr(
        speed.resource, "getrusage", lambda who: types.SimpleNamespace(ru_minflt=next(faults))
    )
    blocks = iter([torch.sin, torch.cos, torch.tan])
    profile, _ = speed.profiled(lambda: next(blocks)(torch.zeros(1)), tries=3)
    assert {"aten::sin", "aten::cos", "aten::tan"} & {event.key for event in profile.key_averages()} == {
        "aten::cos"
    }


@pytest.mark.parametrize(
    ("make", "lab", "game", "told"),
    [
        (speed.lab_step, speed.LAB, "GAN", ["V", "D(G(z))"]),
        (speed.wgan_gp_step, speed.PENALTY_LAB, "WGAN-GP", ["estimate"]),
    ],
)
def test_what_is_measured_is_the_step_of_the_lab(make, lab, game, told):
    step, game = make(CPU), speed.GAMES[game]
    assert step.__code__.co_filename == str(lab)
    state = speed.new_state(game, 8, CPU, fused=True)
    before = copy.deepcopy(state.state_dict())
    assert list(step(state, digits().images[: speed.BATCH * game.critic_steps])) == told
    for player in ("generator", game.judge):
        old, new = before[player]["weights"], getattr(state, player).state_dict()
        assert any(not torch.equal(old[key], new[key]) for key in old)
    updates = {int(counts["step"]) for counts in getattr(state, f"{game.judge}_optimizer").state.values()}
    assert updates == {game.critic_steps}


def test_a_step_that_the_lab_no_longer_has_is_told(monkeypatch, tmp_path):
    renamed = tmp_path / "lab.py"
    renamed.write_text(speed.LAB.read_text(encoding="utf-8").replace("def thrifty", "def other"), "utf-8")
    monkeypatch.setattr(speed, "LAB", renamed)
    with pytest.raises(ValueError, match=r"lab\.py defines no function 'thrifty_gan_step'"):
        speed.lab_step(CPU)


def test_the_tutorial_sees_the_same_images():
    images = digits().images
    one_by_one = speed.PicturesOneByOne(images)
    assert len(one_by_one) == len(images)
    for index in (0, 500, 1796):
        assert torch.allclose(one_by_one[index], images[index], atol=0.51 / 127.5)  # half a grey level
    assert next(speed.batches_one_by_one(images)).shape == (speed.BATCH, 1, 8, 8)
    assert next(speed.batches_preloaded(images)).shape == (speed.BATCH, 1, 8, 8)


@pytest.mark.parametrize("name", speed.GAMES)
def test_both_sides_train_networks_of_the_same_size(name):
    game = speed.GAMES[name]
    ways = speed.blocks_of(name, digits().images, 1, ["float32"])
    ours, tutorial = (speed.flops(ways[way]) for way in ("float32", "tutorial, preloaded"))
    assert 0.6 < ours / tutorial < 1.4  # they differ in passes through G and in gradients nobody needs
    pixels = digits().images.shape[-1]
    state = speed.new_state(game, pixels, CPU)
    before = copy.deepcopy(state.state_dict())
    speed.tutorial_updates(game, state, speed.batches_preloaded(digits().images), 1)
    for player in ("generator", game.judge):
        old, new = before[player]["weights"], getattr(state, player).state_dict()
        assert all(not torch.equal(old[key], new[key]) for key in old if key.endswith("weight"))


def test_operations_are_counted():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert speed.flops(lambda: a @ b) == 2 * 3 * 4 * 5
    layer, x = torch.nn.Linear(512, 512, bias=False), torch.ones(64, 512)
    assert speed.flops(lambda: layer(x).sum().backward()) == 2 * 2 * 64 * 512 * 512


@pytest.mark.parametrize(
    ("threads", "sentences", "reached"),
    [
        (
            "1 thread",
            (
                "On one thread the GAN and WGAN-GP in float32 reach both aims; in bfloat16 they reach the "
                "one for preloaded batches.",
                "The DCGAN reaches none",
            ),
            {
                ("GAN", "float32"): (True, True),
                ("GAN", "bfloat16"): (False, True),
                ("WGAN-GP", "float32"): (True, True),
                ("WGAN-GP", "bfloat16"): (False, True),
            },
        ),
        (
            "2 threads",
            ("On two threads only the GAN in float32 reaches an aim, that for preloaded batches.",),
            {("GAN", "float32"): (False, True)},
        ),
    ],
)
def test_the_page_of_results_says_which_aims_are_reached(threads, sentences, reached):
    page = (speed.ROOT / "book" / "results.md").read_text(encoding="utf-8")
    assert [sentence for sentence in sentences if sentence not in page] == []
    written = speed.RESULT.read_text(encoding="utf-8")
    part = written.partition(f"<!-- rates, {threads} -->")[2].partition(f"<!-- limits, {threads} -->")[0]
    ratio = r"([\d.]+) \(\S+\)"
    row = rf"^\| ([\w-]+): ours, (\w+) \| [\d.]+ \| {ratio} \| {ratio} \| ([\d.]+) and ([\d.]+) \|$"
    found = {
        (game, precision): (float(whole) >= float(aim), float(preloaded) >= float(other))
        for game, precision, whole, preloaded, aim, other in re.findall(row, part, re.MULTILINE)
    }
    every = {(game, precision) for game in speed.GAMES for precision in ("float32", "bfloat16")}
    assert found == dict.fromkeys(every, (False, False)) | reached


def test_the_quality_of_both_precisions_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    monkeypatch.setattr("gancourse.training.has_bfloat16", lambda device: True)
    tiny = ["--data", "digits", "--steps", "2", "--seeds", "1", "--samples", "100"]
    precision.main([*tiny, "--to", str(tmp_path / "precision.md")])
    text = (tmp_path / "precision.md").read_text(encoding="utf-8")
    for way in ("float32", "bfloat16"):
        assert re.search(rf"^\| {way} \| 0 \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \d+ \|$", text, re.MULTILINE)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    with pytest.raises(SystemExit, match="nothing to compare"):
        precision.main(tiny)
