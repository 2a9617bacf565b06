"""Files are whole or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vidrobust.errors import RunError
from vidrobust.runs import files
from vidrobust.runs.files import check_new, write_atomic


def test_an_atomic_write_keeps_the_old_file_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    write_atomic(file, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(RunError, match="no space left"):
        write_atomic(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]


def test_a_folder_for_new_files_holds_none(tmp_path: Path) -> None:
    check_new(tmp_path / "none yet")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".run.lock").touch()
    check_new(tmp_path / "empty")
    (tmp_path / "empty" / "files.json").touch()
    with pytest.raises(RunError, match="not empty"):
        check_new(tmp_path / "empty")
    with pytest.raises(RunError, match="no folder"):
        check_new(tmp_path / "empty" / "files.json")
