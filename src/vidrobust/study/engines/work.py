"""What a worker does with a job, on whatever engine: run it with one thread, and leave its rows in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from vidrobust.runs.jobs import clear_checkpoints, store_job, stored_job

if TYPE_CHECKING:
    from pathlib import Path

    from vidrobust.study.jobs import Job

LOSSES = 3
"""How often the worker of one job may be lost before the job is held to be the cause."""


def work(job: Job, jobs: Path, key: str, count: Callable[[int], None] = lambda gradients: None) -> None:
    """Run a job; its rows are there, whole, when this returns.

    One thread, so that results do not depend on the engine nor on how many workers there are.

    Args:
        job: what to do.
        jobs: the run's folder of jobs.
        key: the job's name, and that of its folder.
        count: called with the number of clip-gradients as they are spent.
    """
    import torch

    from vidrobust.study.jobs import Place

    torch.set_num_threads(1)
    folder = jobs / key
    if stored_job(folder) is not None:  # a worker held to be lost was not
        clear_checkpoints(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    wall, cpu, counted = time.perf_counter(), time.process_time(), 0

    def progress(gradients: int) -> None:
        nonlocal counted
        counted += gradients
        count(gradients)

    rows = job.run(Place(jobs, folder, progress))
    count(job.gradients - counted)  # the estimate was what the total is made of
    cost = {
        "job": key,
        "title": job.title,
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "gradients": counted,
    }
    store_job(folder, rows, cost)
    clear_checkpoints(folder)
