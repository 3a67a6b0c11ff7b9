"""Makes submissions by code: the released notebook, solved in a style, and then broken or turned hostile."""

# ruff: noqa: E501

import ast
import copy
import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading.grade import RELEASES
from tests.homework.right.optimal_discriminator import RIGHT

STEM = "optimal_discriminator"
FUNCTIONS = {
    "class_weighted_loss": 3,
    "optimal_discriminator": 3,
    "density_ratio": 2,
    "smoothed_optimum": 3,
    "discriminator_step": 3,
    "generator_step": 2,
}
Notebook = dict[str, Any]


def released() -> Notebook:
    return json.loads((RELEASES / f"{STEM}.ipynb").read_text(encoding="utf-8"))


def solved(
    style: str = "short", answer: str = "The best discriminator pays $H(\\pi)$ less two divergences."
) -> Notebook:
    """The released notebook with a right solution in one of the styles, helpers in an added cell."""
    notebook, code = released(), RIGHT[style]
    tree = ast.parse(code)
    functions = {
        node.name: ast.get_source_segment(code, node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    helpers = [
        ast.get_source_segment(code, n) for n in tree.body if getattr(n, "name", None) not in FUNCTIONS
    ]
    decorated = "@dataclass(frozen=True)\n"
    helpers = [decorated + h if h.startswith("class CrossEntropy") else h for h in helpers]
    for name in FUNCTIONS:
        put(notebook, name, functions[name])
    cell(notebook, "minimal_risk")["source"] = answer
    if helpers:
        add_before(notebook, "class_weighted_loss", "\n\n\n".join(helpers))
    return notebook


def cell(notebook: Notebook, grade_id: str) -> dict[str, Any]:
    return next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def put(notebook: Notebook, function: str, source: str) -> None:
    """Write into the cell of an exercise."""
    cell(notebook, function)["source"] = source


def ran(notebook: Notebook, function: str, source: str, outputs: Sequence[dict[str, Any]] = ()) -> None:
    """Write into the cell of an exercise, which was run and had these outputs."""
    cell(notebook, function).update(source=source, execution_count=7, outputs=list(outputs))


def new_cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}


def add_before(notebook: Notebook, grade_id: str, source: str) -> None:
    notebook["cells"].insert(notebook["cells"].index(cell(notebook, grade_id)), new_cell(source))


def add_last(notebook: Notebook, source: str) -> None:
    notebook["cells"].append(new_cell(source))


def write(path: Path, notebook: Notebook) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


@dataclass(frozen=True)
class Kind:
    """A kind of submission: how it is laid into the folder, and the status that each exercise must get.

    `statuses` names only those that are not `ok`; `everything` is the status of all where nothing can run.
    """

    name: str
    lay: Callable[[Path], None]
    statuses: dict[str, str] = field(default_factory=dict)
    everything: str = ""
    student: str = ""

    def expected(self) -> dict[str, str]:
        return {f: self.everything or self.statuses.get(f, "ok") for f in FUNCTIONS}


def edited(
    change: Callable[[Notebook], None], style: str = "short"
) -> Callable[[str], Callable[[Path], None]]:
    """Lay a solved notebook that was changed in some way."""

    def lay(folder: Path, name: str) -> None:
        notebook = solved(style)
        change(notebook)
        write(folder / f"{name}.ipynb", notebook)

    return lay


def function_kind(name: str, function: str, source: str, status: str) -> Kind:
    """The cell of one exercise holds this code."""
    lay = edited(lambda notebook: put(notebook, function, source))
    return Kind(name, lambda folder: lay(folder, name), {function: status} if status != "ok" else {})


def notebook_kind(name: str, change: Callable[[Notebook], None], **statuses: str) -> Kind:
    lay = edited(change)
    return Kind(name, lambda folder: lay(folder, name), statuses)


def added_kind(name: str, source: str, **statuses: str) -> Kind:
    """A cell with this code stands before the second exercise."""
    return notebook_kind(name, lambda n: add_before(n, "optimal_discriminator", source), **statuses)


def bytes_kind(name: str, make: Callable[[], bytes], everything: str = "", suffix: str = ".ipynb") -> Kind:
    return Kind(
        name, lambda folder: (folder / f"{name}{suffix}").write_bytes(make()) and None, everything=everything
    )


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def dumped(notebook: Notebook | None = None) -> bytes:
    return json.dumps(notebook or solved()).encode()


# --- broken -----------------------------------------------------------------------------------------------


def _colab(notebook: Notebook) -> None:
    notebook.update(nbformat=4, nbformat_minor=0)
    notebook["metadata"] = {
        "colab": {"provenance": [], "toc_visible": True},
        "kernelspec": {"name": "python3"},
    }
    for c in notebook["cells"]:
        c.pop("id", None)
        c["metadata"].update(id="x1y2", colab={"base_uri": "https://localhost:8080/"}, outputId="ab-cd")
        c["source"] = c["source"].splitlines(keepends=True) if isinstance(c["source"], str) else c["source"]


def _stripped(notebook: Notebook) -> None:
    for c in notebook["cells"]:
        c["metadata"] = {}


def _duplicated(notebook: Notebook) -> None:
    """The student worked in a copy below the original, which stayed untouched, and copied a check twice."""
    original = cell(released(), "density_ratio")
    worked = cell(notebook, "density_ratio")
    place = notebook["cells"].index(worked)
    notebook["cells"].insert(place + 1, original)
    notebook["cells"].insert(place, copy.deepcopy(cell(notebook, "check_density_ratio")))
    notebook["cells"].insert(place, copy.deepcopy(worked))


def _old_format() -> bytes:
    cells = []
    for c in solved()["cells"]:
        source = "".join(c["source"])
        if c["cell_type"] == "code":
            cells.append(
                {"cell_type": "code", "input": source, "outputs": [], "language": "python", "metadata": {}}
            )
        else:
            cells.append({"cell_type": "markdown", "source": source, "metadata": {}})
    sheet = {"cells": cells, "metadata": {}}
    return json.dumps(
        {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [sheet]}
    ).encode()


def _windows() -> bytes:
    notebook = solved()
    for c in notebook["cells"]:
        c["source"] = "".join(c["source"]).replace("\n", "\r\n")
    return json.dumps(notebook, indent=1).replace("\n", "\r\n").encode()


def _one_cell(notebook: Notebook) -> None:
    sources = ["".join(cell(notebook, f)["source"]) for f in FUNCTIONS]
    notebook["cells"] = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    add_last(notebook, "\n\n\n".join(sources))


def _remove(notebook: Notebook, *grade_ids: str) -> None:
    for grade_id in grade_ids:
        notebook["cells"].remove(cell(notebook, grade_id))


def _two_files(folder: Path) -> None:
    """An older right one and a newer one that lacks an exercise."""
    write(folder / "two_files.ipynb", solved())
    os.utime(folder / "two_files.ipynb", (1e9, 1e9))
    newer = solved()
    put(newer, "density_ratio", "def density_ratio(logits, prior):\n    return logits * 0")
    write(folder / "two_files (1).ipynb", newer)


def _newest_damaged(folder: Path) -> None:
    write(folder / "newest_damaged.ipynb", solved())
    os.utime(folder / "newest_damaged.ipynb", (1e9, 1e9))
    (folder / "newest_damaged (1).ipynb").write_text('{"cells": [')


def _in_folder(folder: Path) -> None:
    """Moodle's folder for each student, with a lab beside the homework and what macOS leaves."""
    inner = folder / "In Folder_4711_assignsubmission_file_"
    write(inner / f"{STEM}.ipynb", solved())
    write(inner / "__MACOSX" / f"._{STEM}.ipynb", {"cells": "no"})
    lab = {"cells": [{"cell_type": "code", "metadata": {}, "source": "1 + 1"}]}
    write(inner / "lab.ipynb", lab)
    os.utime(inner / f"{STEM}.ipynb", (1e9, 1e9))


RATIO = "def density_ratio(logits, prior):\n    "
BROKEN = [
    bytes_kind("bad_json", lambda: dumped()[:-200], "unreadable"),
    bytes_kind("empty_file", lambda: b"", "unreadable"),
    bytes_kind("only_zeros", lambda: b"\0" * 4096, "unreadable"),
    bytes_kind("no_notebook", lambda: b"[1, 2, 3]", "unreadable"),
    bytes_kind("web_page", lambda: b"<!doctype html><title>Colab</title>", "unreadable"),
    bytes_kind("script", lambda: b"print(1)\n", "unreadable", ".py"),
    bytes_kind("merge_conflict", lambda: b"<<<<<<< HEAD\n" + dumped(), "unreadable"),
    bytes_kind(
        "wrong_homework",
        lambda: json.dumps({"cells": [{"cell_type": "code", "metadata": {}, "source": "x = 1"}]}).encode(),
        "missing",
    ),
    Kind("empty_folder", lambda folder: (folder / "empty_folder").mkdir(), everything="unreadable"),
    function_kind("syntax_error", "class_weighted_loss", "def class_weighted_loss(a, b, c)\n    return a", "raised"),
    notebook_kind("syntax_error_that_was_run", lambda n: ran(n, "class_weighted_loss", "def class_weighted_loss(a, b, c)\n    return a", [{"output_type": "error", "ename": "SyntaxError", "evalue": "expected ':'", "traceback": []}]), class_weighted_loss="raised"),
    notebook_kind("syntax_of_a_newer_python", lambda n: ran(n, "class_weighted_loss", "def class_weighted_loss(a, b, c)\n    return a"), class_weighted_loss="syntax"),
    notebook_kind("helper_of_a_newer_python", lambda n: (add_before(n, "density_ratio", "def ratio(x)\n    return np.exp(x)"), n["cells"][n["cells"].index(cell(n, "density_ratio")) - 1].update(execution_count=9), put(n, "density_ratio", RATIO + "return ratio(logits) * (1 / prior - 1)")), density_ratio="syntax"),
    notebook_kind("cell_deleted", lambda n: _remove(n, "density_ratio"), density_ratio="missing"),
    function_kind("renamed_function", "density_ratio", "def density_rato(logits, prior):\n    return 1", "missing"),
    function_kind("wrong_signature", "density_ratio", "def density_ratio(logits):\n    return logits", "raised"),
    function_kind("returns_none", "density_ratio", RATIO + "np.exp(logits) * (1 / prior - 1)", "wrong"),
    function_kind("returns_nan", "density_ratio", RATIO + "return logits * np.nan", "wrong"),
    function_kind("wrong_dtype", "density_ratio", RATIO + "return (np.exp(logits) * (1 / prior - 1)).astype(object)", "wrong"),
    function_kind("low_precision", "density_ratio", RATIO + "return (np.exp(logits) * (1 / prior - 1)).astype(np.float32)", "wrong"),
    function_kind("returns_list", "density_ratio", RATIO + "return (np.exp(logits) * (1 / prior - 1)).tolist()", "wrong"),
    function_kind("returns_huge_array", "density_ratio", RATIO + "return np.ones(10**7)", "wrong"),
    function_kind("asks_too_much_memory", "density_ratio", RATIO + "return np.ones(10**12)", "memory"),
    function_kind("torch_asks_too_much", "density_ratio", RATIO + "return torch.ones(10**12)", "memory"),
    function_kind("prints_a_gigabyte", "density_ratio", "for _ in range(1000): print('x' * 10**6)\n" + RATIO + "return np.exp(logits) * (1 / prior - 1)", "ok"),
    function_kind("asks_for_input", "density_ratio", RATIO + "return float(input('ratio? '))", "raised"),
    added_kind("input_in_a_cell", "answer = input('Your name: ')\n"),
    added_kind("installs_packages", "!pip install torchvision\n%matplotlib inline\nx = 5\n  \nfiles = !ls\nprint?\n"),
    function_kind("magic_in_the_cell", "density_ratio", "%%time\n" + RATIO + "return np.exp(logits) * (1 / prior - 1)", "ok"),
    added_kind("other_language", "%%bash\nrm -rf /\n"),
    function_kind("uses_cuda", "density_ratio", RATIO + "return torch.ones(1).cuda()", "raised"),
    function_kind("warns_on_stderr", "density_ratio", "import sys, warnings\n" + RATIO + "warnings.warn('careful'); print('careful', file=sys.stderr); return np.exp(logits) * (1 / prior - 1)", "ok"),
    notebook_kind("redefines_earlier", lambda n: add_before(n, "check_generator_step", "def density_ratio(*values):\n    return None")),
    notebook_kind(
        "out_of_order",
        lambda n: (put(n, "density_ratio", RATIO + "return ratio_of(logits, prior)"), add_last(n, "def ratio_of(s, p):\n    return np.exp(s) * (1 / p - 1)")),
        density_ratio="raised",
    ),
    notebook_kind("duplicated_cells", _duplicated),
    notebook_kind("stripped_metadata", _stripped),
    notebook_kind("from_colab", _colab),
    bytes_kind("old_format", _old_format),
    bytes_kind("windows_line_ends", _windows),
    bytes_kind("byte_order_mark", lambda: b"\xef\xbb\xbf" + dumped()),
    bytes_kind("utf16", lambda: json.dumps(solved()).encode("utf-16")),
    bytes_kind("zip_file", lambda: zipped({f"work/{STEM}.ipynb": dumped()}), suffix=".zip"),
    notebook_kind("nothing_solved", lambda n: n.update(released()), **dict.fromkeys(FUNCTIONS, "raised")),
    notebook_kind("given_code_deleted", lambda n: _remove(n, "setup", "check_density_ratio")),
    notebook_kind("checks_changed", lambda n: put(n, "check_density_ratio", "visible_checks = None\nraise SystemExit")),
    notebook_kind("setup_changed", lambda n: put(n, "setup", "import numpy as torch")),
    notebook_kind("given_code_with_an_import", lambda n: (put(n, "setup", "import math\n" + "".join(cell(n, "setup")["source"])), put(n, "density_ratio", RATIO + "return math.exp(0) * np.exp(logits) * (1 / prior - 1)"))),
    notebook_kind("all_in_one_cell", _one_cell),
    notebook_kind("damaged_cells", lambda n: n["cells"].extend([None, 3, {"cell_type": "code"}, {"source": ["x", 4]}])),
    function_kind("endless_recursion", "density_ratio", RATIO + "return density_ratio(logits, prior)", "raised"),
    added_kind("failing_cell", "from google.colab import drive\ndrive.mount('/content/drive')\n"),
    notebook_kind(
        "only_on_colab",
        lambda n: (add_before(n, "density_ratio", "from google.colab import drive; drive.mount('/x')\nhalf = 1 / 2\ntable = open('/x/data')\nimport math"), put(n, "density_ratio", "import seaborn_ as sns\nsns.set_theme()\n" + RATIO + "return math.exp(0) * np.exp(logits) * (1 / prior - 1)"), put(n, "smoothed_optimum", "def smoothed_optimum(*values):\n    return table")),
        smoothed_optimum="raised",
    ),
    function_kind("cell_stops_after_the_function", "density_ratio", RATIO + "return np.exp(logits) * (1 / prior - 1)\n1 / 0", "ok"),
    Kind("two_files", _two_files, {"density_ratio": "wrong"}),
    Kind("newest_damaged", _newest_damaged),
    Kind("in_folder", _in_folder, student="in-folder-4711"),
]  # fmt: skip
