from __future__ import annotations

import io
from unicodedata import category

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from vidrobust.results.pages.console import SafeConsole, printable


@given(st.text(max_size=60))
def test_what_is_printed_holds_no_control_character(text):
    file = io.StringIO()
    console = SafeConsole(file=file, width=200)
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    console.print(text, table)
    assert all(one.isprintable() or category(one) == "Zs" or one in "\n\t" for one in file.getvalue())
    assert printable(printable(text)) == printable(text)


def test_a_name_is_no_markup_and_no_command():
    file = io.StringIO()
    SafeConsole(file=file, force_terminal=True, width=80).print("[red]a[/red] \x1b]0;title\x07 \u202eb :smile:")
    assert file.getvalue() == "[red]a[/red] �]0;title� �b :smile:\n"
