"""The folder of a job: its rows, whole and checked, and what it cost."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import dumps
from vidrobust.runs.rows import Row, append_lines, read_json_lines
from vidrobust.runs.schema import fault


def store_job(folder: Path, rows: Sequence[Row], cost: Mapping[str, Any]) -> None:
    """Leave a finished job's rows in its folder: that they are there says that the job is finished.

    Args:
        folder: of the job, which exists.
        rows: what came out.
        cost: what it cost; the hash of the rows is written beside it.
    """
    content = "".join(dumps(row) + "\n" for row in rows).encode()
    append_lines(folder / "timings.jsonl", [{**cost, "rows": _digest(content)}])
    write_atomic(folder / "rows.jsonl", content)


def stored_job(folder: Path) -> list[Row] | None:
    """The rows of a finished job; None if it is not finished, or its rows were cut short or changed since.

    Jobs of vidrobust 0.1.0 have no hash of their rows: they must be whole lines, at least one, each a row.
    """
    file = folder / "rows.jsonl"
    if not file.is_file():
        return None
    content, known = file.read_bytes(), _known(folder / "timings.jsonl")
    if known is not None:
        return list(read_json_lines(file)) if known == _digest(content) else None
    if not content.endswith(b"\n"):
        return None
    try:
        rows = list(read_json_lines(file))
    except RunError:
        return None
    return None if any(map(fault, rows)) else rows


def clear_checkpoints(folder: Path, keep: Sequence[str] = ()) -> None:
    """Remove the checkpoints of a training that is finished and stored, and their folder if nothing is left in it.

    Args:
        folder: of the job or the run, whose ``checkpoints`` they are.
        keep: names of files that stay.
    """
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():
        return
    for file in list(checkpoints.iterdir()):
        if file.name not in keep and file.is_file():
            file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # something is left
        checkpoints.rmdir()


def _known(timings: Path) -> str | None:
    """The hash of the rows that the job's last run wrote."""
    try:
        costs = list(read_json_lines(timings))
    except RunError:
        return None
    return costs[-1].get("rows") if costs and isinstance(costs[-1], dict) else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
