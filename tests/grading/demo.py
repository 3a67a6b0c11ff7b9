"""Write a class of 30 submissions for a rehearsal: `python -m tests.grading.demo FOLDER`.

Right solutions in several styles, plausible slips, a copy, and what comes in broken or hostile every year,
under names as Moodle, Canvas, Colab and mail programmes write them.
"""

# ruff: noqa: E501

import copy
import shutil
import sys
from pathlib import Path

from tests.grading.hostile import HOSTILE
from tests.grading.submissions import (
    BROKEN,
    STEM,
    Kind,
    Notebook,
    add_before,
    cell,
    put,
    released,
    solved,
    write,
)
from tests.homework.right.optimal_discriminator import RIGHT
from tests.homework.wrong.optimal_discriminator import WRONG

NAMES = (
    "Ada Abel", "Bela Brandt", "Chiara Conti", "David Dvorak", "Elif Erdem", "Farah Fayed", "Gustav Gran",
    "Hana Horvat", "Ines Ito", "Jonas Jung", "Kofi Kaya", "Lena Lang", "Mateo Mora", "Nina Novak", "Omar Okoye",
    "Petra Pohl", "Quinn Quast", "Rosa Ricci", "Sven Sand", "Tala Toth", "Uma Ulrich", "Vera Vidal", "Wim Wouters",
    "Xenia Xu", "Yara Yilmaz", "Zoe Zeman", "Arne Aas", "Bo Berg", "Carla Cruz", "Dana Diaz",
)  # fmt: skip
ANSWERS = (
    "Point by point, $-a\\log y - b\\log(1-y)$ is least at $y = a/(a+b)$, so $D^*_\\pi = \\pi p_d / m_\\pi$.",
    "By the theorem of the chapter with weights. The bound follows because the divergences are not negative.",
    "I could only do part 1: $D^* = \\pi p_d / m_\\pi$.",
)
BROKEN_HERE = ("bad_json", "wrong_homework", "syntax_error", "installs_packages", "from_colab", "zip_file")
HOSTILE_HERE = ("endless_loop", "leaves", "memory_bomb", "patches_numpy", "markup")


def with_slips(style: str, slips: list[tuple[str, str]], answer: str) -> Notebook:
    """A solved notebook in which some functions hold plausible slips."""
    notebook = solved(style, answer)
    for function, code in slips:
        put(notebook, function, code)
    return notebook


def classroom() -> list[tuple[str, Notebook | Kind]]:
    """Thirty students: six right, eleven with slips, a copy, an unfinished one, six broken, five hostile."""
    styles, made = list(RIGHT), []
    made += [solved(style, ANSWERS[i % 3]) for i, style in enumerate(styles)]
    for i in range(11):
        slips = [(function, code) for function, _, code in WRONG[i * 7 : i * 7 + 90 : 31]]
        made.append(with_slips(styles[i % 6], slips[: 1 + i % 3], ANSWERS[i % 3]))
    copied = copy.deepcopy(made[7])
    for name in ("density_ratio", "smoothed_optimum"):
        source = cell(copied, name)["source"].replace("logits", "scores").replace("p_data", "real")
        put(copied, name, "# my own solution\n" + source)
    made.append(copied)
    unfinished = solved("loops", "")
    for name in ("discriminator_step", "generator_step"):
        put(unfinished, name, cell(released(), name)["source"])
    add_before(unfinished, "discriminator_step", "from google.colab import drive\ndrive.mount('/content')")
    made.append(unfinished)
    made += [kind for kind in BROKEN if kind.name in BROKEN_HERE]
    made += [kind for kind in HOSTILE if kind.name in HOSTILE_HERE]
    return list(zip(NAMES, made, strict=True))


def lay(name: str, submission: Notebook | Kind, number: int, folder: Path) -> None:
    """Put one submission into the folder under a name as one of the platforms writes it."""
    if isinstance(submission, Kind):
        before = set(folder.iterdir())
        submission.lay(folder)
        (made,) = set(folder.iterdir()) - before
        if submission.name != "markup":
            made.rename(folder / f"{name.replace(' ', '_')}{''.join(made.suffixes)}")
        return
    last = name.split()[1].lower()
    file = (
        f"{name}_{4000 + number}_assignsubmission_file_/{STEM}.ipynb",
        f"{last}_{5000 + number}_{90000 + number}_{STEM} (1).ipynb",
        f"Copy of {STEM}_{name}.ipynb",
        f"{name.replace(' ', '_')}.ipynb",
    )[number % 4]
    write(folder / file, submission)


def main(target: str) -> None:
    folder = Path(target, "submissions")
    shutil.rmtree(target, ignore_errors=True)
    folder.mkdir(parents=True)
    members = classroom()
    for number, (name, submission) in enumerate(members):
        lay(name, submission, number, folder)
    print(f"{len(members)} submissions are in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
