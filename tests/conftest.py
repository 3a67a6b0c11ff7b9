"""What all tests share: one thread, and one browser in a worker."""

import os

# Before torch is imported: two workers with torch's default threads take turns at fifteen times the price.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium_path, launch


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with launch(chromium_path()) as chromium:
        yield chromium
