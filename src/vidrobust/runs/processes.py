"""How a worker process behaves towards the one that started it."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType


def follow_parent() -> None:
    """To be called first in a worker: Ctrl-C is the parent's to handle, and a parent's death is the worker's own.

    A worker whose parent was killed must not go on writing beside the next one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_die_with_parent, daemon=True).start()


def follow_parent_alone() -> None:
    """The same for a worker that has nothing of its own to save: SIGTERM, too, is the parent's to handle.

    A command that is stopped as a group (``timeout``, a batch system) cancels what its pool has yet to do. If the
    workers ended at that moment, Python would fail to tell the cancelled ones so, with a traceback.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    follow_parent()


@contextlib.contextmanager
def starting_workers() -> Generator[None]:
    """Ctrl-C and SIGTERM that come inside come at the end, and processes that are started inside get neither.

    A process whose start is interrupted would be known to nobody, and could not be ended. The processes inherit that
    both are blocked, so that they do not get them before they can say so themselves.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    with _signals_held():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _signals_held() -> Generator[None]:
    """Where Python handles SIGINT and SIGTERM, it does so at the end; other threads do not block them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):  # each is raised at the end, also where another's handler raises
            stack.callback(lambda number=number: number in came and signal.raise_signal(number))
        for number, handler in handlers.items():
            if callable(handler):
                stack.callback(signal.signal, number, handler)
                signal.signal(number, lambda number, frame: came.append(number))
        yield


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

    def __init__(self) -> None:
        super().__init__()
        _start_tracker()


@functools.cache
def _start_tracker() -> None:
    """Start Python's process that frees the semaphores which killed processes leave, without its warning.

    Workers are killed where a command is stopped, and one that makes data has a pool of its own then.
    """
    if os.name != "posix":
        return
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
