"""Pieces one after another: the joint gradient, the same draws again, and one piece at a time in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidrobust.evaluation.videos import VideoClassifier
from vidrobust.fast import pieces
from vidrobust.fast.pieces import Piece, in_pieces


def test_overlapping_pieces_give_the_joint_gradient() -> None:
    conv = nn.Conv3d(3, 2, 3, dtype=torch.float64)
    clips = torch.rand(2, 3, 12, 5, 5, dtype=torch.float64, requires_grad=True)
    spans = [slice(0, 5), slice(3, 9), slice(8, 12)]

    def run(frames: Tensor) -> Tensor:
        return conv(frames).relu().sum((2, 3, 4))

    weights = torch.rand(3, 2, 2, dtype=torch.float64)
    apart = in_pieces(clips, [Piece(span, run) for span in spans], draws=False)
    joint = torch.stack([run(clips[:, :, span]) for span in spans])
    assert torch.equal(apart, joint)
    (found,) = torch.autograd.grad((apart * weights).sum(), clips)
    (wanted,) = torch.autograd.grad((joint * weights).sum(), clips)
    assert torch.allclose(found, wanted, rtol=1e-13, atol=0)


def test_what_is_drawn_is_drawn_again_and_only_once_for_others() -> None:
    clips = torch.ones(1, 1, 4, 2, 2, requires_grad=True)
    torch.manual_seed(3)
    factors: list[Tensor] = []

    def run(frames: Tensor) -> Tensor:
        factors.append(torch.rand_like(frames))
        return (frames * factors[-1]).sum()

    answer = in_pieces(clips, [Piece(slice(None), run)] * 3)
    after = torch.get_rng_state()
    (found,) = torch.autograd.grad(answer.sum(), clips)
    assert torch.equal(torch.get_rng_state(), after)
    assert len(factors) == 6
    assert all(torch.equal(first, again) for first, again in zip(factors[:3], factors[3:], strict=True))
    assert torch.allclose(found, sum(factors[:3]))  # type: ignore[arg-type]


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_the_answer_of_a_long_video_and_its_gradient_are_the_joint_ones(average, monkeypatch) -> None:
    model = nn.Sequential(
        nn.Conv3d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3)
    ).double()
    asked: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0]) * inputs[0].shape[2]))
    videos = torch.rand(2, 3, 5 * 6, 6, 6, dtype=torch.float64, requires_grad=True)
    found = []
    for long in (2**40, 0):
        monkeypatch.setattr(pieces, "LONG", long)
        asked.clear()
        logits = VideoClassifier(model, 5, average)(videos)
        (gradient,) = torch.autograd.grad(logits.logsumexp(1).square().sum(), videos)
        found.append((logits.detach(), gradient))
        assert asked == ([2 * 30] if long else [2 * 6] * 10)
    for joint, one_by_one in zip(*found, strict=True):
        assert torch.allclose(joint, one_by_one, rtol=1e-12, atol=1e-15)
