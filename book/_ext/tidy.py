"""Mends identifiers that sphinx-proof and sphinx-exercise repeat, proofs that look like warnings, and lines.

A browser may end a line between a formula and the comma that follows it.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

LEAD = "Proof. "
# What stays on the line of the formula before it, up to the hyphen of "$1$-Lipschitz"; and of that after it.
BEHIND = re.compile(r"[^\s‐-―-]+[‐-]?|[‐-―-]")
BEFORE = re.compile(r"[(\[“‘]+$")
SHARED = (["proof-content"], ["exercise-content"], ["solution-content"])


class TidyProofs(SphinxPostTransform):
    """Drop the identifiers that all proofs and all bodies share, and mark proofs for the styles.

    Sphinx numbers sections by their identifiers, so these may go only when a page is written.
    """

    default_priority = 900

    def run(self, **kwargs: object) -> None:
        for node in self.document.findall(nodes.Element):
            if node.get("ids") in SHARED:
                node["ids"] = []
            elif node.get("ids") == ["proof"] and "proof" in node["classes"]:
                node["ids"] = []
                node["classes"] = ["proof-body", *node["classes"][2:]]
                self.mark_lead(node)

    def mark_lead(self, proof: nodes.Element) -> None:
        """Set the word that opens a proof apart from its text."""
        text = next(proof.findall(nodes.Text), None)
        if text is not None and text.startswith(LEAD):
            lead = nodes.inline("", LEAD.strip(), classes=["proof-lead"])
            rest = nodes.Text(" " + text.removeprefix(LEAD))
            text.parent.replace(text, [lead, rest])


class FormulasWithTheirMarks(SphinxPostTransform):
    """Keep a formula in a line of text together with the marks that touch it."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        for formula in list(self.document.findall(nodes.math)):
            line, place = formula.parent, formula.parent.index(formula)
            before, behind = (
                str(line[at]) if 0 <= at < len(line) and isinstance(line[at], nodes.Text) else ""
                for at in (place - 1, place + 1)
            )
            opening, closing = BEFORE.search(before), BEHIND.match(behind)
            if not (opening or closing):
                continue
            whole = nodes.inline("", classes=["whole"])
            if opening:
                line[place - 1] = nodes.Text(before[: opening.start()])
                whole += nodes.Text(opening[0])
            if closing:
                line[place + 1] = nodes.Text(behind[closing.end() :])
            line.replace(formula, whole)
            whole += formula
            if closing:
                whole += nodes.Text(closing[0])


def share_html_visitors(app: Sphinx) -> None:
    """sphinx-exercise registers for "singlehtml" by name, which hides what all others registered for HTML."""
    visitors = app.registry.translation_handlers
    if "singlehtml" in visitors:
        visitors["singlehtml"] = visitors.get("html", {}) | visitors["singlehtml"]


def read_the_front_page(app: Sphinx, env: BuildEnvironment, *changes: object) -> list[str]:
    """A build in which no page is written copies no styles and scripts, though these may have changed."""
    return [env.config.root_doc]


NO_SCRIPTS = (
    "<noscript><p>Formulas are set by a script that comes with this site. "
    "While scripts are switched off, they are shown as TeX.</p></noscript>\n"
)


def say_what_scripts_do(app: Sphinx, pagename: str, template: str, context: dict, tree: object) -> None:
    """Without scripts a page with formulas says why they look as they do."""
    if 'class="math ' in context.get("body", ""):
        context["body"] = NO_SCRIPTS + context["body"]


def title_of_the_front_page(app: Sphinx, pagename: str, template: str, context: dict, tree: object) -> None:
    """A page's title ends with the book's, which is the front page's own; that one says what the book is."""
    if pagename == app.config.root_doc:
        context["docstitle"] = "a course on generative adversarial networks"


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("builder-inited", share_html_visitors)
    app.connect("env-get-outdated", read_the_front_page)
    app.connect("html-page-context", title_of_the_front_page)
    app.connect("html-page-context", say_what_scripts_do)
    app.add_post_transform(TidyProofs)
    app.add_post_transform(FormulasWithTheirMarks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
