"""A job is finished if its rows are there, whole and as they were written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.runs.jobs import store_job, stored_job

ROWS = [{"kind": "piece", "n": n} for n in range(3)]


def test_what_is_stored_is_found(tmp_path: Path) -> None:
    assert stored_job(tmp_path) is None
    store_job(tmp_path, ROWS, {"seconds": 1.0})
    assert stored_job(tmp_path) == ROWS


def test_a_job_without_rows_is_finished_too(tmp_path: Path) -> None:
    store_job(tmp_path, [], {})
    assert stored_job(tmp_path) == []


@given(data=st.data())
def test_rows_cut_short_or_changed_are_not_finished(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("job")
    store_job(folder, ROWS, {})
    file = folder / "rows.jsonl"
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        file.write_bytes(whole[:place])
    else:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    assert stored_job(folder) is None
    store_job(folder, ROWS, {})  # run again
    assert stored_job(folder) == ROWS


@pytest.mark.parametrize("content", ["", '{"kind":"piece"}', '{"kind":"piece"}\n{"kind"', '{"kind"}\n', "[]\n", "\n"])
def test_rows_of_the_first_version_must_be_whole_lines(content: str, tmp_path: Path) -> None:
    (tmp_path / "timings.jsonl").write_text(json.dumps({"job": "x", "seconds": 1.0}) + "\n")
    (tmp_path / "rows.jsonl").write_text(content)
    assert stored_job(tmp_path) is None
    (tmp_path / "rows.jsonl").write_text('{"kind":"piece","n":1}\n')
    assert stored_job(tmp_path) == [{"kind": "piece", "n": 1}]


@pytest.mark.parametrize("content", ["", "{", "[]\n", "3\n", "{}\n"])
def test_damaged_timings_are_no_traceback(content: str, tmp_path: Path) -> None:
    store_job(tmp_path, ROWS, {})
    (tmp_path / "timings.jsonl").write_text(content)
    assert stored_job(tmp_path) == ROWS
