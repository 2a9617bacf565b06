"""A leaderboard: the minimum over records of the same model and clips, who found it, and what does not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.judgement_records import record, stored, with_its_hash

from vidrobust.errors import InputError
from vidrobust.results.judgements.ranking import ranked, read_judgements
from vidrobust.results.judgements.record import accuracy_record
from vidrobust.results.pages.leaderboard import leaderboard

Command = Callable[..., tuple[int, str, str]]


def _with_clip(made: dict[str, Any], sha256: str) -> dict[str, Any]:
    """A record whose first clip has other pixels."""
    made["clips"]["list"][0]["sha256"] = sha256
    return made


def test_somebody_elses_attacks_lower_a_number_clip_by_clip(tmp_path: Path) -> None:
    stored(tmp_path / "ours", record([None, None, None, 2.0] * 3))
    stored(tmp_path / "theirs", record([3.0, None, None, None] * 3, gradients=10))
    (standing,) = ranked(read_judgements(tmp_path)[0], tmp_path)
    assert (standing.worst["correct"], standing.worst["clips"]) == (6, 12)
    assert (standing.first, standing.lowered) == ("ours", {"theirs": 3})
    assert not standing.trust and standing.reasons == ["another record lowered the number"]


def test_a_clip_that_two_others_break_is_of_the_one_that_came_nearer(tmp_path: Path) -> None:
    stored(tmp_path / "ours", record([None] * 12))
    stored(tmp_path / "theirs", record([3.0, 4.0] + [None] * 10, gradients=10))
    stored(tmp_path / "third", record([9.0, 2.0, 9.0] + [None] * 9, gradients=10))
    (standing,) = ranked(read_judgements(tmp_path)[0], tmp_path)
    assert (standing.worst["correct"], standing.lowered) == (10, {"theirs": 1, "third": 1})
    assert not standing.trust


def test_a_record_that_lowers_nothing_changes_nothing(tmp_path: Path) -> None:
    stored(tmp_path / "ours", record([None, 2.0] * 6))
    stored(tmp_path / "theirs", record([None, None] * 6, gradients=10))
    (standing,) = ranked(read_judgements(tmp_path)[0], tmp_path)
    assert (standing.worst["correct"], standing.lowered, standing.trust) == (6, {}, True)


def test_other_weights_and_other_clips_are_other_lines(tmp_path: Path) -> None:
    stored(tmp_path / "a", record([None] * 12))
    stored(tmp_path / "b", record([1.0] * 12, weights="b"))
    stored(tmp_path / "c", with_its_hash(_with_clip(record([1.0] * 12), "0" * 64)))
    standings = ranked(read_judgements(tmp_path)[0], tmp_path)
    assert [one.worst["correct"] for one in standings] == [12, 0, 0]


def test_who_lies_about_clips_and_what_is_damaged_do_not_count(tmp_path: Path) -> None:
    stored(tmp_path / "ours", record([None] * 12))
    stored(tmp_path / "liar", _with_clip(record([1.0] * 12, gradients=10), "0" * 64))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "judgement.json").write_text('{"schema": "vidrobust.judgement/1", "verd')
    path, refused = leaderboard(tmp_path)
    assert str(tmp_path) not in path.read_text() + "".join(refused)
    assert len(refused) == 2 and "the hash of clips.list is" in refused[0] and "no JSON" in refused[1]
    html = path.read_text()
    assert "Records that do not count: 2" in html and "12 clips" in html and ">0.0 %" not in html


def test_names_are_text_and_the_page_needs_no_network(tmp_path: Path) -> None:
    evil = record([None] * 12, verdict="do not trust", reasons=["<img src=x onerror=alert(1)>"])
    evil["model"]["name"] = "<script>alert(1)</script>\x1b"
    stored(tmp_path / "a", evil)
    html = leaderboard(tmp_path)[0].read_text()
    assert "<script>alert" not in html and "<img" not in html and "\x1b" not in html
    assert "http://" not in html and "https://" not in html
    assert "✗ do not trust" in html


def test_an_empty_folder_is_refused(tmp_path: Path, vidrobust: Command) -> None:
    with pytest.raises(InputError, match="holds no judgement.json"):
        leaderboard(tmp_path)
    code, _, said = vidrobust("leaderboard", tmp_path / "none")
    assert code == 1 and "no folder" in said


def test_the_verb_prints_the_page(tmp_path: Path, vidrobust: Command) -> None:
    stored(tmp_path / "a", record([None] * 12))
    code, printed, _ = vidrobust("leaderboard", tmp_path, "--out", tmp_path / "page.html")
    assert code == 0 and Path(printed.strip()).read_text().count("<tr>") == 2


def _corrupted(value: float) -> dict[str, Any]:
    """What a record of 12 clips holds of a convention."""
    right = accuracy_record([1] * 12, [f"source {number}" for number in range(12)])
    means = {"mpc": {"value": value, "low": 0.2, "high": 0.9}, "rpc": {"value": value}}
    kinds = [{"kind": "jpeg", "group": "digital", "counted": True, "severities": [{"severity": 3, **right}]}]
    gammas = {"gamma_absolute": {"value": 0.25}, "gamma_relative": None}
    return {"corruptions": [{"convention": "ucf101-p", "clean": right, **means, **gammas, "kinds": kinds}]}


def test_corruptions_have_a_table_of_their_own(tmp_path: Path) -> None:
    for number, (weights, value) in enumerate([("a", 0.4), ("b", 0.75), ("b", 0.75)]):
        stored(tmp_path / f"record {number}", record([None] * 12, weights=weights, **_corrupted(value)))
    html = leaderboard(tmp_path)[0].read_text()
    table = html[html.index("Under corruptions: ucf101-p") :]
    assert table.count("<tr>") == 3  # the head, and each model once
    assert table.index("75.0 % [20.0 %, 90.0 %]") < table.index("40.0 % [20.0 %, 90.0 %]")
    assert 'data-label="γᵃ" data-sort="0.25">0.25<' in table and 'data-label="γʳ" data-sort="">–<' in table
    assert "record 1" in table and "record 2" not in table
