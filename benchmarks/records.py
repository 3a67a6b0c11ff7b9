"""Results of a benchmark on disk: one JSON file, one line a run, written whole or not at all."""

import datetime
import json
import os
from importlib import metadata
from pathlib import Path

from tools.measure import processor


def read(path: Path) -> dict[str, object]:
    """What has been measured so far; no run when there is no file.

    Raises:
        ValueError: a file that holds no such record.
    """
    if not path.exists():
        return {"runs": []}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["runs"] = list(record["runs"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no results ({error}). Take the committed file back, or remove it to measure anew."
        ) from error
    return record


def store(path: Path, record: dict[str, object], order: tuple[str, ...]) -> None:
    """Replace the file in one motion: a kill at any instant leaves the previous one whole.

    order: the keys by which the runs are sorted.
    """
    head = {key: value for key, value in record.items() if key != "runs"}
    runs = sorted(record["runs"], key=lambda row: [row[key] for key in order])
    lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in runs)
    text = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    half = path.with_suffix(".half")
    half.write_text(f'{text},\n "runs": [\n{lines}\n ]\n}}\n', encoding="utf-8")
    os.replace(half, path)


def circumstances() -> dict[str, str]:
    """Date, machine and version of PyTorch."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": processor(),
        "torch": metadata.version("torch"),
    }
