from __future__ import annotations

import io

import pytest

from vidrobust.cli import video_bar as module
from vidrobust.cli.video_bar import video_bar
from vidrobust.results.pages.console import SafeConsole


def shown(terminal: bool, calls: list[tuple[str, int, int]]) -> str:
    file = io.StringIO()
    with video_bar(SafeConsole(file=file, force_terminal=terminal, width=120)) as progress:
        for call in calls:
            progress(*call)
    return file.getvalue()


CALLS = [("making videos", 30, 60), ("making videos", 60, 60), ("decoding train", 7, 40)]


def test_a_terminal_has_a_bar_for_each_thing_done():
    drawn = shown(True, CALLS)
    assert "making videos" in drawn and "60/60" in drawn and "decoding train" in drawn and "7/40" in drawn


@pytest.mark.parametrize(("seconds", "lines"), [(-1.0, 3), (3600.0, 0)])
def test_elsewhere_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, seconds: float, lines: int):
    monkeypatch.setattr(module, "PLAIN_SECONDS", seconds)
    said = shown(False, CALLS).splitlines()
    assert said == [f"{doing}: {done} of {of}" for doing, done, of in CALLS[:lines]]


def test_where_all_is_in_the_cache_there_is_nothing():
    assert not shown(False, []).strip() and "0/" not in shown(True, [])
