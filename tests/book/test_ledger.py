"""Every statement has its evidence, every difference fails a strict build, and nothing stale is shown."""

import pytest
from layout import quantity
from small_books import Book, record, text

FAILS = 1


def statement(label: str = "first", kind: str = "theorem") -> str:
    return f"```{{prf:{kind}}} Title of {label}\n:label: {label}\nIt holds.\n```\n\n"


def exemption(label: str = "first", reason: str = "No number can reach $p_d$.") -> str:
    return f"```{{exemption}} {label}\n{reason}\n```\n\n"


# -------------------------------------------------------------------------------------- what is printed


def test_a_complete_book_passes_and_prints_its_evidence(book: Book):
    result = book.build()
    assert result.status == 0, result

    below = book.page("book/chapter").find(id="first").find_next_sibling()
    assert "evidence" in below["class"]
    words = text(below)
    assert "Checked: closed form = quadrature, error 2.3 × 10−12, tolerance 10−6." in words
    assert "Rejected: a sign turned, 0.25 away (2 × 105 tolerances)." in words
    assert below.a["href"] == "../labs/lab.html#check-first"

    lab = book.page("labs/lab")
    back = lab.find(id="check-first")
    assert text(back) == "Checks Theorem 1.1 (Title with \\(x\\))."
    assert back.a["href"] == "../book/chapter.html#first"

    rows = book.page("book/evidence").select("table.cards tbody tr")
    assert [[text(cell) for cell in row.select("td")] for row in rows] == [
        [
            "Statement: Theorem 1.1 (Title with \\(x\\))",
            "Routes that agree: closed form = quadrature",
            "Error: 2.3 × 10−12",
            "Tolerance: 10−6",
            "Control that was rejected: a sign turned, 0.25 away (2 × 105 tolerances)",
            "Lab: The lab",
        ]
    ]
    assert rows[0].td.a["href"] == "chapter.html#first"
    assert "There are none: every statement has a check." in text(book.page("book/evidence"))


def test_a_monte_carlo_tolerance_is_shown_in_standard_errors(book: Book):
    book.lab(record(error=0.0011, tolerance=0.0043, tolerance_stated="4 standard errors"))
    assert book.build().status == 0
    below = text(book.page("book/chapter").select_one(".evidence"))
    assert "error 0.0011, tolerance 4 standard errors, here 0.0043." in below


def test_several_checks_of_one_statement_are_all_shown(book: Book):
    book.lab(record(), record(control="a factor dropped"))
    assert book.build().status == 0
    assert len(book.page("book/chapter").select(".evidence .evidence-check")) == 2
    links = [row.select("a")[-1]["href"] for row in book.page("book/evidence").select("tbody tr")]
    assert links == ["../labs/lab.html#check-first", "../labs/lab.html#check-first-2"]
    assert all(book.page("labs/lab").find(id=link.split("#")[1]) for link in links)


def test_statements_are_listed_in_reading_order(book: Book):
    book.write("book/zeta", "# Zeta\n\n" + statement("zeta"))
    book.chapter(statement() + statement("alpha", "lemma"))
    book.write("index", "# Book\n\n```{toctree}\nbook/zeta\nbook/chapter\nlabs/lab\nbook/evidence\n```\n")
    book.lab(record("alpha"), record("first"), record("zeta"))
    assert book.build().status == 0
    names = [text(cell) for cell in book.page("book/evidence").select("tbody td:first-child")]
    assert [name.split("of ")[1] for name in names] == ["zeta)", "first)", "alpha)"]


def test_an_exemption_stands_under_its_statement_and_on_the_evidence_page(book: Book):
    elsewhere = statement("second") + "Some text in between.\n\n"
    book.chapter(statement() + elsewhere + exemption(reason="It follows {prf:ref}`second`, as $p_d$ shows."))
    book.lab(record("second"))
    result = book.build()
    assert result.status == 0, result

    below = book.page("book/chapter").find(id="first").find_next_sibling()
    assert "evidence-exempt" in below["class"]
    assert text(below).startswith("Not checked by numbers. It follows Theorem 1.2")
    listed = book.page("book/evidence").select_one("ul.exemptions li")
    assert "Theorem 1.1 (Title of first) It follows Theorem 1.2, as \\(p_d\\) shows." in text(listed)
    links = [link["href"] for link in listed.select("a")]
    assert links == ["chapter.html#first", "chapter.html#second"]


