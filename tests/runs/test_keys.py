"""Names made of content: equal for equal content, different for every change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vidrobust.runs.directory import config_differences
from vidrobust.runs.keys import content_key


@given(st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=3), st.booleans()), min_size=1))
def test_content_keys_ignore_order_and_see_every_change(value: dict[str, object]) -> None:
    assert content_key(dict(reversed(value.items()))) == content_key(value)
    name = next(iter(value))
    assert content_key({**value, name: [value[name]]}) != content_key(value)
    assert config_differences(value, value) == []
    assert [change[0] for change in config_differences(value, {**value, name: [value[name]]})] == [name]
