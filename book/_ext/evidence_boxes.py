"""Print the ledger into the pages: evidence under statements, the table of all, links from the labs."""

import math

from docutils import nodes
from layout import cards, link, quantity
from records import Record
from sphinx import addnodes
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from statements import (
    Exemption,
    Statement,
    checked_statement,
    evidence,
    evidence_table,
    exemption,
    exemption_list,
    exemptions_of,
    is_statement,
    name,
    statements_of,
)


def lab_title(env: BuildEnvironment, record: Record) -> str:
    """The title of the lab that holds a check."""
    title = env.titles.get(record.lab)
    return title.astext() if title is not None else record.lab


def tolerance(record: Record) -> list[nodes.Node]:
    """The tolerance as the lab states it; one in standard errors is followed by its size."""
    try:
        return quantity(float(record.tolerance_stated))
    except ValueError:
        return [nodes.Text(f"{record.tolerance_stated}, here "), *quantity(record.tolerance)]


def routes(record: Record) -> str:
    return " = ".join(record.routes)


def control(record: Record) -> list[nodes.Node]:
    """The false version that was rejected, and how far from the truth it was."""
    away = [nodes.Text(f"{record.control}, "), *quantity(record.control_error), nodes.Text(" away")]
    ratio = record.control_error / record.tolerance
    if math.isfinite(ratio):
        rounded = float(f"{ratio:.0e}") if ratio >= 100 else round(ratio)
        away += [nodes.Text(" ("), *quantity(rounded), nodes.Text(" tolerances)")]
    return away


class PrintLedger(SphinxPostTransform):
    """Put evidence, table and links in the places kept for them.

    It runs before references are resolved, so that those inside a copied reason are resolved as well.
    """

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        self.known = {statement.label: statement for statement in statements_of(self.env)}
        self.sources: dict[str, nodes.document] = {}
        printers = {
            evidence: self.box,
            evidence_table: self.table,
            exemption_list: self.reasons,
            exemption: self.reason,
            checked_statement: self.back_link,
        }
        for kind, printer in printers.items():
            for node in list(self.document.findall(kind)):
                node.replace_self(printer(node))

    def source(self, docname: str) -> nodes.document:
        """A page as it was read: the place to copy titles and reasons from."""
        if docname not in self.sources:
            self.sources[docname] = self.env.get_doctree(docname)
        return self.sources[docname]

    def box(self, node: evidence) -> list[nodes.Node]:
        records = self.app.ledger.records.get(node["label"], [])
        box = nodes.container(classes=["evidence"])
        for record in records:
            found = nodes.paragraph("", "", nodes.strong("", "Checked:"), classes=["evidence-found"])
            found += [nodes.Text(f" {routes(record)}, error "), *quantity(record.error)]
            found += [nodes.Text(", tolerance "), *tolerance(record), nodes.Text(".")]
            false = nodes.paragraph("", "", nodes.strong("", "Rejected:"), classes=["evidence-false"])
            false += [nodes.Text(" "), *control(record), nodes.Text(". ")]
            false += self.lab_link(node["docname"], record, "See it in the lab")
            box += nodes.container("", found, false, classes=["evidence-check"])
        return [box] if records else []

    def reason(self, node: exemption) -> nodes.Node:
        box = nodes.container(classes=["evidence", "evidence-exempt"])
        box += nodes.paragraph("", "", nodes.strong("", "Not checked by numbers."))
        box += node.children
        return box

    def back_link(self, node: checked_statement) -> nodes.Node:
        line = nodes.paragraph(classes=["checked-statement"], ids=node["ids"])
        statement = self.known.get(node["label"])
        if statement is not None:
            line += [nodes.Text("Checks "), self.statement_link(node["docname"], statement), nodes.Text(".")]
        return line

    def lab_link(self, source: str, record: Record, text: str) -> nodes.reference:
        return link(self.app.builder, source, record.lab, record.anchor, nodes.Text(text))

    def statement_link(self, source: str, statement: Statement) -> nodes.reference:
        """ "Theorem 1.3 (Its title)", linked."""
        there = self.source(statement.docname).findall(is_statement)
        title = next(node[0] for node in there if node["label"] == statement.label)
        content = [nodes.Text(name(self.env, statement)), *(child.deepcopy() for child in title.children)]
        return link(self.app.builder, source, statement.docname, statement.label, *content)

    def table(self, node: evidence_table) -> nodes.Node:
        heads = ["Statement", "Routes that agree", "Error", "Tolerance", "Control that was rejected", "Lab"]
        rows = [
            [
                [self.statement_link(node["docname"], statement)],
                [nodes.Text(routes(record))],
                quantity(record.error),
                tolerance(record),
                control(record),
                [self.lab_link(node["docname"], record, lab_title(self.env, record))],
            ]
            for statement in statements_of(self.env)
            if statement.must_be_checked
            for record in self.app.ledger.records.get(statement.label, [])
        ]
        if not rows:
            return nodes.paragraph("", "No statement of the book has a check.")
        return cards(heads, rows, widths=[24, 24, 9, 11, 22, 10])

    def reasons(self, node: exemption_list) -> nodes.Node:
        listing = nodes.bullet_list(classes=["exemptions"])
        for item in exemptions_of(self.env):
            statement = self.known.get(item.label)
            if statement is not None:
                listing += self.exempt_item(node["docname"], item, statement)
        return (
            listing if len(listing) else nodes.paragraph("", "There are none: every statement has a check.")
        )

    def exempt_item(self, docname: str, item: Exemption, statement: Statement) -> nodes.list_item:
        entry = nodes.list_item("", nodes.paragraph("", "", self.statement_link(docname, statement)))
        for node in self.source(item.docname).findall(exemption):
            if node["label"] == item.label:
                entry += [child.deepcopy() for child in node.children]
        for reference in entry.findall(addnodes.pending_xref):
            reference["refdoc"] = docname
        return entry
