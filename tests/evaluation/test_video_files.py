"""Adversarial files: within ε as encoded, wrong as decoded, and what the index says of them is true."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.pgd import PGD
from vidrobust.data.clips import Clips
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import RunError
from vidrobust.evaluation.video_files import (
    MARGIN,
    Coded,
    FileAttack,
    Windowed,
    adversarial_files,
    half_chroma,
    rounded_within,
)
from vidrobust.study.written_files import INDEX, read_index, verified_files, write_index
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL


class Brightness(nn.Module):
    """One class while a clip is about as bright as the darkest of these: codecs keep that, so attacks survive them."""

    def __init__(self, clips: Clips) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(60.0))
        self.darkest = float(clips.longer(MARGIN).centre(range(len(clips))).mean((1, 3, 4)).min())
        self.label = int(clips.labels[0])

    def forward(self, clips: Tensor) -> Tensor:
        lighter = clips.mean((1, 2, 3, 4)) - self.darkest
        return torch.stack([1 + self.weight * lighter if n == self.label else 0 * lighter for n in range(10)], 1)


def few(data: VideoClips) -> Clips:
    """Three clips of the first class that are nearly as bright: a small change of brightness reaches the darkest."""
    first = data.test.subset((data.test.labels == data.test.labels[0]).nonzero()[:, 0].tolist())
    bright = first.longer(MARGIN).centre(range(len(first))).mean((1, 2, 3, 4))
    order = bright.argsort()
    start = int((bright[order[2:]] - bright[order[:-2]]).argmin())
    return first.subset(order[start : start + 3].tolist())


def model_of(clips: Clips) -> nn.Module:
    return Brightness(clips).eval()


def search(eps: float = 24) -> PGD:
    return PGD(Threat(Linf(), eps * PIXEL), 6 * PIXEL, 8, keep="last")


@pytest.mark.parametrize("codec", ["h264", "png"])
def test_files_are_wrong_as_the_pipeline_decodes_them(codec: str, small_data: VideoClips, tmp_path: Path) -> None:
    clips = few(small_data)
    model = model_of(clips)
    found = adversarial_files(model, clips, FileAttack(search(), codec, 12), tmp_path)  # type: ignore[arg-type]
    assert [one["video"] for one in found] == list(clips.videos)
    assert all(one["clean"] and one["unrounded"] and one["rounded"] and one["decoded"] for one in found)
    assert all(one["size"] <= 24 and one["windows"] == 3 for one in found)
    write_index(tmp_path, model, {"split": "test"}, found)
    again = verified_files(tmp_path, model, small_data.test)
    assert (again.checked, again.held, again.faults) == (3, 3, [])


def test_a_file_that_is_not_wrong_is_not_said_to_be(small_data: VideoClips, tmp_path: Path) -> None:
    clips = few(small_data)
    model = model_of(clips)
    found = adversarial_files(model, clips, FileAttack(search(1), "png"), tmp_path)
    assert not any(one["unrounded"] or one["rounded"] or one["decoded"] for one in found)
    assert all(one["predicted"] == one["label"] for one in found)


def test_an_index_that_lies_or_leads_elsewhere_is_found_out(small_data: VideoClips, tmp_path: Path) -> None:
    clips = few(small_data)
    model = model_of(clips)
    found = adversarial_files(model, clips, FileAttack(search(), "png"), tmp_path)
    write_index(tmp_path, model, {"split": "test"}, [{**found[0], "predicted": found[0]["label"]}, *found[1:]])
    faults = verified_files(tmp_path, model, small_data.test).faults
    assert len(faults) == 1 and found[0]["file"] in faults[0]
    model.weight.data += 1
    assert "other weights" in verified_files(tmp_path, model, small_data.test).faults[0]
    for files, says in (([{**found[0], "file": "../x.mp4"}], "outside"), ([{"file": "x"}], "lacks"), (3, "no index")):
        (tmp_path / INDEX).write_text(json.dumps({"schema": "vidrobust.video-files/1", "files": files}))
        with pytest.raises(RunError, match=says):
            read_index(tmp_path)


def test_rounding_stays_within_eps() -> None:
    draw = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (2, 3, 2, 4, 4), generator=draw) / 255
    moved = clean + 3.9 * PIXEL * (torch.rand(clean.shape, generator=draw) * 2 - 1)
    rounded = rounded_within(moved.clamp(0, 1), clean, 3.9 * PIXEL)
    assert ((rounded - clean).abs() * 255).max() <= 3.001
    assert torch.allclose(rounded * 255, (rounded * 255).round(), atol=1e-4)


def test_windows_begin_anywhere_and_qualities_vary() -> None:
    class First(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            assert clips.shape[2] == 3
            return clips[:, 0, :, 0, 0]

    longer = (torch.arange(9) / 255).view(1, 1, 9, 1, 1).expand(1, 3, 9, 16, 16)
    torch.manual_seed(0)
    starts = {tuple((Windowed(First(), 3, 2)(longer) * 255).round().int().flatten().tolist()) for _ in range(60)}
    assert starts == {(start, start + 2, start + 4) for start in range(5)}
    noise = torch.rand(1, 3, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    assert len({Coded("h264", 30)(noise).sum().item() for _ in range(12)}) > 1
    assert len({Coded("h264", 30, 0)(noise).sum().item() for _ in range(3)}) == 1


def test_half_the_chroma_keeps_the_brightness_and_blurs_the_colours() -> None:
    clips = torch.rand(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1, 1)
    assert torch.allclose((half_chroma(clips) * weights).sum(1), (clips * weights).sum(1), atol=1e-5)
    grey = clips[:, :1].expand_as(clips)
    assert torch.allclose(half_chroma(grey), grey, atol=1e-5)
    assert half_chroma(clips).diff(dim=-1).abs().mean() < clips.diff(dim=-1).abs().mean()
