"""The directive `lab-costs`: what every lab took in every profile, as `tools/measure.py` measured it."""

import json
from pathlib import Path

from docutils import nodes
from layout import cards, link
from printed import rewrite_when_changed
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

FILE = Path("src", "gancourse", "lab_costs.json")
PROFILES = ("smoke", "cpu", "gpu")
FIELDS = {"seconds": (int, float), "memory_gb": (int, float), "date": str, "machine": str, "versions": dict}
NAMES = {"python": "Python", "torch": "PyTorch", "numpy": "NumPy", "scipy": "SciPy"}


class lab_costs(nodes.General, nodes.Element):
    """Stands where the tables of all labs will be printed."""


class LabCostsDirective(SphinxDirective):
    """`{lab-costs}`: one table per lab, a row per profile."""

    def run(self) -> list[nodes.Node]:
        self.env.lab_costs_pages = getattr(self.env, "lab_costs_pages", set()) | {self.env.docname}
        return [lab_costs(docname=self.env.docname)]


def read_costs(path: Path) -> tuple[dict[str, dict[str, dict]], list[str]]:
    """lab -> profile -> what was measured, and what is wrong with the file; missing is empty."""
    if not path.exists():
        return {}, []
    try:
        labs = json.loads(path.read_text(encoding="utf-8"))["labs"]
    except (ValueError, KeyError, TypeError):
        return {}, ["it is no JSON object with the key 'labs'"]
    problems = []
    for lab, profiles in labs.items():
        for profile, row in profiles.items():
            if profile not in PROFILES:
                problems.append(
                    f"'{lab}' has the profile '{profile}'; the profiles are {', '.join(PROFILES)}"
                )
            problems += [
                f"'{lab}', profile '{profile}', has {name} = {row.get(name)!r}"
                for name, kind in FIELDS.items()
                if not isinstance(row.get(name), kind)
            ]
    return ({}, problems) if problems else (labs, [])


def load(app: Sphinx) -> None:
    app.lab_costs, problems = read_costs(Path(app.srcdir, FILE))
    for problem in problems:
        logger.warning("%s: %s; measure again with `make measure`", FILE, problem, type="lab_costs")


def labs_of(env: BuildEnvironment) -> list[str]:
    """The labs of the book in the order in which it is read."""
    order = [docname for docname in env.collect_relations() if docname in env.found_docs]
    return [docname for docname in order if docname.startswith("labs/") and docname.count("/") == 1]


def printed_costs(app: Sphinx, env: BuildEnvironment) -> dict[str, object]:
    """docname -> everything that a page with costs prints and does not hold itself."""
    titles = [[docname, env.titles[docname].astext()] for docname in labs_of(env)]
    listing = getattr(env, "lab_costs_pages", set()) & env.found_docs
    return {docname: [titles, app.lab_costs] for docname in listing}


def duration(seconds: float) -> str:
    """Seconds below a minute and a half, minutes above."""
    return f"{seconds:.0f}\u00a0s" if seconds < 90 else f"{seconds / 60:.1f}\u00a0min"


def versions(row: dict) -> str:
    return ", ".join(f"{NAMES.get(name, name)}\u00a0{version}" for name, version in row["versions"].items())


class PrintLabCosts(SphinxPostTransform):
    """Put the tables in the place kept for them."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        for node in list(self.document.findall(lab_costs)):
            tables = [self.table(node["docname"], lab) for lab in labs_of(self.env)]
            node.replace_self(tables or nodes.paragraph("", "The book has no lab."))

    def table(self, page: str, lab: str) -> nodes.table:
        measured = self.app.lab_costs.get(lab.removeprefix("labs/"), {})
        rows = []
        for profile in PROFILES:
            row = measured.get(profile)
            if row is None:
                texts = ["not measured yet"]
            else:
                memory = f"{row['memory_gb']:.1f}\u00a0GB"
                texts = [duration(row["seconds"]), memory, row["machine"], versions(row), row["date"]]
            rows.append([[nodes.literal("", profile)], *([nodes.Text(text)] for text in texts)])
        heads = ["Profile", "Time", "Memory", "Machine", "Versions", "Measured on"]
        table = cards(heads, rows, widths=[10, 14, 12, 24, 26, 14])
        table["ids"] = [f"costs-{lab.removeprefix('labs/')}"]  # Sphinx asks for one on a table with a title
        name = nodes.Text(self.env.titles[lab].astext())
        table.insert(0, nodes.title("", "", link(self.app.builder, page, lab, "", name)))
        return table


def setup(app: Sphinx) -> dict[str, object]:
    app.add_node(lab_costs)
    app.add_directive("lab-costs", LabCostsDirective)
    app.connect("builder-inited", load)
    rewrite_when_changed(app, "lab-costs", printed_costs)
    app.add_post_transform(PrintLabCosts)
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
