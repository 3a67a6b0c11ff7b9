"""Writes what people read: a CSV of marks, a page of feedback for each student, an overview of the class.

The pages load nothing from anywhere and run no scripts; whatever a student wrote is shown as text.
"""

import csv
import html
import io
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import mistune

from grading.collect import some
from grading.gradebook import Manual
from grading.marking import Mark
from grading.notebooks import Release, Task
from grading.records import Record, write
from grading.similarity import alike

Given = dict[tuple[str, str], Manual]
COLOURS = {
    "ok": "#2e7d4f",
    "marked": "#1e8449",
    "wrong": "#c0392b",
    "raised": "#9c640c",
    "missing": "#616a6b",
    "timeout": "#6c3483",
    "memory": "#1f618d",
    "died": "#4a235a",
    "syntax": "#873600",
    "unreadable": "#212f3c",
    "to mark": "#d5d8dc",
}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: {width}; margin: 2rem auto; padding: 0 1rem;
  color: #1c2833; background: #fff }}
h1 {{ font-size: 1.6rem }} h2 {{ font-size: 1.2rem; margin-top: 2rem }}
svg {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse }}
th, td {{ text-align: left; padding: .25rem .6rem; vertical-align: top }}
tr {{ border-bottom: 1px solid #d5d8dc }}
pre {{ background: #f4f6f7; padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere }}
.mark {{ color: #fff; border-radius: .3rem; padding: .05rem .45rem; font-size: .85rem; white-space: nowrap }}
.asked {{ border-left: 3px solid #d5d8dc; padding-left: 1rem; color: #424949 }}
.asked h2 {{ display: none }} .warning {{ background: #fdebd0; padding: .6rem }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums }}
</style></head><body>
{body}
</body></html>
"""


def points_of(record: Record, task: Task, given: Given) -> float | None:
    """The points of one exercise: a person's, else those of the code, else None where nobody knows yet."""
    manual = given.get((record.student, task.grade_id))
    if manual is not None and manual.points is not None:
        return manual.points
    mark = _mark(record, task)
    if mark is None:
        unknown = record.unreadable or record.stranger or record.others
        return None if unknown or record.answers.get(task.grade_id) else 0.0
    return None if record.is_open(mark) else float(mark.earned)


def status_of(record: Record, task: Task, given: Given) -> str:
    """The status of one exercise; `marked` where a person gave the points."""
    manual = given.get((record.student, task.grade_id))
    if manual is not None and manual.points is not None:
        return "marked"
    mark = _mark(record, task)
    if mark is not None:
        return mark.status
    if record.unreadable:
        return "unreadable"
    return "to mark" if record.answers.get(task.grade_id) or record.others else "missing"


def _mark(record: Record, task: Task) -> Mark | None:
    return next((mark for mark in record.marks if mark.grade_id == task.grade_id), None)


def number(value: float) -> str:
    """Points as people write them: 3, 2.5."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


# --- the table --------------------------------------------------------------------------------------------


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "|", "%") else text


def table(
    release: Release, records: Iterable[Record], given: Given, gone: Collection[str] = frozenset()
) -> str:
    """The marks as CSV. Points stand only where they were earned or lost; the rest is a word, not a zero.

    `gone` are the students of whom there was nothing among the submissions of the last run.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [task.function or task.cell for task in release.tasks]
    writer.writerow(["student", "name", "number", *names, "total", "out_of", "to_look_at"])
    for record in records:
        points = [points_of(record, task, given) for task in release.tasks]
        words = [status_of(record, task, given) for task in release.tasks]
        cells = [
            number(value) if value is not None and word in ("ok", "wrong", "marked") else word
            for value, word in zip(points, words, strict=True)
        ]
        open_ones = [n for n, value in zip(names, points, strict=True) if value is None]
        total = "" if open_ones else number(sum(value for value in points if value is not None))
        out_of = number(sum(task.points for task in release.tasks))
        look = [f"{', '.join(open_ones)}: no mark yet"] if open_ones else []
        look += _doubts(release, record, given, gone)
        who = [record.student, inert(record.name), record.number]
        writer.writerow([*who, *cells, total, out_of, inert("; ".join(look))])
    return out.getvalue()


# --- one student ------------------------------------------------------------------------------------------


def feedback(release: Release, record: Record, given: Given) -> str:
    """The page for one student: what was asked, what happened, the marks; nothing of how it was checked."""
    parts = [f"<h1>Feedback for {_text(record.name)}</h1>"]
    if record.unreadable:
        parts.append(f'<p class="warning">Your submission could not be read. {_text(record.unreadable)}</p>')
    points = [points_of(record, task, given) for task in release.tasks]
    most = number(sum(task.points for task in release.tasks))
    known = number(sum(value for value in points if value is not None))
    waiting = sum(value is None for value in points)
    still = (
        f", with {waiting} {'exercise' if waiting == 1 else 'exercises'} still to be marked"
        if waiting
        else ""
    )
    parts.append(
        f"<p><strong>{known} of {most} points</strong>{still}. Formulas are shown as they were typed.</p>"
    )
    for task, value in zip(release.tasks, points, strict=True):
        status = status_of(record, task, given)
        shown = "–" if value is None else number(value)
        parts.append(f"<h2>{_text(task.title)}</h2>")
        parts.append(f"<p>{_badge(status)} {shown} of {number(task.points)} points</p>")
        mark = _mark(record, task)
        if mark is not None and not record.unreadable:
            parts.append(f"<p>{_code(mark.message)}</p>")
            if mark.detail:
                parts.append(
                    f"<p>What was said with inputs that you can see:</p><pre>{_text(mark.detail)}</pre>"
                )
        if status == "to mark" and task.grade_id not in record.answers:
            parts.append("<p>There is no text in the notebook. A person looks at the files beside it.</p>")
        if status == "missing" and mark is None:
            parts.append(
                "<p>The cell for the answer is empty or unchanged, and no text stands beside it.</p>"
            )
        manual = given.get((record.student, task.grade_id))
        if manual is not None and manual.comment:
            parts.append(f"<p>Comment:</p><pre>{_text(manual.comment)}</pre>")
        if task.grade_id in record.answers:
            parts.append(f"<p>Your answer:</p><pre>{_text(record.answers[task.grade_id])}</pre>")
        asked = f'<div class="asked">{_asked(task.asked)}</div>'
        parts.append(f"<details><summary>What was asked</summary>{asked}</details>")
    if record.notes:
        lines = "".join(f"<li>{_code(note)}</li>" for note in record.notes)
        parts.append(f"<h2>What was noticed on the way</h2><ul>{lines}</ul>")
    return PAGE.format(title=f"Feedback: {_text(record.name)}", width="48rem", body="\n".join(parts))


def _asked(text: str) -> str:
    """An exercise's Markdown as HTML; formulas stay in TeX, as they stood in the notebook."""
    markdown = mistune.create_markdown(escape=True, plugins=["math", "table"])
    return markdown(text)


def _text(value: str) -> str:
    return html.escape(value, quote=True)


def _code(value: str) -> str:
    """Text with `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(value))


def _badge(status: str) -> str:
    style = f"background:{COLOURS[status]};color:{_ink(status)}"
    return f'<span class="mark" style="{style}">{_text(status)}</span>'


def _ink(status: str) -> str:
    """The colour of letters that can be read on the colour of a status."""
    return "#1c2833" if status == "to mark" else "#fff"


# --- the class --------------------------------------------------------------------------------------------


def overview(
    release: Release,
    records: list[Record],
    given: Given,
    facts: dict[str, str],
    gone: Collection[str] = frozenset(),
) -> str:
    """The page for the instructor: distributions, statuses, who is to be looked at, who wrote the same."""
    parts = [f"<h1>{_text(release.homework)}: {len(records)} submissions</h1>"]
    if not all(record.locked for record in records):
        loose = sum(not record.locked for record in records)
        said = (
            f"{loose} submissions ran without a sandbox. Their code could read and change all that you can."
        )
        parts.append(f'<p class="warning"><strong>Run with --unsafe.</strong> {said}</p>')
    totals = [sum(p for t in release.tasks if (p := points_of(r, t, given)) is not None) for r in records]
    parts += ["<h2>Marks of each exercise</h2>", _bars(release, records, given)]
    code = [task for task in release.tasks if task.function]
    settled = [
        total
        for record, total in zip(records, totals, strict=True)
        if all(points_of(record, task, given) is not None for task in code)
    ]
    parts.append(f"<h2>Points so far of the {len(settled)} whose code is all marked</h2>")
    parts.append(_histogram(settled, sum(task.points for task in release.tasks)))
    look = {r.student: why for r in records if (why := _why(release, r, given, gone))}
    parts.append("<h2>To look at</h2>")
    if look:
        lines = "".join(f"<li>{_link(r)}: {look[r.student]}</li>" for r in records if r.student in look)
        said = "Where a run came to no mark, nobody knows yet what the code is worth."
        parts.append(f"<p>{said}</p><ul>{lines}</ul>")
    else:
        parts.append("<p>Nobody: all code is marked.</p>")
    parts.append("<h2>Nearly the same</h2>")
    groups = alike({record.student: record.code for record in records})
    names = {record.student: record for record in records}
    if groups:
        lines = "".join(f"<li>{', '.join(_link(names[one]) for one in group)}</li>" for group in groups)
        said = "The code of these agrees but for names, comments and layout. For a person to look at: short"
        parts.append(f"<p>{said} exercises may well look alike.</p><ul>{lines}</ul>")
    else:
        parts.append("<p>No two submissions have nearly the same code.</p>")
    head = "".join(f"<th>{_text(task.function or task.cell)}</th>" for task in release.tasks)
    rows = []
    for record, total in zip(records, totals, strict=True):
        cells = "".join(f"<td>{_badge(status_of(record, task, given))}</td>" for task in release.tasks)
        remarks = "<br>".join(_code(note) for note in record.notes[:6])
        points = f'<td class="number">{number(total)}</td>'
        rows.append(f"<tr><td>{_link(record)}</td>{cells}{points}<td>{remarks}</td></tr>")
    head = f"<tr><th>Student</th>{head}<th>Points</th><th>Notes</th></tr>"
    parts.append(f"<h2>Students</h2><table>{head}{''.join(rows)}</table>")
    lines = "".join(
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items()
    )
    parts.append(f"<h2>This run</h2><table>{lines}</table>")
    return PAGE.format(title=f"Overview: {_text(release.homework)}", width="82rem", body="\n".join(parts))


def _link(record: Record) -> str:
    return f'<a href="feedback/{record.student}.html">{_text(record.name)}</a>'


def _why(release: Release, record: Record, given: Given, gone: Collection[str]) -> str:
    """Why a person must look at a submission, beside the texts that they mark anyway; empty where not."""
    reasons = [_text(doubt) for doubt in _doubts(release, record, given, gone)]
    waiting = [task for task in release.tasks if points_of(record, task, given) is None]
    if waiting and record.unreadable:
        return "; ".join([_text(record.unreadable), *reasons])
    if waiting and record.stranger:
        return "; ".join(["Nothing of this homework was in the notebook.", *reasons])
    runs = [(task, mark) for task in waiting if (mark := _mark(record, task))]
    return "; ".join(
        [*(f"{_text(task.function or task.cell)} {_badge(m.status)}" for task, m in runs), *reasons]
    )


def _doubts(release: Release, record: Record, given: Given, gone: Collection[str]) -> list[str]:
    """What is not certain of a submission that came to a result."""
    doubts = [record.doubt] if record.doubt else []
    beside = [
        task.cell
        for task in release.tasks
        if not task.function
        and not record.answers.get(task.grade_id)
        and points_of(record, task, given) is None
    ]
    if beside and record.others:
        doubts.append(f"{', '.join(beside)}: no text in the notebook, but maybe in {some(record.others)}")
    if record.student in gone:
        doubts.append("no longer among the submissions; the marks are those of before")
    return doubts


def _bars(release: Release, records: list[Record], given: Given) -> str:
    """How many submissions have which status, one bar for each exercise."""
    names = [task.function or task.cell for task in release.tasks]
    counts = [Counter(status_of(record, task, given) for record in records) for task in release.tasks]
    width, left, step, drawn = 620, 210, 34, []
    for row, (name, count) in enumerate(zip(names, counts, strict=True)):
        x, y = float(left), 10 + row * step
        drawn.append(_label(left - 8, y + 18, name, "end"))
        for status in filter(count.get, COLOURS):
            size = width * count[status] / len(records)
            drawn.append(_rect(x, y, size, step - 8, COLOURS[status]))
            if size > 18:
                drawn.append(_label(x + size / 2, y + 18, count[status], "middle", _ink(status)))
            x += size
    below = 20 + len(counts) * step
    for place, status in enumerate(s for s in COLOURS if any(count[s] for count in counts)):
        x, y = left + (place % 6) * 105, below + 22 * (place // 6)
        drawn += [_rect(x, y, 14, 14, COLOURS[status]), _label(x + 20, y + 12, status)]
    spoken = (
        f"{n}: " + ", ".join(f"{k} {s}" for s, k in c.most_common())
        for n, c in zip(names, counts, strict=True)
    )
    return _svg(left + width + 20, below + 50, "; ".join(spoken), drawn)


def _histogram(totals: list[float], most: float) -> str:
    """How many students have how many points, rounded."""
    counts = Counter(round(total) for total in totals)
    tall, step = 140, 620 / (most + 1)
    drawn = [_rect(40, tall + 10, 620, 1, "#aab7b8")]
    for value in range(int(most) + 1):
        x = 40 + value * step
        if counts[value]:
            size = tall * counts[value] / max(counts.values())
            drawn.append(_rect(x + 2, tall + 10 - size, step - 4, size, "#34618c"))
            drawn.append(_label(x + step / 2, tall + 23 - size, counts[value], "middle", "#fff"))
        drawn.append(_label(x + step / 2, tall + 28, value, "middle"))
    spoken = ", ".join(f"{number} with {value} points" for value, number in sorted(counts.items()))
    return _svg(680, tall + 40, spoken, drawn)


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def _label(x: float, y: float, text: object, anchor: str = "start", fill: str = "#1c2833") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}">{_text(str(text))}</text>'


def _svg(width: int, height: int, spoken: str, drawn: list[str]) -> str:
    size = (
        f'viewBox="0 0 {width} {height}" width="{width}" font-family="system-ui, sans-serif" font-size="13"'
    )
    label, inside = f'role="img" aria-label="{_text(spoken)}"', "".join(drawn)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>{inside}</svg>'


def _moodle_name(release: Release, record: Record) -> str:
    """The name by which Moodle knows whose feedback a file is; it looks at the number."""
    person = " ".join(re.sub(r"[^\w .'-]|_", " ", record.name).split())
    return f"{person or 'student'}_{record.number}_assignfeedback_file_{release.homework}.html"


def packed(files: dict[str, str]) -> bytes:
    """A zip file of texts, the same bytes for the same texts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            about = zipfile.ZipInfo(name)  # of a time that never changes
            about.external_attr = 0o644 << 16
            archive.writestr(about, text.encode("utf-8", "replace"), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def write_all(
    folder: Path,
    release: Release,
    records: dict[str, Record],
    given: Given,
    facts: dict[str, str],
    gone: Collection[str],
) -> None:
    """Write marks.csv, overview.html and feedback/ of a homework, and the pages packed for Moodle."""
    ordered = sorted(records.values(), key=lambda record: (record.name.casefold(), record.student))
    # Without the mark at its beginning Excel takes the letters of names for others.
    write(folder / "marks.csv", "\ufeff" + table(release, ordered, given, gone))
    pages = {record.student: feedback(release, record, given) for record in ordered}
    for student, page in pages.items():
        write(folder / "feedback" / f"{student}.html", page)
    moodle = {_moodle_name(release, r): pages[r.student] for r in ordered if r.platform == "Moodle"}
    if moodle:
        write(folder / "feedback-moodle.zip", packed(moodle))
    write(folder / "overview.html", overview(release, ordered, given, facts, gone))
