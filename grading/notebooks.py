"""Reads a student's notebook whatever happened to it, and puts it in order beside the released one.

What was done to make sense of it is told in notes; what makes no sense becomes an `Unreadable`.
"""

import json
import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from grading.collect import Changed, Handed, readable

MAX_PARTS = 2_000_000
MAX_CELLS = 2000
MAX_CODE = 2**20
# How Colab keeps a picture that is dropped into a text cell: inside the text, as Markdown or HTML.
_INLINE = r"data:([\w/+.-]{1,60});base64,([A-Za-z0-9+/=]+)"
INLINE_PICTURE = re.compile(
    rf"!\[([^\]\n]{{0,200}})\]\({_INLINE}\)|<img\b[^<>]{{0,200}}?\ssrc=[\"']{_INLINE}[\"'][^<>]{{0,200}}>"
)
PLACEHOLDER = re.compile(r"^[ \t]*raise NotImplementedError\(.*\)[ \t]*$", re.M)


class Unreadable(Exception):
    """A file is no notebook that could be marked; the message says why, for the student."""


@dataclass(frozen=True)
class Cell:
    """A cell of a student's notebook: its number there, kind (`code` or `markdown`), text and grade_id.

    `ran` says whether, by the outputs in the notebook, it was last run without an error.
    """

    number: int
    kind: str
    source: str
    grade_id: str | None
    attachments: dict[str, Any] = field(default_factory=dict)
    ran: bool = False


@dataclass(frozen=True)
class Task:
    """A part of the homework that carries points, as the released notebook has it.

    `cell` is the id of the cell that students write in, `function` what that cell defines (None where a text
    is asked for), `asked` the Markdown above it.
    """

    grade_id: str
    points: float
    cell: str
    function: str | None
    title: str
    asked: str


@dataclass(frozen=True)
class Release:
    """The homework as it was handed out."""

    homework: str
    notebook: dict[str, Any]
    cells: tuple[Cell, ...]
    tasks: tuple[Task, ...]

    def given(self) -> list[Cell]:
        """The code that students do not write and that is not a check."""
        about = {c["metadata"].get("nbgrader", {}).get("grade_id"): c for c in self.notebook["cells"]}
        return [
            cell
            for cell in self.cells
            if cell.kind == "code"
            and cell.grade_id
            and not about[cell.grade_id]["metadata"]["nbgrader"]["solution"]
            and not about[cell.grade_id]["metadata"]["nbgrader"]["grade"]
        ]


@dataclass(frozen=True)
class Submission:
    """A student's notebook, ready to be run.

    `steps`: the student's own code cells in order, and between them the grade_ids of the exercises, each
    where it is to be marked. `answers`: the cells with the texts, by grade_id. `found` says whether anything
    of this homework is in it.
    """

    path: str
    steps: tuple[Cell | str, ...]
    answers: dict[str, Cell]
    notes: tuple[str, ...]
    found: bool

    def code(self) -> list[Cell]:
        return [step for step in self.steps if isinstance(step, Cell)]


def read_release(path: Path) -> Release:
    """The released notebook of a homework; ValueError when there is none."""
    if not path.is_file():
        raise ValueError(f"There is no released homework {path.name}; run `make homework`.")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = tuple(_cells(notebook, []))
    tasks, solution, function, asked = [], None, None, []
    for cell, raw in zip(cells, notebook["cells"], strict=True):
        about = raw["metadata"].get("nbgrader", {})
        if about.get("solution"):
            solution = cell.grade_id
            defined = defines(cell.source)
            function = defined[-1] if defined else None
        if about.get("grade"):
            text = "\n\n".join(asked)
            heading = re.search(r"^#+ *(.+)$", text, re.M)
            title = heading[1] if heading else cell.grade_id
            name = None if about["solution"] and cell.kind == "markdown" else function
            tasks.append(Task(cell.grade_id, about["points"], solution, name, title, text))
            asked = []
        if cell.kind == "markdown" and not about:
            # A heading begins the next exercise; what stood before it was about something else.
            asked = [cell.source] if cell.source.startswith("#") else [*asked, cell.source]
    return Release(path.stem, notebook, cells, tuple(tasks))


def read(handed: Handed, release: Release) -> Submission:
    """The newest of a student's notebooks that can be read and has something of this homework.

    Raises Unreadable when none can be read.
    """
    problems, stranger = [], None
    for file in handed.files:
        try:
            if file.problem:
                raise Unreadable(file.problem)
            notes = list(problems)
            cells = _cells(parse(file.content(), notes), notes)
            submission = align(file.path, cells, release, notes)
        except (Unreadable, Changed) as problem:
            problems.append(f"{file.path}: {problem}")
            continue
        if submission.found:
            return submission
        problems.append(f"{file.path}: nothing of this homework is in it.")
        stranger = stranger or submission
    if stranger:
        return stranger
    raise Unreadable(" ".join(problems))


