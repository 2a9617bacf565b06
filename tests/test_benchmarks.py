"""The options that a suite of the benchmarks has of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.models.building import build

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks.command import parser, stage_from  # noqa: E402
from benchmarks.measuring import Stage  # noqa: E402
from benchmarks.suites import judging, scaling, study  # noqa: E402


def stage(*arguments: str) -> Stage:
    return stage_from(parser().parse_args([*arguments, "--device", "cpu"]))


def test_an_option_of_another_suite_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stage("kernels", "--engine", "ray")
    assert "--engine" in capsys.readouterr().err
    assert stage("kernels").options == {}


def test_the_judgement_of_a_run_is_compared_with_autoattack(small_data: VideoClips, tmp_path: Path) -> None:
    vr.fit(build("r3d-small", len(small_data.classes)), small_data, epochs=1, batch=64, out=tmp_path / "run")
    few = ("--eps", "0.5", "--clips", "2", "--split", "val", "--rounds", "2")
    asked = stage("judging", "--tiny", "--run", str(tmp_path / "run"), *few)
    judging.measure(asked)
    assert {row["row"] for row in asked.found} == {"judgement, standard of run, Linf(0.5), 2 clips"}
    times = {row["contestant"]: row["seconds"] for row in asked.found if row["kind"] == "time"}
    assert times.keys() == {"judgement", "AutoAttack"}
    assert all(of["median"] > 0 and of["rounds"] == 2 for of in times.values())
    (counts,) = [row["value"] for row in asked.found if row["kind"] == "figure"]
    assert counts["clips"] == 2 and counts["stand under judgement"] <= counts["right"] <= 2


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command of each study that is begun, in place of running it."""
    begun: list[list[str]] = []

    def pretend(command: list[str], **how: Any) -> None:
        begun.append(command)
        run = Path(command[command.index("--out") + 1])
        run.mkdir()
        (run / "report.html").write_text("page")

    monkeypatch.setattr("subprocess.Popen", pretend)
    monkeypatch.setattr(study, "_peak_bytes", lambda process: 2**20)
    return begun


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_study_of_a_profile_has_a_row_of_its_own(studies: list[list[str]]) -> None:
    asked = stage("study", "--profile", "full", "--workers", "3")
    study.measure(asked)
    assert [row["row"] for row in asked.found] == ["the full study", "the full study, from an empty cache"]
    assert [(option(one, "--profile"), option(one, "--workers")) for one in studies] == [("full", "3")] * 2
    assert all(row["value"]["peak MiB"] == 1 for row in asked.found)


def test_a_study_is_scaled_on_the_engine_that_is_asked_for(
    studies: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.time, "perf_counter", iter(range(0, 1000, 10)).__next__)
    asked = stage("scaling", "--engine", "ray", "--rounds", "1", "--rows", "study")
    scaling.measure(asked)
    assert {row["row"] for row in asked.found} == {"the quick study by two workers of ray"}
    assert [(option(one, "--engine"), option(one, "--workers")) for one in studies] == [("ray", "1"), ("ray", "2")]
