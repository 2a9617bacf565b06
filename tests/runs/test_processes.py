"""Signals that come while processes are started, and what killed processes leave."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from vidrobust.runs.processes import starting_workers

KILLED = """
import os, signal
from vidrobust.runs.processes import WorkerContext
semaphore = WorkerContext().Semaphore()
print(semaphore._semlock.name, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class CameError(Exception):
    """A signal came."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_workers_are_started(number: signal.Signals) -> None:
    def come(number: int, frame: object) -> None:
        raise CameError

    before, reached = signal.signal(number, come), False
    try:
        with pytest.raises(CameError), starting_workers():
            signal.raise_signal(number)
            reached = True
        assert reached
        assert signal.getsignal(number) is come
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(sys.platform == "win32", reason="semaphores have no names there")
def test_the_semaphores_of_a_killed_process_are_freed_without_a_warning() -> None:
    import _multiprocessing

    process = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL
    assert process.stderr == ""  # until the end of which the tracker was waited for
    with pytest.raises(FileNotFoundError):
        _multiprocessing.sem_unlink(process.stdout.strip())