# --- from bytes to cells ----------------------------------------------------------------------------------


def parse(content: bytes, notes: list[str]) -> dict[str, Any]:
    """The JSON of a notebook, whatever marks and encodings an editor left; repairs are added to `notes`."""
    if not content.strip(b"\0 \t\r\n"):
        raise Unreadable("The file is empty.")
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    if encoding != "utf-8":
        notes.append("The file began with a byte-order mark.")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
        notes.append("The file was not in UTF-8; letters other than a to z may be wrong.")
    if sum(map(text.count, ",[{")) > MAX_PARTS:  # each takes fifty times its length in memory
        raise Unreadable("It holds more data than a homework can.")
    try:
        notebook = json.loads(text, strict=False)
    except RecursionError:
        raise Unreadable("It is nested too deeply to be a notebook.") from None
    except ValueError as error:
        if text.lstrip()[:1] == "<":
            raise Unreadable("It is a web page, not a notebook.") from None
        where = f" near line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Unreadable(f"It is not valid JSON{where}; was the file cut off or edited by hand?") from None
    if not isinstance(notebook, dict):
        raise Unreadable("It is JSON, but not a notebook.")
    return notebook


def _cells(notebook: dict[str, Any], notes: list[str]) -> list[Cell]:
    """The cells with text in them, of any version of the format."""
    raw = notebook.get("cells")
    if not isinstance(raw, list):
        sheets = notebook.get("worksheets")
        if not isinstance(sheets, list):
            raise Unreadable("It is JSON, but not a notebook: it has no cells.")
        raw = [c for sheet in sheets if isinstance(sheet, dict) for c in _list(sheet.get("cells"))]
        notes.append("It is in an old version of the notebook format.")
    if len(raw) > MAX_CELLS:
        raise Unreadable(f"It has more than {MAX_CELLS} cells.")
    cells, broken, windows = [], 0, False
    for number, entry in enumerate(raw, start=1):
        if not isinstance(entry, dict):
            broken += 1
            continue
        kind = entry.get("cell_type")
        source = entry.get("source", entry.get("input", ""))
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str) or not isinstance(kind, str):
            broken += 1
            continue
        windows = windows or "\r" in source
        source = source.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ").replace("\ufeff", "")
        source = source.encode("utf-8", "replace").decode("utf-8")
        metadata = entry.get("metadata")
        about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        grade_id = about.get("grade_id") if isinstance(about, dict) else None
        attachments = entry.get("attachments")
        attachments = attachments if isinstance(attachments, dict) else {}
        if kind == "code":
            source = _dedented(source)
        else:
            source, attachments = _with_pictures_attached(source, attachments)
        cells.append(
            Cell(
                number,
                "code" if kind == "code" else "markdown",
                source,
                grade_id if isinstance(grade_id, str) else None,
                attachments,
                _ran(entry),
            )
        )
    if broken:
        notes.append(
            f"{broken} damaged cells were left out." if broken > 1 else "A damaged cell was left out."
        )
    if windows:
        notes.append("Windows line ends were converted.")
    if sum(len(cell.source) for cell in cells) > 4 * MAX_CODE:
        raise Unreadable("It holds more text than a homework can.")
    return cells


def _ran(entry: dict[str, Any]) -> bool:
    count = entry.get("execution_count", entry.get("prompt_number"))
    kinds = [out.get("output_type") for out in _list(entry.get("outputs")) if isinstance(out, dict)]
    return type(count) is int and "error" not in kinds and "pyerr" not in kinds


def _dedented(source: str) -> str:
    """A cell without the indentation of its first line, which IPython takes from all of them."""
    indent = source[: len(source) - len(source.lstrip())].rpartition("\n")[2]
    return "\n".join(line.removeprefix(indent) for line in source.split("\n"))


