"""How a worker process behaves towards the one that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType


def follow_parent() -> None:
    """To be called first in a worker: Ctrl-C is the parent's to handle, and a parent's death is the worker's own.

    A worker whose parent was killed must not go on writing beside the next one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


@contextlib.contextmanager
def starting_workers() -> Generator[None]:
    """Processes that are started inside do not get Ctrl-C, also before they can say so themselves.

    They inherit that it is blocked; for this process it comes at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


_starting = threading.Lock()


class WorkerProcess(SpawnProcess):
    """A process that does not run the caller's main module again.

    It needs the functions of modules alone. A script without an ``if __name__ == "__main__":`` would otherwise ask for
    its data, or begin its study, again in every process, and wait for the lock that it holds; one from the standard
    input cannot even be found.
    """

    def start(self) -> None:
        """Start it."""
        with _starting:
            main = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()
            finally:
                sys.modules["__main__"] = main

    def terminate(self) -> None:
        """Kill it: one that trains takes SIGTERM as a request to save and go on to its next task.

        A pool that has lost a worker ends the others so and waits for them, for ever if they go on.
        """
        self.kill()


class WorkerContext(SpawnContext):
    """A context whose processes are :class:`WorkerProcess`."""

    Process = WorkerProcess
