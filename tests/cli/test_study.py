"""The verb ``study``: what it does before the study."""

from __future__ import annotations

from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import vidrobust.cli.study as verb
from vidrobust.study.config import StudyConfig
from vidrobust.study.engines import Where


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was called, none of which does anything."""
    found: list[str] = []

    def early_engine(where: Where) -> nullcontext[None]:
        found.append("worker")
        return nullcontext()

    def study(*given: object) -> Path:
        found.append("study")
        return Path("report.html")

    monkeypatch.setattr(verb, "early_engine", early_engine)
    monkeypatch.setattr(verb, "check_plan", lambda config, where: found.append("checks"))
    monkeypatch.setattr(verb, "study", study)
    return found


def test_the_speed_is_measured_before_a_worker_starts(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def seconds_per_gradient(config: StudyConfig) -> float:
        calls.append("speed")
        return 0.125

    monkeypatch.setattr(verb, "seconds_per_gradient", seconds_per_gradient)
    text = StringIO()
    verb.Study(out=tmp_path / "run", where=Where(workers=1)).run(Console(file=text))
    assert calls == ["speed", "worker", "checks", "study"]
    assert "clip-gradients of 125.00 ms" in text.getvalue()


def test_a_model_that_does_not_work_is_left_to_the_checks(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def seconds_per_gradient(config: StudyConfig) -> float:
        raise RuntimeError

    def check_plan(config: StudyConfig, where: Where) -> None:
        raise KeyError("the checks")

    monkeypatch.setattr(verb, "seconds_per_gradient", seconds_per_gradient)
    monkeypatch.setattr(verb, "check_plan", check_plan)
    with pytest.raises(KeyError, match="the checks"):
        verb.Study(out=tmp_path / "run", where=Where(workers=1)).run(Console(file=StringIO()))
