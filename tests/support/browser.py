"""A real browser for pages, Debian's Chromium, and axe, which looks for what shuts people out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["SCREENS", "find_barriers", "open_browser"]

SCREENS = ((1400, "light"), (390, "dark"))  # no style hangs on both
"""(width, colours): a desk and a phone, each by day and by night."""

_IMPACTS = ("minor", "moderate", "serious", "critical")


@contextmanager
def open_browser() -> Iterator[Any]:
    """Open a browser; skips the test where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no page is opened: pip install playwright"
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no page is opened: apt install chromium")
    with playwright.sync_playwright() as driver:
        # Chromium's own sandbox does not work for root in a container; the page is ours.
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def find_barriers(page: Any, least: str = "minor") -> list[str]:
    """Return what axe finds on an open page, one line each: rule, impact and element.

    least: the impact from which on it counts: minor, moderate, serious or critical.
    Skips the test where axe is not installed.
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="nothing looks for barriers: pip install axe-playwright-python",
    )
    counted = _IMPACTS[_IMPACTS.index(least) :]
    return [
        f"{rule['id']} ({rule['impact']}): {found['html'][:120]}"
        for rule in axe.Axe().run(page).response["violations"]
        if rule["impact"] in counted
        for found in rule["nodes"]
    ]
