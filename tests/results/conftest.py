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
    "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    return synthetic_run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    binary = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if binary is None:
        pytest.skip("no chromium binary found: install chromium to test the page in a real browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield opened
        opened.close()
