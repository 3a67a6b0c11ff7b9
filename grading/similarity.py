"""Finds submissions with nearly the same code, whatever names, comments and layout were changed."""

import builtins
import keyword
import re

TOKEN = re.compile(
    r"#[^\n]*|[rbfuRBFU]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")|\w+|[^\w\s]",
    re.S,
)
KEPT = {*keyword.kwlist, *dir(builtins), "np", "torch", "nn", "F"}
GRAM = 6
LEAST = 60
"""Tokens below which submissions are too short to tell anything."""
NEAR = 0.9


def alike(code: dict[str, list[str]]) -> list[tuple[str, str, float]]:
    """Pairs of students whose code shares at least `NEAR` of its runs of `GRAM` tokens, most alike first."""
    grams = {student: grams_of(cells) for student, cells in sorted(code.items())}
    grams = {student: found for student, found in grams.items() if len(found) >= LEAST}
    students, pairs = list(grams), []
    for index, one in enumerate(students):
        for other in students[index + 1 :]:
            small, large = sorted((len(grams[one]), len(grams[other])))
            if small < NEAR * large:
                continue
            common = len(grams[one] & grams[other])
            share = common / (small + large - common)
            if share >= NEAR:
                pairs.append((one, other, share))
    return sorted(pairs, key=lambda pair: -pair[2])


def grams_of(cells: list[str]) -> set[tuple[str, ...]]:
    """The runs of tokens of a student's cells, with every name of their own replaced by one and the same."""
    found = set()
    for cell in cells:
        tokens: list[str] = []
        for token in TOKEN.findall(cell):
            if token.startswith("#") or token[-1] in "'\"":
                continue
            own = token.isidentifier() and token not in KEPT and tokens[-1:] != ["."]
            tokens.append("name" if own else token)
        found |= {tuple(tokens[i : i + GRAM]) for i in range(len(tokens) - GRAM + 1)}
    return found
