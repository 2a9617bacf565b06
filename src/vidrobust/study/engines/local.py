"""Processes of this machine."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.errors import RunError
from vidrobust.runs.processes import WorkerContext, follow_parent, starting_workers
from vidrobust.study.engines.gpu_shares import gpu_of_worker, workers_of_a_gpu
from vidrobust.study.engines.work import LOSSES, work

if TYPE_CHECKING:
    from vidrobust.study.jobs import Job

_spent: Any = None
"""In a worker: the counter of clip-gradients shared with the parent."""


def _start_worker(spent: Any, started: Any, sharing: int) -> None:
    """What a worker does first.

    Args:
        spent: the counter of clip-gradients.
        started: the counter of workers.
        sharing: how many workers share a GPU, of which each is to see no other; 0: all see all GPUs.
    """
    global _spent
    _spent = spent
    follow_parent()
    if sharing:
        with started.get_lock():
            number, started.value = started.value, started.value + 1
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of_worker(number, sharing, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _count(gradients: int) -> None:
    with _spent.get_lock():
        _spent.value += gradients


def _work(job: Job, jobs: Path, key: str) -> None:
    work(job, jobs, key, _count)


def _import() -> None:
    """What a training needs, which takes seconds; the optimisers of torch import its compiler when they are made."""
    for name in ("vidrobust.study.trainings", "vidrobust.study.measurements", "torch._dynamo"):
        import_module(name)


class Local:
    """A pool of processes; where one is killed, the pool is made anew and what was not finished runs again.

    Args:
        workers: processes, at least 1.
        gpus: the share of a GPU of each; 0: all see all GPUs.
    """

    def __init__(self, workers: int, gpus: float = 0.0) -> None:
        self._workers, self._context = workers, WorkerContext()
        self._sharing = workers_of_a_gpu(gpus) if gpus else 0
        self._spent_before = 0
        self._pool = self._new_pool()
        self._futures: dict[Future[None], tuple[str, Job, Path]] = {}
        self._lost: Counter[str] = Counter()

    def _new_pool(self) -> ProcessPoolExecutor:
        """With counters of its own: a killed worker may have held the lock of those before."""
        self._counter = self._context.Value("q", 0)
        given = (self._counter, self._context.Value("q", 0), self._sharing)
        return ProcessPoolExecutor(self._workers, self._context, _start_worker, given)

    def start_one(self) -> None:
        """Start a worker before there is a job, so that it imports while this process does something else."""
        with starting_workers():
            self._pool.submit(_import)

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        with starting_workers():
            try:
                future = self._pool.submit(_work, job, jobs, key)
            except BrokenProcessPool:  # an idle worker was killed
                self._start_again()
                future = self._pool.submit(_work, job, jobs, key)
        self._futures[future] = (key, job, jobs)

    def finished(self, seconds: float) -> list[str]:
        ended, _ = wait(self._futures, timeout=seconds, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in ended):
            self._start_again()
            return []
        keys = []
        for future in ended:
            key, _, _ = self._futures.pop(future)
            future.result()
            keys.append(key)
        return keys

    def _start_again(self) -> None:
        """A worker was killed, and with it the pool: which job it was at cannot be known, so all of them count."""
        running = [self._futures[future] for future in self._futures]
        self._pool.shutdown(cancel_futures=True)
        self._lost.update(key for key, _, _ in running[: self._workers])
        worst = max(self._lost.values(), default=0)
        if worst >= LOSSES:
            names = ", ".join(job.title for key, job, _ in running if self._lost[key] >= LOSSES)
            raise RunError(
                f"a worker process died {worst} times while at one of: {names}. It was killed, perhaps for want of "
                "memory. What was finished is kept: run the same command again, with fewer --workers if it recurs."
            )
        self._spent_before = self.spent()
        self._pool, self._futures = self._new_pool(), {}
        for item in running:
            self.submit(*item)

    def spent(self) -> int:
        return self._spent_before + self._counter.get_obj().value  # read without the lock, which may never come free

    def close(self, at_once: bool) -> None:
        if at_once:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
        self._pool.shutdown(cancel_futures=True)
