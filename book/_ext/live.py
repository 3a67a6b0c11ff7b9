"""The directive `live`: something that the reader can touch, with a still picture where no script runs.

    :::{live} figures
    :props: {"figure": "saturation"}
    :picture: assets/figures/saturation-light.svg
    :alt: What the still picture shows.

    Text that stands below the still picture, on paper and where scripts are off.
    :::

The argument names a module in src/gancourse/arena. The build copies it to the site as it is, because the site
is built without the library; pages that hold a `live` get the script that starts it.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

MODULES = Path("src", "gancourse", "arena")


class live(nodes.General, nodes.Element):
    """Holds the still picture and its text, and says which module takes their place."""


def properties(text: str) -> str:
    """JSON of what the module is given, checked and made compact.

    Raises:
        ValueError: no JSON object.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("it must be a JSON object, such as {}")
    return json.dumps(value, ensure_ascii=False)


class LiveDirective(SphinxDirective):
    """`{live} module` with `props`, `picture` and `alt`; the body stands below the still picture."""

    required_arguments = 1
    has_content = True
    option_spec = {  # noqa: RUF012 (docutils wants a plain class attribute)
        "props": properties,
        "picture": directives.unchanged_required,
        "alt": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        file = f"{module}.mjs"
        if not (Path(self.env.srcdir) / MODULES / file).is_file():
            raise self.error(f"There is no module {MODULES / file}.")
        missing = [name for name in ("picture", "alt") if not self.options.get(name)]
        if missing:
            raise self.error(
                f"A live figure needs its still picture and alt text; missing: {', '.join(missing)}."
            )
        node = live(module=module, props=self.options.get("props", "{}"))
        self.set_source_info(node)
        picture = nodes.image(uri=self.options["picture"], alt=self.options["alt"])
        self.set_source_info(picture)
        still = nodes.container("", picture, classes=["live-still"])
        node += still
        self.state.nested_parse(self.content, self.content_offset, still)
        return [node]


def visit_html(self: HTML5Translator, node: live) -> None:
    self.body.append(
        self.starttag(node, "div", CLASS="live", **{"data-live": node["module"], "data-props": node["props"]})
    )


def depart_html(self: HTML5Translator, node: live) -> None:
    self.body.append("</div>\n")


def add_script(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """The script that starts the modules, on the pages that hold one."""
    if doctree is not None and any(doctree.findall(live)):
        app.add_js_file("mount.js")


def copy_modules(app: Sphinx, exception: Exception | None) -> None:
    """Copy the modules, and write each once more as text for pages that are opened as files."""
    if exception is not None or app.builder.format != "html":
        return
    for module in sorted((Path(app.srcdir) / MODULES).glob("*.mjs")):
        source = module.read_text(encoding="utf-8")
        static = Path(app.outdir) / "_static"
        static.mkdir(exist_ok=True)
        (static / module.name).write_text(source, encoding="utf-8")
        text = f"(window.gancourseModules ??= {{}})[{json.dumps(module.stem)}] = {json.dumps(source)};\n"
        (static / f"{module.stem}.text.js").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, object]:
    app.add_node(live, html=(visit_html, depart_html), singlehtml=(visit_html, depart_html))
    app.add_directive("live", LiveDirective)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", copy_modules)
    return {"version": "1", "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
