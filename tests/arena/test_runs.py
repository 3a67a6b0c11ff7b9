"""What a run computes without a page: each preset shows its lesson, and nonsense is named."""

import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("site")

RUN = """([name, steps, every]) => {
  const run = new A.Run({ ...A.DEFAULTS, ...A.PRESETS[name].settings }), seen = [];
  while (run.steps < steps) {
    run.advance();
    if (run.turn || run.steps % every) continue;
    const { covered, pull, points } = run.generated();
    const mean = [0, 1].map((i) => points.filter((_, j) => j % 2 === i).reduce((a, b) => a + b) / 256);
    seen.push({ covered, pull, mean, value: run.value });
  }
  return seen;
}"""


def column(seen: list[dict], name: str) -> np.ndarray:
    return np.array([row[name] for row in seen])


def test_a_healthy_run_covers_all_modes_and_nobody_wins(core):
    seen = core.evaluate(RUN, ["healthy", 1800, 100])
    assert column(seen, "covered")[0] <= 2
    assert (column(seen, "covered")[-3:] == 8).all()
    assert np.abs(column(seen, "value") + np.log(4)).max() < 0.25


def test_gradients_vanish_and_another_loss_brings_them_back(core):
    seen = core.evaluate(RUN, ["vanishing", 200, 50])
    assert column(seen, "pull")[-1] < 0.005
    assert (column(seen, "covered") == 0).all()
    assert np.abs(column(seen, "value")[-1]) < 0.01
    back = core.evaluate(
        """() => {
          const run = new A.Run({ ...A.DEFAULTS, ...A.PRESETS.vanishing.settings });
          while (run.steps < 100) run.advance();
          run.apply({ ...run.settings, loss: "nonsaturating" });
          return run.generated().pull;
        }"""
    )
    assert back > 1


def test_modes_collapse_and_the_heap_moves_on(core):
    seen = core.evaluate(RUN, ["collapse", 1500, 50])
    assert column(seen, "covered").max() <= 3
    assert np.linalg.norm(np.diff(column(seen, "mean"), axis=0), axis=1).max() > 0.3


def test_swings_that_r1_ends(core):
    """How far the mean of the generated points moves between pictures, after step 800."""
    swings = {}
    for name in ("oscillation", "recovery"):
        seen = core.evaluate(RUN, [name, 1200, 20])
        swings[name] = column(seen, "mean")[40:].std(axis=0).max()
        off = np.linalg.norm(column(seen, "mean")[50:] - [0.8, 0.5], axis=1).max()
    assert swings["oscillation"] > 0.1
    assert swings["recovery"] < swings["oscillation"] / 4
    assert off < 0.1  # of the run with R1: in the cluster


def test_the_same_seed_gives_the_same_run_and_another_does_not(core):
    ends = core.evaluate(
        """() => [3, 3, 4].map((seed) => {
          const run = new A.Run({ ...A.DEFAULTS, seed });
          while (run.steps < 20) run.advance();
          return [...run.generated().points];
        })"""
    )
    assert ends[0] == ends[1]
    assert ends[0] != ends[2]


def test_samples_have_the_moments_of_their_law(core):
    """Four standard errors for uniforms, normals and every data set, with 40000 draws each."""
    uniform, normal, data = core.evaluate(
        """() => {
          const rng = A.random(5), n = 40000, draw = (f) => Array.from({ length: n }, f);
          const names = Object.keys(A.DATA).filter((name) => name !== "drawn");
          return [draw(rng.uniform), draw(rng.normal), Object.fromEntries(names.map((name) =>
            [name, [[...A.sample(name, n, rng)], A.DATA[name].centres, A.DATA[name].spread]]))];
        }"""
    )
    n = len(uniform)
    assert abs(np.mean(uniform) - 0.5) < 4 * np.sqrt(1 / 12 / n)
    assert 0 < min(uniform) < max(uniform) < 1
    assert abs(np.mean(normal)) < 4 / np.sqrt(n)
    assert abs(np.var(normal) - 1) < 4 * np.sqrt(2 / n)
    for name, (flat, centres, spread) in data.items():
        points, centres = np.reshape(flat, (-1, 2)), np.array(centres)
        nearest = np.linalg.norm(points[:, None] - centres, axis=2)
        if name in ("ring", "grid"):
            counts = np.bincount(nearest.argmin(axis=1), minlength=len(centres)) / n
            share = 1 / len(centres)
            assert np.abs(counts - share).max() < 4 * np.sqrt(share * (1 - share) / n)
            assert np.mean(nearest.min(axis=1) ** 2) == pytest.approx(2 * spread**2, rel=0.05)
        else:
            assert np.quantile(nearest.min(axis=1), 0.99) < 0.3
            assert (nearest.min(axis=0) < 0.1).all()