def test_the_single_page_links_within_itself(book: Book):
    result = book.build("singlehtml")
    assert result.status == 0, result
    page = book.page("index", "singlehtml")
    assert page.select_one(".evidence a")["href"].endswith("#check-first")
    targets = {
        link["href"].split("#")[1] for link in page.select(".evidence a, .cards a, .checked-statement a")
    }
    assert all(page.find(id=target) for target in targets)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.03, "0.03"),
        (1200.0, "1200"),
        (1e-06, "10<sup>−6"),
        (2.3e-12, "2.3\u00a0×\u00a010<sup>−12"),
        (5e07, "5\u00a0×\u00a010<sup>7"),
        (float("inf"), "∞"),
    ],
)
def test_numbers_are_written_for_people(value, shown):
    written = "".join(f"<sup>{n.astext()}" if n.children else n.astext() for n in quantity(value))
    assert written == shown


# ------------------------------------------------------------------------------- what fails a strict build


@pytest.mark.parametrize("kind", ["theorem", "proposition", "lemma", "corollary"])
def test_a_statement_without_a_check_fails(book: Book, kind):
    book.chapter(statement() + statement("bare", kind))
    result = book.build("dummy")
    assert result.status == FAILS
    assert [line for line in result.warnings if f"the {kind} 'bare' has neither a check" in line], result
    assert "chapter.md:8: " in str(result)


@pytest.mark.parametrize("kind", ["definition", "remark", "algorithm", "example"])
def test_what_claims_nothing_needs_no_check_and_may_have_none(book: Book, kind):
    book.chapter(statement() + statement("named", kind))
    assert book.build("dummy").status == 0
    book.lab(record(), record("named"))
    result = book.build("dummy")
    assert result.status == FAILS
    assert f"the check 'named' of labs/lab.ipynb names a {kind}, which contains no claim" in str(result)


def test_a_check_without_a_statement_fails(book: Book):
    book.lab(record(), record("nowhere"))
    result = book.build("dummy")
    assert result.status == FAILS
    assert "the check 'nowhere' of labs/lab.ipynb names no statement" in str(result)


def test_a_statement_without_a_label_fails(book: Book):
    book.chapter(statement() + "```{prf:lemma} No label\nIt holds.\n```\n")
    result = book.build("dummy")
    assert result.status == FAILS
    assert "a lemma has no label, so that no check can name it" in str(result)


def test_a_label_used_twice_fails(book: Book):
    book.write("book/other", "# Other\n\n" + statement("first", "lemma"))
    book.write("index", "# Book\n\n```{toctree}\nbook/chapter\nbook/other\nlabs/lab\nbook/evidence\n```\n")
    for _ in range(2):  # sphinx-proof itself forgets a duplicate in the second build
        result = book.build("dummy")
        assert result.status == FAILS
        assert "the label 'first' is taken by a theorem of book/chapter" in str(result)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (statement() + exemption("nowhere"), "the exemption 'nowhere' names no statement of the book"),
        (statement() + exemption(), "'first' has an exemption and a check in labs/lab.ipynb"),
        (
            statement() + statement("named", "definition") + exemption("named"),
            "the definition 'named' contains no claim and needs no exemption",
        ),
        (
            statement() + statement("second") + exemption("second") + exemption("second"),
            "the statement 'second' has two exemptions",
        ),
        (statement() + exemption(reason=""), "The exemption of 'first' gives no reason"),
    ],
    ids=["unknown label", "also checked", "definition", "twice", "no reason"],
)
def test_a_wrong_exemption_fails(book: Book, body, message):
    book.chapter(body)
    result = book.build("dummy")
    assert result.status == FAILS
    assert message in str(result)


def test_an_exemption_on_another_page_than_its_statement_fails(book: Book):
    book.chapter(statement() + statement("second"))
    book.write("book/evidence", "# Evidence\n\n" + exemption("second"))
    result = book.build("dummy")
    assert result.status == FAILS
    assert "the exemption 'second' belongs on the page of its statement, book/chapter" in str(result)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({key: value for key, value in record().items() if key != "control"}, "lacks 'control'"),
        (record(error="small"), "has error = 'small', which is no float"),
        (record(routes=["closed form"]), "names 1 route(s); evidence needs at least two"),
        (record(error=2e-06), "the check of 'first' failed: error 2e-06, tolerance 1e-06"),
        (record(error=float("nan")), "the check of 'first' failed: error nan"),
        (record(control_error=9e-06), "did not reject its control: 9e-06 away"),
        (record(control_error=float("nan")), "did not reject its control: nan away"),
        ("a sentence", "is not a table of fields"),
    ],
)
def test_a_record_that_is_no_evidence_fails(book: Book, stored, message):
    book.lab(stored)
    result = book.build("dummy")
    assert result.status == FAILS
    assert "labs/lab.ipynb cell 1: " in str(result)
    assert message in str(result)


