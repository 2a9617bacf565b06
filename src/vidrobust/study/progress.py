"""Progress display: a bar with an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from vidrobust.results.pages.console import SafeConsole, printable, sparkline

PLAIN_SECONDS = 15.0
"""Seconds between plain lines when nothing ends."""

ESTIMATED_FROM = 0.02
"""Share of the work after which the time left is estimated: opening the data takes time and no gradients."""


class Display:
    """Shows how far long work has come, counted in clip-gradients.

    Args:
        total: clip-gradients in all.
        console: where to; a console that is not a terminal gets plain lines.
    """

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.console = console or SafeConsole(stderr=True)
        self.total, self._skipped, self._counted, self._last = max(1, total), 0, 0, time.monotonic()
        self._started = time.monotonic()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._curves: dict[str, list[float]] = {}
        self._live = Live(self._bar, console=self.console, refresh_per_second=4)
        self._task = self._bar.add_task("starting", total=self.total)

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def more(self, gradients: int) -> None:
        """Work that has been added to it."""
        self.total += gradients
        self._bar.update(self._task, total=self.total)

    def skip(self, gradients: int) -> None:
        """Work that an earlier run has done already."""
        self._skipped += gradients
        self._show()

    def spent(self, gradients: int) -> None:
        """Clip-gradients spent by this run so far."""
        if gradients != self._counted:
            self._counted = gradients
            self._show()

    def add(self, gradients: int) -> None:
        """Clip-gradients spent since the last call."""
        self.spent(self._counted + gradients)

    def curves(self, numbers: Mapping[str, float]) -> None:
        """One more point of each curve, drawn below the bar."""
        for name, value in numbers.items():
            self._curves.setdefault(name, []).append(value)
        table = Table.grid(padding=(0, 2))
        for name, values in self._curves.items():
            table.add_row(name, sparkline(values, width=48), f"{values[-1]:.3g}")
        self._live.update(Group(self._bar, table))

    def log(self, text: str) -> None:
        """A line that stays, such as how an epoch went."""
        if self.console.is_terminal:
            self.console.print(text, highlight=False, markup=False)
        else:
            self._line(text)

    def done(self, title: str) -> None:
        """A piece of work ended."""
        self._bar.update(self._task, description=printable(title[:48]))
        if not self.console.is_terminal:
            self._line(f"done: {title}")

    def _show(self) -> None:
        completed = min(self.total, self._skipped + self._counted)
        self._bar.update(self._task, completed=completed)
        if not self.console.is_terminal and time.monotonic() - self._last > PLAIN_SECONDS:
            self._line("working")

    def _line(self, text: str) -> None:
        self._last = time.monotonic()
        elapsed = self._last - self._started
        share = min(1.0, (self._skipped + self._counted) / self.total)
        fresh = self._counted / self.total
        eta = f", about {elapsed * (1 - share) / fresh / 60:.1f} min left" if fresh >= ESTIMATED_FROM else ""
        self.console.print(
            f"[{elapsed:6.1f} s] {share:4.0%} {text}{eta}", highlight=False, markup=False, soft_wrap=True
        )
