"""Build labs/*.ipynb from labs/*.py and draw the chapters' figures: `python -m tools.notebooks`.

A lab is executed only when its code, or a gancourse module that it imports, changed since its stored outputs
were made; prose, the repository's address and the release tag re-execute nothing. A lab that fails keeps its
old outputs, and the others are built all the same.
"""

import argparse
import ast
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
import zmq
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from traitlets import DottedObjectName, Type

from tools import project

ROOT = Path(__file__).resolve().parents[1]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PROFILE = "cpu"
TIMEOUT = 1800


def notebook_path(source: Path) -> str:
    """Where the notebook built from this source stands in the repository, as Colab addresses it."""
    folder = "labs/homework" if source.resolve().parent.name == "solutions" else "labs"
    return f"{folder}/{source.stem}.ipynb"


def from_source(source: Path) -> NotebookNode:
    """The notebook that a jupytext source describes, without outputs: stable ids, tokens substituted."""
    source = Path(source)
    notebook = jupytext.read(source)
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(display_name="Python 3", language="python", name="python3"),
        language_info=NotebookNode(name="python"),
    )
    colab = project.colab_link(notebook_path(source))
    tokens = {
        "{{ repository }}": project.repository(),
        "{{ tag }}": project.tag(),
        "{{ costs }}": project.costs(source.stem),
    }
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index}"
        cell.metadata.pop("lines_to_next_cell", None)  # a note of jupytext's to itself
        lines = [line for line in cell.source.split("\n") if colab is not None or "{{ colab }}" not in line]
        cell.source = "\n".join(lines).replace("{{ colab }}", colab or "").strip("\n")
        for token, value in tokens.items():
            cell.source = cell.source.replace(token, value)
        left = re.search(r"\{\{.*?\}\}", cell.source)
        if left:
            known = ", ".join([*tokens, "{{ colab }}"])
            raise ValueError(f"{source}: unknown token {left[0]}; the known ones are {known}.")
    return notebook


def code_hash(source: Path) -> str:
    """Hash of the code cells as written, so before address and tag are put in."""
    cells = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(cells).encode()).hexdigest()[:16]


def library_hash(source: Path) -> str:
    """Hash of every gancourse module that the source imports, directly or through another."""
    package = ROOT / "src" / "gancourse"
    waiting, seen = _imported(Path(source).read_text(encoding="utf-8")), set()
    while waiting:
        module = waiting.pop()
        if module not in seen and (files := _files_of(package, module)):
            seen.add(module)
            for path in files:
                if path.suffix == ".py":
                    waiting |= _imported(path.read_text(encoding="utf-8"))
    digest = hashlib.sha256()
    for module in sorted(seen):
        for path in _files_of(package, module):
            text = path.read_text(encoding="utf-8")
            content = ast.dump(_without_docstrings(ast.parse(text))) if path.suffix == ".py" else text
            digest.update(f"{path.relative_to(package).with_suffix('')}\0{content}\0".encode())
    return digest.hexdigest()[:16]


def _files_of(package: Path, module: str) -> list[Path]:
    """The files of a module of the package; of a subpackage such as the arena, all of them."""
    folder = package / module
    inside = sorted(path for path in folder.glob("*") if path.suffix in {".py", ".mjs"})
    return inside or [path for path in [package / f"{module}.py"] if path.exists()]


def _imported(code: str) -> set[str]:
    names = set(re.findall(r"^\s*from gancourse\.(\w+) import", code, re.M))
    names |= set(re.findall(r"^\s*import gancourse\.(\w+)", code, re.M))
    for line in re.findall(r"^\s*from gancourse import \(?([\w ,\n]+)", code, re.M):
        names |= set(re.findall(r"\w+", line))
    return names


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


class Channel(AsyncZMQSocketChannel):
    """A channel to a kernel that misses no answer.

    A message sent while an answer is awaited, as the state of an Output widget is, can swallow the sign that
    the answer has come, and then the client waits for ever. Asking for the events looks again.
    """

    def send(self, msg: dict[str, object]) -> None:
        super().send(msg)
        self.socket.get(zmq.EVENTS)


class Client(AsyncKernelClient):
    shell_channel_class = Type(Channel)


class Manager(AsyncKernelManager):
    client_class = DottedObjectName("tools.notebooks.Client")
    client_factory = Type(Client)


