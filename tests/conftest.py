"""What all tests share: one thread, and one browser in a worker."""

import os

# Before torch is imported: two workers with torch's default threads take turns at fifteen times the price.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Without these, Chromium asks its maker's servers at every start.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium. Without one the test skips, or fails where CI is set."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        reason = "There is no Chromium, so nobody looked; install it with `apt-get install chromium`."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()
