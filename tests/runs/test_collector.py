"""The collector of cyclic garbage is as it was once rows are read, however that ended."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidrobust.errors import RunError
from vidrobust.runs.collector import collector_paused
from vidrobust.runs.rows import read_rows


@pytest.fixture(params=[True, False])
def enabled(request: pytest.FixtureRequest) -> Iterator[bool]:
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_it_goes_on_as_before(enabled: bool, tmp_path: Path) -> None:
    with collector_paused(), collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled() is enabled
    (tmp_path / "rows.jsonl").write_text("{\n")
    with pytest.raises(RunError):
        read_rows(tmp_path / "rows.jsonl")
    assert gc.isenabled() is enabled
