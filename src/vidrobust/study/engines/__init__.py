"""Where the independent jobs of a study run: processes of this machine, a Ray cluster, or Slurm.

An engine is handed a job with the folder it writes to and says when jobs have ended; what they found lies on disk,
where every engine's processes must find it. Jobs are pure and named by their content, so one whose worker was lost is
simply run again, elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

from vidrobust.data.parallel import cores
from vidrobust.errors import InputError, MissingExtraError
from vidrobust.study.engines.gpu_shares import workers_of_this_machine

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


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the jobs of a study or of a sweep run. It changes nothing in their rows.

    Attributes:
        engine: processes of this machine (local), Ray's tasks (ray, an extra) or Slurm's jobs (slurm, an extra).
        address: of a running Ray cluster, such as auto or ray://head:10001, without which one is started here; Slurm's
            partition, or local for processes instead of Slurm's jobs.
        gpus: for each job: with ray a share of one or a whole number, with slurm a whole number, with local at most 1,
            where a worker sees the GPU alone that it has a share of. With 0, the jobs of local share the first GPU, if
            there is one.
        workers: jobs at once; by default one for each core that this process may use, with local and ``gpus`` no more
            than there is room for on the GPUs.

    Raises:
        InputError: a value is out of range.
    """

    engine: EngineName = "local"
    address: str | None = None
    gpus: float = 0.0
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in get_args(EngineName):
            raise InputError(f"there is no engine {self.engine!r}: choose local, ray or slurm.")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers must be at least 1, but is {self.workers}.")
        if self.engine == "local" and self.address is not None:
            raise InputError(f"--address {self.address} is for another engine: add --engine ray or slurm.")
        if not 0 <= self.gpus < math.inf:
            raise InputError(f"--gpus must be at least 0, but is {self.gpus}.")
        if self.engine == "slurm" and self.gpus % 1:
            raise InputError(
                f"Slurm deals out whole GPUs: with it, --gpus must be a whole number, but is {self.gpus:g}. Jobs share "
                "a GPU with --engine local or ray."
            )
        if self.engine == "ray" and self.gpus > 1 and self.gpus % 1:
            raise InputError(f"Ray deals out whole GPUs above 1: --gpus must be a whole number, but is {self.gpus:g}.")
        if self.engine == "local" and self.gpus > 1:
            raise InputError(
                f"A job uses one GPU: with --engine local, --gpus must be at most 1, but is {self.gpus:g}."
            )

    def check(self) -> None:
        """Refuse an engine that is not here, before anything is done.

        Raises:
            InputError: its extra is not installed, there is no Slurm, or there are not so many GPUs.
        """
        needed = {"ray": "ray", "slurm": "submitit"}.get(self.engine)
        if needed is not None and find_spec(needed) is None:
            raise MissingExtraError(needed, self.engine, f"--engine {self.engine}")
        if self.engine == "slurm" and self.address != "local" and which("srun") is None:
            raise InputError("there is no Slurm here. Use --engine local or ray, or --address local.")
        if self.engine == "local" and self.gpus:
            room = workers_of_this_machine(self.gpus)
            if not room:
                raise InputError(f"--gpus is {self.gpus:g}, but PyTorch finds no GPU here: leave it out.")
            if self.processes > room:
                raise InputError(
                    f"{self.workers} workers with {self.gpus:g} of a GPU each do not fit on the GPUs that PyTorch "
                    f"finds here: --workers must be at most {room}, or --gpus smaller."
                )

    @property
    def processes(self) -> int:
        """Jobs at once."""
        if self.workers or self.engine != "local" or not self.gpus:
            return self.workers or cores()
        return max(1, min(workers_of_this_machine(self.gpus), cores()))


@contextmanager
def early_engine(where: Where) -> Iterator[Engine | None]:
    """An engine of which a worker starts while its jobs are still being checked; None if it does not run here.

    It is ended where an error leaves the context; otherwise whoever gives it jobs ends it.

    Args:
        where: which engine, and how much of it.
    """
    if where.engine != "local":
        yield None
        return
    from vidrobust.study.engines.local import Local

    engine = Local(where.processes, where.gpus)
    try:
        engine.start_one()
        yield engine
    except BaseException:
        engine.close(at_once=True)
        raise


def open_engine(where: Where, run: Path) -> Engine:
    """An engine, ready for jobs.

    Args:
        where: which engine, and how much of it.
        run: the run directory, which all workers must see under this path.

    Raises:
        InputError: the engine's extra is not installed, or there is no Slurm here.
        RunError: no Ray cluster answers at the address.
    """
    if where.engine == "ray":
        from vidrobust.study.engines.on_ray import OnRay

        return OnRay(where.processes, where.address, where.gpus)
    if where.engine == "slurm":
        from vidrobust.study.engines.on_slurm import OnSlurm

        return OnSlurm(where.processes, run / "slurm", where.address, where.gpus)
    from vidrobust.study.engines.local import Local

    return Local(where.processes, where.gpus)
