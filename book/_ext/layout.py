"""Numbers, links and tables that several of our directives print."""

import math
from collections.abc import Sequence

from docutils import nodes
from sphinx.builders import Builder


def quantity(value: float) -> list[nodes.Node]:
    """A measured number for people: 0.03 as it is, 2e-12 as 2 × 10 to the power of −12."""
    if value == 0 or 1e-3 <= value < 1e4:
        return [nodes.Text(f"{value:.6g}")]
    if value == math.inf:
        return [nodes.Text("∞")]
    mantissa, exponent = f"{value:.1e}".split("e")
    mantissa = mantissa.removesuffix(".0")
    power = str(int(exponent)).replace("-", "−")
    lead = "10" if mantissa == "1" else f"{mantissa}\u00a0×\u00a010"
    return [nodes.Text(lead), nodes.superscript("", power)]


def link(builder: Builder, source: str, target: str, anchor: str, *content: nodes.Node) -> nodes.reference:
    """A link from one page of the book to a place on another."""
    uri = (
        "" if source == target and builder.name != "singlehtml" else builder.get_relative_uri(source, target)
    )
    return nodes.reference("", "", *content, internal=True, refuri=f"{uri}#{anchor}" if anchor else uri)


def cards(
    heads: Sequence[str], rows: Sequence[Sequence[Sequence[nodes.Node]]], widths: Sequence[int]
) -> nodes.table:
    """A table whose rows become cards on a narrow screen, where every cell shows its column's name.

    The last cell of a row that is too short spans the columns that are left.
    """
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=width) for width in widths]
    head = nodes.row()
    head += [nodes.entry("", nodes.paragraph("", text)) for text in heads]
    body = nodes.tbody()
    for cells in rows:
        row = nodes.row()
        for text, content in zip(heads, cells, strict=False):
            column = nodes.inline("", f"{text}: ", classes=["column-name"])
            row += nodes.entry("", nodes.paragraph("", "", column, *content))
        if len(cells) < len(heads):
            row[-1]["morecols"] = len(heads) - len(cells)
        body += row
    group += [nodes.thead("", head), body]
    return nodes.table("", group, classes=["cards"])