def test_a_lab_with_checks_that_is_no_page_fails(book: Book):
    book.chapter(statement() + statement("second"))
    book.lab(record("second"), stem="lost")
    result = book.build("dummy", exclude_patterns=["_build", "labs/lost.ipynb"])
    assert result.status == FAILS
    assert "labs/lost.ipynb holds checks but is no page of the book" in str(result)


def test_a_notebook_that_cannot_be_read_fails_with_a_remedy(book: Book):
    (book.folder / "labs" / "torn.ipynb").write_text('{"cells": [', encoding="utf-8")
    result = book.build("dummy", exclude_patterns=["_build", "labs/torn.ipynb"])
    assert result.status == FAILS
    assert "labs/torn.ipynb is not a notebook; build it again with `make labs`" in str(result)


def test_a_difference_fails_every_build_until_it_is_mended(book: Book):
    book.chapter(statement() + statement("bare"))
    assert [book.build().status for _ in range(2)] == [FAILS, FAILS]
    book.lab(record(), record("bare"))
    assert book.build().status == 0


# ------------------------------------------------------------------------------------ incremental builds


def test_changed_evidence_is_printed_everywhere(book: Book):
    assert book.build().status == 0
    book.lab(record(control="a factor dropped"))
    assert book.build().status == 0
    for page in ("book/chapter", "book/evidence"):
        words = text(book.page(page))
        assert "a factor dropped" in words
        assert "a sign turned" not in words


def test_another_builder_in_between_leaves_no_stale_evidence(book: Book):
    assert book.build().status == 0
    book.lab(record(control="a factor dropped"))
    assert book.build("dummy").status == 0
    assert book.build().status == 0
    assert "a factor dropped" in text(book.page("book/chapter"))
    assert "a factor dropped" in text(book.page("book/evidence"))


def test_a_removed_record_disappears_and_fails(book: Book):
    assert book.build().status == 0
    book.lab()
    assert book.build().status == FAILS
    assert not book.page("book/chapter").select(".evidence")
    assert not book.page("book/evidence").select("tbody tr")


def test_a_removed_notebook_disappears_and_fails(book: Book):
    assert book.build().status == 0
    (book.folder / "labs" / "lab.ipynb").unlink()
    book.write("index", "# Book\n\n```{toctree}\nbook/chapter\nbook/evidence\n```\n")
    assert book.build().status == FAILS
    assert not book.page("book/chapter").select(".evidence")


def test_a_removed_statement_disappears_and_fails(book: Book):
    book.chapter(statement() + statement("second"))
    book.lab(record(), record("second"))
    assert book.build().status == 0
    book.chapter(statement())
    assert book.build().status == FAILS
    assert [text(cell) for cell in book.page("book/evidence").select("tbody td:first-child")] == [
        "Statement: Theorem 1.1 (Title of first)"
    ]
    assert [text(line) for line in book.page("labs/lab").select(".checked-statement")] == [
        "Checks Theorem 1.1 (Title of first).",
        "",
    ]


def test_a_renumbered_statement_is_renamed_everywhere(book: Book):
    one_counter = {"prf_realtyp_to_countertyp": {"remark": "theorem"}}
    book.chapter(statement())
    assert book.build(**one_counter).status == 0
    book.chapter(statement("before", "remark") + statement())
    assert book.build(**one_counter).status == 0
    assert "Theorem 1.2 (Title of first)" in text(book.page("book/evidence"))
    assert "Checks Theorem 1.2 (Title of first)." in text(book.page("labs/lab"))


def test_a_new_title_and_a_new_reason_are_printed_everywhere(book: Book):
    book.chapter(statement() + statement("second") + exemption("second"))
    assert book.build().status == 0
    changed = statement().replace("Title of first", "A new title")
    book.chapter(changed + statement("second") + exemption("second", "A new reason."))
    assert book.build().status == 0
    evidence = text(book.page("book/evidence"))
    assert "A new title" in evidence
    assert "A new reason." in evidence
    assert "No number can reach" not in evidence
    assert "A new title" in text(book.page("labs/lab"))


def test_a_page_whose_evidence_is_the_same_is_not_written_again(book: Book):
    assert book.build().status == 0
    page = book.folder / "_build" / "html" / "book" / "chapter.html"
    before = page.stat().st_mtime_ns
    book.write("book/evidence", "# Evidence\n\nA word more.\n\n```{evidence-table}\n```\n")
    assert book.build().status == 0
    assert page.stat().st_mtime_ns == before
