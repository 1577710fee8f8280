"""One browser for all tests of the page in a process."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from benchmarks.screenshots import browser

# Chromium draws its own buttons by web pages, one more a window, which takes a fifth of a visit. Nobody sees them here.
# The other features are those that Playwright switches off, for the last such flag counts alone.
WITHOUT = (
    "InitialWebUI,WebUIReloadButton,WebUIToolbar,WebUIHomeButton,WebUILocationBar,WebUISplitTabsButton,"
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,"
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,OptimizationHints,NetworkTimeServiceQuerying"
)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Open a context of your own in it, and close that."""
    with sync_playwright() as playwright, browser(playwright, f"--disable-features={WITHOUT}") as opened:
        yield opened
