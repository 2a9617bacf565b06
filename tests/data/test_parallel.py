"""Videos are decoded in other processes from any program, and these are started once for a whole data set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.data_videos import dies, film, write

from vidrobust.data import parallel
from vidrobust.data.parallel import FEW, in_order, same_processes
from vidrobust.errors import RunError

SCRIPT = """
import vidrobust as vr
data = vr.data.videos({root!r}, size=16, frames=2, live=True)
print(len(data.train), len(data.val), len(data.test))
from vidrobust.data.check import check_data
print(check_data({root!r}, workers=2)["outcomes"])
"""

STOPPED = """
import signal, sys, time
from vidrobust.data.parallel import in_order
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit("stopped"))
for _ in in_order(time.sleep, [0.01] * 100_000, 2):
    print("under way", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no groups of processes there")
def test_a_group_that_is_stopped_ends_without_a_traceback() -> None:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", STOPPED], start_new_session=True, **streams) as process:
        assert process.stdout is not None and process.stdout.readline() == "under way\n"
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (1, "stopped\n")


@pytest.mark.parametrize("start", ["script", "stdin"])
def test_live_data_opens_without_a_main_guard(tmp_path: Path, start: str) -> None:
    root = tmp_path / "videos"
    for label, title in enumerate(("cat", "dog")):
        for number in range(3):
            write(root / title / f"{number}.avi", film(3, 16, 16, seed=number + 10 * label))
    code = SCRIPT.format(root=str(root))
    (tmp_path / "plain.py").write_text(code)
    command = [sys.executable, "plain.py" if start == "script" else "-"]
    done = subprocess.run(command, input=code, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["2 2 2", "{'ok': 6}"], done.stderr


def test_no_video_is_blamed_where_no_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "follow_parent_alone", dies)
    with pytest.raises(RunError, match="cannot be started here"):
        list(parallel.in_order(abs, [-1, -2], 2, crashed=int))


def process_of(item: int) -> int:
    return os.getpid()


def ends_its_process(item: int) -> int:
    os._exit(1)


def test_inside_all_calls_have_the_same_processes() -> None:
    with same_processes(2):
        one, two = (set(in_order(process_of, range(FEW), 2)) for _ in range(2))
    after = set(in_order(process_of, range(FEW), 2))
    assert one and len(one | two) <= 2
    assert os.getpid() not in one | two | after and not after & (one | two)


def test_none_is_started_without_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_pool", lambda workers: pytest.fail("a process was started"))
    with same_processes(2):
        assert list(in_order(process_of, range(3), 2)) == [os.getpid()] * 3


def test_an_item_that_may_end_its_process_has_others() -> None:
    with same_processes(2):
        before = set(in_order(process_of, range(FEW), 2))
        assert list(in_order(ends_its_process, range(1), 2, crashed=lambda item: -1)) == [-1]
        assert len(before | set(in_order(process_of, range(FEW), 2))) <= 2
