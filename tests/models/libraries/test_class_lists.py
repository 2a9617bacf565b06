"""Weights that name their classes are evaluated in that order, by whatever part of them the data have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.data_videos import film, write
from torch import nn

from vidrobust.data import DataConfig
from vidrobust.models.libraries import hugging_face, torchvision_models
from vidrobust.models.libraries.class_lists import published_classes
from vidrobust.study import trained
from vidrobust.study.trained import ModelSource, Trained

NAMES = ("zumba", "playing guitar", "archery", "Bowling")


def test_torchvision_names_the_classes_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = SimpleNamespace(__members__={"KINETICS400_V1": SimpleNamespace(meta={"categories": list(NAMES)})})
    monkeypatch.setattr(torchvision_models, "_torchvision", lambda: None)
    monkeypatch.setattr(torchvision_models, "_weights", lambda models, name: weights)
    assert published_classes("torchvision:r3d_18", "KINETICS400_V1") == NAMES
    assert published_classes("torchvision:r3d_18", "OTHER") is None
    assert published_classes("torchvision:r3d_18", None) is None  # drawn at random


def test_transformers_names_them_in_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"10": "c", "2": "b", "1": "a"}
    monkeypatch.setattr(hugging_face, "_transformers", lambda: None)
    monkeypatch.setattr(hugging_face, "_configuration", lambda *given: SimpleNamespace(id2label=labels))
    assert published_classes("hf:org/name", None) == ("a", "b", "c")
    labels.update({"1": "LABEL_0"})
    assert published_classes("hf:org/name", None) is None


def test_other_models_name_none(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    for model, weights in (("r3d-small", None), ("torchvision:r3d_18", str(tmp_path / "w.pth")), ("no such", None)):
        assert published_classes(model, weights) is None


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("archery", "playing_guitar"):
        for number in range(3):
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            write(
                tmp_path / "data" / name / f"{number}.avi",
                film(9 + number + 3 * (name == "archery"), 16, 16),
                "mjpeg",
                pixels="yuvj420p",
            )
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (NAMES, {"archery": 2, "playing_guitar": 1}),  # a part of them, written otherwise
        (("playing_guitar", "archery"), {"archery": 1, "playing_guitar": 0}),  # all, in another order
        (("zumba", "archery"), {"archery": 0, "playing_guitar": 1}),  # other ones: as the data have them
        (None, {"archery": 0, "playing_guitar": 1}),
    ],
)
def test_labels_count_in_the_list_of_the_weights(
    names: Any, wanted: dict[str, int], videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def load(source: ModelSource, classes: int, log: Any) -> nn.Module:
        asked.append(classes)
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 16 * 16, classes)).eval()

    monkeypatch.setattr(ModelSource, "load", load)
    monkeypatch.setattr(trained, "published_classes", lambda model, weights: names)
    said: list[str] = []
    config = DataConfig(name=str(videos), frames=4, size=16)
    found = Trained.bring(ModelSource("torchvision:r3d_18", "KINETICS400_V1"), config, said.append, frames=4, size=16)
    labels = {
        Path(video).parts[0]: int(label)
        for video, label in zip(found.data.train.videos, found.data.train.labels, strict=True)
    }
    assert labels == wanted
    taken = names is not None and "playing" in str(names)
    assert asked == [len(names) if taken else 2]
    assert any("found by name" in line for line in said) == taken
