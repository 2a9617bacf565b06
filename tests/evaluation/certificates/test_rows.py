"""Rows of certificates and of the attacks beside them, as the schema knows them; certificates as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.linear_models import distance, linear
from helpers.row_fields import unknown
from torch import Tensor, nn

from vidrobust.errors import NotationError, VidrobustError
from vidrobust.evaluation.certificates import voted
from vidrobust.evaluation.certificates.ablation import FrameAblation, PatchAblation
from vidrobust.evaluation.certificates.bounds import CROWN, IBP
from vidrobust.evaluation.certificates.rows import attacked, broken, certify, rows_of
from vidrobust.evaluation.certificates.smoothing import Smoothing
from vidrobust.evaluation.certificates.text import certificate_from_text
from vidrobust.evaluation.certificates.voted import weakest
from vidrobust.evaluation.fields import attack_text
from vidrobust.results.numbers.certificates import brackets
from vidrobust.threats import L2, Linf


class Few:
    """Clips as evaluation takes them."""

    def __init__(self, clips: Tensor, labels: Tensor) -> None:
        self.clips, self.labels = clips, labels
        self.videos = tuple(f"v{index}" for index in range(len(labels)))
        self.sources, self.classes = self.videos, ("a", "b", "c")

    def __len__(self) -> int:
        return len(self.labels)

    def centre(self, indices: Any) -> Tensor:
        return self.clips[torch.as_tensor(indices)]

    def place(self, index: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        return (0, 1), (0, 0, 6, 6)


def about(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "model": "m", "seed": 0, "split": "test"} for row in rows]


def test_rows_of_bounds_and_attacks_meet_at_a_linear_model() -> None:
    """There both are exact: no clip lies between, but for those on the edge of float32."""
    model, clips, labels = linear(2)
    labels = torch.cat([labels[:-1], 1 - labels[-1:]])  # the last one is wrong
    few: Any = Few(clips, labels)
    exact = distance(model, clips, labels, Linf())[:-1] * 255
    eps = [0.5 * float(exact.min()), float(exact.median()) * 1.01, 2.0 * float(exact.max())]
    rows = about(rows_of(model, few, [CROWN(size / 255) for size in eps], attack=True))
    assert not unknown(rows)
    (found,) = brackets(rows)
    for point in found.points[1:]:
        truth = int((exact >= point.certified.x).sum())
        assert point.attacked is not None
        assert (point.certified.correct, point.attacked.correct, point.open) == (truth, truth, ())
    assert found.points[0].certified.correct == len(labels) - 1


def test_rows_of_smoothing_say_what_they_are_of() -> None:
    model, clips, labels = linear(2)
    few: Any = Few(clips, labels)
    exact = distance(model, clips, labels, L2())
    certificate = Smoothing(float(exact.median()), samples=400)
    row = certify(model, few, certificate)
    assert len(row["radius"]) == row["clips"] == 8 and row["norm"] == "L2" and row["unit"] == "1/255"
    assert all(size / 255 <= limit for size, limit in zip(row["radius"], exact.tolist(), strict=True))
    assert row["draws"] > 8 * 64 and row["sources"] == 8
    rows = about([row, *attacked(model, few, certificate, torch.tensor(row["radius"]) > 0)])
    assert not unknown(rows)
    assert {one["defence"] for one in rows} == {row["defence"]} != {""}
    (found,) = brackets(rows)
    assert all(point.contradicted == () for point in found.points)
    upper = [point.attacked.correct for point in found.points if point.attacked]
    assert upper == sorted(upper, reverse=True) and upper[-1] < upper[0]


def test_votes_are_attacked_within_and_beyond_what_is_certified() -> None:
    model, clips, labels = linear(2, (3, 4, 2, 4))
    few: Any = Few(clips, labels)
    rows = about(rows_of(model, few, [FrameAblation(keep=1), PatchAblation(width=1)], attack=True))
    assert not unknown(rows)
    of = [row for row in rows if row["kind"] == "certificate"]
    assert [(row["unit"], row["defence"]) for row in of] == [
        ("frames", "FrameAblation(keep=1)"), ("pixels", "PatchAblation(width=1)"),
    ]  # fmt: skip
    assert all(size == int(size) for row in of for size in row["radius"])
    assert max(of[0]["radius"]) >= 1
    for bracket, unit in zip(brackets(rows), ("frames", "pixels"), strict=True):
        assert bracket.unit == unit and [point.certified.x for point in bracket.points] == [0, 1, 2, 4]
        counts = [point.attacked.correct for point in bracket.points if point.attacked]
        assert len(counts) == 4 and counts == sorted(counts, reverse=True) and counts[-1] == 0 < counts[0]
        assert all(point.contradicted == () for point in bracket.points)


def test_the_weakest_elements_are_those_whose_votes_the_class_needs() -> None:
    ablation = FrameAblation(keep=1)
    parts = ablation.parts(torch.zeros(3, 5, 2, 2))
    votes = np.array([1, 0, 0, 0, 1])
    place = weakest(ablation, parts, votes, 2, 2)
    assert set(place) <= {1, 2, 3}
    assert voted.worst_lead(parts[:, list(place)].any(1), votes, 2) == -3


def test_a_smoothed_class_is_broken_only_beyond_doubt() -> None:
    class Even(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            first = clips[:, 0, 0, 0, 0]
            return torch.stack([first, -first], 1)

    certificate = Smoothing(1.0)
    assert not broken(Even(), torch.zeros(3, 1, 2, 2), 1, certificate)
    assert broken(Even(), torch.ones(3, 1, 2, 2), 1, certificate)
    assert not broken(Even(), torch.ones(3, 1, 2, 2), 0, certificate)


def test_certificates_are_read_and_written_in_levels() -> None:
    for text, value in (
        ("CROWN(ε=2,refine=true)", CROWN(2 / 255, refine=True)),
        ("IBP(eps=8)", IBP(8 / 255)),
        ("FrameAblation(keep=3)", FrameAblation(keep=3)),
        ("Smoothing(sigma=64, samples=500)", Smoothing(64 / 255, samples=500)),
    ):
        assert certificate_from_text(text) == value
        assert certificate_from_text(attack_text(value)) == value
    assert attack_text(CROWN(2 / 255, refine=True)) == "CROWN(ε=2,refine=True)"
    with pytest.raises(NotationError, match="write 63.75 for 0.25"):
        certificate_from_text("Smoothing(σ=0.25)")
    for text in ("PGD(ε=8,α=2,i=3)", "CROWN(ε=300)", "CROWN", "Smoothing(σ=64,samples=0)"):
        with pytest.raises(VidrobustError):
            certificate_from_text(text)
