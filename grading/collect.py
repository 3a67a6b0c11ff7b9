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
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import IO

MAX_NOTEBOOK = 32 * 2**20
MAX_ZIP = 256 * 2**20
MAX_MEMBERS = 5000
MAX_FILES = 20_000
MAX_NAME = 255
MAX_DEPTH = 8


class Changed(Exception):
    """A file is no longer what it was when the class was collected; the message is for people."""


@dataclass(frozen=True)
class File:
    """One file of a submission: its place, when it was last changed, a hash of it, or why it is not taken.

    The file itself is read anew whenever it is needed, for a class may be larger than the memory. It lies at
    `source`, or in the zip file there, as the member with the number `inside`; two numbers lead to a zip file
    in a zip file.
    """

    path: str
    changed: float
    digest: str = ""
    problem: str = ""
    source: Path | None = None
    inside: tuple[int, ...] = ()

    def content(self) -> bytes:
        """The bytes of the file; Changed when they are no longer those of before."""
        try:
            with ExitStack() as stack:
                file: IO[bytes] = stack.enter_context(_open(self.source))
                for depth, number in enumerate(self.inside, start=1):
                    archive = stack.enter_context(zipfile.ZipFile(file))
                    file = stack.enter_context(archive.open(archive.infolist()[number]))
                    if depth < len(self.inside):
                        file = io.BytesIO(file.read(MAX_ZIP + 1))
                content = file.read(MAX_NOTEBOOK + 1)
        except Exception as error:  # what a hostile archive provokes has many names
            raise Changed(f"It could no longer be read ({type(error).__name__}).") from None
        if _digest(content) != self.digest:
            raise Changed("It was changed while the class was being graded.")
        return content


@dataclass(frozen=True)
class Handed:
    """What one student handed in. `student` is safe as a file name, `name` is for people.

    `files` holds the notebooks, the newest first, `others` the paths of what came with them and is not looked
    at; `notes` say what a person should know, `doubt` why these may not be the files of one person.
    `platform` is the learning platform that named the download, `number` the student's number there.
    """

    student: str
    name: str
    files: tuple[File, ...]
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    doubt: str = ""
    platform: str = ""
    number: str = ""


class NothingToGrade(ValueError):
    """There is no folder or zip file of submissions; the message is for people."""


def collect(source: Path, homework: str) -> list[Handed]:
    """Every student's submission below a folder, or in a zip file of one, in alphabetical order."""
    if not source.exists():
        raise NothingToGrade(f"There is no {source}: name the folder, or the zip file, with the submissions.")
    if source.is_dir():
        found = list(_in_folder(source))
    elif zipfile.is_zipfile(source):
        found = list(_in_class_zip(source))
    else:
        raise NothingToGrade(f"{source} is neither a folder nor a zip file of submissions.")
    if not found:
        raise NothingToGrade(f"{source} holds no submissions: expected notebooks, folders or zip files.")
    found = [(_shallow(place), file) for place, file in found]
    groups: dict[str, list[_Found]] = {}
    for place, file in _parted(_unwrapped(found, homework)):
        groups.setdefault(_owner(place, homework)[0].casefold(), []).append((place, file))
    students = [_handed(key, entries, homework) for key, entries in sorted(groups.items())]
    return _distinct(students)


# --- files ------------------------------------------------------------------------------------------------

_Found = tuple[PurePosixPath, File]
"""A file and its place below the source, where a zip file counts as a folder."""


def _in_folder(source: Path) -> Iterator[_Found]:
    seen = 0
    for top in sorted(source.iterdir()):
        if _is_debris(top.name):
            continue
        if top.is_symlink() or not (top.is_dir() or top.is_file()):
            reason = "It is a link or a device, not a file; links are not followed."
            yield PurePosixPath(top.name), _problem(top.name, reason)
        elif top.is_file():
            yield from _opened(top, top.name)
        else:
            people, filled = [top], set()
            for folder, folders, names in os.walk(top, followlinks=False):
                folders[:] = sorted(name for name in folders if not _is_debris(name))
                people += [Path(folder, name) for name in folders if _on_platform(name)]
                links = [name for name in folders if Path(folder, name).is_symlink()]
                for name in sorted([*names, *links]):
                    if _is_debris(name):
                        continue
                    path = Path(folder, name)
                    seen += 1
                    if seen > MAX_FILES:
                        raise NothingToGrade(
                            f"{source} holds more than {MAX_FILES} files; is it the right one?"
                        )
                    filled.update([path, *path.parents])
                    yield from _opened(path, path.relative_to(source).as_posix())
            for folder in people:
                if folder not in filled and not any(folder in other.parents for other in people):
                    place = PurePosixPath(folder.relative_to(source).as_posix())
                    yield place / "nothing", _problem(str(place), "The folder is empty.")


