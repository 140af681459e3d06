"""Debian's Chromium, started the way this machine allows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Playwright

CHROMIUM = Path("/usr/bin/chromium")


@asynccontextmanager
async def launched(playwright: Playwright) -> AsyncIterator[Browser]:
    """A browser for the length of the block. Root may not use Chromium's sandbox."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
    try:
        yield browser
    finally:
        await browser.close()
