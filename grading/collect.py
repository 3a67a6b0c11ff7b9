"""Finds what each student handed in, in a folder or zip file as a learning platform exports it.

Nothing is written, no link is followed, nothing is unpacked to disk. A file that cannot be taken becomes a
submission without content and with a reason.
"""

import hashlib
import io
import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

MAX_NOTEBOOK = 32 * 2**20
MAX_ZIP = 256 * 2**20
MAX_MEMBERS = 5000
MAX_FILES = 20_000


@dataclass(frozen=True)
class File:
    """One file of a submission: its place, when it was last changed, its content or why there is none."""

    path: str
    changed: float
    content: bytes | None
    problem: str = ""


@dataclass(frozen=True)
class Handed:
    """What one student handed in. `student` is safe as a file name, `name` is for people.

    `files` holds the notebooks, the newest first; `notes` say what a person should know.
    """

    student: str
    name: str
    files: tuple[File, ...]
    notes: tuple[str, ...] = ()


class NothingToGrade(ValueError):
    """There is no folder or zip file of submissions; the message is for people."""


def collect(source: Path, homework: str) -> list[Handed]:
    """Every student's submission below a folder, or in a zip file of one, in alphabetical order."""
    if not source.exists():
        raise NothingToGrade(f"There is no {source}: name the folder, or the zip file, with the submissions.")
    if source.is_dir():
        found = list(_in_folder(source, homework))
    elif zipfile.is_zipfile(source):
        found = list(_in_class_zip(source, homework))
    else:
        raise NothingToGrade(f"{source} is neither a folder nor a zip file of submissions.")
    if not found:
        raise NothingToGrade(f"{source} holds no submissions: expected notebooks, folders or zip files.")
    groups: dict[str, list[tuple[str, File]]] = {}
    for (key, name), file in found:
        groups.setdefault(key.casefold(), []).append((name, file))
    students = [_handed(key, entries, homework) for key, entries in sorted(groups.items())]
    return _distinct(students)


# --- files ------------------------------------------------------------------------------------------------


def _in_folder(source: Path, homework: str) -> Iterator[tuple[tuple[str, str], File]]:
    seen = 0
    for top in sorted(source.iterdir()):
        if _is_debris(top.name):
            continue
        owner = _owner(PurePosixPath(top.name), homework)
        if top.is_symlink() or not (top.is_dir() or top.is_file()):
            yield owner, _problem(top.name, "It is a link or a device, not a file; links are not followed.")
        elif top.is_file():
            for file in _opened(top, top.name):
                yield owner, file
        else:
            found = 0
            for folder, folders, names in os.walk(top, followlinks=False):
                folders.sort()
                for name in sorted(names):
                    path = Path(folder, name)
                    inner = path.relative_to(source).as_posix()
                    if _is_debris(name) or any(_is_debris(part) for part in PurePosixPath(inner).parts):
                        continue
                    seen += 1
                    if seen > MAX_FILES:
                        raise NothingToGrade(
                            f"{source} holds more than {MAX_FILES} files; is it the right one?"
                        )
                    for file in _opened(path, inner):
                        found += 1
                        yield _owner(PurePosixPath(inner), homework), file
            if not found:
                yield owner, _problem(top.name, "The folder is empty.")


def _in_class_zip(source: Path, homework: str) -> Iterator[tuple[tuple[str, str], File]]:
    files = list(_in_zip(source.name, source.read_bytes(), source.stat().st_mtime))
    if any(file.path == source.name for file in files):
        raise NothingToGrade(f"{source}: {files[-1].problem}")
    paths = [PurePosixPath(file.path.removeprefix(f"{source.name}!")) for file in files]
    # A folder around everything is the class's, not a student's.
    wrapped = len(files) > 1 and len({path.parts[:1] for path in paths}) == 1 and len(paths[0].parts) > 1
    for file, path in zip(files, paths, strict=True):
        path = PurePosixPath(*path.parts[1:]) if wrapped and len(path.parts) > 1 else path
        yield _owner(path if path.parts else PurePosixPath("unnamed"), homework), file