def execute(notebook: NotebookNode, profile: str = PROFILE) -> NotebookNode:
    """Run a notebook from top to bottom in an empty folder and strip what is not evidence."""
    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        os.environ.update({"GANCOURSE_PROFILE": profile, "OMP_NUM_THREADS": "1", "GANCOURSE_RUNS": "runs"})
        if "GANCOURSE_DATA" in before:
            os.environ["GANCOURSE_DATA"] = str(Path(before["GANCOURSE_DATA"]).resolve())
        try:
            client = NotebookClient(
                notebook,
                record_timing=False,
                timeout=TIMEOUT,
                kernel_manager_class=Manager,
                resources={"metadata": {"path": folder}},
            )
            client.execute()
        finally:
            os.environ.clear()
            os.environ.update(before)
    strip(notebook)
    return notebook


def strip(notebook: NotebookNode) -> None:
    """Remove widget views, progress bars and everything that names the machine."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = NotebookNode(name="python")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                output
                for output in cell.outputs
                if WIDGET_VIEW not in output.get("data", {}) and output.get("name") != "stderr"
            ]


def stale(source: Path) -> str | None:
    """Why the stored outputs of a lab no longer hold, or None when they do."""
    target = source.with_suffix(".ipynb")
    if not target.exists():
        return "it was never executed"
    stamp = nbformat.read(target, as_version=4).metadata.get("gancourse", {})
    if stamp.get("code") != code_hash(source):
        return "its code changed"
    if stamp.get("library") != library_hash(source):
        return "a gancourse module that it imports changed"
    return None


def build(source: Path, force: bool = False) -> None:
    """Write the notebook beside its source, executing it when its outputs are stale."""
    target, notebook = source.with_suffix(".ipynb"), from_source(source)
    reason = "asked for" if force else stale(source)
    if reason:
        print(f"{source.name}: executing, {reason}", flush=True)
        # Before the execution: what is edited meanwhile must count as changed.
        stamp = {"code": code_hash(source), "library": library_hash(source), "profile": PROFILE}
        execute(notebook)
        notebook.metadata["gancourse"] = stamp
    else:
        stored = nbformat.read(target, as_version=4)
        outputs = [cell for cell in stored.cells if cell.cell_type == "code"]
        for cell, before in zip((c for c in notebook.cells if c.cell_type == "code"), outputs, strict=True):
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
        notebook.metadata["gancourse"] = stored.metadata["gancourse"]
    text = nbformat.writes(notebook) + "\n"
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
        print(f"{target.name}: written")


def without_source() -> list[str]:
    """The labs that are published and have no source, a line for each."""
    built = sorted((ROOT / "labs").glob("*.ipynb"))
    return [
        f"labs/{path.name}: has no source labs/{path.stem}.py; write it, or remove the notebook and its "
        "entry in _toc.yml"
        for path in built
        if not path.with_suffix(".py").exists()
    ]


def draw_figures() -> set[str]:
    """Draw the figures of every chapter into book/assets/figures; returns the names of the files."""
    from gancourse.figures import save_pair

    folder, drawn = ROOT / "book" / "assets" / "figures", set()
    for path in sorted((ROOT / "book" / "figures").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"figures_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, draw in module.FIGURES.items():
            save_pair(draw, folder, name)
            drawn |= {f"{name}-light.svg", f"{name}-dark.svg"}
    return drawn


def remove_figures_but(drawn: set[str]) -> None:
    """Remove from book/assets/figures what nothing draws any more."""
    for path in sorted((ROOT / "book" / "assets" / "figures").glob("*.svg")):
        if path.name not in drawn:
            path.unlink()
            print(f"{path.relative_to(ROOT)}: removed, nothing in book/figures draws it")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    parser.add_argument("labs", nargs="*", type=Path, help="sources to build (default: all of labs/*.py)")
    parser.add_argument("--force", action="store_true", help="execute even where the outputs still hold")
    parser.add_argument("--check", action="store_true", help="only say which are stale; fail when any is")
    options = parser.parse_args(arguments)
    sources = options.labs or sorted((ROOT / "labs").glob("*.py"))
    missing = [str(source) for source in sources if not source.exists()]
    if missing:
        parser.error(f"no such lab source: {', '.join(missing)}; they are labs/*.py")
    if options.check:
        reasons = {source.name: stale(source) for source in sources}
        for name, reason in reasons.items():
            print(f"{name}: {reason or 'fresh'}")
        return int(any(reasons.values()))
    problems = []
    for source in sources:
        try:
            build(source, options.force)
        except CellExecutionError as error:
            print(error, file=sys.stderr)
            problems.append(f"labs/{source.name}: {error.ename}: {error.evalue}; its old outputs stay")
    if not options.labs:
        remove_figures_but(draw_figures())
        problems += without_source()
    print("\n".join(problems), end="\n" if problems else "", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
