import math

import numpy as np
import pytest
import torch

from gancourse import checks
from gancourse.checks import CheckFailed, StandardErrors, check

GOOD = {"closed form": 1.0, "quadrature": 1.0 + 3e-7}
CONTROL = ("sign flipped", -1.0)


@pytest.fixture(autouse=True)
def displayed(monkeypatch):
    """What a notebook would have stored: pairs of data and metadata."""
    outputs = []
    monkeypatch.setattr(
        checks, "display", lambda data, metadata, raw: outputs.append((data, metadata["gancourse"]))
    )
    return outputs


def test_it_prints_what_is_declared_and_stores_what_was_measured(displayed):
    check("some-theorem", GOOD, tolerance=1e-6, control=CONTROL)
    ((data, record),) = displayed
    line = "✓ some-theorem: closed form = quadrature, within 1e-06; control rejected: sign flipped"
    assert data == {"text/plain": line}
    assert record["error"] == pytest.approx(3e-7, rel=0.05)
    assert record["control_error"] == 2.0
    assert (record["label"], record["routes"]) == ("some-theorem", ["closed form", "quadrature"])
    assert (record["tolerance"], record["tolerance_stated"], record["control"]) == (
        1e-6,
        "1e-06",
        "sign flipped",
    )


def test_a_monte_carlo_tolerance_is_stated_in_standard_errors(displayed):
    check("x", {"mean": 0.0, "samples": 0.03}, tolerance=StandardErrors(4, 0.01), control=("other", 1.0))
    ((data, record),) = displayed
    assert "within 4 standard errors" in data["text/plain"]
    assert record["tolerance"] == 0.04
    with pytest.raises(ValueError, match="at most 4"):
        StandardErrors(5, 0.01)
    for size in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            StandardErrors(3, size)


def test_routes_that_disagree_are_named(displayed):
    with pytest.raises(CheckFailed, match=r"'b' and 'a' differ by 0\.5"):
        check("x", {"a": 1.0, "c": 1.0, "b": 1.5}, tolerance=1e-3, control=CONTROL)
    assert not displayed


def test_the_last_entry_of_an_array_counts():
    routes = {"a": torch.zeros(5), "b": np.array([0, 0, 0, 0, 0.1])}
    with pytest.raises(CheckFailed, match="differ"):
        check("x", routes, tolerance=1e-3, control=("c", np.ones(5)))


@pytest.mark.parametrize("distance", [0.0, 5e-6, 9.9e-6])
def test_a_control_within_ten_tolerances_is_not_rejected(distance):
    with pytest.raises(CheckFailed, match="could not have failed"):
        check("x", GOOD, tolerance=1e-6, control=("almost true", 1.0 + distance))


@pytest.mark.parametrize(
    ("routes", "control"),
    [
        ({"a": math.nan, "b": 1.0}, 5.0),
        ({"a": 1.0, "b": math.nan}, 5.0),
        ({"a": math.nan, "b": math.nan}, 5.0),
        ({"a": 1.0, "b": 1.0}, math.nan),
    ],
)
def test_nan_is_accepted_on_no_side(routes, control):
    with pytest.raises(CheckFailed, match="NaN"):
        check("x", routes, tolerance=1e-3, control=("c", control))


def test_equal_infinities_agree_and_unequal_ones_do_not():
    check("x", {"a": [math.inf, 1.0], "b": [math.inf, 1.0]}, tolerance=1e-3, control=("c", [1.0, 1.0]))
    with pytest.raises(CheckFailed, match="differ by inf"):
        check("x", {"a": math.inf, "b": -math.inf}, tolerance=1e-3, control=("c", 1.0))


def test_shapes_are_not_broadcast():
    with pytest.raises(CheckFailed, match="without broadcasting"):
        check("x", {"a": np.zeros(3), "b": 0.0}, tolerance=1e-3, control=("c", np.ones(3)))
    with pytest.raises(CheckFailed, match="without broadcasting"):
        check("x", {"a": np.zeros(3), "b": np.zeros(3)}, tolerance=1e-3, control=("c", 1.0))
    with pytest.raises(CheckFailed, match="holds no number"):
        check("x", {"a": [], "b": []}, tolerance=1e-3, control=("c", []))


def test_a_check_needs_two_routes_and_a_plain_tolerance():
    with pytest.raises(ValueError, match="two independent routes"):
        check("x", {"a": 1.0}, tolerance=1e-3, control=CONTROL)
    for tolerance in (0.0, -1e-3, math.nan, math.inf):
        with pytest.raises(ValueError, match="positive and finite"):
            check("x", GOOD, tolerance=tolerance, control=CONTROL)
    with pytest.raises(ValueError, match="one digit"):
        check("x", GOOD, tolerance=1.23e-6, control=CONTROL)
