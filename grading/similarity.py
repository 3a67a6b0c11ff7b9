"""Finds submissions with nearly the same code, whatever names, comments and layout were changed."""

import builtins
import keyword
import re
from itertools import islice

# A string without an end is one token up to the end of its line, or of the cell: no letter is read twice.
TOKEN = re.compile(
    r"#[^\n]*"
    r"|[rbfuRBFU]{0,2}(?:'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?)"
    r"|\w+|[^\w\s]",
    re.S,
)
KEPT = {*keyword.kwlist, *dir(builtins), "np", "torch", "nn", "F"}
GRAM = 6
LEAST = 60
"""Tokens below which submissions are too short to tell anything."""
MOST = 20_000
"""Tokens that are looked at."""
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


def grams_of(cells: list[str]) -> set[int]:
    """Hashes of the runs of tokens in a student's cells, every name of their own replaced by the same one."""
    found, left = set(), MOST
    for cell in cells:
        tokens: list[str] = []
        for match in islice(TOKEN.finditer(cell), left):
            token, left = match[0], left - 1
            if token.startswith("#") or "'" in token or '"' in token:
                continue
            own = token.isidentifier() and token not in KEPT and tokens[-1:] != ["."]
            tokens.append("name" if own else token)
        found |= {hash(tuple(tokens[i : i + GRAM])) for i in range(len(tokens) - GRAM + 1)}
    return found
