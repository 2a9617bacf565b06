"""Certified ≤ true ≤ attacked, clip for clip."""

from __future__ import annotations

import pytest
from helpers import synthetic_run as synthetic

from vidrobust.results.figures.certificates import certificate_notes, certificate_tables, certificates
from vidrobust.results.numbers.certificates import brackets, contradictions
from vidrobust.runs.schema import fault

CLIPS = synthetic.CLIPS


def attacked(eps: float, standing: int, **changed: object) -> dict[str, object]:
    return {
        "kind": "robustness", "model": "standard", "seed": 0, "split": "test", "eps": eps, "alpha": 1.0 if eps else 0.0,
        "steps": 20 if eps else 0, "clips": CLIPS, "attack": f"PGD(ε={eps:g},α=1,i=20)" if eps else "none",
        "search": "PGD" if eps else "none", "norm": "Linf", "support": "WholeClip", "loss": "cross_entropy",
        "targeted": False, "defence": "", "blind": False, "clips_of": synthetic.manifest()["clips_of"],
        "correct": standing, "survived": "1" * standing + "0" * (CLIPS - standing),
    } | changed  # fmt: skip


def test_each_eps_says_what_is_certified_what_stands_and_what_lies_between() -> None:
    rows = [
        synthetic.manifest(),
        synthetic.certificate("CROWN(ε=2)", 2.0, 25),
        synthetic.certificate("CROWN(ε=4)", 4.0, 10),
        attacked(0, 30),
        attacked(2, 28),
        attacked(4, 20),
        attacked(8, 3),
        attacked(4, 0, norm="L2"),
        attacked(4, 0, clips_of="other"),
        attacked(4, 0, defence="Recompress"),
        attacked(4, 0, model="another"),
    ]
    assert [fault(row) for row in rows] == [None] * len(rows)
    (found,) = brackets(rows)
    assert [(p.certified.x, p.certified.correct, p.attacked and p.attacked.correct) for p in found.points] == [
        (0.0, 30, 30), (2.0, 25, 28), (4.0, 10, 20), (8.0, 0, 3),
    ]  # fmt: skip
    assert [point.open for point in found.points] == [(), (25, 26, 27), tuple(range(10, 20)), (0, 1, 2)]
    assert found.radius == (10 * 4 + 15 * 2) / CLIPS and found.largest == 4
    assert all(point.contradicted == () for point in found.points)
    lines = certificate_tables(rows)[0].lines
    assert [line[3].text for line in lines] == ["–", "3", "10", "3"]
    named = {cells[0].text: (cells[1].text, cells[2].text) for cells in certificate_tables(rows)[1].lines}
    assert len(named) == 16 and named["left/v_25.avi"] == ("not certified", "4")
    assert named["left/v_15.avi"] == ("2", "8") and named["left/v_0.avi"] == ("4", "not up to 8")
    figure = certificates(rows)
    for trace, counts in zip(figure.data, ((30, 25, 10, 0), (30, 28, 20, 3)), strict=True):
        assert list(trace.y) == pytest.approx([100 * count / CLIPS for count in counts])
    assert [trace.line.shape for trace in figure.data] == ["vh", "hv"]
    assert "At 2: certified 21 %, attacked 23 %" in figure.layout.meta["alt"]


def test_attacks_of_a_smaller_eps_break_clips_at_a_larger_one() -> None:
    rows = [synthetic.certificate("CROWN(ε=2)", 2.0, 5), attacked(2, 10), attacked(4, 12)]
    (found,) = brackets(rows)
    assert [point.attacked.correct for point in found.points if point.attacked] == [10, 10]


def test_a_clip_that_is_certified_and_broken_is_told_of() -> None:
    rows = [synthetic.certificate("CROWN(ε=4)", 4.0, 10), attacked(4, 7)]
    (found,) = brackets(rows)
    assert [point.contradicted for point in found.points] == [(), (7, 8, 9)]
    (told,) = contradictions(rows)
    assert "3 clips of standard: Linf certified and yet broken" in told and "clip 7, clip 8, clip 9" in told
    assert told in certificate_notes(rows)
    assert contradictions([synthetic.certificate("CROWN(ε=4)", 4.0, 10), attacked(4, 10)]) == []


def test_many_radii_become_a_curve_that_only_falls() -> None:
    radius = [1.0007 * index for index in range(CLIPS)]
    rows = [synthetic.certificate("Smoothing(σ=64)", radius=radius, correct=CLIPS - 1, norm="L2", abstained=1)]
    (found,) = brackets(rows)
    counts = [point.certified.correct for point in found.points]
    assert counts == sorted(counts, reverse=True) and len(counts) == 13
    assert counts[0] == CLIPS - 1 and counts[-1] == 1


def test_radii_that_do_not_fit_their_counts_are_faults() -> None:
    assert "radius" in str(fault(synthetic.certificate(radius=[1.0])))
    assert "radius" in str(fault(synthetic.certificate(correct=3)))
