"""Signals that come while processes are started, and what killed processes leave."""

from __future__ import annotations

import os
import platform
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


FAULTS = """
import resource
from vidrobust.runs.processes import keep_freed_memory
keep_freed_memory()
import numpy as np
for _ in range(51):
    if _ == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    together = [np.ones(2**18) for _ in range(8)]
    del together
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Fifty times 16 MiB in pieces, freed at once: the faults of their pages, of which each round has 4,096."""


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
@pytest.mark.parametrize("asked", [None, "131072"])
def test_freed_memory_is_kept_unless_somebody_decided_otherwise(asked: str | None) -> None:
    others = {name: value for name, value in os.environ.items() if name != "MALLOC_TRIM_THRESHOLD_"}
    own = {} if asked is None else {"MALLOC_TRIM_THRESHOLD_": asked}
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, env=others | own, check=True)
    assert (int(done.stdout) < 4096) is (asked is None)


@pytest.mark.skipif(sys.platform == "win32", reason="semaphores have no names there")
def test_the_semaphores_of_a_killed_process_are_freed_without_a_warning() -> None:
    import _multiprocessing

    process = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert process.returncode == -signal.SIGKILL
    assert process.stderr == ""  # until the end of which the tracker was waited for
    with pytest.raises(FileNotFoundError):
        _multiprocessing.sem_unlink(process.stdout.strip())
