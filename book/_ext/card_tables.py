"""The directive `card-tables`: tables inside it become cards on a narrow screen.

It lets a page include tables that a benchmark wrote: GitHub shows the same file as plain tables.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CardTablesDirective(SphinxDirective):
    """`{card-tables}` around one or more tables; anything else inside stays as it is."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        parsed = self.parse_content_to_nodes()
        tables = [table for node in parsed for table in node.findall(nodes.table)]
        if not tables:
            raise self.error("There is no table inside card-tables.")
        for table in tables:
            table["classes"].append("cards")
            heads = [entry.astext() for entry in next(table.findall(nodes.thead)).findall(nodes.entry)]
            if len(heads) == 2:
                table["classes"].append("pairs")
            rows = [row for body in table.findall(nodes.tbody) for row in body.findall(nodes.row)]
            for row in rows:  # none where nothing has been measured yet
                for head, entry in zip(heads, row.children, strict=True):
                    name = nodes.inline("", f"{head}: ", classes=["column-name"])
                    if not entry.children:
                        entry += nodes.paragraph()
                    entry[0].insert(0, name)
        return parsed


def setup(app: Sphinx) -> dict[str, object]:
    app.add_directive("card-tables", CardTablesDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
