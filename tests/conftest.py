"""What all tests share: one thread, one seed, and one browser in a worker."""

import math
import os
import random

# Before torch is imported: two workers with torch's default threads take turns at fifteen times the price.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser

from gancourse import training
from tests import pretend_cuda
from tests.browser import chromium_path, launch


def pytest_collectstart(collector: pytest.Collector) -> None:
    """A file that draws as it is imported (weights of a network to be refused) draws the same each time."""
    if isinstance(collector, pytest.Module):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test that sets no seed draws the same numbers whenever, and beside whichever others, it runs."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


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
