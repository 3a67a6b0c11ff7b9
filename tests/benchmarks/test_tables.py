"""The committed tables and pictures are those that the committed results give."""

import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks import coverage, quality, tables
from gancourse.figures import save_pair

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
LAZY = "lazy"


def record_of(**changed: object) -> dict[str, object]:
    """Two seeds of the best method on both targets, one changed."""
    settings = {"steps": 10, "critic_steps": 1, "every": 1, "gamma": [0.3, 0.03]}
    run = {"method": tables.BEST, "processor_seconds": 60.0}
    runs = [
        run
        | {"target": target, "seed": seed}
        | {"average": {"modes": modes, "high_quality": 0.96, "reverse_kl": 0.01}}
        for target, modes in tables.MODES.items()
        for seed in (0, 1)
    ]
    runs[-1] = runs[-1] | changed
    return {"runs": runs, "methods": {tables.BEST: settings, LAZY: settings | {"every": 8}}}


@pytest.mark.parametrize("name", ["coverage", "quality"])
def test_tables_are_those_of_the_results(name):
    record = json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))
    written = (BENCHMARKS / f"{name}.md").read_text(encoding="utf-8")
    assert written == getattr(tables, name)(record), f"run `python -m benchmarks.{name}`"


def test_results_are_those_of_the_settings():
    runs = coverage.read(coverage.RESULT)["runs"]
    assert [row for row in runs if coverage.stale(row)] == []
    assert {row["target"] for row in runs if row["method"] == tables.BEST} == set(coverage.TARGETS)
    runs = quality.read(quality.RESULT)["runs"]
    assert [row for row in runs if quality.stale(row)] == []
    assert runs


def test_pictures_are_those_of_the_results(tmp_path):
    spec = importlib.util.spec_from_file_location("drawn", ROOT / "book" / "figures" / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, draw in module.FIGURES.items():
        save_pair(draw, tmp_path, name)
    committed = ROOT / "book" / "assets" / "figures"
    stale = [
        path.name for path in tmp_path.iterdir() if path.read_bytes() != (committed / path.name).read_bytes()
    ]
    assert not stale, "run `make labs`"


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_every_aim_is_judged_by_its_worst_seed():
    assert {reached for *_, reached in rows(tables.aims_table(record_of()))} == {"yes"}
    bad = {"average": {"modes": 24, "high_quality": 0.94, "reverse_kl": 0.03}, "processor_seconds": 301.0}
    judged = rows(tables.aims_table(record_of(**bad)))
    assert [reached for *_, reached in judged] == ["yes"] * 4 + ["**no**"] * 4
    assert [found for _, found, *_ in judged[4:]] == ["24", "94.0 %", "0.0300", "301 s"]


def test_a_run_that_diverged_is_counted_and_not_averaged():
    record = record_of(diverged="Step 3: loss is NaN")
    record["reference"] = {"grid": [{"modes": 25, "high_quality": 0.99, "reverse_kl": 0.005}]}
    (_, best, *_) = rows(tables.modes_table(record, "grid"))
    assert best[:2] == [tables.BEST, "25 of 25"]
    assert "2 seeds" in best[4]
    assert "diverged on 1" in best[4]
    assert rows(tables.lazy_table(record))[1][2] == "diverged"


def test_values_that_differ_are_shown_with_their_range():
    assert tables.spread([0.5, 0.5], tables.per_cent) == "50.0"
    assert tables.spread([0.2, 0.6], tables.per_cent) == "40.0 (20.0 to 60.0)"


@pytest.mark.parametrize(("modes", "verdict"), [(25, "**no**"), (24, "yes")])
def test_a_claim_is_judged_by_the_runs(modes, verdict):
    record = record_of()
    lazy = record["runs"][-1] | {"method": LAZY}
    lazy["average"] = lazy["average"] | {"modes": modes}
    record["runs"].append(lazy)
    assert rows(tables.claims_table(record))[-1][::2] == [
        "R1 and R2, every 8 steps, 8 times the weight, fail on the grid",
        verdict,
    ]
    lazy["diverged"] = "Step 3"
    assert rows(tables.claims_table(record))[-1][2] == "yes"
