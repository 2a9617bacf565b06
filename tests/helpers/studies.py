"""Whole studies in processes of their own, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TINY = Path(__file__).parent / "tiny.yaml"


def start(data: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vidrobust", "study", "--config", str(TINY), "--data", str(data), *more]
    heeded = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and pass that on
    try:
        return subprocess.Popen(
            [*command, "--out", str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error", "NO_COLOR": "1"},
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, heeded)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate()
    return process.returncode, out, err


def wait_until(process: subprocess.Popen[str], reached: Callable[[], object]) -> None:
    """Wait for a state of a running study; one that ends before it says why."""
    while not reached():
        assert process.poll() is None or reached(), finish(process)
        time.sleep(0.05)
