"""Rows as Parquet, for the tools people analyse tables with."""

from __future__ import annotations

import io
from pathlib import Path

from vidrobust.errors import MissingExtraError, RunError
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import dumps


def export(run: str | Path, out: str | Path, kind: str | None = None) -> Path:
    """Write a run's rows to a Parquet file, one column per field; nested values become JSON text.

    Args:
        run: the run directory.
        out: the file to write.
        kind: rows of this kind only.

    Raises:
        MissingExtraError: pyarrow is not installed.
        RunError: there are no such rows, or the file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", "Parquet") from error
    rows = Run.open(run).rows(kind)
    if not rows:
        raise RunError(f"{run} has no rows{f' of kind {kind!r}' if kind else ''}: there is nothing to export.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    write_atomic(Path(out), buffer.getvalue())
    return Path(out)


def _column(values: list[object]) -> list[object]:
    """Values of one type: fields that hold lists or objects, or mix types, are written as JSON text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values] if float in kinds else values  # type: ignore[arg-type]
    if len(kinds) == 1 and kinds <= {str, bool}:
        return values
    return [None if value is None else dumps(value) for value in values]