def _in_class_zip(source: Path) -> Iterator[_Found]:
    with open(source, "rb") as opened:
        try:
            found = list(_in_zip(source.name, opened, source.stat().st_mtime, source, MAX_FILES, deeper=True))
        except _Damaged as damaged:
            raise NothingToGrade(f"{source}: {damaged}") from None
    for name, file in found:
        place = PurePosixPath(name)
        yield place if place.parts else PurePosixPath("unnamed"), file


def _unwrapped(found: list[_Found], homework: str) -> list[_Found]:
    """The files without the folders around all of them, where these are the class's and not a student's."""
    within = _innermost(found)
    return within if len(_names(within, homework)) > 1 or _is_class(within) else found


def _innermost(found: list[_Found]) -> list[_Found]:
    """The files without the folders around all of them."""
    while found and all(len(place.parts) > 1 for place, _ in found):
        top, *more = {place.parts[0] for place, _ in found}
        if more or _on_platform(top):
            break
        found = [(_below(place), file) for place, file in found]
    return found


def _parted(found: list[_Found]) -> Iterator[_Found]:
    """The files, each below the folder or zip file of its student, wherever that lies in the export."""
    tops: dict[str, list[_Found]] = {}
    for place, file in found:
        tops.setdefault(place.parts[0], []).append((place, file))
    for top, entries in tops.items():
        within = [(_below(place), file) for place, file in entries if len(place.parts) > 1]
        if len(within) == len(entries) and not _on_platform(top) and _is_class(within):
            yield from _parted(within)
        else:
            yield from entries


def _is_class(found: list[_Found]) -> bool:
    """Whether a platform named what lies there, for several people or, all of it, for one."""
    people = {next(filter(None, map(_on_platform, place.parts)), None) for place, _ in found}
    return None not in people or len(people) > 2


def _names(found: list[_Found], homework: str) -> set[str]:
    """The different names that notebooks, or their folders, bear."""
    return {_owner(place, homework)[0].casefold() for place, file in found if _is_notebook(file.path)}


def _shallow(place: PurePosixPath) -> PurePosixPath:
    """A place without the folders that lie deeper than people are looked for."""
    parts = place.parts
    return place if len(parts) <= MAX_DEPTH else PurePosixPath(*parts[: MAX_DEPTH - 1], parts[-1])