def test_what_is_covered_is_counted(core):
    """A centre counts from a quarter of its fair share of points within reach."""
    found = core.evaluate(
        """() => {
          const centres = [[0, 0], [1, 0]];
          const near = (n, point) => Array(n).fill(point).flat();
          const some = (a, b) => Float64Array.from([...near(a, [0.05, 0]), ...near(b, [1, 0.05])]);
          return [[8, 8], [15, 1], [14, 2], [16, 0]].map(([a, b]) => A.covered(some(a, b), centres, 0.1))
            .concat(A.covered(some(8, 8), centres, 0.01));
        }"""
    )
    assert found == [2, 1, 2, 1, 0]


def test_numbers_without_bound_stop_the_run(core):
    stopped = core.evaluate(
        """() => {
          const run = new A.Run(A.DEFAULTS);
          run.advance();
          run.game.G.params.fill(NaN);
          let n = 0;
          while (run.advance() && n < 500) n += 1;
          return [run.broken, n];
        }"""
    )
    assert stopped[0] is True
    assert stopped[1] < 3


def test_a_drawing_survives_its_letters(core):
    text = core.evaluate("A.encodeDrawing([[-2, 2], [0, 0], [1.3, -0.7], [9, -9]])")
    assert len(text) == 8
    points = core.evaluate("A.decodeDrawing(A.encodeDrawing([[-2, 2], [0, 0], [1.3, -0.7]]))")
    np.testing.assert_allclose(points, [[-2, 2], [0, 0], [1.3, -0.7]], atol=2.1 / 64)
    assert core.evaluate("t => A.encodeDrawing(A.decodeDrawing(t))", text) == text


@pytest.mark.parametrize(
    ("raw", "key", "words"),
    [
        ({"lr_d": "banana"}, "lr_d", "a number from 0.00001 to 1"),
        ({"lr_g": "1e9"}, "lr_g", "a number from"),
        ({"lr_g": "NaN"}, "lr_g", "a number from"),
        ({"lr_g": ""}, "lr_g", "a number from"),
        ({"k": "2.5"}, "k", "a whole number from 1 to 10"),
        ({"batch": "100000"}, "batch", "a whole number from 8 to 256"),
        ({"data": "cheese"}, "data", "one of ring, grid, moons, line, drawn"),
        ({"loss": "constructor"}, "loss", "one of minimax"),
        ({"drawn": "<script>"}, "drawn", "a drawing"),
        ({"r1": "perhaps"}, "r1", "1 or 0"),
        ({"preset": "toString"}, "seed", "There is no preset “toString”"),
    ],
)
def test_nonsense_in_an_address_is_named_and_left_out(core, raw, key, words):
    found = core.evaluate("raw => A.readSettings(raw)", raw)
    assert found["settings"][key] == core.evaluate("key => A.DEFAULTS[key]", key)
    assert len(found["problems"]) == 1
    assert words in found["problems"][0]


def test_an_address_and_its_settings_are_the_same_thing(core):
    settings = {"data": "grid", "loss": "minimax", "r1": True, "lr_d": 0.02, "k": 3, "seed": 9, "steps": 40}
    written = core.evaluate("s => A.writeSettings({ ...A.DEFAULTS, ...s })", settings)
    assert set(written) == set(settings)
    read = core.evaluate("raw => A.readSettings(raw)", written)
    assert read["problems"] == []
    assert read["settings"] == core.evaluate("s => ({ ...A.DEFAULTS, ...s })", settings)
    assert core.evaluate("A.writeSettings(A.DEFAULTS)") == {}
