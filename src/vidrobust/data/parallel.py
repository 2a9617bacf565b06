"""Applying a function to many videos in parallel, in order, with processes that may crash on a bad file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

from vidrobust.errors import RunError
from vidrobust.runs.processes import WorkerContext, follow_parent_alone, starting_workers

Item = TypeVar("Item")
Result = TypeVar("Result")

VideoProgress = Callable[[int, int], None]
"""Called with (videos done, videos in all)."""

DataProgress = Callable[[str, int, int], None]
"""Called with what is being done, such as "decoding train", and (videos done, videos in all)."""

AHEAD = 4
"""Items under way for each process: enough to keep all busy behind a slow one, few enough to hold in memory."""

FEW = 32
"""So few items are done in this process: starting others would take longer."""


def cores() -> int:
    """A process for each core that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


_shared: ContextVar[Callable[[], ProcessPoolExecutor] | None] = ContextVar("_shared", default=None)


@contextmanager
def same_processes(workers: int) -> Iterator[None]:
    """Inside, :func:`in_order` starts processes once for all its calls that do not expect one to crash.

    Starting a process takes as long as decoding a hundred small videos.
    """
    with ExitStack() as stack:
        before = _shared.set(cache(lambda: stack.enter_context(_pool(workers))))  # once there is work
        try:
            yield
        finally:
            _shared.reset(before)


def in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int = 1,
    crashed: Callable[[Item], Result] | None = None,
) -> Iterator[Result]:
    """``function`` of each item, in order.

    Args:
        function: of a module, so that other processes find it.
        items: its arguments.
        workers: processes; with one, or few items, all is done in this process unless ``crashed`` is given.
        crashed: the result for an item that takes its process down (decoders have bugs, and files can be made to hit
            them); by default that is the caller's error.

    Raises:
        BrokenProcessPool: a process died and ``crashed`` is not given.
        RunError: no process can be started.
    """
    if crashed is None and (workers < 2 or len(items) < FEW):
        yield from map(function, items)
        return
    left = deque(items)
    while left:
        try:
            for result in _pooled(function, left, workers, crashed):
                left.popleft()
                yield result
        except BrokenProcessPool:
            if crashed is None:
                raise
            for _ in range(min(len(left), workers * AHEAD)):  # one of these did it: each in a process of its own
                item = left.popleft()
                yield _alone(function, item, crashed)


def _pooled(
    function: Callable[[Item], Result],
    items: Sequence[Item] | deque[Item],
    workers: int,
    crashed: Callable[[Item], Result] | None,
) -> Iterator[Result]:
    waiting = deque(items)
    under_way: deque[Future[Result]] = deque()
    shared = _shared.get() if crashed is None else None
    with _pool(workers) if shared is None else nullcontext(shared()) as pool:
        try:
            while waiting or under_way:
                while waiting and len(under_way) < workers * AHEAD:
                    under_way.append(_submitted(pool, function, waiting.popleft()))
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _alone(function: Callable[[Item], Result], item: Item, crashed: Callable[[Item], Result]) -> Result:
    with _pool(1) as pool:
        try:
            return _submitted(pool, function, item).result()
        except BrokenProcessPool as error:
            _check_start(error)
            return crashed(item)


def _check_start(error: BrokenProcessPool) -> None:
    """Before an item is blamed: does a process start at all?

    Raises:
        RunError: it does not.
    """
    with _pool(1) as pool:
        try:
            _submitted(pool, int, 0).result()
        except BrokenProcessPool:
            raise RunError(
                "processes that decode cannot be started here: their own message stands above. Start them from another "
                "program, or free memory."
            ) from error


def _submitted(pool: ProcessPoolExecutor, function: Callable[[Item], Result], item: Item) -> Future[Result]:
    """Hand over an item, for which a process may be started."""
    with starting_workers():
        return pool.submit(function, item)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, WorkerContext(), follow_parent_alone)
