"""A run that failed for what was asked of it may be asked something else: what it has computed is kept.

Finished jobs are named by all that determines them, so those that a mended configuration has in common with the one
that failed are simply found again. A run that was merely killed, or that ended well, keeps its configuration.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator
from pathlib import Path

from vidrobust.errors import RunError, StoppedError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.jobs import stored_job
from vidrobust.runs.keys import dumps
from vidrobust.runs.rows import read_json_lines

FAILED = "failed.json"
"""In a run: the error that its work ended with."""


@contextlib.contextmanager
def failures_noted(path: Path) -> Generator[None]:
    """If the work inside ends with an error, and not because it was stopped, note it in the run directory."""
    try:
        yield
    except StoppedError:
        raise
    except Exception as error:
        with contextlib.suppress(RunError):  # the disk may be full
            write_atomic(path / FAILED, (json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n").encode())
        raise
    (path / FAILED).unlink(missing_ok=True)


def make_way(path: Path) -> None:
    """Set the configuration of a failed run aside, with the rows of its jobs, so that another may take its place.

    Rows that no job wrote, such as those of an evaluation, stay. Killed on the way, it does the rest when it is called
    again.
    """
    of_jobs = {dumps(row) for folder in path.glob("jobs/*") for row in stored_job(folder) or ()}
    rows = [dumps(row) for row in read_json_lines(path / "rows.jsonl")]
    write_atomic(path / "rows.jsonl", "".join(row + "\n" for row in rows if row not in of_jobs).encode())
    os.replace(path / "config.json", path / "config.failed.json")
    (path / FAILED).unlink(missing_ok=True)
