"""Ablation certificates against brute force: every choice of frames and every vote that could come of it."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.ablation import FrameAblation, PatchAblation
from vidrobust.evaluation.certificates.binomial import clopper_pearson
from vidrobust.evaluation.certificates.certified import ABSTAINED


def winner(votes: np.ndarray) -> int:
    return int(np.bincount(votes, minlength=3).argmax())


def brute_force(parts: np.ndarray, votes: np.ndarray, count: int, adjacent: bool) -> bool:
    """Can no change of so many elements change the class? Goes through every set and every outcome of its votes."""
    elements = parts.shape[1]
    sets = (
        [range(a, a + count) for a in range(elements - count + 1)] if adjacent else combinations(range(elements), count)
    )
    for chosen in sets:
        seen = np.flatnonzero(parts[:, list(chosen)].any(1))
        for outcome in product(range(3), repeat=len(seen)):
            now = votes.copy()
            now[seen] = outcome
            if winner(now) != winner(votes):
                return False
    return True


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_the_radius_in_frames_is_that_of_brute_force(drawn: list[int]) -> None:
    certificate, votes = FrameAblation(keep=2), np.array(drawn)
    parts = certificate.parts(torch.zeros(3, 4, 2, 2))
    radius = certificate.radius(parts, votes, 3)
    assert all(brute_force(parts, votes, count, False) == (count <= radius) for count in (1, 2, 3, 4))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=7, max_size=7), st.integers(1, 3))
def test_the_width_of_a_patch_is_that_of_brute_force(drawn: list[int], width: int) -> None:
    certificate, votes = PatchAblation(width=width), np.array(drawn)
    parts = certificate.parts(torch.zeros(3, 2, 2, 7))
    radius = certificate.radius(parts, votes, 3)
    assert all(brute_force(parts, votes, count, True) == (count <= radius) for count in (1, 2, 3))


def test_unanimous_votes_give_the_published_radius() -> None:
    """All votes alike: the class stands while fewer than half of them see a changed frame (Levine and Feizi 2020)."""
    for frames, keep in ((8, 1), (8, 2), (12, 3)):
        certificate = FrameAblation(keep=keep)
        parts = certificate.parts(torch.zeros(3, frames, 1, 1))
        radius = certificate.radius(parts, np.zeros(len(parts), int), 2)
        untouched = [len(list(combinations(range(frames - count), keep))) for count in range(frames + 1)]
        expected = max(count for count in range(frames + 1) if 2 * untouched[count] >= len(parts))
        assert radius == expected


class Reads(nn.Module):
    """The class of most frames, by whether their first pixel is bright."""

    def forward(self, clips: Tensor) -> Tensor:
        bright = (clips[:, 0, :, 0, 0] > 0.5).float().mean(1)
        return torch.stack([bright, 1 - bright], 1)


def test_no_change_of_as_many_frames_changes_the_class() -> None:
    model, certificate = Reads(), FrameAblation(keep=1)
    clip = torch.full((3, 7, 2, 2), 0.9)
    clip[:, 5] = 0.1
    found = certificate(model, clip[None], torch.zeros(1))
    radius = int(found.radius.item())
    assert found.predicted.item() == 0 and radius == 2 and found.draws.item() == 7

    def answer(count: int) -> set[int]:
        said = set()
        for chosen in combinations(range(7), count):
            other = clip.clone()
            other[:, list(chosen)] = 0.0
            said.add(int(certificate(model, other[None], torch.zeros(1)).predicted))
        return said

    assert answer(radius) == {0} and answer(radius + 1) == {0, 1}


def test_frames_left_out_show_the_nearest_kept_one() -> None:
    clip = torch.arange(6.0).view(1, 6, 1, 1)
    parts = np.array([[True, False, False, False, True, False], [False, False, True, False, False, False]])
    shown = FrameAblation(keep=2).masked(clip, parts).flatten(1)
    assert shown.tolist() == [[0, 0, 0, 4, 4, 4], [2, 2, 2, 2, 2, 2]]
    band = PatchAblation(width=2)
    clip = torch.rand(3, 2, 2, 5)
    shown = band.masked(clip, band.parts(clip))
    assert torch.equal(shown[4][..., [4, 0]], clip[..., [4, 0]]) and (shown[4][..., 1:4] == 0.5).all()


def test_where_choices_are_too_many_the_radius_is_never_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = FrameAblation(keep=2)
    parts = certificate.parts(torch.zeros(3, 7, 1, 1))
    draw = np.random.default_rng(0)
    drawn = [draw.choice(3, len(parts), p=(0.8, 0.1, 0.1)) for _ in range(20)]
    exact = [certificate.radius(parts, votes, 3) for votes in drawn]
    monkeypatch.setattr("vidrobust.evaluation.certificates.ablation.MOST_CHOICES", 0)
    below = [certificate.radius(parts, votes, 3) for votes in drawn]
    assert all(low <= high for low, high in zip(below, exact, strict=True)) and 0 < sum(below) < sum(exact)


def test_drawn_choices_bound_the_share_and_abstain() -> None:
    certificate = FrameAblation(keep=8, samples=400)
    clip = torch.full((3, 40, 1, 1), 0.9)
    found = certificate(Reads(), clip[None], torch.zeros(1))
    share = clopper_pearson(400, 400, 0.001)
    assert found.radius.item() == certificate.radius_of(share, 40) == 2
    assert 1 - np.prod([(32 - n) / (40 - n) for n in range(2)]) < share - 0.5
    assert 1 - np.prod([(32 - n) / (40 - n) for n in range(3)]) > share - 0.5
    mixed = torch.full((3, 40, 1, 1), 0.9)
    mixed[:, ::2] = 0.1
    assert certificate(Reads(), mixed[None], torch.zeros(1)).predicted.item() == ABSTAINED


def test_values_and_clips_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="keep"):
        FrameAblation(keep=0)
    with pytest.raises(InputError, match="3 frames"):
        FrameAblation(keep=4)(Reads(), torch.zeros(1, 3, 3, 2, 2), torch.zeros(1))
    with pytest.raises(InputError, match="band of 9"):
        PatchAblation(width=9)(Reads(), torch.zeros(1, 3, 3, 2, 2), torch.zeros(1))
