"""Rows on disk: a torn line costs itself alone, a damaged one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import RunError
from vidrobust.runs.rows import append_lines, read_lines

ROWS = [{"kind": "a", "n": 1}, {"kind": "b", "n": 2, "text": "ε"}]


@given(cut=st.integers(1, 20))
def test_a_torn_line_is_cut_off_and_the_next_append_is_whole(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    append_lines(file, ROWS)
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert list(read_lines(file)) == ROWS[:1]
    append_lines(file, ROWS[1:])
    assert file.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"kind":"a"}\n{"kind"\n{"kind":"b"}\n')
    with pytest.raises(RunError, match=r"rows\.jsonl, line 2"):
        list(read_lines(file))
