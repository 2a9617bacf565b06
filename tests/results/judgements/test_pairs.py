"""Two judgements are compared clip for clip, by the source, as one family of claims."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.judgement_records import record, stored, with_its_hash

from vidrobust.errors import InputError
from vidrobust.results.judgements.pairs import compared, left_out

Command = Callable[..., tuple[int, str, str]]


def test_a_difference_is_of_the_same_clips(tmp_path: Path) -> None:
    first = stored(tmp_path / "a", record([None] * 24 + [1.0] * 6))
    second = stored(tmp_path / "b", record([None] * 6 + [1.0] * 24, weights="b"))
    clean, robust = compared(first, second)
    assert (clean.what, clean.found.value, clean.p) == ("clean", 0.0, 1.0)
    assert (robust.what, robust.first, robust.second) == ("Linf(8)", 24, 6)
    assert robust.found.value == pytest.approx(0.6) and robust.found.low > 0.3 and robust.p < 0.001
    assert "undecided" not in str(robust)


def test_what_is_undecided_says_what_would_decide(tmp_path: Path) -> None:
    first = stored(tmp_path / "a", record([None, 1.0] * 10))
    second = stored(tmp_path / "b", record([None, 1.0] * 8 + [1.0, None] * 2, weights="b"))
    _, robust = compared(first, second)
    assert robust.found.value == 0.0
    assert "undecided" in str(robust) and "more sources" in str(robust)


def test_only_common_clips_count_whatever_their_order(tmp_path: Path) -> None:
    turned = record([None] * 10 + [1.0] * 10, weights="b")
    turned["clips"]["list"].reverse()
    few = record([None] * 12)
    first, second = stored(tmp_path / "a", few), stored(tmp_path / "b", with_its_hash(turned))
    _, robust = compared(first, second)
    # clips 0 … 11 are the last of the other record, whose last ten are broken
    assert (robust.found.clips, robust.first, robust.second) == (12, 12, 2)
    assert left_out(first, second) == [f"left out of {tmp_path / 'b'}: 8 of 20 clips."]
    more = record([None] * 12, weights="b")
    more["threats"] += record([None] * 12, eps=4.0)["threats"]
    assert left_out(first, stored(tmp_path / "c", with_its_hash(more))) == [f"left out of {tmp_path / 'c'}: Linf(4)."]


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    first = stored(tmp_path / "a", record([None] * 12))
    with pytest.raises(InputError, match="no threat in common"):
        compared(first, stored(tmp_path / "b", record([None] * 12, eps=4.0)))
    other = record([None] * 12)
    for clip in other["clips"]["list"]:
        clip["sha256"] = clip["sha256"][::-1]
    with pytest.raises(InputError, match="no clip in common"):
        compared(first, stored(tmp_path / "c", with_its_hash(other)))


def test_the_verb_tells_whom_not_to_trust(tmp_path: Path, vidrobust: Command) -> None:
    stored(tmp_path / "a", record([None] * 12))
    doubted = record([1.0] * 12, weights="b", verdict="do not trust", reasons=["noise broke 1 clip"])
    stored(tmp_path / "b", doubted)
    code, printed, said = vidrobust("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert "model a less model b" in printed and "+100.0 points" in printed
    assert "do not trust" in said and "noise broke 1 clip" in said
    code, _, said = vidrobust("compare", tmp_path / "a", tmp_path)
    assert code == 1 and "does not exist" in said
