"""Rows on disk: a torn line costs itself alone, a damaged one is named, and a row belongs to what it measures."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.errors import RunError
from vidrobust.runs.rows import Row, RowFile, append_lines, read_json_lines, read_rows

ROWS = [{"kind": "a", "n": 1}, {"kind": "b", "n": 2, "text": "ε"}]


@given(cut=st.integers(1, 20))
def test_a_torn_line_is_cut_off_and_the_next_append_is_whole(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    append_lines(file, ROWS)
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    assert list(read_json_lines(file)) == ROWS[:1]
    append_lines(file, ROWS[1:])
    assert file.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"kind":"a"}\n{"kind"\n{"kind":"b"}\n')
    with pytest.raises(RunError, match=r"rows\.jsonl, line 2"):
        list(read_json_lines(file))


def measured(**more: object) -> Row:
    """A row of `vidrobust evaluate`."""
    return {
        "kind": "robustness", "model": "standard", "seed": 0, "split": "test", "eps": 8.0, "alpha": 2.0, "steps": 10,
        "clips": 4, "correct": 2, "survived": "0110", "attack": "PGD(ε=8,α=α*,i=10)", "weights": "aa", **more,
    }  # fmt: skip


OTHERS = [
    {"alpha": 1.5},  # of another study's α*
    {"norm": "L2"},
    {"support": "Border(ratio=0.1)"},
    {"loss": "margin"},
    {"targeted": True},
    {"defence": "Recompress(quality=20)"},
    {"blind": True},
    {"clips": 2, "correct": 1, "survived": "01"},
    {"seed": 1},
    {"attack": "PGD(ε=8,α=α*,i=10,restarts=5)"},
    {"attack": "Square(ε=8,queries=100)", "search": "Square"},
    {"split": "val"},
    {"a_field_of_a_later_version": 3},
]


def test_rows_of_other_clips_stand_side_by_side_and_in_the_place_of_one_that_does_not_say_which(tmp_path: Path) -> None:
    file, old, first, second = RowFile(tmp_path / "rows.jsonl"), measured(), *(measured(clips_of=n) for n in "ab")
    for rows in ([old], [first], [second], [old]):  # the last as a resumed study writes the rows of its jobs
        file.append(rows)
    assert list(read_json_lines(file.path)) == [old, first, second]
    append_lines(file.path, [old])
    reading = read_rows(file.path)
    assert reading.rows == [first, second]
    assert reading.left_out == [
        (1, "measured again in line 2, which counts"),
        (4, "measured again in line 3, which counts"),
    ]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: ",".join(other))
def test_rows_of_different_measurements_stand_side_by_side(other: Row, tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    file.append([measured()])
    file.append([measured(**other)])
    file.append([measured(), measured(**other)])
    assert read_rows(file.path).rows == list(read_json_lines(file.path)) == [measured(), measured(**other)]


@pytest.mark.parametrize(
    "usual",
    [{"norm": "Linf"}, {"search": "PGD", "support": "WholeClip", "loss": "cross_entropy"}, {"targeted": False},
     {"defence": "", "blind": False}, {"attack": "PGD(eps=8,alpha=2,steps=10)"}],
)  # fmt: skip
def test_a_row_that_lacks_a_field_was_measured_as_usual(usual: Row, tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    file.append([measured()])
    file.append([measured(**usual, correct=1, survived="0100")])
    assert read_rows(file.path).rows == [measured(**usual, correct=1, survived="0100")]


def test_the_newest_row_of_a_measurement_counts_at_the_place_of_the_first(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    file.append([measured(), measured(eps=4.0)])
    file.append([measured(correct=1, survived="0100")])
    reading = read_rows(file.path)
    assert [(row["eps"], row["correct"]) for row in reading.rows] == [(8.0, 1), (4.0, 2)]
    assert (reading.doubled, reading.stale, reading.faults) == (1, 0, [])


def test_rows_of_weights_that_have_changed_are_stale(tmp_path: Path) -> None:
    """Also those that were not measured again; and going back to the old weights brings theirs back."""
    file = RowFile(tmp_path / "rows.jsonl")
    old, new = [measured(), measured(eps=4.0)], [measured(weights="bb", correct=1, survived="0100")]
    other = measured(model="another")
    file.append([*old, other])
    file.append(new)
    assert read_rows(file.path).rows == [*new, other]
    assert read_rows(file.path).stale == 1
    RowFile(file.path).append([old[1]])
    assert read_rows(file.path).rows == [old[1], other]
    RowFile(file.path).append(old)
    assert read_rows(file.path).rows == [*old, other]


@given(
    rows=st.lists(st.sampled_from([measured(), *(measured(**other) for other in OTHERS)]), max_size=8), data=st.data()
)
def test_appending_again_writes_nothing_and_after_any_loss_everything_counts(
    rows: list[Row], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("merge") / "rows.jsonl"
    RowFile(file).append(rows)
    whole = file.read_bytes()
    RowFile(file).append(rows)
    assert file.read_bytes() == whole
    lines = whole.splitlines(keepends=True)
    left = data.draw(st.lists(st.sampled_from(lines), unique=True) if lines else st.just([]))
    file.write_bytes(b"".join(left))
    RowFile(file).append(rows)
    assert sorted(file.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_what_another_process_wrote_meanwhile_is_seen(tmp_path: Path) -> None:
    one, two = RowFile(tmp_path / "rows.jsonl"), RowFile(tmp_path / "rows.jsonl")
    one.append([measured()])
    two.append([measured(), measured(eps=4.0)])
    one.append([measured(eps=4.0), measured(eps=2.0)])
    assert [row["eps"] for row in read_json_lines(one.path)] == [8.0, 4.0, 2.0]


def test_what_is_no_row_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="correct is 5, more than clips"):
        RowFile(tmp_path / "rows.jsonl").append([measured(correct=5)])


def test_a_row_nested_too_deeply_is_a_damaged_line(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("[" * 200_000 + "\n")
    with pytest.raises(RunError, match="line 1 is damaged"):
        read_rows(tmp_path / "rows.jsonl")


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(
        b'\xef\xbb\xbf{"kind":"a"}\n{"kind":"\xff"}\n{"kind":"\xed\xa0\x80"}\n{"kind":"b"}\n'
    )  # as saved by an editor
    reading = read_rows(file, strict=False)
    assert [row["kind"] for row in reading.rows] == ["a", "b"] and [line for line, _ in reading.faults] == [2, 3]
    with pytest.raises(RunError, match=r"rows\.jsonl, line 2"):
        read_rows(file)
