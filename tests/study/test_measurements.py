"""Which clips the models of a study are measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from vidrobust.data.clips import Clips
from vidrobust.data.dataset import DataConfig
from vidrobust.runs.rows import Row
from vidrobust.study import measurements
from vidrobust.study.config import Robustness, WorstCaseSearch
from vidrobust.study.jobs import Place
from vidrobust.study.measurements import MeasureRobustness, MeasureWorstCase


@pytest.mark.parametrize("count", [10, 5, 20])
def test_the_clips_of_the_worst_case_are_some_of_those_under_pgd(
    small_motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    asked: list[Clips] = []

    def one_row(model: nn.Module, clips: Clips, *_: object) -> Row:
        asked.append(clips)
        return {}

    monkeypatch.setattr(Place, "model", lambda self, key: nn.Identity())
    monkeypatch.setattr(measurements, "robustness_rows", lambda *given: [one_row(*given)])
    monkeypatch.setattr(measurements, "masking", lambda *given: {})
    monkeypatch.setattr(measurements, "worst_case_row", one_row)
    data, place = DataConfig(str(small_motion), size=16, max_frames=10), Place(tmp_path, tmp_path, lambda spent: None)
    sizes = ((8.0, 20, 2.0),)
    MeasureRobustness(data, "key", "standard", 0, sizes, Robustness(clips=16)).run(place)
    MeasureWorstCase(data, "key", "standard", 0, WorstCaseSearch(clips=count), among=16).run(place)
    by_pgd, worst = (set(clips.videos) for clips in asked)
    assert len(by_pgd) == 16 and len(worst) == min(count, 16)
    assert worst <= by_pgd
