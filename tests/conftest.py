"""What all tests share: one thread, and one browser in a worker."""

import math
import os

# Before torch is imported: two workers with torch's default threads take turns at fifteen times the price.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from gancourse import training
from tests import pretend_cuda
from tests.browser import chromium_path, launch


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with launch(chromium_path()) as chromium:
        yield chromium


@pytest.fixture(scope="session")
def compiled() -> None:
    """`tests.pretend_cuda` can begin. Without a compiler a test skips, or fails where CI is set."""
    try:
        pretend_cuda.build()
    except FileNotFoundError as error:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that lets the next training stop, as by a key, once so many steps are recorded."""

    def prepare(after: int) -> None:
        record = training._Progress.record

        def stopping(progress: training._Progress, rows: list) -> None:
            record(progress, rows)
            if progress.done >= after:
                monkeypatch.setattr(training._Progress, "record", record)
                raise KeyboardInterrupt

        monkeypatch.setattr(training, "FLUSH_SECONDS", math.inf)
        monkeypatch.setattr(training._Progress, "record", stopping)

    return prepare
