"""The one prepared run on a GPU works, in miniature, on any machine: what it says of itself is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks.results import check  # noqa: E402

pytestmark = pytest.mark.long


def gpu_check(out: Path, *options: str) -> tuple[int, dict]:
    command = [sys.executable, ROOT / "scripts" / "gpu-check", "--tiny", "--device", "cpu", "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads((out / "gpu-check.json").read_text())["parts"]


def test_parts_end_with_checked_results_and_a_log(tmp_path: Path) -> None:
    code, parts = gpu_check(tmp_path, "--parts", "environment", "graphs", "memory", "--minutes", "20")
    assert code == 0
    assert {name: part["ended"] for name, part in parts.items()} == dict.fromkeys(parts, "done")
    check(parts["graphs"]["found"])
    assert parts["graphs"]["found"]["rows"]
    log = (tmp_path / "gpu-check.log").read_text()
    assert all(f"── {name}:" in log for name in ("environment", "graphs", "memory"))


def test_what_no_longer_fits_is_not_begun_and_named(tmp_path: Path) -> None:
    code, parts = gpu_check(tmp_path, "--parts", "graphs", "quick", "--minutes", "0.01")
    assert code == 0
    assert {part["ended"] for part in parts.values()} == {"no time left"}
