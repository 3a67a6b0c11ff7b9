"""Check a statement of the book by independent routes and a negative control, and leave a record of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from IPython.display import display
from numpy.typing import ArrayLike

MIME = "text/plain"
MARGIN = 10.0


@dataclass(frozen=True)
class StandardErrors:
    """A Monte-Carlo tolerance: `count` standard errors of size `standard_error`."""

    count: float
    standard_error: float

    def __post_init__(self):
        if not 0 < self.count <= 4:
            raise ValueError(f"A Monte-Carlo tolerance is at most 4 standard errors; got {self.count}.")
        if not (np.isfinite(self.standard_error) and self.standard_error > 0):
            raise ValueError(f"A standard error is positive and finite; got {self.standard_error}.")

    def __float__(self) -> float:
        return float(self.count * self.standard_error)

    def __str__(self) -> str:
        return f"{self.count:g} standard errors"


class CheckFailed(AssertionError):
    """A check whose routes disagree, or whose negative control was not rejected."""


def _numbers(label: str, name: str, value: ArrayLike) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    numbers = np.asarray(value, dtype=float)
    if numbers.size == 0:
        raise CheckFailed(f"{label}: '{name}' holds no number; a check needs at least one.")
    if np.isnan(numbers).any():
        raise CheckFailed(f"{label}: '{name}' holds NaN, which agrees with nothing.")
    return numbers


def _distance(label: str, name: str, value: np.ndarray, reference: np.ndarray) -> float:
    if value.shape != reference.shape:
        raise CheckFailed(
            f"{label}: '{name}' has shape {value.shape}, the first route has {reference.shape}; "
            "routes are compared entry by entry, without broadcasting."
        )
    same = value == reference  # equal infinities are at distance 0, where inf - inf would be NaN
    return float(
        np.max(np.where(same, 0.0, np.abs(np.where(same, 0.0, value) - np.where(same, 0.0, reference))))
    )


def check(
    label: str,
    routes: Mapping[str, ArrayLike],
    *,
    tolerance: float | StandardErrors,
    control: tuple[str, ArrayLike],
) -> None:
    """Assert that all routes to a statement agree and that a false version of it does not.

    Prints one line that holds only what is declared, so that it is the same on every machine; what was
    measured rides in the output's metadata, where the book collects it.

    Args:
        label: the label of the statement in the book.
        routes: name -> value, a number or an array, of at least two routes that share no code beyond the
            target's density and sampler. Arrays have equal shapes and are compared in the maximum norm.
        tolerance: the largest distance from the first route, in the unit of the values; for a Monte-Carlo
            route `StandardErrors(count, standard_error)` with count at most 4.
        control: (name, value): the same quantity with the statement made false. It must be farther than
            ten tolerances from the first route.

    Raises:
        CheckFailed: routes disagree, the control is not rejected, or any value is NaN.
        ValueError: fewer than two routes, or a tolerance that is not positive and finite.
    """
    if len(routes) < 2:
        raise ValueError(f"{label}: a check needs at least two independent routes; got {list(routes)}.")
    bound = float(tolerance)
    if not (np.isfinite(bound) and bound > 0):
        raise ValueError(f"{label}: a tolerance is positive and finite; got {bound}.")
    stated = str(tolerance) if isinstance(tolerance, StandardErrors) else f"{bound:.0e}"
    if not isinstance(tolerance, StandardErrors) and float(stated) != bound:
        raise ValueError(f"{label}: state the tolerance with one digit, such as {stated}; got {bound}.")

    values = {name: _numbers(label, name, value) for name, value in routes.items()}
    (first, reference), *others = values.items()
    errors = {name: _distance(label, name, value, reference) for name, value in others}
    worst = max(errors, key=errors.get)
    if not errors[worst] <= bound:
        raise CheckFailed(
            f"{label}: '{worst}' and '{first}' differ by {errors[worst]:.3g}, more than {bound:.3g} "
            f"({stated})."
        )
    control_name, false_value = control
    control_error = _distance(label, control_name, _numbers(label, control_name, false_value), reference)
    if not control_error > MARGIN * bound:
        raise CheckFailed(
            f"{label}: the control '{control_name}' is only {control_error:.3g} away, "
            f"not more than ten tolerances ({MARGIN * bound:.3g}); this check could not have failed."
        )

    line = f"✓ {label}: {' = '.join(routes)}, within {stated}; control rejected: {control_name}"
    record = {
        "label": label,
        "routes": list(routes),
        "error": float(f"{errors[worst]:.1e}"),
        "tolerance": float(f"{bound:.1e}"),
        "tolerance_stated": stated,
        "control": control_name,
        "control_error": float(f"{control_error:.1e}"),
    }
    display({MIME: line}, metadata={"gancourse": record}, raw=True)
