"""A manifest names clips by all that they are, and rows refer to it."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from vidrobust.data.given import Given
from vidrobust.evaluation.clips import accuracy, evaluate
from vidrobust.evaluation.manifest import clips_of, manifest, manifest_row, manifest_rows
from vidrobust.runs.schema import fault


def clips(sources: list[str], seed: int = 0) -> Given:
    pixels = torch.rand(len(sources), 3, 2, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Given(pixels, [0, 1] * (len(sources) // 2), sources)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(96, 2)).eval()


def test_the_same_clips_have_the_same_hash_and_others_another() -> None:
    sources = ["a", "a", "b", "b"]
    assert clips_of(clips(sources)) == clips_of(clips(sources))
    assert clips_of(clips(sources)) != clips_of(clips(sources, seed=1)) != clips_of(clips(["a", "b", "b", "b"]))


def test_rows_refer_to_the_manifest_of_their_clips(model: nn.Module) -> None:
    shown = clips(["a", "a", "b", "b"])
    rows = [*evaluate(model, shown, []), {**accuracy(model, _named(shown)), "model": "m", "seed": 0, "split": "test"}]
    (found,) = manifest_rows(rows)
    assert {row["clips_of"] for row in rows} == {found["clips_of"]}
    assert found == manifest_row(shown) and fault(found) is None
    assert [clip["source"] for clip in found["list"]] == ["a", "a", "b", "b"]
    right = [digit == "1" for digit in rows[1]["right"]]
    assert right == (model(shown.centre(range(4))).argmax(1) == shown.labels).tolist()
    assert rows[0]["survived"] == rows[1]["right"] and rows[1]["within"] == "1111"


def _named(shown: Given) -> Given:
    shown.classes = ("left", "right")  # type: ignore[attr-defined]
    return shown


def test_a_manifest_is_made_once_and_not_mixed_up_with_that_of_later_clips() -> None:
    shown = clips(["a", "b"])
    first = manifest(shown)
    assert manifest(shown)["clips"] is first["clips"]
    del shown
    gc.collect()
    assert manifest(clips(["c", "d"]))["hash"] != first["hash"]


def test_a_damaged_manifest_is_refused() -> None:
    row = manifest_row(clips(["a", "b"]))
    assert "hash" in str(fault({**row, "list": [{**clip, "source": "z"} for clip in row["list"]]}))
    assert "as many" in str(fault({**row, "clips": 3}))
    assert "list of clips" in str(fault({**row, "list": [{"video": "v"}]}))
