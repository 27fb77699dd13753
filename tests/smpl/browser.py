"""Debian's Chromium for tests of pages; without it, or without Playwright, they are skipped and say so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
# Drawing goes through the processor, as on a machine without a graphics card; nothing of the browser's own is fetched.
ARGUMENTS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a browser."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (the extra 'dev')")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def wait_for(page: Any, condition: str, seconds: float = 60) -> None:
    """Wait until a JavaScript expression is true; Playwright's own way is refused by the page's policy."""
    end = time.monotonic() + seconds
    while not _is_true(page, condition):
        assert time.monotonic() < end, f"still not: {condition}"
        time.sleep(0.02)


def _is_true(page: Any, condition: str) -> bool:
    try:
        return bool(page.evaluate(f"Boolean({condition})"))
    except Exception as error:
        # The page is being read anew.
        if "navigation" in str(error):
            return False
        raise


def opened(context: Any, address: str) -> tuple[Any, list[str], list[str]]:
    """Return a report's page that is ready, what its console says, and what it asks for beyond itself."""
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    # The renderer in software warns of its own slowness.
    page.on("console", lambda m: said.append(m.text) if m.type == "error" or "GL Driver" not in m.text else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("blob:", "data:")) else None)
    page.goto(address)
    wait_for(page, "globalThis.smoothnetReport?.ready")
    return page, said, asked
