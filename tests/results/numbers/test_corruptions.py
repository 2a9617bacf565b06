"""mPC, rPC, γ and mCE by hand, and intervals that hold what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import synthetic_run as synthetic

from vidrobust.results.numbers.corruptions import grids, mean_error, reference_of, robustness, scores
from vidrobust.results.numbers.statistics import accuracy_estimate

MANIFEST = synthetic.manifest(40)


def row(kind: str, severity: int, right: int | str, model: str = "m", **more: Any) -> dict[str, Any]:
    digits = right if isinstance(right, str) else "1" * right + "0" * (40 - right)
    return {
        "kind": "corruption", "model": model, "seed": 0, "split": "test", "convention": "c", "corruption": kind,
        "severity": severity, "draws": 0, "clips": 40, "clips_of": MANIFEST["clips_of"], "group": "", "counted": True,
        "correct": digits.count("1"), "survived": digits, "sources": 12, **more,
    }  # fmt: skip


def measured(model: str, clean: int, fog: tuple[int, ...], rain: tuple[int, ...], **more: Any) -> list[dict[str, Any]]:
    rows = [row("none", 0, clean, model, **more)]
    rows += [row("fog", level, right, model, **more) for level, right in enumerate(fog, 1)]
    rows += [row("rain", level, right, model, **more) for level, right in enumerate(rain, 1)]
    return [*rows, row("beside", 1, 0, model, counted=False, **more)]


def test_the_published_numbers_by_hand() -> None:
    fog, rain = (32, 28, 24, 20, 16), (30, 20, 10, 5, 0)
    found = scores(grids([MANIFEST, *measured("m", 36, fog, rain)])[0])
    assert found.clean.value == pytest.approx(0.9)
    mpc = (sum(fog) + sum(rain)) / 400
    assert found.mpc.value == pytest.approx(mpc)
    assert found.rpc is not None
    assert found.relative is not None
    assert found.rpc.value == pytest.approx(mpc / 0.9)
    assert found.absolute.value == pytest.approx(np.mean([1 - (0.9 - right / 40) for right in (*fog, *rain)]))
    assert found.relative.value == pytest.approx(np.mean([1 - (0.9 - right / 40) / 0.9 for right in (*fog, *rain)]))
    assert found.mce is None


def test_mce_is_the_mean_over_kinds_of_errors_over_the_references() -> None:
    own, theirs = ((32, 28, 24, 20, 16), (30, 20, 10, 5, 0)), ((20, 20, 20, 20, 20), (8, 6, 4, 2, 0))
    rows = [MANIFEST, *measured("m", 36, *own), *measured("standard", 38, *theirs)]
    found = grids(rows)
    assert [grid.model for grid in found] == ["standard", "m"]
    reference = reference_of(found, "c")
    assert reference is found[0]
    told = scores(found[1], reference)
    by_hand = np.mean(
        [sum(40 - a for a in mine) / sum(40 - b for b in ref) for mine, ref in zip(own, theirs, strict=True)]
    )
    assert told.mce is not None
    assert told.mce.value == pytest.approx(by_hand)
    assert told.mce.low < by_hand < told.mce.high < np.inf
    assert told.reference == "standard"
    itself = scores(reference, reference).mce
    assert itself is not None
    assert itself.value == pytest.approx(1)


def test_a_marked_reference_goes_before_the_standard_model() -> None:
    same = ((20,) * 5, (10,) * 5)
    rows = [MANIFEST, *measured("standard", 38, *same), *measured("other", 38, *same, reference=True)]
    marked = reference_of(grids(rows), "c")
    assert marked is not None
    assert marked.model == "other"
    assert reference_of(grids([MANIFEST, *measured("standard", 38, *same)]), "c") is None  # alone, it is no unit


def test_a_reference_without_errors_is_no_unit() -> None:
    rows = [MANIFEST, *measured("m", 36, (20,) * 5, (10,) * 5), *measured("standard", 40, (40,) * 5, (10,) * 5)]
    standard, mine = grids(rows)
    assert mean_error(mine, standard) is None


def test_other_clips_give_no_paired_interval() -> None:
    rows = [MANIFEST, *measured("m", 36, (20,) * 5, (10,) * 5)]
    rows += measured("standard", 38, (10,) * 5, (10,) * 5, clips_of="elsewhere")
    standard, mine = grids(rows)
    found = mean_error(mine, standard)
    assert found is not None
    assert found.value == pytest.approx((20 / 30 + 1) / 2)
    assert found.freedom == 0


def test_intervals_are_clustered_by_the_sources_of_the_manifest() -> None:
    """Clips of a source that fall together make a wide interval; taken one by one they would make a narrow one."""
    by_source = "".join("1" if index % 12 < 6 else "0" for index in range(40))
    rows = [row("none", 0, 40), row("fog", 1, by_source)]
    clustered = grids([MANIFEST, *rows])[0].at("fog", 1)
    alone = grids(rows)[0].at("fog", 1)
    assert clustered is not None
    assert alone is not None
    sources = [clip["source"] for clip in MANIFEST["list"]]
    assert clustered == accuracy_estimate([int(digit) for digit in by_source], sources, [0] * 40)
    assert (clustered.sources, alone.sources) == (12, 40)
    assert clustered.high - clustered.low > 1.3 * (alone.high - alone.low)


def test_intervals_of_quotients_hold_the_truth_as_often_as_they_say() -> None:
    """rPC over drawn clips of many sources: in 19 of 20 draws, about, the interval has the quotient of the means."""
    random, held, tries = np.random.default_rng(0), 0, 200
    for _ in range(tries):
        clean = random.random(40) < 0.8
        left = clean & (random.random(40) < 0.6)
        rows = [
            row("none", 0, "".join(map(str, clean.astype(int)))),
            row("fog", 1, "".join(map(str, left.astype(int)))),
        ]
        found = scores(grids(rows)[0]).rpc
        assert found is not None
        held += found.low <= 0.6 <= found.high
    assert 0.9 <= held / tries <= 0.99


def test_of_several_sets_the_largest_counts_and_seeds_are_pooled() -> None:
    few = [{**one, "clips": 10, "survived": "1" * 10, "correct": 10, "clips_of": "few"}
           for one in measured("m", 36, (1,) * 5, (1,) * 5)]  # fmt: skip
    more = measured("m", 36, (20,) * 5, (10,) * 5) + measured("m", 30, (10,) * 5, (10,) * 5, seed=1)
    (grid,) = grids([MANIFEST, *few, *more])
    assert len(grid.clean) == 80
    assert grid.of_kind("fog").mean() == pytest.approx(15 / 40)
    assert set(grid.seeds) == {0, 1}


def test_a_kind_by_itself_has_its_robustness() -> None:
    (grid,) = grids([MANIFEST, *measured("m", 36, (32, 28, 24, 20, 16), (30, 20, 10, 5, 0))])
    absolute, relative = robustness(grid, ["fog"])
    assert absolute.value == pytest.approx(1 - (0.9 - 0.6))
    assert relative is not None
    assert relative.value == pytest.approx(0.6 / 0.9)


def test_no_clip_right_has_no_relative_number() -> None:
    found = scores(grids([MANIFEST, *measured("m", 0, (0,) * 5, (0,) * 5)])[0])
    assert (found.rpc, found.relative) == (None, None)
    assert found.mpc.value == 0
