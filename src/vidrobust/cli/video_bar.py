"""How far the videos of a data set are made, decoded or looked at."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vidrobust.study.progress import PLAIN_SECONDS

if TYPE_CHECKING:
    from rich.console import Console

    from vidrobust.data.parallel import DataProgress


@contextmanager
def video_bar(console: Console) -> Generator[DataProgress]:
    """A bar for each thing that is done, gone at the end; no terminal gets a line now and then instead.

    Where all is in the cache, it shows nothing.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    tasks: dict[str, TaskID] = {}
    said = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:

        def show(doing: str, done: int, of: int) -> None:
            nonlocal said
            if doing not in tasks:
                tasks[doing] = bar.add_task(doing)
            bar.update(tasks[doing], completed=done, total=of)
            if not console.is_terminal and time.monotonic() - said > PLAIN_SECONDS:
                said = time.monotonic()
                console.print(f"{doing}: {done} of {of}", highlight=False, markup=False)

        yield show
