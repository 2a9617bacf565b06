"""Ray tasks: on a cluster that is there, or on one started on this machine."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.errors import MissingExtraError, RunError
from vidrobust.study.engines.work import LOSSES, work

if TYPE_CHECKING:
    from vidrobust.study.jobs import Job


class OnRay:
    """One task per job. A task whose node or worker is lost is run again elsewhere, by Ray itself.

    Args:
        workers: tasks at once on a cluster started here; a cluster that is there has its own number.
        address: of a running cluster.
        gpus: for each task.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no cluster at the address.
    """

    def __init__(self, workers: int, address: str | None, gpus: float) -> None:
        try:
            os.environ.setdefault(
                "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
            )  # GPUs are hidden only where Ray deals them
            import ray  # pyrefly: ignore[missing-import]
        except ImportError as error:
            raise MissingExtraError("ray", "ray", "--engine ray") from error
        self._ray = ray
        alone = {"address": "local", "num_cpus": workers, "include_dashboard": False}  # whatever cluster is running
        own: dict[str, Any] = alone if address is None else {"address": address}
        try:
            ray.init(**own, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError(f"no Ray cluster answers at {address} ({error}). Start one: ray start --head.") from error
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=LOSSES)(work)
        self._running: dict[Any, tuple[str, int]] = {}
        self._spent = 0

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        self._running[self._task.remote(job, jobs.resolve(), key)] = (key, job.gradients)

    def finished(self, seconds: float) -> list[str]:
        ended, _ = self._ray.wait(list(self._running), timeout=seconds)
        keys = []
        for reference in ended:
            key, gradients = self._running.pop(reference)
            self._result(reference, key)
            self._spent += gradients
            keys.append(key)
        return keys

    def _result(self, reference: Any, key: str) -> None:
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error  # what the job itself raised
        except self._ray.exceptions.RayError as error:
            raise RunError(
                f"job {key} was lost {LOSSES + 1} times with its worker ({type(error).__name__}). What was finished is "
                "kept: see that the nodes have memory enough, and run the same command again."
            ) from error

    def spent(self) -> int:
        return self._spent

    def close(self, at_once: bool) -> None:
        for reference in self._running if at_once else ():
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()