def _opened(path: Path, shown: str) -> Iterator[File]:
    """The file itself, or the notebooks in it when it is a zip file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        reason = (
            "It is a link; links are not followed." if path.is_symlink() else f"It cannot be read: {error}."
        )
        yield _problem(shown, reason)
        return
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            yield _problem(shown, "It is not a file but a device or a pipe.")
            return
        zipped = path.suffix.lower() == ".zip"
        content = file.read((MAX_ZIP if zipped else MAX_NOTEBOOK) + 1)
    if zipped:
        inside = list(_in_zip(shown, content, about.st_mtime))
        yield from inside or [_problem(shown, "The zip file holds no notebook.", about.st_mtime)]
    elif len(content) > MAX_NOTEBOOK:
        yield _problem(shown, f"It is larger than {MAX_NOTEBOOK // 2**20} MiB.", about.st_mtime)
    else:
        yield File(shown, about.st_mtime, content)


def _in_zip(shown: str, content: bytes, changed: float) -> Iterator[File]:
    """The notebooks in a zip file, read into memory within limits; their names are only looked at."""
    if len(content) > MAX_ZIP:
        yield _problem(shown, f"It is larger than {MAX_ZIP // 2**20} MiB.", changed)
        return
    left = MAX_ZIP
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                yield _problem(shown, f"It holds more than {MAX_MEMBERS} files.", changed)
                return
            for member in members:
                path = f"{shown}!{member.filename}"
                with suppress(ValueError, OverflowError):
                    changed = datetime(*member.date_time).timestamp()
                parts = PurePosixPath(member.filename).parts
                if member.is_dir() or any(_is_debris(part) for part in parts):
                    continue
                if (
                    stat.S_ISLNK(member.external_attr >> 16)
                    or ".." in parts
                    or member.filename.startswith("/")
                ):
                    yield _problem(path, "It is a link, or its name leads out of the zip file.", changed)
                elif member.flag_bits & 1:
                    yield _problem(path, "It is encrypted.", changed)
                else:
                    most = min(MAX_NOTEBOOK, left)
                    with archive.open(member) as file:
                        data = file.read(most + 1)
                    if len(data) > most:
                        yield _problem(path, "Unpacked it is larger than the limit.", changed)
                        left = max(0, left - most)
                    else:
                        left -= len(data)
                        yield File(path, changed, data)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, ValueError, OSError, EOFError):
        yield _problem(shown, "The zip file is damaged.", changed)
    except Exception as error:  # zlib.error, lzma.LZMAError, and what else a hostile archive provokes
        yield _problem(shown, f"The zip file is damaged ({type(error).__name__}).", changed)


def _problem(path: str, reason: str, changed: float = 0.0) -> File:
    return File(path, changed, None, reason)


def _is_debris(name: str) -> bool:
    """Whether an operating system or an editor left it there."""
    return name.startswith((".", "~$")) or name in ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini")


# --- names ------------------------------------------------------------------------------------------------

COPY = re.compile(
    r"(\s*[(\[]\d+[)\]]|\s*[-–]\s*(copy|kopie|copie|copia)(\s*\(?\d+\)?)?|[ _-]*copy\d*)$", re.I
)
COPY_OF = re.compile(r"^(copy of|kopie von|copie de|copia de|cópia de)\s+", re.I)
MOODLE = re.compile(
    r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(file|onlinetext)(_(?P<rest>.*))?$", re.I
)
CANVAS = re.compile(r"^(?P<name>[^_]+?)_(?:late_)?(?P<number>\d+)_(?P<submission>\d+)_(?P<rest>.+)$", re.I)


def _owner(path: PurePosixPath, homework: str) -> tuple[str, str]:
    """Whose file this is, from its path in the export: a key, and the name as people read it."""
    top = path.parts[0]
    stem = (
        re.sub(r"(\.(ipynb|zip|json|py|txt|html|pdf))+$", "", top, flags=re.I)
        if len(path.parts) == 1
        else top
    )
    for pattern in (MOODLE, CANVAS):
        match = pattern.match(stem)
        if match:
            name = " ".join(match["name"].split())
            return f"{name}_{match['number']}", name
    if len(path.parts) == 1:
        original, stem = stem, _plain_stem(stem)
        words = re.escape(homework).replace("_", "[ _-]")
        without = re.sub(rf"^{words}[ _-]+|[ _-]+{words}$|^{words}$", "", stem, flags=re.I)
        # Files that bear the homework's name alone may be of different people: they are never put together.
        stem = _plain_stem(without) if without else original
    name = " ".join(re.sub(r"_+", " ", stem).split())
    return name, name


def _plain_stem(stem: str) -> str:
    """A file's name without what browsers, Colab and file managers add when there are two."""
    before = None
    while before != stem:
        before, stem = stem, COPY.sub("", COPY_OF.sub("", stem)).strip()
    return stem


