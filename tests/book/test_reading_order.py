"""No proof uses what comes after it, so that no argument can run in a circle."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"^(?P<fence>:::+|```+)\{(?P<kind>[\w:]+)\}(?P<argument>[^\n]*)\n(?P<body>.*?)^(?P=fence)\s*$",
    re.M | re.S,
)
REFERENCE = re.compile(r"\{(?:prf:ref|eq|ref)\}`(?:[^`<]*<)?([\w-]+)>?`")
LABEL = re.compile(r"^:label:\s*(\S+)|^\s*\$\$ \(([\w-]+)\)", re.M)


def forward_references(chapters: list[str]) -> list[str]:
    """What proofs and solutions refer to before it was stated, of chapters in reading order."""
    known: set[str] = set()
    found: list[str] = []
    for chapter in chapters:
        for block in BLOCK.finditer(chapter):
            text = block["body"]
            labels = {one or other for one, other in LABEL.findall(text)}
            if block["kind"] in ("prf:proof", "solution"):
                uses = {label for label in REFERENCE.findall(text) if not label.startswith("fig-")}
                found += sorted(uses - known - labels)
            # What is written between the blocks may be used as soon as it was read.
            known |= labels | {label for _, label in LABEL.findall(chapter[: block.end()]) if label}
    return found


def read_chapters() -> list[str]:
    """The chapters of the first part, in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for chapter in toc["parts"][0]["chapters"]]
    return [(ROOT / f"{file}.md").read_text(encoding="utf-8") for file in files]


def test_the_plan_on_the_front_page_has_every_chapter():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [Path(chapter["file"]).name for chapter in toc["parts"][0]["chapters"]]
    plan = (ROOT / "book" / "index.md").read_text(encoding="utf-8").partition("\n## The plan")[2]
    assert re.findall(r"^\| .*\]\((\w+)\.md\) \| yes \|$", plan, re.M) == files, "the table in book/index.md"


def test_no_proof_uses_what_comes_later():
    assert forward_references(read_chapters()) == []


def test_chapters_in_another_order_would_be_noticed():
    assert "optimal-discriminator" in forward_references(read_chapters()[::-1])


def test_a_proof_that_uses_a_later_statement_is_found():
    early, late = (f":::{{prf:lemma}}\n:label: {name}\nIt holds.\n:::\n" for name in ("early", "late"))
    proof = ":::{prf:proof}\nBy {prf:ref}`late` and {eq}`own`.\n\n$$\na\n$$ (own)\n:::\n"
    assert forward_references([early + proof, late]) == ["late"]
    assert forward_references([late, early + proof]) == []