def _below(place: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(*place.parts[1:])


def _open(path: Path) -> IO[bytes]:
    """An ordinary file, opened for reading; OSError for links, devices and pipes."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError("it is not a file but a device or a pipe")
    return os.fdopen(handle, "rb")


def _opened(path: Path, shown: str) -> Iterator[_Found]:
    """The file itself, or the notebooks in it when it is a zip file."""
    place = PurePosixPath(shown)
    try:
        file = _open(path)
    except OSError as error:
        reason = (
            "It is a link; links are not followed." if path.is_symlink() else f"It cannot be read: {error}."
        )
        yield place, _problem(shown, reason)
        return
    with file:
        about = os.fstat(file.fileno())
        if path.suffix.lower() == ".zip":
            yield from _in_zip_of_folder(shown, file, about, path)
        elif not _is_notebook(shown):
            yield place, File(shown, about.st_mtime, str(about.st_size))
        elif about.st_size > MAX_NOTEBOOK:
            yield place, _problem(shown, f"It is larger than {MAX_NOTEBOOK // 2**20} MiB.", about.st_mtime)
        else:
            yield place, File(shown, about.st_mtime, _digest(file.read()), source=path)


def _in_zip_of_folder(shown: str, file: IO[bytes], about: os.stat_result, path: Path) -> Iterator[_Found]:
    """The files in a zip file of one student, or of several."""
    place = PurePosixPath(shown)
    if about.st_size > MAX_ZIP:
        yield place, _problem(shown, f"It is larger than {MAX_ZIP // 2**20} MiB.", about.st_mtime)
        return
    try:
        found = _in_zip(shown, file, about.st_mtime, path, MAX_MEMBERS)
        inside = [(place / name.lstrip("/"), member) for name, member in found]
    except _Damaged as damaged:
        inside = [(place, _problem(shown, str(damaged), about.st_mtime))]
    yield from inside or [(place, _problem(shown, "The zip file holds no notebook.", about.st_mtime))]


class _Damaged(Exception):
    """A zip file as a whole is of no use; the message says why."""


def _in_zip(
    shown: str,
    zipped: IO[bytes],
    changed: float,
    source: Path,
    most_members: int,
    inside: tuple[int, ...] = (),
    deeper: bool = False,
) -> Iterator[tuple[str, File]]:
    """The files in a zip file, each with its name there, read one at a time and within limits.

    With `deeper` the zip files in it, which are then those of single students, are opened in their turn.
    """
    left = MAX_ZIP
    try:
        archive = zipfile.ZipFile(zipped)
        members = archive.infolist()
    except Exception as error:  # zipfile's own and whatever else a hostile archive provokes
        raise _Damaged(f"The zip file is damaged ({type(error).__name__}).") from None
    if len(members) > most_members:
        raise _Damaged(f"It holds more than {most_members} files.")
    for number, member in enumerate(members):
        name, path, place = member.filename, f"{shown}!{member.filename}", (*inside, number)
        since = changed
        with suppress(ValueError, OverflowError):
            since = datetime(*member.date_time).timestamp()
        parts = PurePosixPath(name).parts
        if member.is_dir() or any(_is_debris(part) for part in parts):
            continue
        if stat.S_ISLNK(member.external_attr >> 16) or ".." in parts or name.startswith("/"):
            yield name, _problem(path, "It is a link, or its name leads out of the zip file.", since)
            continue
        if member.flag_bits & 1:
            yield name, _problem(path, "It is encrypted.", since)
            continue
        opened = deeper and name.lower().endswith(".zip")
        if not opened and not _is_notebook(name):
            yield name, File(path, since, str(member.file_size))
            continue
        most = MAX_ZIP if opened else MAX_NOTEBOOK if deeper else min(MAX_NOTEBOOK, left)
        try:
            with archive.open(member) as file:
                data = file.read(most + 1)
        except Exception as error:  # zlib.error, lzma.LZMAError, BadZipFile, NotImplementedError, ...
            yield name, _problem(path, f"In the zip file it is damaged ({type(error).__name__}).", since)
            continue
        left = max(0, left - len(data))
        if len(data) > most:
            yield name, _problem(path, "Unpacked it is larger than the limit.", since)
        elif opened:
            try:
                within = list(_in_zip(path, io.BytesIO(data), since, source, MAX_MEMBERS, place))
            except _Damaged as damaged:
                within = [("", _problem(path, str(damaged), since))]
            empty = [("", _problem(path, "The zip file holds no notebook.", since))]
            yield from ((f"{name}/{inner.lstrip('/')}", found) for inner, found in within or empty)
        else:
            yield name, File(path, since, _digest(data), source=source, inside=place)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _problem(path: str, reason: str, changed: float = 0.0) -> File:
    return File(path, changed, problem=reason)


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


def _owner(place: PurePosixPath, homework: str) -> tuple[str, str]:
    """Whose file this is, from its place in the export: a key, and the name as people read it."""
    top = place.parts[0]
    if owner := _on_platform(top):
        return owner
    is_file = len(place.parts) == 1 or top.lower().endswith(".zip")
    stem = _stem(top) if is_file else _composed(top)
    if is_file:
        original, stem = stem, _plain_stem(stem)
        words = _words(homework)
        without = re.sub(rf"^{words}[ _-]+|[ _-]+{words}$|^{words}$", "", stem, flags=re.I)
        # Files that bear the homework's name alone may be of different people: they are never put together.
        stem = _plain_stem(without) if without else original
    name = " ".join(re.sub(r"_+", " ", stem).split())
    return name, name


def _on_platform(name: str) -> tuple[str, str] | None:
    """Whose file or folder this is, when Moodle or Canvas named it."""
    _, match = _platform(name)
    if not match:
        return None
    person = " ".join(match["name"].split())
    return f"{person}_{match['number']}", person


def _platform(name: str) -> tuple[str, re.Match[str] | None]:
    """The platform that named a file or folder, with what the name says; empty and None where none did."""
    stem = _stem(name)
    for platform, pattern in (("Moodle", MOODLE), ("Canvas", CANVAS)):
        if match := pattern.match(stem):
            return platform, match
    return "", None


def _stem(name: str) -> str:
    """A file's name, composed (NFC), without what says of which kind the file is."""
    stem = re.sub(r"\.[a-z0-9]{1,5}$", "", _composed(name), flags=re.I)
    return re.sub(r"(\.(ipynb|zip|json|py|txt|html|pdf))+$", "", stem, flags=re.I)


def _composed(name: str) -> str:
    """A name with one code point for each letter with an accent: macOS writes two, and others one."""
    return unicodedata.normalize("NFC", name[-MAX_NAME:])


def _words(homework: str) -> str:
    """A pattern of the homework's name, with any sign between its words."""
    return re.escape(homework).replace("_", "[ _-]")


def _is_nameless(owner: str, homework: str) -> bool:
    """Whether a file bears the homework's name and nobody's."""
    return re.fullmatch(_words(homework), _plain_stem(owner), flags=re.I) is not None


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


def _handed(key: str, entries: list[_Found], homework: str) -> Handed:
    """One student's files: the notebooks, the newest first, or else what stands in their place."""
    shown = readable(_owner(entries[0][0], homework)[1])
    files = [replace(file, path=readable(file.path)) for _, file in entries]
    notebooks = [file for file in files if _is_notebook(file.path)]
    notes = []
    if _is_nameless(key, homework):
        notes.append("The file's name does not say whose it is.")
    others = [file.path for file in files if file not in notebooks] if notebooks else []
    if others:
        notes.append(f"Not looked at: {some(others)}.")
    chosen = notebooks or [
        file if file.problem else replace(file, problem=_no_notebook(file.path)) for file in files
    ]
    chosen = sorted(chosen, key=lambda file: (file.changed, _copy_number(file.path), file.path), reverse=True)
    if len(notebooks) > 1:
        notes.append(f"Several notebooks: {some([file.path for file in chosen])}. The newest counts.")
    within = [(_below(p), file) for p, file in entries if len(p.parts) > 1 and not _on_platform(p.parts[0])]
    names = _names(_innermost(within), homework)
    doubt = ""
    if len({"" if name == key or _is_nameless(name, homework) else name for name in names}) > 1:
        doubt = f"The notebooks in “{shown}” may be of several people; one of them was marked."
    wrappers = {_wrapper(file.path) for file in files}
    if len(wrappers) > 1:
        doubt = f"Files in {some(sorted(filter(None, wrappers)))} bear the platform's name of “{shown}”, too."
    platform, match = _platform(entries[0][0].parts[0])
    number = match["number"] if match else ""
    return Handed(
        slug(key), shown, tuple(chosen), tuple(notes), tuple(others), doubt, platform=platform, number=number
    )


def _wrapper(path: str) -> str:
    """The folders and zip files around one that a platform named: anybody may have made them."""
    parts = re.split("[/!]", path)
    if not any(map(_on_platform, parts)):
        return ""
    return "/".join(takewhile(lambda part: not _on_platform(part), parts))


def _is_notebook(path: str) -> bool:
    return path.lower().endswith((".ipynb", ".ipynb.json", ".ipynb.txt"))


def _no_notebook(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    has = f"the suffix {suffix}" if suffix else "no suffix"
    return f"It is not a notebook: the file has {has}."


def _copy_number(path: str) -> int:
    """The 2 of `homework (2).ipynb` and of Canvas's `homework-2.ipynb`: later ones have higher numbers."""
    match = re.search(r"[ (\[_-](\d{1,3})[)\]]?\.ipynb$", path)
    return int(match[1]) if match else 0


def some(paths: list[str]) -> str:
    """The first few of several paths, and how many more there are."""
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
