"""Mends identifiers that sphinx-proof and sphinx-exercise repeat, and proofs that look like warnings."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

LEAD = "Proof. "
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


def share_html_visitors(app: Sphinx) -> None:
    """sphinx-exercise registers for "singlehtml" by name, which hides what all others registered for HTML."""
    visitors = app.registry.translation_handlers
    if "singlehtml" in visitors:
        visitors["singlehtml"] = visitors.get("html", {}) | visitors["singlehtml"]


def read_the_front_page(app: Sphinx, env: BuildEnvironment, *changes: object) -> list[str]:
    """A build in which no page is written copies no styles and scripts, though these may have changed."""
    return [env.config.root_doc]


def setup(app: Sphinx) -> dict[str, object]:
    app.connect("builder-inited", share_html_visitors)
    app.connect("env-get-outdated", read_the_front_page)
    app.add_post_transform(TidyProofs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
