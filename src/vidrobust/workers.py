"""Independent jobs over worker processes, each result stored as it comes.

Every worker runs one thread, so that results do not depend on how many workers there are. Rows are appended to the run
in the order of the plan, whatever the order in which jobs end: a run that is killed and started again, with any number
of workers, writes the same bytes as one that is not.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from vidrobust.errors import RunError
from vidrobust.runs import Row, Run, append_lines, dumps, read_lines, write_atomic

if TYPE_CHECKING:
    from vidrobust.jobs import Job
    from vidrobust.progress import Display

_spent: Any = None
"""In a worker: the counter of clip-gradients shared with the parent."""


def _start_worker(spent: Any) -> None:
    global _spent
    _spent = spent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _die_with_parent() -> None:
    """A worker whose parent was killed must not go on writing beside the next one."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _count(gradients: int) -> None:
    with _spent.get_lock():
        _spent.value += gradients


def _work(job: Job, jobs: Path, key: str) -> None:
    from vidrobust.jobs import Place

    folder = jobs / key
    folder.mkdir(parents=True, exist_ok=True)
    wall, cpu, counted = time.perf_counter(), time.process_time(), 0

    def progress(gradients: int) -> None:
        nonlocal counted
        counted += gradients
        _count(gradients)

    rows = job.run(Place(jobs, folder, progress))
    _count(job.gradients - counted)  # the estimate was what the total is made of
    cost = {
        "job": key,
        "title": job.title,
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "gradients": job.gradients,
    }
    append_lines(folder / "timings.jsonl", [cost])
    write_atomic(folder / "rows.jsonl", "".join(dumps(row) + "\n" for row in rows).encode())


class Workers:
    """A pool of worker processes that fills a run.

    Use it as a context manager; leaving it on an error or Ctrl-C stops the workers at once.

    Args:
        run: the run directory.
        workers: processes, at least 1.
        display: whom to tell of progress.
    """

    def __init__(self, run: Run, workers: int, display: Display) -> None:
        self.run, self.display = run, display
        context = multiprocessing.get_context("spawn")
        self._spent = context.Value("q", 0)
        self._pool = ProcessPoolExecutor(workers, context, _start_worker, (self._spent,))
        append_lines(run.path / "rows.jsonl", [])  # cuts off a torn last line
        self._written = len(run.rows())

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def do(self, jobs: Sequence[Job]) -> list[Row]:
        """Run jobs that do not depend on each other, longest first, and append their rows in the order given.

        Jobs whose rows are on disk already are not run again.

        Returns:
            All rows of these jobs.

        Raises:
            RunError: a worker died; what was finished is kept.
        """
        from vidrobust.jobs import job_key

        plan = {job_key(job): job for job in jobs}
        keys = list(plan)
        found = {key: rows for key in keys if (rows := self._stored(key)) is not None}
        missing = sorted((key for key in keys if key not in found), key=lambda key: -plan[key].gradients)
        self.display.skip(sum(plan[key].gradients for key in found))
        folder = self.run.path / "jobs"
        futures = {self._pool.submit(_work, plan[key], folder, key): (key, plan[key]) for key in missing}
        done = 0
        while True:
            while done < len(keys) and keys[done] in found:
                self._append(found[keys[done]])
                done += 1
            if done == len(keys):
                return [row for key in keys for row in found[key]]
            for future in self._finished(futures):
                key, job = futures.pop(future)
                rows = self._stored(key)
                assert rows is not None
                found[key] = rows
                self.display.done(job.title)

    def _finished(self, futures: dict[Future[None], tuple[str, Job]]) -> list[Future[None]]:
        finished: set[Future[None]] = set()
        while not finished:
            finished, _ = wait(futures, timeout=0.25, return_when=FIRST_COMPLETED)
            self.display.spent(self._spent.value)
        for future in finished:
            try:
                future.result()
            except BrokenProcessPool as error:
                raise RunError(
                    f"a worker process died while at {futures[future][1].title!r}: it was killed, perhaps for want of "
                    "memory. What was finished is kept: run the same command again, with fewer --workers if it recurs."
                ) from error
        return list(finished)

    def _stored(self, key: str) -> list[Row] | None:
        file = self.run.job_path(key) / "rows.jsonl"
        return list(read_lines(file)) if file.exists() else None

    def _append(self, rows: list[Row]) -> None:
        """Append those rows that an earlier, killed process had not yet appended."""
        known = min(self._written, len(rows))
        self._written -= known
        if rows[known:]:
            self.run.append(rows[known:])


def timings(run: Run) -> list[Row]:
    """What each finished job of a run cost, from its folder."""
    files = sorted(run.path.glob("jobs/*/timings.jsonl"))
    return [json.loads(dumps(row)) for file in files for row in read_lines(file)]
