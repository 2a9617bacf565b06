"""Large tensors in memory-mapped files: the same values, no files left, and errors that name the folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.square import Square
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.errors import InputError
from vidrobust.evaluation.defences import Defended, FrameShuffle
from vidrobust.evaluation.videos import VideoClassifier, each_view
from vidrobust.fast import chunks, pieces
from vidrobust.fast.spilled import spill
from vidrobust.threats import L2, Linf, Threat

LINF = Threat(Linf(), 8 / 255)
PGD2 = PGD(LINF, 2 / 255, 2, keep="last", precision="exact")
SMALL = 4 * 3 * 8 * 6 * 6 - 1
"""Bytes: one less than a clip takes."""


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()


def rounded(clips: torch.Tensor) -> torch.Tensor:
    return (clips * 255).round() / 255


SEARCHES = {
    "pgd": PGD2,
    "copy": PGD(LINF, 2 / 255, 2),  # of the network, in bfloat16 where the CPU has it
    "momentum": PGD(LINF, 2 / 255, 2, momentum=1.0, random_start=True, precision="exact"),
    "l2": PGD(Threat(L2(), 0.5), 0.1, 2, precision="exact"),
    "apgd": APGD(LINF, steps=3, precision="exact"),
    "mifgsm": MIFGSM(LINF, steps=2, alpha=2 / 255, blur=3, shifts=1, precision="exact"),
    "square": Square(LINF, queries=4, precision="exact"),
    "eot": EOT(PGD2, 2),
    "bpda": BPDA(PGD2, rounded),
    "views": each_view(PGD2, 2),
}


@pytest.mark.parametrize(
    ("name", "long"),
    [*((name, False) for name in SEARCHES), *((name, True) for name in ("pgd", "eot", "bpda", "views"))],
)
def test_attacks_find_the_same_in_files(name: str, long: bool, tmp_path: Path, monkeypatch) -> None:
    if long:
        monkeypatch.setattr(pieces, "LONG", 0)
        monkeypatch.setattr(chunks, "HELD", 1)
    subject = {
        "eot": lambda model: Defended(model, FrameShuffle(2)).eval(),
        "views": lambda model: VideoClassifier(model, 2).eval(),
    }.get(name, lambda model: model)(network())
    clips = torch.rand(2, 3, 8, 6, 6)
    labels = subject(clips).argmax(1)
    wanted = SEARCHES[name](subject, clips, labels)
    with spill(tmp_path, SMALL):
        found = SEARCHES[name](subject, clips, labels)
    assert not torch.equal(found.clips, clips)
    assert torch.equal(found.clips, wanted.clips)
    assert torch.equal(found.loss, wanted.loss)
    assert list(tmp_path.iterdir()) == []


MAKERS = {
    "zeros_like": torch.zeros_like,
    "clone": torch.clone,
    "exp": torch.exp,
    "zeros": lambda clips: torch.zeros(clips.shape),
    "bfloat16": lambda clips: clips.bfloat16().repeat(1, 1, 2, 1, 1),
    "channels_last": lambda clips: clips.contiguous(memory_format=torch.channels_last_3d),
    "expanded": lambda clips: torch.zeros_like(clips).copy_(clips[:, :, :1]),
    "put": lambda clips: torch.zeros_like(clips).index_add_(2, torch.tensor([1]), clips[:, :, :1]),
    "sort": lambda clips: torch.sort(clips, 2)[0],
    "empty": lambda clips: torch.empty(clips.shape),
}


@pytest.mark.parametrize("name", MAKERS)
def test_large_tensors_are_in_files_with_the_values_and_strides_of_those_in_memory(name: str, tmp_path: Path) -> None:
    clips, make = torch.rand(1, 3, 8, 6, 6), MAKERS[name]
    wanted = make(clips)
    with spill(tmp_path, SMALL):
        found = make(clips)
        assert mapped(found, tmp_path)
    assert (found.shape, found.dtype, found.stride()) == (wanted.shape, wanted.dtype, wanted.stride())
    assert name == "empty" or torch.equal(found, wanted)


def mapped(tensor: torch.Tensor, folder: Path) -> bool:
    """Does the first number of a tensor lie in a file of this folder?"""
    address = tensor.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        low, high = (int(end, 16) for end in line.split()[0].split("-"))
        if low <= address < high:
            return str(folder) in line
    return False


def test_small_tensors_and_views_stay_in_memory(tmp_path: Path) -> None:
    clips = torch.rand(1, 3, 8, 6, 6)
    with spill(tmp_path, SMALL):
        part, half, given = clips[:, :, :4].clone(), clips.half(), clips.detach()
    assert not any(mapped(tensor, tmp_path) for tensor in (part, half, given))
    assert given.data_ptr() == clips.data_ptr()


def test_files_end_with_their_tensors(tmp_path: Path) -> None:
    with spill(tmp_path, SMALL):
        kept = torch.ones(1, 3, 8, 6, 6)
    assert kept.sum() == kept.numel()  # also after the context
    assert mapped(kept, tmp_path)
    assert list(tmp_path.iterdir()) == []
    del kept
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_an_exception_leaves_no_mode_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), spill(tmp_path, 1):
        torch.ones(100)
        raise ZeroDivisionError
    assert not mapped(torch.ones(100), tmp_path)
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_none_is_no_folder() -> None:
    with spill(None):
        assert torch.ones(3).sum() == 3


def test_folders_that_hold_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(InputError, match=f"{folder.name}: no files can be made there"), spill(folder):
            pass
    with pytest.raises(InputError, match="at least 1, but is 0"), spill(tmp_path, 0):
        pass


def test_a_full_disk_is_told_in_words_also_in_a_backward_pass(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Filling(torch.autograd.Function):
        """The disk is full once its gradient is asked for."""

        @staticmethod
        def forward(ctx, clips):  # type: ignore[override]
            return clips.sum((1, 2, 3, 4))[:, None].expand(-1, 2).clone()

        @staticmethod
        def backward(ctx, gradient):  # type: ignore[override]
            monkeypatch.setattr(os, "posix_fallocate", full)
            return torch.zeros(1, 3, 8, 6, 6)

    told = r"has no room for a tensor of 0\.00 GiB \(No space left on device\)"
    with pytest.raises(InputError, match=told), spill(tmp_path, SMALL):
        PGD2(Filling.apply, torch.rand(1, 3, 8, 6, 6), torch.tensor([0]))
    assert list(tmp_path.iterdir()) == []
