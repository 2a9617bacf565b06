from __future__ import annotations

import io

import pytest

from vidrobust.results.pages.console import SafeConsole
from vidrobust.study.progress import Display


@pytest.mark.parametrize("terminal", [True, False])
def test_no_name_moves_the_cursor_or_is_markup(terminal):
    file = io.StringIO()
    with Display(2, SafeConsole(file=file, force_terminal=terminal, width=120)) as display:
        display.log("said [red]\x1b[2J")
        display.done("train [red]x\x1b[2J")
        display.curves({"loss \x1b[2J": 1.0})
    assert "\x1b[2J" not in file.getvalue() and "train [red]x�[2J" in file.getvalue()
    assert "said [red]�[2J" in file.getvalue()


def test_no_time_left_is_estimated_from_the_first_gradients():
    file = io.StringIO()
    with Display(1000, SafeConsole(file=file, force_terminal=False, width=120)) as display:
        display.spent(10)
        display.done("first")
        display.spent(500)
        display.done("half")
    first, half = file.getvalue().splitlines()
    assert first.endswith("done: first") and half.endswith("min left")
