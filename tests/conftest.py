"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks the network

import pytest
import torch
from helpers import devices
from helpers.hub_server import Hub, reach, serving
from helpers.studies import finish, start
from hypothesis import HealthCheck, settings

from vidrobust.cli.entry import main
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.data.motion import Motion, motion
from vidrobust.models.building import build
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.notation import STANDARD
from vidrobust.training.config import FitConfig
from vidrobust.training.trainer import train

# Machines differ in speed, so no example has a deadline; CI draws the same examples every time.
settings.register_profile(
    "vidrobust", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("vidrobust")


LONG = (
    "test_entry.py",
    "test_engines.py",
    "test_processes.py",
    "test_real_layouts.py",
    "test_report_browser.py",
    "test_plan.py",
)
"""Files of about a minute: first, or one of them is what all other cores wait for at the end."""


pytest_addoption, pytest_generate_tests = devices.add_options, devices.parametrise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    devices.mark(items)
    unstable = [item.nodeid for item in items if " at 0x" in item.nodeid]
    assert not unstable, (
        f"several processes cannot share tests whose names hold addresses (helpers.names): {unstable[:3]}"
    )
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_runtest_setup(item: pytest.Item) -> None:
    devices.check_can_run(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing is skipped in silence but what needs a GPU: a missing browser, codec or library is a failure."""
    report = yield
    if (
        "CI" in os.environ
        and report.skipped
        and not (hasattr(report, "wasxfail") or item.get_closest_marker("needs_cuda"))
    ):
        report.outcome, report.longrepr = "failed", f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where a test runs: every device there is, or the one of ``--device``."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """The type of the clips, from ``--dtype``."""
    return getattr(torch, request.config.getoption("--dtype"))


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests neither find nor leave anything in the user's cache."""
    root = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDROBUST_CACHE", str(root))
        yield root


@pytest.fixture
def vidrobust(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """A command line in this process, which has imported everything already: exit code, output, errors."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A stand-in of the Hugging Face Hub, which the hub's client asks."""
    with serving() as found:
        reach(found, monkeypatch, tmp_path / "hugging face")
        yield found


@pytest.fixture(scope="session")
def small_motion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded data set in small: 160 videos of 10 frames, as a folder in UCF-101's layout."""
    alone = Motion(photographs=(10, 2, 4), clips_per_group=1, rendered=(0, 0, 0))
    spec = replace(alone, frames=10, size=32, contrast=(0.6, 1.0))
    return motion(tmp_path_factory.mktemp("data") / "motion", spec).root


@pytest.fixture(scope="session")
def small_data(small_motion: Path) -> VideoClips:
    """Its clips, 3 × 8 × 16 × 16."""
    return load(DataConfig(name=str(small_motion), size=16, max_frames=10))


@pytest.fixture(scope="session")
def trained(small_data: VideoClips) -> ResNet3d:
    """A model with some accuracy on them. Tests must not change it."""
    model = build("r3d-small", classes=10, seed=0)
    train(model, small_data.train, STANDARD, FitConfig(epochs=8, batch=16))
    return model


@pytest.fixture(scope="session")
def tiny_study(small_motion: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a whole study. Tests must not change it."""
    out = tmp_path_factory.mktemp("study") / "run"
    code, printed, err = finish(start(small_motion, out))
    assert code == 0, err
    assert printed.strip().splitlines()[-1] == str(out / "report.html")
    return out
