"""Nothing that stands in a row is believed before it is checked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import synthetic_run as synthetic
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.runs.directory import Run
from vidrobust.runs.rows import read_rows
from vidrobust.runs.schema import KINDS, fault, row_identity

ROWS = synthetic.every_kind()
ONE_OF_EACH = {row["kind"]: row for row in ROWS}


def test_there_is_a_row_of_each_kind() -> None:
    assert ONE_OF_EACH.keys() == KINDS.keys()


def test_rows_are_rows_and_no_two_measure_the_same() -> None:
    assert [fault(row) for row in ROWS] == [None] * len(ROWS)
    assert len({row_identity(row) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_required_field_is_missed(kind: str) -> None:
    required = KINDS[kind].fields.keys() - KINDS[kind].optional
    assert required
    for name in required:
        row = {key: value for key, value in ONE_OF_EACH[kind].items() if key != name}
        assert fault(row) == f"{kind}: {name} is missing"


WRONG = [None, True, float("nan"), float("inf"), -1, 1e300, "", "\x1b[2J", [], {}, [None], {"a": None}, [[]], 10**30]


@given(st.sampled_from(ROWS), st.data())
def test_a_wrong_value_anywhere_is_a_fault_or_harmless(row: dict[str, Any], data: st.DataObject) -> None:
    """Whatever is accepted has the type that the kind says, and is finite."""
    name = data.draw(st.sampled_from(sorted(KINDS[row["kind"]].fields)))
    value = data.draw(st.sampled_from(WRONG))
    changed = {**row, name: value}
    if fault(changed) is None:
        assert KINDS[row["kind"]].fields[name](value)
        json.dumps(changed, allow_nan=False)
        row_identity(changed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"loss": float("nan")}, "loss is not a number"),
        ({"loss": float("-inf")}, "loss is not a number"),
        ({"correct": 3.0}, "correct is not a count"),
        ({"correct": True}, "correct is not a count"),
        ({"correct": 401}, "correct is 401, more than clips, which is 400"),
        ({"model": None}, "model is not text"),
        ({"weights": ["aa"]}, "weights is not text"),
        ({"of_a_later_version": [1.0, float("nan")]}, "of_a_later_version is not finite"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], reason: str) -> None:
    assert fault({**ONE_OF_EACH["epoch"], **change}) == f"epoch: {reason}"


@pytest.mark.parametrize("row", [None, 3, "text", [], {}, {"kind": 3}, {"kind": None}, {"kind": ["epoch"]}])
def test_json_that_is_no_row_is_left_out_and_reported(row: object, tmp_path: Path) -> None:
    good = ONE_OF_EACH["accuracy"]
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(good)}\n")
    reading = read_rows(tmp_path / "rows.jsonl")
    assert reading.rows == [good]
    assert reading.faults == [(1, "it is no object with a kind")]


def test_numbers_that_are_not_finite_in_a_file_are_reported(tmp_path: Path) -> None:
    row = json.dumps(ONE_OF_EACH["robustness"])
    lines = [row.replace('"alpha": 0.0', f'"alpha": {wrong}', 1) for wrong in ("NaN", "Infinity", "1e999", "-1e999")]
    assert row not in lines
    (tmp_path / "rows.jsonl").write_text("".join(line + "\n" for line in lines))
    reading = read_rows(tmp_path / "rows.jsonl")
    assert reading.rows == []
    assert [number for number, _ in reading.faults] == [1, 2, 3, 4]


def test_disagreeing_fields_are_a_fault() -> None:
    row, curve = ONE_OF_EACH["robustness"], ONE_OF_EACH["trajectory"]
    assert "survived" in str(fault({**row, "survived": row["survived"][:-1]}))
    assert "survived" in str(fault({**row, "survived": "0" * row["clips"], "correct": 1}))
    assert "equally long" in str(fault({**curve, "loss": curve["loss"][:-1]}))
    assert "equally long" in str(fault({**curve, "loss": [], "correct": []}))
    assert "clip_loss" in str(fault({**curve, "clip_loss": {"5": [1.0]}}))
    assert "clip_loss" in str(fault({**curve, "clip_loss": {"five": curve["clip_loss"]["5"]}}))
    right = "1" * curve["correct"][5] + "0" * (curve["clips"] - curve["correct"][5])
    assert fault({**curve, "survived": {"5": right}}) is None
    for wrong in ({"five": right}, {"5": right[1:]}, {"5": "0" * len(right)}, {"31": right}, {"5": [1]}, right):
        assert "survived" in str(fault({**curve, "survived": wrong}))
    look = ONE_OF_EACH["watch"]
    assert fault({**look, "survived": {"clean": "1" * look["clean"] + "0" * (look["clips"] - look["clean"])}}) is None
    for wrong in ({"clean": ""}, {"loss": "1"}, {"robust": "1" * look["clips"]}):
        assert "survived" in str(fault({**look, "survived": wrong}))


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("robustness", {"no_gradient": 1, "retried": {"loss": "margin", "clips": 2, "broken": 1}, "sources": 4}),
        ("trajectory", {"no_gradient": 1}),
        ("example", {"no_gradient": 1, "search": "CW", "norm": "L2"}),
    ],
)
def test_what_came_out_does_not_make_another_measurement(kind: str, found: dict[str, Any]) -> None:
    """A row of an earlier version, which did not say it, is replaced by the same measurement made again."""
    row = ONE_OF_EACH[kind]
    assert fault({**row, **found}) is None
    assert row_identity({**row, **found}) == row_identity(row)


@pytest.mark.parametrize(
    "retried", [{}, {"loss": "margin", "clips": 1, "broken": 2}, {"loss": 1, "clips": 1, "broken": 1}, [1], 3]
)
def test_a_second_try_that_cannot_be_is_a_fault(retried: Any) -> None:
    assert "retried is not a loss" in str(fault({**ONE_OF_EACH["robustness"], "retried": retried}))


def test_a_longer_trajectory_is_another_measurement() -> None:
    row = ONE_OF_EACH["trajectory"]
    shorter = {**row, "loss": row["loss"][:5], "correct": row["correct"][:5]}
    assert row_identity(shorter) != row_identity(row)


def test_every_row_of_the_example_run_and_of_the_first_version_is_read(tmp_path: Path) -> None:
    for path in (Path("docs/example-run"), Path("tests/runs/run-0.1.0")):
        reading = Run.open(Path(__file__).parents[2] / path).read()
        assert reading.rows
        assert (reading.faults, reading.doubled, reading.stale) == ([], 0, 0)


def table(text: str, head: str) -> dict[str, str]:
    """The first two columns of the table with this head."""
    lines = text[text.index(head) :].split("\n\n")[0].splitlines()[2:]
    cells = (line.split(" | ") for line in lines)
    return {first.strip("| `*"): second for first, second, *_ in cells}


def test_the_table_of_the_architecture_lists_every_kind_with_its_fields() -> None:
    """A field of the schema that the table lacks, or calls required though it is not, or the other way round."""
    text = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text()
    groups, kinds = table(text, "| group | fields |"), table(text, "| kind | fields |")
    listed = {}
    for kind, cell in kinds.items():
        full = re.sub(r"\*\*(\w+)\*\*", lambda found: groups[found[1]], cell)
        listed[kind] = sorted(re.findall(r"`(\w+)`(\??)", full))
    assert listed == {
        name: sorted((field, "?" if field in kind.optional else "") for field in kind.fields)
        for name, kind in KINDS.items()
    }
