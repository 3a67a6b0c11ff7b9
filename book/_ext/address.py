"""Links that need the address of the repository: shown once it is set, hidden with a notice until then.

The address stands in `_config.yml`, from where Jupyter Book hands it to the theme. A page made from a
notebook gets a visible link to Colab under its title; the theme's rocket alone is easily missed.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

logger = logging.getLogger(__name__)

UNSET = "https://github.com/OWNER/REPOSITORY"
ADDRESS = re.compile(r"https://github\.com/(?P<owner>[A-Za-z0-9-]+)/(?P<name>[A-Za-z0-9._-]+)")
COLAB = "https://colab.research.google.com"


class colab_place(nodes.General, nodes.Element):
    """Stands under the title of a notebook until the link, or the notice, is printed there."""


def hide_while_unset(app: Sphinx, config: Config) -> None:
    """Take away every button of the theme that would lead to a repository that is not there."""
    options = config.html_theme_options
    address = options.get("repository_url", UNSET)
    if address != UNSET and not ADDRESS.fullmatch(address):
        logger.warning(
            "the address of the repository is %r; write it as https://github.com/OWNER/REPOSITORY, with "
            "neither '/' nor '.git' at its end (`make address` does)",
            address,
            type="address",
        )
    if not ADDRESS.fullmatch(address) or address == UNSET:
        options["use_repository_button"] = options["use_issues_button"] = False
        options["use_edit_page_button"] = False
        options["launch_buttons"] = {}


def colab_link(config: Config, docname: str) -> str | None:
    """Where Colab opens the notebook of a page; None while the address is unset."""
    options = config.html_theme_options
    if not options.get("launch_buttons"):
        return None
    place = ADDRESS.fullmatch(options["repository_url"])
    branch = options.get("repository_branch", "main")
    return f"{COLAB}/github/{place['owner']}/{place['name']}/blob/{branch}/{docname}.ipynb"


def mark_notebook(app: Sphinx, doctree: nodes.document) -> None:
    """Keep a place under the title of every notebook that does not bring a link to Colab itself."""
    if not app.env.doc2path(app.env.docname).endswith(".ipynb"):
        return
    if any(node.get("refuri", "").startswith(COLAB) for node in doctree.findall(nodes.reference)):
        return
    title = next(doctree.findall(nodes.title), None)
    if title is not None:
        place = colab_place(docname=app.env.docname)
        title.parent.insert(title.parent.index(title) + 1, place)


class PrintColabLinks(SphinxPostTransform):
    """Put link or notice under the titles of notebooks."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        for node in list(self.document.findall(colab_place)):
            address = colab_link(self.config, node["docname"])
            line = nodes.paragraph(classes=["colab" if address else "colab-unset"])
            if address:
                line += nodes.reference("", "Open in Colab", refuri=address, internal=False)
                line += nodes.Text(" to run this notebook in the browser, on a free GPU if there is one.")
            else:
                line += nodes.Text("Links to Colab appear here once the address of this copy is set with ")
                line += [nodes.literal("", "make address"), nodes.Text(".")]
            node.replace_self(line)


def setup(app: Sphinx) -> dict[str, object]:
    app.add_node(colab_place)
    app.connect("config-inited", hide_while_unset)
    app.connect("doctree-read", mark_notebook)
    app.add_post_transform(PrintColabLinks)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
