"""What our extension mends in the pages of sphinx-proof."""

from collections import Counter

import pytest
from small_books import Book, text

CHAPTER = """
```{exercise} Three
:label: third
Show it.
```

```{solution} third
So it is.
```

```{prf:theorem} One
:label: first
It holds.
```

```{prf:proof}
*First* step.
```

```{prf:remark} Two
:label: second
It helps.
```

```{prf:proof}
By {prf:ref}`first`.
```
"""


@pytest.fixture
def mixed(book: Book) -> Book:
    """A book with statements, proofs and exercises."""
    book.extensions = ("myst_nb", "sphinx_proof", "sphinx_exercise", "ledger", "tidy")
    book.chapter(CHAPTER)
    return book


def test_no_identifier_is_used_twice_and_proofs_are_marked(mixed: Book):
    result = mixed.build()
    assert result.status == 0, result
    page = mixed.page("book/chapter")
    used = Counter(element["id"] for element in page.select("[id]"))
    assert not [name for name, count in used.items() if count > 1]
    proofs = page.select("div.proof-body")
    assert [text(proof) for proof in proofs] == ["Proof. First step.", "Proof. By Theorem 1.1."]
    assert [text(proof.select_one(".proof-lead")) for proof in proofs] == ["Proof.", "Proof."]
    assert not page.select("div.proof.proof-body")


def test_a_formula_stays_with_the_marks_that_touch_it(book: Book):
    book.extensions = ("myst_nb", "sphinx_proof", "ledger", "tidy")
    book.chapter(
        "```{prf:theorem}\n:label: first\nIt holds.\n```\n\n"
        "It is ($a$), $b$-smooth, the $c$th of $d$ and **$e$**, and “$f$—no”; $g$."
    )
    assert book.build(myst_enable_extensions=["dollarmath"]).status == 0
    (line,) = [p for p in book.page("book/chapter").select("p") if "It is" in text(p)]
    whole = [text(part).replace("\\(", "").replace("\\)", "") for part in line.select(".whole")]
    assert whole == ["(a),", "b-", "cth", "“f—", "g."]
    plain = text(line).replace("\\(", "").replace("\\)", "")
    assert plain == "It is (a), b-smooth, the cth of d and e, and “f—no”; g."


def test_the_whole_book_fits_on_a_single_page(mixed: Book):
    result = mixed.build("singlehtml")
    assert result.status == 0, result
    page = mixed.page("index", "singlehtml")
    assert page.select("div.theorem")
    assert page.select("div.exercise")
