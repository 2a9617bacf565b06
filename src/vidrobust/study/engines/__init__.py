"""Where the independent jobs of a study run: processes of this machine, a Ray cluster, or Slurm.

An engine is handed a job with the folder it writes to and says when jobs have ended; what they found lies on disk,
where every engine's processes must find it. Jobs are pure and named by their content, so one whose worker was lost is
simply run again, elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from vidrobust.study.jobs import Job

EngineName: TypeAlias = Literal["local", "ray", "slurm"]


class Engine(Protocol):
    """Runs jobs."""

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        """Run a job of the folder ``jobs`` when there is room; jobs handed over first begin first."""
        ...

    def finished(self, seconds: float) -> Sequence[str]:
        """The keys of jobs that have ended since the last call, waiting at most so long for one.

        Raises:
            RunError: workers were lost again and again.
            BaseException: what a job raised.
        """
        ...

    def spent(self) -> int:
        """Clip-gradients spent so far, as far as it is known."""
        ...

    def close(self, at_once: bool) -> None:
        """End all workers; ``at_once`` with what they are at."""
        ...


def open_engine(name: EngineName, workers: int, run: Path, address: str | None = None, gpus: float = 0.0) -> Engine:
    """An engine by its name.

    Args:
        name: ``local`` (processes), ``ray`` (extra ``ray``) or ``slurm`` (extra ``slurm``).
        workers: jobs at once, at least 1.
        run: the run directory, which all workers must see under this path.
        address: of ``ray``: a running cluster's, such as ``auto`` or ``ray://head:10001``; without it one is started
            here. Of ``slurm``: the partition, or ``local`` for processes instead of Slurm's jobs.
        gpus: for each job, where an engine deals them out.

    Raises:
        InputError: there is no such engine, or its extra is not installed.
    """
    if name == "local":
        from vidrobust.study.engines.local import Local

        return Local(workers)
    if name == "ray":
        from vidrobust.study.engines.on_ray import OnRay

        return OnRay(workers, address, gpus)
    if name == "slurm":
        from vidrobust.study.engines.on_slurm import OnSlurm

        return OnSlurm(workers, run / "slurm", address, gpus)
    raise InputError(f"there is no engine {name!r}: choose local, ray or slurm.")