def _with_pictures_attached(source: str, attachments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A text whose inline pictures became attachments, as Jupyter keeps them."""
    attached = dict(attachments)

    def attach(found: re.Match[str]) -> str:
        said, kind, data, html_kind, html_data = found.groups()
        kind, data = kind or html_kind, data or html_data
        name = f"picture-{len(attached) + 1}"
        attached[name] = {kind: data}
        return f"![{said or ''}](attachment:{name})"

    return INLINE_PICTURE.sub(attach, source), attached


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# --- beside the release -----------------------------------------------------------------------------------


def defines(source: str) -> list[str]:
    """The functions that a cell defines at its left margin."""
    return re.findall(r"^(?:async )?def (\w+)\s*\(", source, re.M)


def align(path: str, cells: list[Cell], release: Release, notes: list[str]) -> Submission:
    """Restore the given code, find each exercise's cells, and lay down the order in which to run them."""
    released = {cell.grade_id: cell for cell in release.cells if cell.grade_id}
    solved_in = {task.cell: task for task in release.tasks if task.function}
    texts = {task.cell: task for task in release.tasks if not task.function}
    functions = {task.function: task for task in solved_in.values()}
    ours = set(released) - set(solved_in) - set(texts)
    sources = {_squeezed(released[name].source) for name in ours}

    again = {cell.grade_id: cell for cell in release.given()}

    stripped = not any(cell.grade_id in released for cell in cells)
    changed, own = [], []
    restored: dict[int, Cell] = {}
    for cell in cells:
        # The cell for a text may have become a code cell; only what defines something is code then.
        if cell.kind == "code" and (cell.grade_id not in texts or defines(cell.source)):
            solves = any(name in functions for name in defines(cell.source))
            marked = cell.grade_id in ours
            if marked and not solves and _squeezed(cell.source) != _squeezed(released[cell.grade_id].source):
                changed.append(cell.number)
            if _squeezed(cell.source) in sources:
                continue
            if not solves and (marked or "def visible_checks(" in cell.source):
                if cell.grade_id in again:
                    restored[cell.number] = again[cell.grade_id]
                # What was written into a given cell runs as a cell of the student's own.
                cell = replace(cell, source=_without(cell.source, ours, released), grade_id=None)
            if cell.source.strip():
                own.append(cell)
    if changed:
        notes.append(
            f"Cell {_numbers(changed)}: the given code is not that of the homework as it is handed out now, "
            "which counts."
        )

    worked = {
        solved_in[cell.grade_id].grade_id
        for cell in own
        if cell.grade_id in solved_in and not PLACEHOLDER.search(cell.source)
    }
    place: dict[int, set[str]] = {}
    for index, cell in enumerate(own):
        if cell.grade_id in solved_in:
            place[index] = {solved_in[cell.grade_id].grade_id}
        else:
            # Who solved an exercise in its cell may use its function's name again further down.
            named = {functions[name].grade_id for name in defines(cell.source) if name in functions}
            place[index] = named - worked
    own, place = _without_untouched_copies(own, place, notes)
    answers = _answers(cells, release, released, texts, notes)
    found = any(place.values()) or bool(answers)
    if stripped and found:
        notes.append(
            "The notebook had lost the marks of its cells; they were found again by what they define."
        )
    if sum(len(cell.source) for cell in own) > MAX_CODE:
        raise Unreadable("It holds more code than a homework can.")

    last = {name: index for index in sorted(place) for name in place[index]}
    steps: list[Cell | str] = list(release.given())
    waiting: list[str] = []
    for index, cell in enumerate(own):
        # An exercise is marked after its own cells and what follows them, before the next exercise begins.
        if place[index] and not place[index] & set(waiting):
            steps += waiting
            waiting = []
        steps.append(cell)
        if cell.number in restored:
            steps.append(restored[cell.number])
        waiting += [name for name in place[index] if last[name] == index]
    tasks = [task.grade_id for task in solved_in.values()]
    steps += waiting + [name for name in tasks if name not in last]
    return Submission(path, tuple(steps), answers, tuple(readable_note(n) for n in notes), found)


def _without(source: str, names: set[str], released: dict[str | None, Cell]) -> str:
    """What a student wrote around given code; the lines of that are left blank, so the others keep theirs."""
    lines = source.split("\n")
    for name in sorted(names):
        given = "\n".join(line.rstrip() for line in released[name].source.strip("\n").split("\n"))
        before, found, _ = ("\n" + "\n".join(line.rstrip() for line in lines) + "\n").partition(
            f"\n{given}\n"
        )
        if found:
            first = before.count("\n")
            count = given.count("\n") + 1
            lines[first : first + count] = [""] * count
    return "\n".join(lines)


def readable_note(note: str) -> str:
    """A note without what a file's name could smuggle in; long ones are cut."""
    return " ".join("".join(readable(part) + " " for part in re.findall(r".{1,100}", note)).split())[:600]


def is_answered(cell: Cell | None, release: Release) -> bool:
    """Whether a student wrote, or put a picture, into the cell for a text."""
    released = {given.grade_id: given for given in release.cells if given.grade_id}
    return cell is not None and not _is_blank(cell, released)


def _is_blank(cell: Cell, released: dict[str | None, Cell]) -> bool:
    source = _squeezed(cell.source)
    unchanged = cell.grade_id in released and source == _squeezed(released[cell.grade_id].source)
    return (not source or unchanged) and not cell.attachments


def _answers(
    cells: list[Cell],
    release: Release,
    released: dict[str | None, Cell],
    texts: dict[str, Task],
    notes: list[str],
) -> dict[str, Cell]:
    """What was written for each text: in its cell, or in cells of the student's own beside it.

    A cell of theirs belongs to the question that it follows, and so does what they wrote between the lines of
    the question's own cell. A notebook whose cells lost their marks is told by the questions' words.
    """
    given = {_squeezed(cell.source) for cell in release.cells if cell.kind == "markdown"}
    questions = {
        _squeezed(before.source): cell.grade_id
        for before, cell in pairwise(release.cells)
        if cell.grade_id in texts
    }
    begins = {text.split("\n")[0]: (name, text) for text, name in questions.items()}
    blank: dict[str, Cell] = {}
    parts: dict[str, list[Cell]] = {name: [] for name in texts}
    current = None
    for cell in cells:
        if cell.kind == "code":
            if cell.grade_id not in texts:
                continue
            source, attachments = _with_pictures_attached(cell.source, cell.attachments)
            cell = replace(cell, kind="markdown", source=source, attachments=attachments)
            if not _is_blank(cell, released):
                notes.append(f"Cell {cell.number} is a code cell; it was read as text.")
        text = _squeezed(cell.source)
        if cell.grade_id in texts:
            current = cell.grade_id
            blank.setdefault(current, cell)
            if not _is_blank(cell, released):
                parts[current].append(cell)
        elif text in questions:
            current = questions[text]
        elif text in given and not cell.attachments:
            # An untouched answer cell without its mark changes nothing, any other given text ends the answer.
            current = current if current and text == _squeezed(released[current].source) else None
        elif text and text.split("\n")[0] in begins:
            current, question = begins[text.split("\n")[0]]
            written = _between(cell.source, question)
            if written or cell.attachments:
                parts[current].append(replace(cell, source=written))
        elif current and (text or cell.attachments):
            parts[current].append(cell)
    answers = {}
    for name, task in texts.items():
        if not parts[name]:
            if name in blank:
                answers[name] = blank[name]
            continue
        first, *more = parts[name]
        if first.grade_id != name:
            notes.append(f"Cell {first.number} is taken for the answer to “{task.title}”.")
        if more:
            numbers = _numbers([cell.number for cell in more])
            notes.append(f"Cell {numbers}: what is written there was joined to the answer to “{task.title}”.")
        answers[name] = _joined(parts[name], name)
    return answers


def _between(source: str, question: str) -> str:
    """What a student wrote between or below the lines of a question, or at the end of one of them."""
    asked, own = question.split("\n"), []
    for line in source.strip().split("\n"):
        if asked and line.rstrip().startswith(asked[0]):
            line = line.rstrip().removeprefix(asked.pop(0))
        own.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(own)).strip()


