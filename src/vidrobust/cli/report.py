"""``vidrobust report``: the page, or figures and tables for a paper, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run
from vidrobust.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Report(Verb):
    """Make the page of one or several run directories, or figures and tables for a paper.

    Attributes:
        runs: a run directory.
        out: the page, or the folder of figures and tables; by default in the run directory.
        figures: draw the figures for a paper instead.
        tables: write the tables for a paper instead.
    """

    NEXT = (
        Step("vidrobust report runs/at", "the page, offline in one file"),
        Step("vidrobust report runs/at --tables markdown", "the tables for a paper"),
    )

    runs: list[str] = option(positional=True, nargs="+", type=str, metavar="RUN")
    out: Path | None = None
    figures: Literal["pdf", "svg", "png"] | None = None
    tables: Literal["latex", "csv", "markdown"] | None = None

    def run(self, console: Console) -> None:
        """Make them, and print where they are."""
        from vidrobust.results.pages.paper import paper_figures
        from vidrobust.results.pages.report import report
        from vidrobust.results.pages.tables import tables

        if not self.figures and not self.tables:
            print(report(self.runs, self.out))
            return
        if len(self.runs) > 1:
            raise UsageError("figures and tables for a paper are made of one run at a time.")
        written = paper_figures(self.runs[0], self.figures, self.out) if self.figures else []
        written += tables(self.runs[0], self.tables, self.out) if self.tables else []
        print(*written, sep="\n")


def main(arguments: list[str]) -> None:
    """``vidrobust report RUN [RUN…]``."""
    run(Report, "report", arguments)
