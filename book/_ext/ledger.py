"""The ledger of checks: under every statement of the book stands what a lab checked, or why nothing could.

A statement is a theorem, proposition, lemma or corollary of sphinx-proof. Its evidence are the records that
`gancourse.checks.check` left in the outputs of `labs/*.ipynb`, found by the statement's label. The directive
`exemption` gives the reason why a statement has none; `evidence-table` and `exemption-list` show everything
on one page. A strict build fails where the two sides differ.
"""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from evidence_boxes import PrintLedger, lab_title
from printed import rewrite_when_changed
from records import Ledger, read_labs
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from statements import (
    STATEMENTS,
    EvidenceTableDirective,
    Exemption,
    ExemptionDirective,
    ExemptionListDirective,
    LedgerCollector,
    Statement,
    checked_statement,
    evidence,
    evidence_table,
    exemption,
    exemption_list,
    exemptions_of,
    name,
    pages,
    statements_of,
)

logger = logging.getLogger(__name__)


def differences(env: BuildEnvironment, ledger: Ledger) -> Iterator[tuple[str, object]]:
    """Every message that makes a strict build fail, with the place it is about."""
    found: dict[str, Statement] = {}
    exempt: dict[str, Exemption] = {}
    for docname, problem in ledger.problems:
        yield f"{docname}.ipynb {problem}.", None
    for docname in sorted({r.lab for records in ledger.records.values() for r in records} - env.found_docs):
        yield (
            f"{docname}.ipynb holds checks but is no page of the book; "
            "add it to _toc.yml, or remove it if its lab is gone.",
            None,
        )
    for statement in statements_of(env):
        place = (statement.docname, statement.line)
        if statement.must_be_checked and not statement.has_label:
            yield f"a {statement.kind} has no label, so that no check can name it; give it `:label:`.", place
        elif statement.label in found:
            other = found[statement.label]
            yield f"the label '{statement.label}' is taken by a {other.kind} of {other.docname}.", place
        else:
            found[statement.label] = statement
    for item in exemptions_of(env):
        place, statement = (item.docname, item.line), found.get(item.label)
        if statement is None:
            yield f"the exemption '{item.label}' names no statement of the book.", place
        elif not statement.must_be_checked:
            yield f"the {statement.kind} '{item.label}' contains no claim and needs no exemption.", place
        elif statement.docname != item.docname:
            yield (
                f"the exemption '{item.label}' belongs on the page of its statement, {statement.docname}.",
                place,
            )
        elif item.label in exempt:
            yield f"the statement '{item.label}' has two exemptions; keep one.", place
        elif item.label in ledger.records:
            lab = ledger.records[item.label][0].lab
            yield f"'{item.label}' has an exemption and a check in {lab}.ipynb; remove the exemption.", place
        exempt.setdefault(item.label, item)
    for label, records in sorted(ledger.records.items()):
        place, statement = (records[0].lab, None), found.get(label)
        if statement is None:
            yield f"the check '{label}' of {records[0].lab}.ipynb names no statement of the book.", place
        elif not statement.must_be_checked:
            yield (
                f"the check '{label}' of {records[0].lab}.ipynb names a {statement.kind}, which contains no "
                f"claim; what is checked is one of: {', '.join(STATEMENTS)}.",
                place,
            )
    for label, statement in found.items():
        if statement.must_be_checked and label not in ledger.records and label not in exempt:
            yield (
                f"the {statement.kind} '{label}' has neither a check in a lab nor an exemption.",
                (statement.docname, statement.line),
            )


def collect(app: Sphinx) -> None:
    """Read the labs before the book."""
    app.ledger = read_labs(Path(app.srcdir, "labs"))


def compare(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Warn about every difference, in every build: also in one that has nothing to write."""
    for message, location in differences(env, app.ledger):
        logger.warning("%s", message, type="ledger", location=location)
    return []


def printed_evidence(app: Sphinx, env: BuildEnvironment) -> dict[str, object]:
    """docname -> everything about statements and checks that this page prints and does not hold itself."""

    def evidence_for(statement: Statement) -> list[object]:
        records = app.ledger.records.get(statement.label, [])
        return [[asdict(record), lab_title(env, record)] for record in records]

    called = {s.label: [s.docname, name(env, s), s.title] for s in statements_of(env)}
    everything = [
        [[called[s.label], evidence_for(s)] for s in statements_of(env)],
        [asdict(item) for item in exemptions_of(env)],
    ]
    described = {}
    for docname, page in pages(env).items():
        checks = [[record.anchor, called.get(record.label)] for record in app.ledger.of_lab(docname)]
        under = [[s.label, evidence_for(s)] for s in page.statements if s.must_be_checked]
        if checks or under or page.lists_all:
            described[docname] = [checks, under, everything if page.lists_all else None]
    return described


def setup(app: Sphinx) -> dict[str, object]:
    for node in (evidence, evidence_table, exemption_list, exemption, checked_statement):
        app.add_node(node)
    app.add_directive("exemption", ExemptionDirective)
    app.add_directive("evidence-table", EvidenceTableDirective)
    app.add_directive("exemption-list", ExemptionListDirective)
    app.connect("builder-inited", collect)
    app.add_env_collector(LedgerCollector)
    app.connect("env-get-updated", compare)
    rewrite_when_changed(app, "evidence", printed_evidence)
    app.add_post_transform(PrintLedger)
    # sphinx-proof cannot be read in parallel, so neither needs the ledger.
    return {"version": "1", "env_version": 1, "parallel_read_safe": False, "parallel_write_safe": True}
