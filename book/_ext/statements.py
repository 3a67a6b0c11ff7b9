"""What the chapters state: theorems and the like of sphinx-proof, and the exemptions some of them carry."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from docutils import nodes
from records import Record
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors import EnvironmentCollector
from sphinx.util.docutils import SphinxDirective

STATEMENTS = ("theorem", "proposition", "lemma", "corollary")


class evidence(nodes.General, nodes.Element):
    """Stands under a statement until its evidence is printed there."""


class evidence_table(nodes.General, nodes.Element):
    """Stands where the table of all evidence will be printed."""


class exemption_list(nodes.General, nodes.Element):
    """Stands where all exemptions will be printed with their reasons."""


class checked_statement(nodes.General, nodes.Element):
    """Stands under a check of a lab until the link to its statement is printed there."""


class exemption(nodes.General, nodes.Element):
    """Holds the reason why a statement has no check."""


@dataclass(frozen=True)
class Statement:
    """One numbered environment of a chapter; `title` and `line` are for messages and comparison."""

    label: str
    kind: str
    counter: str
    docname: str
    line: int
    title: str

    @property
    def must_be_checked(self) -> bool:
        return self.kind in STATEMENTS

    @property
    def has_label(self) -> bool:
        return not re.fullmatch(rf"{self.kind}-\d+", self.label)


@dataclass(frozen=True)
class Exemption:
    """The reason, as text, why a statement has no check."""

    label: str
    docname: str
    line: int
    reason: str


@dataclass
class Page:
    """What one page contributes to the ledger."""

    statements: list[Statement] = field(default_factory=list)
    exemptions: list[Exemption] = field(default_factory=list)
    lists_all: bool = False


class ExemptionDirective(SphinxDirective):
    """`{exemption} label` with the reason as its body: why no number can reach this statement."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        if not "".join(self.content).strip():
            raise self.error(
                f"The exemption of '{self.arguments[0]}' gives no reason. "
                "Write why no finite consequence of the statement can be tested."
            )
        node = exemption(label=self.arguments[0], docname=self.env.docname)
        self.set_source_info(node)
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


class EvidenceTableDirective(SphinxDirective):
    """`{evidence-table}`: all statements that were checked, with their evidence."""

    def run(self) -> list[nodes.Node]:
        return [evidence_table(docname=self.env.docname)]


class ExemptionListDirective(SphinxDirective):
    """`{exemption-list}`: all statements that no number can reach, with the reasons."""

    def run(self) -> list[nodes.Node]:
        return [exemption_list(docname=self.env.docname)]


class LedgerCollector(EnvironmentCollector):
    """Keeps, page by page, which statements and exemptions the book holds."""

    def clear_doc(self, app: Sphinx, env: BuildEnvironment, docname: str) -> None:
        pages(env).pop(docname, None)

    def process_doc(self, app: Sphinx, doctree: nodes.document) -> None:
        docname, page = app.env.docname, Page()
        exemptions = {node["label"]: node for node in list(doctree.findall(exemption))}
        for node in list(doctree.findall(is_statement)):
            statement = Statement(
                label=node["label"],
                kind=node["realtype"],
                counter=node["countertype"],
                docname=docname,
                line=_line(node),
                title=node[0].pformat(),
            )
            page.statements.append(statement)
            if statement.must_be_checked:
                below: list[nodes.Node] = [evidence(label=statement.label, docname=docname)]
                reason = exemptions.pop(statement.label, None)
                if reason is not None:
                    reason.parent.remove(reason)
                    below.append(reason)
                at = node.parent.index(node) + 1
                node.parent[at:at] = below
        for node in doctree.findall(exemption):
            page.exemptions.append(Exemption(node["label"], docname, _line(node), node.pformat()))
        page.lists_all = any(doctree.findall(lambda node: isinstance(node, evidence_table | exemption_list)))
        pages(app.env)[docname] = page
        _mark_checks(doctree, app.ledger.of_lab(docname))


def pages(env: BuildEnvironment) -> dict[str, Page]:
    """docname -> what that page contributes; kept in Sphinx's pickled environment."""
    if not hasattr(env, "ledger_pages"):
        env.ledger_pages = {}
    return env.ledger_pages


def is_statement(node: nodes.Node) -> bool:
    """Whether a node is a numbered environment of sphinx-proof (not a proof)."""
    return isinstance(node, nodes.Element) and "realtype" in node and "countertype" in node


def _line(node: nodes.Element) -> int:
    """The line a node begins on; sphinx-proof leaves it to the first child that knows."""
    return next((child.line for child in node.findall() if getattr(child, "line", None)), 0)


def _mark_checks(doctree: nodes.document, records: Sequence[Record]) -> None:
    """Give every cell that holds a check an address, and a place for the link to its statement."""
    cells = {
        node["cell_index"]: node
        for node in doctree.findall(nodes.container)
        if node.get("nb_element") == "cell_code"
    }
    for record in records:
        cell = cells.get(record.cell)
        if cell is not None:
            place = checked_statement(label=record.label, docname=record.lab, ids=[record.anchor])
            cell.append(place)


def in_order(env: BuildEnvironment) -> list[Page]:
    """All pages in the order in which the book is read."""
    order = [docname for docname in env.collect_relations() if docname in pages(env)]
    return [pages(env)[docname] for docname in order + sorted(pages(env).keys() - set(order))]


def statements_of(env: BuildEnvironment) -> list[Statement]:
    """All numbered environments of the book."""
    return [statement for page in in_order(env) for statement in page.statements]


def exemptions_of(env: BuildEnvironment) -> list[Exemption]:
    """All exemptions of the book."""
    return [item for page in in_order(env) for item in page.exemptions]


def number(env: BuildEnvironment, statement: Statement) -> str:
    """The number of a statement, such as "1.3"; empty when it has none."""
    numbers = env.toc_fignumbers.get(statement.docname, {}).get(statement.counter, {})
    return ".".join(map(str, numbers.get(statement.label, ())))


def name(env: BuildEnvironment, statement: Statement) -> str:
    """What a statement is called, such as "Theorem 1.3"."""
    return f"{statement.kind.title()} {number(env, statement)}".strip()
