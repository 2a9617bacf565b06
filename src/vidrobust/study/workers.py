"""Running jobs on an engine, each as soon as the jobs that it needs are done, and storing each result at once.

Rows are appended to the run in the order of the plan, whatever the order in which jobs end: a run that is killed and
started again, on any engine with any number of workers, writes the same bytes as one that is not. Those that are there
already, wherever in the file, are not written again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING

from vidrobust.runs.code import typed_code
from vidrobust.runs.directory import Run
from vidrobust.runs.jobs import clear_checkpoints, stored_job
from vidrobust.runs.keys import dumps
from vidrobust.runs.rows import Row, read_json_lines

if TYPE_CHECKING:
    from vidrobust.study.engines import Engine
    from vidrobust.study.jobs import Job
    from vidrobust.study.live_page import LivePage
    from vidrobust.study.progress import Display

PATIENCE = 0.25
"""Seconds between two looks at how far the work has come."""


class Workers:
    """An engine that fills a run.

    Use it as a context manager: inside, no other process can work on the run; leaving it on an error or Ctrl-C stops
    the workers at once.

    Args:
        run: the run directory.
        engine: where jobs run.
        display: where progress is shown.
        live: the page that is written as jobs end, if any.
    """

    def __init__(self, run: Run, engine: Engine, display: Display, live: LivePage | None = None) -> None:
        self.run, self.engine, self.display, self.live = run, engine, display, live
        self._rows, self._alone = run.row_file, run.working()
        self._plan: dict[str, Job] = {}
        self._found: dict[str, list[Row]] = {}
        self._waiting: list[str] = []

    def __enter__(self) -> Workers:
        try:
            self._alone.__enter__()
        except BaseException:
            self.engine.close(at_once=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.engine.close(at_once=kind is not None)
        finally:
            self._alone.__exit__(None, None, None)

    def add(self, jobs: Sequence[Job]) -> None:
        """Run jobs as soon as those that they need are done; those added first begin first, and of these the longest.

        Jobs whose rows are on disk already are not run again.
        """
        from vidrobust.study.jobs import job_key

        new = {key: job for job in jobs if (key := job_key(job)) not in self._plan}
        self._plan |= new
        self._found |= {key: rows for key in new if (rows := stored_job(self.run.job_path(key))) is not None}
        for key in filter(self._found.__contains__, new):
            clear_checkpoints(self.run.job_path(key))  # a kill came between its rows and this
        self.display.skip(sum(new[key].gradients for key in new if key in self._found))
        self._waiting += sorted((key for key in new if key not in self._found), key=lambda key: -new[key].gradients)
        self._submit()

    def more(self, jobs: Sequence[Job]) -> tuple[int, int]:
        """Clip-gradients of those of some jobs that have not been added yet, each counted once.

        Returns:
            Of all of them, and of those alone that an earlier run has not done.
        """
        from vidrobust.study.jobs import job_key

        new = {key: job for job in jobs if (key := job_key(job)) not in self._plan}
        left = [job.gradients for key, job in new.items() if stored_job(self.run.job_path(key)) is None]
        return sum(job.gradients for job in new.values()), sum(left)

    def do(self, jobs: Sequence[Job]) -> list[Row]:
        """Add jobs if they are not there yet, wait until they are done, and append their rows in the order given.

        Returns:
            All rows of these jobs.

        Raises:
            RunError: a worker was lost again and again; what was finished is kept.
        """
        from vidrobust.study.jobs import job_key

        self.add(jobs)
        keys = list(dict.fromkeys(map(job_key, jobs)))
        done = 0
        while True:
            while done < len(keys) and keys[done] in self._found:
                self._rows.append(self._found[keys[done]])
                done += 1
            if done == len(keys):
                return [row for key in keys for row in self._found[key]]
            for key in self.engine.finished(PATIENCE):
                rows = stored_job(self.run.job_path(key))
                assert rows is not None
                self._found[key] = rows
                self.display.done(self._plan[key].ended(rows))
            self._submit()
            self.display.spent(self.engine.spent())
            if self.live is not None:
                self.live.show(len(self._found), len(self._plan), chain.from_iterable(self._found.values()))

    def _submit(self) -> None:
        """Hand over what waits for nothing any more."""
        from vidrobust.study.jobs import AsTyped

        ready = [key for key in self._waiting if all(need in self._found for need in self._plan[key].needs)]
        self._waiting = [key for key in self._waiting if key not in ready]
        for key in ready:
            self.engine.submit(key, AsTyped(self._plan[key], typed_code()), self.run.path / "jobs")


def job_timings(run: Run) -> list[Row]:
    """What each finished job of a run cost, from its folder."""
    files = sorted(run.path.glob("jobs/*/timings.jsonl"))
    return [json.loads(dumps(row)) for file in files for row in read_json_lines(file)]
