"""Each clip's corruption is its own: the same in every batch, one draw a video where the original has one."""

from __future__ import annotations

import pytest
import torch
from helpers.corrupted import KINDS, kind_of
from torch import Tensor

import vidrobust as vr
from vidrobust.errors import InputError, NotationError
from vidrobust.evaluation.corruptions import CONVENTIONS, Corruption, corruptions

ONCE_A_VIDEO = {
    ("minikinetics-c", "fog"), ("minikinetics-c", "bit_error"), ("minikinetics-c", "packet_loss"),
    ("ucf101-p", "jumble"), ("ucf101-p", "box_jumble"), ("ucf101-p", "freeze"), ("ucf101-p", "translate"),
    ("frames", "occlusion"), ("frames", "drop"), ("frames", "shuffle"), ("frames", "shift"),
}  # fmt: skip
EVERY_FRAME = {
    ("minikinetics-c", "shot_noise"), ("minikinetics-c", "rain"), ("ucf101-p", "gaussian_noise"),
    ("ucf101-p", "shot_noise"), ("ucf101-p", "impulse_noise"), ("ucf101-p", "speckle_noise"),
    ("ucf101-p", "motion_blur"), ("ucf101-p", "rotate"),
}  # fmt: skip


def still(clips: Tensor) -> Tensor:
    """The first frame of each clip, all along."""
    return clips[:, :, :1].expand_as(clips).contiguous()


@pytest.mark.parametrize(("convention", "kind"), KINDS)
def test_what_is_drawn_once_does_not_flicker(clips: Tensor, convention: str, kind: str) -> None:
    """On a picture that stands still, only what is drawn anew in every frame changes from frame to frame."""
    drawn = kind_of(convention, kind).draws
    assert drawn == ("video" if (convention, kind) in ONCE_A_VIDEO else "frame" if (convention, kind) in EVERY_FRAME
                     else "never")  # fmt: skip
    if kind_of(convention, kind).group == "coding":
        return  # what a codec makes of one picture differs from frame to frame
    corrupted = Corruption(convention, kind, 4)(still(clips), [1, 2])
    flickers = not torch.equal(corrupted, still(corrupted))
    assert flickers == (drawn == "frame")


@pytest.mark.parametrize(("convention", "kind"), KINDS)
def test_a_clip_is_the_same_in_every_batch(clips: Tensor, convention: str, kind: str) -> None:
    corruption = Corruption(convention, kind, 3)
    both = corruption(clips, [7, 8])
    alone = torch.cat([corruption(clips[:1], [7]), corruption(clips[1:], [8])])
    many = corruption(clips.repeat(3, 1, 1, 1, 1), [7, 8, 9, 10, 7, 8])
    assert torch.equal(both, alone)
    assert torch.equal(both, many[4:])
    assert both.shape == clips.shape
    assert both.dtype == torch.float32
    levels = both * 255
    assert (levels - levels.round()).abs().max() < 1e-3
    assert 0 <= both.min() <= both.max() <= 1


@pytest.mark.parametrize(("convention", "kind"), KINDS)
def test_another_seed_draws_anew(clips: Tensor, convention: str, kind: str) -> None:
    """But a kind that never draws is the same for all seeds."""
    if kind in ("bit_error", "packet_loss"):
        return  # a short clip may well arrive whole
    corruption = Corruption(convention, kind, 2)
    found = [corruption(clips[:1], [seed]) for seed in range(4)]
    assert all(torch.equal(found[0], one) for one in found[1:]) == (kind_of(convention, kind).draws == "never")


@pytest.mark.device
@pytest.mark.parametrize(("convention", "kind"), KINDS)
def test_draws_are_the_same_on_every_device(clips: Tensor, convention: str, kind: str, device: torch.device) -> None:
    corruption = Corruption(convention, kind, 3)
    here, there = corruption(clips, [1, 2]), corruption(clips.to(device), [1, 2])
    assert there.device.type == device.type
    assert ((here - there.cpu()).abs() > 1.5 / 255).float().mean() < 0.002  # a rounding apart, and at edges a pixel


def test_each_published_convention_has_its_kinds_at_five_severities() -> None:
    assert {name: len(one.kinds) for name, one in CONVENTIONS.items()} == {
        "minikinetics-c": 14,
        "ucf101-p": 18,
        "frames": 7,
    }
    assert all(len(kind.levels) == 5 for one in CONVENTIONS.values() for kind in one.kinds)
    shot = [kind_of(name, "shot_noise").levels for name in ("minikinetics-c", "ucf101-p")]
    assert shot == [(60, 25, 12, 5, 3), (250, 100, 50, 30, 15)]  # the two disagree, so each goes by its name


def test_a_text_asks_for_kinds_and_severities() -> None:
    found = vr.corruptions("UCF101-P(kinds=(freeze, jumble), severity=(1,3-4))")
    assert found[:3] == [Corruption("ucf101-p", "freeze", severity) for severity in (1, 3, 4)]
    assert len(found) == 6
    assert corruptions(str(found[4])) == [found[4]]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("ucf-p", 0, "there is no convention 'ucf-p' of corruptions: choose of minikinetics-c, ucf101-p, frames"),
        ("ucf101-p(kinds=rain)", 15, "ucf101-p has no kind 'rain': choose of gaussian_noise, "),
        ("ucf101-p(severity=6)", 18, "a severity from 1 to 5"),
        ("ucf101-p(severity=1-7)", 18, "a severity from 1 to 5"),
        ("ucf101-p(severity=3-2)", 18, "a severity from 1 to 5"),
        ("ucf101-p(severity=2.5)", 18, "a severity from 1 to 5"),
        ("ucf101-p(kinds=3)", 15, "the name of a kind"),
        ("ucf101-p(strength=3)", 9, "no field 'strength'"),
        ("ucf101-p fog", 9, "Expected the end"),
    ],
)
def test_a_text_that_asks_for_nothing_is_refused_at_its_place(text: str, place: int, said: str) -> None:
    with pytest.raises(NotationError) as refused:
        corruptions(text)
    assert said in str(refused.value)
    assert str(refused.value).splitlines()[1] == " " * place + "^"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("imagenet-c", "fog", 1), "there is no convention 'imagenet-c'"),
        (("ucf101-p", "fog", 1), "ucf101-p has no kind 'fog'"),
        (("ucf101-p", "jpeg", 0), "a severity is a whole number from 1 to 5, not 0"),
        (("ucf101-p", "jpeg", 6), "not 6"),
    ],
)
def test_a_value_that_cannot_be_is_refused(wrong: tuple[str, str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Corruption(*wrong)


def test_clips_and_seeds_must_fit() -> None:
    corruption = Corruption("ucf101-p", "jpeg", 1)
    with pytest.raises(InputError, match="2 clips, but 1 seeds"):
        corruption(torch.rand(2, 3, 4, 16, 16), [1])
    with pytest.raises(InputError, match="must be B 3 T H W"):
        corruption(torch.rand(2, 1, 4, 16, 16), [1, 2])
    assert corruption(torch.rand(0, 3, 4, 16, 16), []).shape[0] == 0
