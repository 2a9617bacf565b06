"""This process: for models that live in its memory alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidrobust.study.engines.work import work

if TYPE_CHECKING:
    from pathlib import Path

    from vidrobust.study.jobs import Job


class Here:
    """Runs one job after another in this process, with the threads it has."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Job, Path]] = []
        self._gradients = 0

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        self._waiting.append((key, job, jobs))

    def finished(self, seconds: float) -> list[str]:
        import torch

        if not self._waiting:
            return []
        key, job, jobs = self._waiting.pop(0)
        threads = torch.get_num_threads()
        try:
            work(job, jobs, key, self._count)
        finally:
            torch.set_num_threads(threads)
        return [key]

    def _count(self, gradients: int) -> None:
        self._gradients += gradients

    def spent(self) -> int:
        return self._gradients

    def close(self, at_once: bool) -> None:
        self._waiting.clear()
