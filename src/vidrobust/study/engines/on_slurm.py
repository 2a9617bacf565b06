"""Slurm jobs by submitit, or its local executor, which runs the same jobs as processes of this machine."""

from __future__ import annotations

import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.errors import InputError, MissingExtraError, RunError
from vidrobust.runs.jobs import stored_job
from vidrobust.study.engines.work import LOSSES, work

if TYPE_CHECKING:
    from vidrobust.study.jobs import Job

MINUTES = 24 * 60
"""Of a Slurm job, at most; a training that is cut off goes on from its checkpoint when it runs again."""


class OnSlurm:
    """One Slurm job for each job of the study. One that ends without a result (a lost node, a time limit) runs again.

    Args:
        workers: jobs in the queue at once.
        folder: for submitit's files; all nodes must see it.
        partition: of Slurm; ``local`` runs processes of this machine instead.
        gpus: for each job, a whole number.

    Raises:
        InputError: submitit is not installed, or there is no Slurm here.
    """

    def __init__(self, workers: int, folder: Path, partition: str | None, gpus: float) -> None:
        try:
            import submitit  # pyrefly: ignore[missing-import]
        except ImportError as error:
            raise MissingExtraError("submitit", "slurm", "--engine slurm") from error
        self._submitit, self._workers = submitit, workers
        try:
            self._executor = submitit.AutoExecutor(folder, cluster="local" if partition == "local" else "slurm")
        except RuntimeError as error:
            raise InputError(
                f"there is no Slurm here ({error}). Use --engine local or ray, or --address local."
            ) from error
        options: dict[str, Any] = {"timeout_min": MINUTES, "cpus_per_task": 1, "gpus_per_node": int(gpus)}
        if partition not in (None, "local"):
            options["slurm_partition"] = partition
        self._executor.update_parameters(**options)
        self._waiting: deque[tuple[str, Job, Path]] = deque()
        self._running: dict[str, tuple[Any, Job, Path]] = {}
        self._lost: Counter[str] = Counter()
        self._spent = 0

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        self._waiting.append((key, job, jobs.resolve()))
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._workers:
            key, job, jobs = self._waiting.popleft()
            self._running[key] = (self._executor.submit(work, job, jobs, key), job, jobs)

    def finished(self, seconds: float) -> list[str]:
        until, keys = time.monotonic() + seconds, []
        while not keys:
            for key, (running, job, jobs) in list(self._running.items()):
                if running.done():
                    del self._running[key]
                    if self._ended(key, running, job, jobs):
                        keys.append(key)
            self._fill()
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return keys

    def _ended(self, key: str, running: Any, job: Job, jobs: Path) -> bool:
        """Did the job end with its rows? If it was lost, it is handed over again."""
        if stored_job(jobs / key) is not None:
            self._spent += job.gradients
            return True
        try:
            failure = running.exception()
        except self._submitit.core.utils.UncompletedJobError:
            failure = None
        if isinstance(failure, self._submitit.core.utils.FailedJobError):
            raise RunError(f"{job.title} failed:\n{failure}")
        if failure is not None and not isinstance(failure, self._submitit.core.utils.UncompletedJobError):
            raise failure
        self._lost[key] += 1
        if self._lost[key] > LOSSES:
            raise RunError(
                f"{job.title} was lost {self._lost[key]} times; its log is {running.paths.stderr}. What was finished "
                "is kept: run the same command again."
            )
        self._waiting.append((key, job, jobs))
        return False

    def spent(self) -> int:
        return self._spent

    def close(self, at_once: bool) -> None:
        for running, _, _ in self._running.values() if at_once else ():
            running.cancel()
