"""On which devices a test runs."""

from __future__ import annotations

import pytest
import torch

needs_cuda = pytest.mark.needs_cuda
"""Marks a test that only a GPU can run; elsewhere it is skipped, in CI too."""


def add_options(parser: pytest.Parser) -> None:
    """``--device`` and ``--dtype``, of the tests that ask for such a fixture."""
    group = parser.getgroup("vidrobust")
    group.addoption("--device", choices=["cpu", "cuda"], help="run device tests there alone (default: wherever it can)")
    group.addoption(
        "--dtype", default="float32", choices=["float32", "float64", "bfloat16", "float16"], help="of their clips"
    )


def all_devices(config: pytest.Config) -> list[object]:
    """The devices to test on: the CPU, and a GPU if there is one."""
    asked = config.getoption("--device")
    cuda = pytest.param("cuda", marks=needs_cuda)
    if asked:
        return [cuda if asked == "cuda" else asked]
    return ["cpu", *([cuda] if torch.cuda.is_available() else [])]


def parametrise(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for a ``device`` on each of them."""
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", all_devices(metafunc.config), indirect=True, scope="session")


def mark(items: list[pytest.Item]) -> None:
    """Let ``-m device`` choose the tests that depend on the device."""
    for item in items:
        if "device" in getattr(item, "fixturenames", ()) or item.get_closest_marker("needs_cuda"):
            item.add_marker("device")


def check_can_run(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none; fail where one was asked for."""
    if item.get_closest_marker("needs_cuda") and not torch.cuda.is_available():
        if item.config.getoption("--device") == "cuda":
            pytest.fail("--device cuda, but PyTorch finds no GPU")
        pytest.skip("needs a GPU")
