"""One browser for all tests of the page in a process."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from benchmarks.screenshots import browser


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Open a context of your own in it, and close that."""
    with sync_playwright() as playwright, browser(playwright) as opened:
        yield opened
