"""The made-up run, and a browser to look at its page with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from helpers import synthetic_run

FLAGS = [
    "--no-sandbox", "--use-angle=swiftshader", "--ignore-gpu-blocklist",
    "--disable-gpu-rasterization",  # WebGL alone needs the GPU, which is slow in software
    "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    return synthetic_run


WAIT = 280_000
"""Milliseconds until a wait is given up: nearly as long as a test may take, for the machine may be busy."""


class PatientBrowser:
    """A browser whose contexts wait long for what they are to find."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    def new_context(self, **settings: Any) -> Any:
        """As Playwright's."""
        context = self._browser.new_context(**settings)
        context.set_default_timeout(WAIT)
        return context


@pytest.fixture(scope="session")
def browser() -> Iterator[PatientBrowser]:
    binary = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if binary is None:
        pytest.skip("no chromium binary found: install chromium to test the page in a real browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield PatientBrowser(opened)
        opened.close()
