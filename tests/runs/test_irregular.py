"""What is no file of bytes is refused before it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vidrobust.errors import RunError
from vidrobust.results.judgements.record import read_judgement
from vidrobust.runs.files import read_json
from vidrobust.runs.rows import read_rows


@pytest.mark.parametrize("reader", [read_judgement, read_rows, read_json])
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_pipe_or_a_device_in_place_of_a_file_is_refused(
    reader: Callable[[Path], object], make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "rows.jsonl")
    with pytest.raises(RunError, match="no regular file"):
        reader(tmp_path / "rows.jsonl")


@pytest.mark.parametrize("reader", [read_judgement, read_rows, read_json])
def test_a_file_that_is_far_too_large_is_refused_before_it_is_read(
    reader: Callable[[Path], object], tmp_path: Path
) -> None:
    with open(tmp_path / "rows.jsonl", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(RunError, match=f"{2**40} bytes, over"):
        reader(tmp_path / "rows.jsonl")
