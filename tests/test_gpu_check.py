"""The one prepared run on a GPU works, in miniature, on any machine: what it says of itself is checked."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from helpers.planted_wheels import wheel

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks.results import check  # noqa: E402

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a minute alone, as much as it takes on a busy machine


def gpu_check(out: Path, *options: str | Path) -> tuple[int, dict]:
    command = [sys.executable, ROOT / "scripts" / "gpu-check", "--tiny", "--device", "cpu", "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, json.loads((out / "gpu-check.json").read_text())


EXPECTED = ("not installed", "no bfloat16")
"""Why a row may not be there."""


def test_each_part_ends_with_a_checked_result(tmp_path: Path) -> None:
    suites = ("attacks", "kernels", "graphs", "training", "memory", "autoattack")
    wheel(tmp_path / "wheels", "planted_package")
    options = ("--wheels", tmp_path / "wheels", "--minutes", "20", "--parts", "environment", "tests", *suites)
    code, found = gpu_check(tmp_path / "out", *options)
    parts, log = found["parts"], (tmp_path / "out" / "gpu-check.log").read_text()
    assert [name for name in parts if parts[name]["ended"] != "done"] == []
    assert parts.keys() == {"environment", "tests", *suites}
    assert code == 0
    assert all(f"── {name}:" in log for name in parts)
    assert found["wheels"] == ["planted_package-1.0-py3-none-any.whl"]
    for name in suites:
        result = parts[name]["found"]
        check(result)
        assert result["tiny"]
        assert result["rows"]
        missing = [row["why"] for row in result["rows"] if row["kind"] == "not run"]
        assert all(any(reason in why for reason in EXPECTED) for why in missing), missing
    trained = parts["training"]["found"]["rows"]
    timed, lost = (
        {(row["row"], row["contestant"]) for row in trained if row["kind"] == kind} for kind in ("time", "loss")
    )
    assert {(row, who) for row, who in timed if who != "bare passes"} == lost
    assert parts["tests"]["found"]["passed"] >= 5
    assert parts["tests"]["found"]["failures"] == 0


def test_a_study_is_timed_job_by_job_and_its_rows_are_kept(tmp_path: Path) -> None:
    code, found = gpu_check(tmp_path, "--parts", "quick", "--minutes", "20")
    (part,) = found["parts"].values()
    assert (code, part["ended"], part["found"]["finished"]) == (0, "done", True)
    assert {"job", "seconds", "gradients"} <= part["found"]["timings"][0].keys()
    with tarfile.open(tmp_path / "quick-rows.tar.gz") as archive:
        assert "rows.jsonl" in archive.getnames()


def test_all_rows_of_a_long_study_are_kept(tmp_path: Path) -> None:
    (tmp_path / "run" / "jobs" / "one").mkdir(parents=True)
    (tmp_path / "run" / "rows.jsonl").write_bytes(b"0" * 5_000_000)
    (tmp_path / "run" / "jobs" / "one" / "model.safetensors").touch()
    runpy.run_path(str(ROOT / "scripts" / "gpu-check"))["pack"](tmp_path / "run", tmp_path / "rows.tar.gz")
    with tarfile.open(tmp_path / "rows.tar.gz") as archive:
        assert [(one.name, one.size) for one in archive] == [("rows.jsonl", 5_000_000)]


def test_a_part_that_fails_is_named_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the wheels cannot be installed either."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    (tmp_path / "planted_package-1.0-py3-none-any.whl").write_bytes(b"no archive")
    options = ("--wheels", tmp_path, "--parts", "tests", "environment", "--minutes", "20")
    code, found = gpu_check(tmp_path / "out", *options)
    assert code == 1
    assert str(tmp_path) in found["wheels"]
    assert found["parts"]["tests"]["ended"].startswith("failed")
    assert found["parts"]["environment"]["ended"] == "done"


def test_what_no_longer_fits_is_not_begun_and_named(tmp_path: Path) -> None:
    code, found = gpu_check(tmp_path, "--parts", "graphs", "quick", "--minutes", "0.01")
    assert code == 0
    assert {part["ended"] for part in found["parts"].values()} == {"no time left"}
