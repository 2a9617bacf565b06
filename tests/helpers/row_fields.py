"""Which fields of rows the schema does not know, for tests of what writes rows."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.runs.rows import Row
from vidrobust.runs.schema import KINDS, fault


def unknown(rows: Iterable[Row]) -> set[tuple[str, str]]:
    """(kind, field) of what stands in rows and not in the schema, so that it would tell measurements apart.

    Every row must be one of a known kind: a fault fails the test.
    """
    found = set()
    for row in rows:
        assert fault(row) is None
        found |= {(row["kind"], name) for name in row.keys() - KINDS[row["kind"]].fields.keys() - {"kind", "weights"}}
    return found