def _joined(parts: list[Cell], name: str) -> Cell:
    """Several cells as one, each picture under a name of its own."""
    sources, attachments = [], {}
    for part in parts:
        source = part.source
        for old, picture in part.attachments.items():
            new = old if old not in attachments else f"{part.number}-{old}"
            source = source.replace(f"attachment:{old})", f"attachment:{new})")
            attachments[new] = picture
        sources.append(source)
    return Cell(parts[0].number, "markdown", "\n\n".join(sources), name, attachments)


def _without_untouched_copies(
    own: list[Cell], place: dict[int, set[str]], notes: list[str]
) -> tuple[list[Cell], dict[int, set[str]]]:
    """Of several cells for one exercise, drop those in which nothing was written, and exact repetitions."""
    worked = {name for i, cell in enumerate(own) if not PLACEHOLDER.search(cell.source) for name in place[i]}
    kept, kept_place, seen = [], {}, set()
    for index, cell in enumerate(own):
        names = place[index]
        copy = names and (
            (PLACEHOLDER.search(cell.source) and names <= worked) or (_squeezed(cell.source) in seen)
        )
        if copy:
            notes.append(f"Cell {cell.number} is an unused copy of an exercise's cell and was left out.")
            continue
        if names:
            seen.add(_squeezed(cell.source))
        kept_place[len(kept)] = names
        kept.append(cell)
    return kept, kept_place


def _squeezed(text: str) -> str:
    """A text without the differences that editors make."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines() if line.strip())


def _numbers(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
