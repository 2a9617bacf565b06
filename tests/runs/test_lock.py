"""One process at a time, and the second is told who the first is. Real processes, which wait for each other's words."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vidrobust.errors import RunError
from vidrobust.runs import directory, rows
from vidrobust.runs.directory import Run
from vidrobust.runs.lock import folder_lock

HOLDS = """
import sys
from pathlib import Path
from vidrobust.runs.lock import folder_lock
with folder_lock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""

APPENDS = """
import sys
from vidrobust.runs.directory import Run
run, pieces = Run(__import__("pathlib").Path(sys.argv[1])), [{"kind": "piece", "n": n} for n in range(40)]
print("ready", flush=True)
sys.stdin.readline()
for row in pieces:
    run.append([row])
"""


def begun(code: str, folder: Path, name: str = "work") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@contextmanager
def another(code: str, folder: Path, name: str = "work") -> Iterator[subprocess.Popen[str]]:
    process = begun(code, folder, name)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_second_process_is_told_who_holds_it(tmp_path: Path) -> None:
    with another(HOLDS, tmp_path) as process:
        with pytest.raises(RunError) as told, folder_lock(tmp_path, "work"):
            pass
        assert f"in use by process {process.pid} on " in str(told.value)
        assert f"-c {tmp_path} work" in str(told.value)
        with folder_lock(tmp_path, "run"):  # another lock of the same folder
            pass


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with another(HOLDS, tmp_path) as process:
        process.kill()
        process.wait()
        with folder_lock(tmp_path, "work"):
            assert f'"pid": {os.getpid()}' in (tmp_path / ".work.holder").read_text()
    assert not (tmp_path / ".work.holder").exists()


@pytest.mark.parametrize("content", ["", "[]", "{", "3", '{"pid": 3}', "[" * 100_000])
def test_a_damaged_note_of_the_holder_is_no_traceback(content: str, tmp_path: Path) -> None:
    with another(HOLDS, tmp_path):
        (tmp_path / ".work.holder").write_text(content)
        with pytest.raises(RunError, match="in use by another process"), folder_lock(tmp_path, "work"):
            pass


def test_processes_that_append_the_same_rows_at_once_double_none(tmp_path: Path) -> None:
    run = Run.start(tmp_path / "run", "pieces", {}, 0)
    processes = [begun(APPENDS, run.path) for _ in range(3)]
    for process in processes:
        assert process.stdin is not None
        print(file=process.stdin, flush=True)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert sorted(row["n"] for row in run.rows()) == list(range(40))
    assert len((run.path / "rows.jsonl").read_bytes().splitlines()) == 40


def test_nobody_appends_or_starts_while_another_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.start(tmp_path / "run", "pieces", {}, 0)
    monkeypatch.setattr(rows, "BRIEFLY", 0.0)
    monkeypatch.setattr(directory, "BRIEFLY", 0.0)
    with another(HOLDS, run.path, "run") as process:
        for work in (lambda: run.append([{"kind": "piece"}]), lambda: Run.start(run.path, "pieces", {}, 0)):
            with pytest.raises(RunError, match=f"in use by process {process.pid}"):
                work()
        assert run.rows() == []
    run.append([{"kind": "piece"}])
    assert run.rows() == [{"kind": "piece"}]


def test_a_lock_left_in_a_folder_does_not_make_it_foreign(tmp_path: Path) -> None:
    with folder_lock(tmp_path, "run"):
        pass
    Run.start(tmp_path, "study", {}, 0)


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        Run.start(tmp_path / "file", "study", {}, 0)
