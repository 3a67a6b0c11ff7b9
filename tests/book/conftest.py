from pathlib import Path

import pytest
from small_books import Book


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)
