"""A key that a file's table holds twice is an error, wherever it lies and in whatever file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.data.classes import read_classes
from vidrobust.errors import DataError, InputError, RunError
from vidrobust.models.spec import parse_spec
from vidrobust.results.judgements.record import read_judgement
from vidrobust.runs.once import EachKeyOnce, each_once

KEYS = st.text(max_size=40)  # YAML takes no key of more than 1024 characters, which escapes of six make of 171
TABLES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(TABLES)
def test_what_has_each_key_once_is_read_as_ever(table: object) -> None:
    text = json.dumps(table)
    assert json.loads(text, object_pairs_hook=each_once) == table
    assert yaml.load(text, EachKeyOnce) == yaml.safe_load(text)


@given(KEYS, TABLES, st.integers(0, 3))
def test_a_key_given_twice_is_an_error_however_deep(key: str, value: object, depth: int) -> None:
    name = json.dumps(key)
    text = "[" * depth + f"{{{name}: {json.dumps(value)}, {name}: 1}}" + "]" * depth
    with pytest.raises(ValueError, match="given twice"):
        json.loads(text, object_pairs_hook=each_once)
    with pytest.raises(yaml.YAMLError, match="given twice"):
        yaml.load(text, EachKeyOnce)


def test_a_table_may_override_what_it_merges() -> None:
    assert yaml.load("base: &b {a: 1}\nc: {<<: *b, a: 3}", EachKeyOnce)["c"] == {"a": 3}


def test_every_reader_refuses_it_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'width' is given twice"):
        parse_spec("r3d-18(width=8, width=16)")
    (tmp_path / "classes.json").write_text('{"walk": 0, "run": 1, "walk": 1}')
    with pytest.raises(DataError, match=r"classes\.json.*'walk' is given twice"):
        read_classes(tmp_path / "classes.json")
    (tmp_path / "judgement.json").write_text('{"verdict": "do not trust", "verdict": "trust"}')
    with pytest.raises(RunError, match="'verdict' is given twice"):
        read_judgement(tmp_path)
