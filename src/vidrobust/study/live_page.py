"""The page of a study while it runs: written anew as jobs end, and reloaded by the browser that shows it.

The page lies where the final one will. Beside it lies :data:`VERSION_FILE`, a script of one line that the page loads
again and again, for a page that was opened as a file may load nothing else; when its version is another, the page
reloads itself. The script is a sign of life, too: it is renewed every few seconds, so that the page of a study that was
killed can say that it has stopped growing. In the end the final page takes its place, and the script is removed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from vidrobust.errors import VidrobustError
from vidrobust.results.pages.report import VERSION_FILE, Live, live_report, report
from vidrobust.runs.files import write_atomic

if TYPE_CHECKING:
    from vidrobust.runs.directory import Run
    from vidrobust.runs.rows import Row

SHARE = 0.02
"""Of the time that passes, how much writing the page may take; the first figures are shown at once."""


SIGN = 5.0
"""Seconds between two signs of life; the page waits for several."""


class LivePage:
    """The page of a run that is being filled.

    Use it as a context manager: leaving it writes the final page, or after an error the page as far as the run came.

    Args:
        run: the run directory.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._shown, self._versions = -1, 0
        self._begun = f"{time.time_ns()}"
        self._next = self._next_sign = 0.0
        self._live: Live | None = None

    def __enter__(self) -> LivePage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            report([self.run.path])
        elif self._versions:
            with suppress(VidrobustError, OSError):
                report([self.run.path])
        if self._versions:
            (self.run.path / VERSION_FILE).unlink(missing_ok=True)

    def show(self, done: int, jobs: int, rows: Iterable[Row]) -> None:
        """Write the page if jobs have ended since it was written, unless it has just been; else a sign of life.

        Args:
            done, jobs: how many have ended, and how many are known.
            rows: of all that have ended, also of those that are not in the run's file yet.
        """
        begun = time.monotonic()
        if done != self._shown and begun >= self._next:
            self._shown, self._versions = done, self._versions + 1
            self._live = Live(f"{self._begun}-{self._versions}", f"{done} of {jobs} jobs have ended.")
            live_report(self.run, rows, self._live)
            self._sign(self._live)
            self._next = time.monotonic() + (time.monotonic() - begun) / SHARE if done else 0.0
        elif self._live is not None and begun >= self._next_sign:
            self._sign(self._live)

    def _sign(self, live: Live) -> None:
        write_atomic(self.run.path / VERSION_FILE, live.script(time.time()).encode())
        self._next_sign = time.monotonic() + SIGN
