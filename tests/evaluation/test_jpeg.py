"""JPEG frame by frame: the real codec's values, and two gradients."""

from __future__ import annotations

import io

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from vidrobust.attacks.text import object_from_text
from vidrobust.errors import InputError
from vidrobust.evaluation.defences import TRANSFORMS, Defended
from vidrobust.evaluation.jpeg import COLOUR, JPEG, LIGHT, jpeg, quantisers
from vidrobust.models.building import build


def smooth_clips(height: int, width: int) -> torch.Tensor:
    """Pictures without sharp edges, on which decoders agree."""
    coarse = torch.rand(2, 3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (3, height, width), mode="trilinear", align_corners=True)


@pytest.mark.parametrize("quality", [10, 49, 50, 75, 95])
@pytest.mark.parametrize("size", [(32, 48), (17, 31)], ids=str)
def test_with_hard_rounding_it_is_what_the_real_codec_gives(quality: int, size: tuple[int, int]) -> None:
    clips = smooth_clips(*size)
    real, ours = JPEG(quality)(clips), jpeg(clips, quality, torch.round)
    assert ((real - ours).abs() * 255).mean() < 1.5  # levels: the codec also rounds pixels and colours
    lost, ours_lost = (((each - clips).abs() * 255).mean() for each in (real, ours))
    assert abs(lost - ours_lost) < 0.15 < lost


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 95])
def test_quantisers_are_those_of_the_library(quality: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", quality=quality)
    wanted = Image.open(buffer).quantization  # type: ignore[attr-defined]
    found = [quantisers(table, quality).flatten().int().tolist() for table in (LIGHT, COLOUR)]
    assert found == [list(wanted[0]), list(wanted[1])]


def test_every_frame_goes_by_itself() -> None:
    clips = smooth_clips(24, 24)
    assert JPEG(30)(clips)[:, :, 1:2].equal(JPEG(30)(clips[:, :, 1:2]))
    assert JPEG(30)(clips)[1:].equal(JPEG(30)(clips[1:]))


def test_a_smooth_one_has_the_codecs_value_and_the_gradient_of_smooth_rounding() -> None:
    clips, weights = smooth_clips(24, 24).requires_grad_(True), torch.randn(2, 3, 3, 24, 24)
    seen = JPEG(30, smooth=True)(clips)
    assert seen.detach().equal(JPEG(30)(clips))
    (found,) = torch.autograd.grad((seen * weights).sum(), clips)
    (wanted,) = torch.autograd.grad((jpeg(clips, 30) * weights).sum(), clips)
    assert torch.allclose(found, wanted)
    assert not torch.allclose(found, weights, atol=0.1)  # which is the identity's


def test_before_a_classifier_the_plain_one_has_the_gradient_of_the_identity() -> None:
    model, clips = Defended(build("r3d-small", 3), JPEG(30)).eval(), smooth_clips(24, 24).requires_grad_(True)
    (found,) = torch.autograd.grad(model(clips).square().sum(), clips)
    seen = JPEG(30)(clips).requires_grad_(True)
    (wanted,) = torch.autograd.grad(model.classifier(seen).square().sum(), seen)
    assert torch.allclose(found, wanted)


def test_it_has_a_text_and_refuses_what_is_no_quality() -> None:
    assert object_from_text("JPEG(quality=30,smooth=true)", TRANSFORMS) == JPEG(30, smooth=True)
    for quality in (0, 96):
        with pytest.raises(InputError, match="quality is JPEG's, from 1 to 95"):
            JPEG(quality)
