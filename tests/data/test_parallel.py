"""Videos are decoded in other processes from any program: a script, the standard input, a function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.data_videos import dies, film, write

from vidrobust.data import parallel
from vidrobust.errors import RunError

SCRIPT = """
import vidrobust as vr
data = vr.data.videos({root!r}, size=16, frames=2, live=True)
print(len(data.train), len(data.val), len(data.test))
from vidrobust.data.check import check_data
print(check_data({root!r}, workers=2)["outcomes"])
"""


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
    monkeypatch.setattr(parallel, "follow_parent", dies)
    with pytest.raises(RunError, match="cannot be started here"):
        list(parallel.in_order(abs, [-1, -2], 2, crashed=int))