def slug(name: str) -> str:
    """A name for files and addresses: ASCII letters, digits, dashes; two names never come out the same."""
    text = unicodedata.normalize("NFKD", name.casefold())
    text = re.sub(r"[^a-z0-9]+", "-", "".join(c for c in text if not unicodedata.combining(c)))
    text = text.strip("-")[:60].strip("-")
    if text and text == re.sub("[ _]", "-", name.casefold()):
        return text
    # Something was lost, so another name could come out the same.
    return f"{text or 'student'}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"


def readable(name: str) -> str:
    """A name without control characters, lone surrogates and characters that turn the writing direction."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(letter if unicodedata.category(letter)[0] != "C" else "?" for letter in text)[:120]


def _handed(key: str, entries: list[tuple[str, File]], homework: str) -> Handed:
    """One student's files: the notebooks, the newest first, or else what stands in their place."""
    name = readable(entries[0][0])
    files = [replace(file, path=readable(file.path)) for _, file in entries]
    notebooks = [file for file in files if _is_notebook(file)]
    notes = []
    if key.replace(" ", "_").startswith(homework.casefold()):
        notes.append("The file's name does not say whose it is.")
    if notebooks:
        others = [file.path for file in files if file not in notebooks and not file.problem]
        if others:
            notes.append(f"Not looked at: {_some(others)}.")
    chosen = notebooks or [
        file if file.problem else replace(file, content=None, problem=_no_notebook(file)) for file in files
    ]
    chosen = sorted(chosen, key=lambda file: (file.changed, _copy_number(file.path), file.path), reverse=True)
    if len(notebooks) > 1:
        notes.append(f"Several notebooks: {_some([file.path for file in chosen])}. The newest counts.")
    return Handed(slug(key), name, tuple(chosen), tuple(notes))


def _is_notebook(file: File) -> bool:
    return file.path.lower().endswith((".ipynb", ".ipynb.json", ".ipynb.txt"))


def _no_notebook(file: File) -> str:
    suffix = PurePosixPath(file.path).suffix.lower() or "no suffix"
    return (
        f"It is not a notebook: the file has {suffix if suffix == 'no suffix' else f'the suffix {suffix}'}."
    )


def _copy_number(path: str) -> int:
    """The 2 of `homework (2).ipynb` and of Canvas's `homework-2.ipynb`: later ones have higher numbers."""
    match = re.search(r"[ (\[_-](\d{1,3})[)\]]?\.ipynb$", path)
    return int(match[1]) if match else 0


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:4]) + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")


def _distinct(students: list[Handed]) -> list[Handed]:
    """Part the few whose short names still agree, such as `a b` and `a_b` of two platforms."""
    seen: set[str] = set()
    parted = []
    for student in students:
        short = student.student
        while short in seen:
            short += "-2"
        seen.add(short)
        parted.append(replace(student, student=short))
    return parted
