"""Tables that a benchmark wrote, shown as cards on a narrow screen."""

from small_books import Book, text

TABLE = "| Method | Modes |\n| --- | --- |\n| GAN | 3 |\n| VEEGAN |  |\n"


def test_every_cell_carries_its_columns_name(book: Book):
    book.extensions = ("myst_nb", "card_tables")
    book.chapter(f"```{{card-tables}}\nSome words.\n\n{TABLE}```\n")
    book.write("book/evidence", "# Evidence\n")
    result = book.build()
    assert result.status == 0, result
    page = book.page("book/chapter")
    rows = [[text(cell) for cell in row.select("td")] for row in page.select("table.cards tbody tr")]
    assert rows == [["Method: GAN", "Modes: 3"], ["Method: VEEGAN", "Modes:"]]
    assert "Some words." in text(page)


def test_a_directive_without_a_table_fails_a_strict_build(book: Book):
    book.extensions = ("myst_nb", "card_tables")
    book.chapter("```{card-tables}\nSome words.\n```\n")
    book.write("book/evidence", "# Evidence\n")
    result = book.build("dummy")
    assert result.status == 1
    assert "no table inside card-tables" in str(result)
