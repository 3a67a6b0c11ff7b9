"""What the labs checked: the records that `gancourse.checks.check` left in the outputs of the notebooks."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARGIN = 10.0  # the control is farther away than this many tolerances, as in gancourse.checks
FIELDS = {
    "label": str,
    "routes": list,
    "error": float,
    "tolerance": float,
    "tolerance_stated": str,
    "control": str,
    "control_error": float,
}


@dataclass(frozen=True)
class Record:
    """One check as a lab left it: what agreed, how closely, and the control that was rejected."""

    label: str
    routes: tuple[str, ...]
    error: float
    tolerance: float
    tolerance_stated: str
    control: str
    control_error: float
    lab: str
    cell: int
    anchor: str


@dataclass
class Ledger:
    """All records by label, and what was wrong with the notebooks that hold them."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def of_lab(self, docname: str) -> list[Record]:
        return [record for records in self.records.values() for record in records if record.lab == docname]


def read_labs(folder: Path) -> Ledger:
    """Collect the records of all notebooks in a folder; a broken one becomes a problem, not an exception."""
    ledger = Ledger()
    for path in sorted(folder.glob("*.ipynb")):
        docname = f"{folder.name}/{path.stem}"
        try:
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        except (ValueError, KeyError, TypeError):
            ledger.problems.append((docname, "is not a notebook; build it again with `make labs`"))
            continue
        taken: dict[str, int] = {}
        for index, raw in _raw_records(cells):
            wrong = _wrong_with(raw)
            if wrong:
                ledger.problems.append(
                    (docname, f"cell {index}: {wrong}; execute the lab again with `make labs`")
                )
                continue
            label = raw["label"]
            taken[label] = taken.get(label, 0) + 1
            suffix = "" if taken[label] == 1 else f"-{taken[label]}"
            values = {name: raw[name] for name in FIELDS} | {"routes": tuple(raw["routes"])}
            record = Record(**values, lab=docname, cell=index, anchor=f"check-{label}{suffix}")
            ledger.records.setdefault(label, []).append(record)
    return ledger


def _raw_records(cells: list[dict]) -> Iterator[tuple[int, object]]:
    for index, cell in enumerate(cells):
        for output in cell.get("outputs", []):
            if "gancourse" in output.get("metadata", {}):
                yield index, output["metadata"]["gancourse"]


def _wrong_with(raw: object) -> str | None:
    """What makes a stored record useless as evidence, or None."""
    if not isinstance(raw, dict):
        return "its record of a check is not a table of fields"
    for name, kind in FIELDS.items():
        if name not in raw:
            return f"its record of a check lacks '{name}'"
        accepted = (int, float) if kind is float else kind
        if not isinstance(raw[name], accepted) or isinstance(raw[name], bool):
            return f"its record of a check has {name} = {raw[name]!r}, which is no {kind.__name__}"
    label = raw["label"]
    if len(raw["routes"]) < 2 or not all(isinstance(route, str) for route in raw["routes"]):
        return f"the check of '{label}' names {len(raw['routes'])} route(s); evidence needs at least two"
    if not (0 < raw["tolerance"] < math.inf and raw["error"] <= raw["tolerance"]):
        return f"the check of '{label}' failed: error {raw['error']:g}, tolerance {raw['tolerance']:g}"
    # The stored numbers are rounded, so ten times one of them may miss the other by a rounding error.
    if not raw["control_error"] >= MARGIN * raw["tolerance"] * (1 - 1e-9):
        return (
            f"the check of '{label}' did not reject its control: {raw['control_error']:g} away, "
            f"which is less than ten tolerances of {raw['tolerance']:g}"
        )
    return None
