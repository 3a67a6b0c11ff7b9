"""Finds submissions with nearly the same code, whatever names, comments and layout were changed."""

import builtins
import keyword
import re

TOKEN = re.compile(
    r"#[^\n]*"
    r"|[rbfuRBFU]{0,2}(?:'''.*?'''|\"\"\".*?\"\"\"|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\")|\w+|[^\w\s]",
    re.S,
)
KEPT = {*keyword.kwlist, *dir(builtins), "np", "torch", "nn", "F"}
GRAM = 6
LEAST = 60
"""Tokens below which submissions are too short to tell anything."""
NEAR = 0.9


def alike(code: dict[str, list[str]]) -> list[list[str]]:
    """Groups of students with nearly the same code, the largest first.

    Two agree when their code shares at least `NEAR` of its runs of `GRAM` tokens.
    """
    grams = {student: grams_of(cells) for student, cells in sorted(code.items())}
    students = [student for student, found in grams.items() if len(found) >= LEAST]
    group = {student: student for student in students}

    def leader(student: str) -> str:
        while group[student] != student:
            student = group[student]
        return student

    for index, one in enumerate(students):
        for other in students[index + 1 :]:
            small, large = sorted((len(grams[one]), len(grams[other])))
            if small >= NEAR * large and leader(one) != leader(other):
                common = len(grams[one] & grams[other])
                if common >= NEAR * (small + large - common):
                    group[leader(other)] = leader(one)
    groups: dict[str, list[str]] = {}
    for student in students:
        groups.setdefault(leader(student), []).append(student)
    return sorted((members for members in groups.values() if len(members) > 1), key=len, reverse=True)


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
