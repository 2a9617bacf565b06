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
    """Make the page of one or several run directories, figures and tables for a paper, or one zip to hand on.

    Attributes:
        runs: a run directory.
        out: the page, the zip, or the folder of figures and tables; by default in the run directory.
        figures: draw the figures for a paper instead.
        tables: write the tables for a paper instead.
        bundle: make one zip instead: page, deck, rows, record and provenance, of a judgement also its adversarial
            clips; the same run gives the same bytes.
    """

    NEXT = (
        Step("vidrobust report runs/at", "the page, offline in one file"),
        Step("vidrobust report runs/at --tables markdown", "the tables for a paper"),
        Step("vidrobust report runs/at --bundle", "all of it in one zip"),
    )

    runs: list[str] = option(positional=True, nargs="+", type=str, metavar="RUN")
    out: Path | None = None
    figures: Literal["pdf", "svg", "png"] | None = None
    tables: Literal["latex", "csv", "markdown"] | None = None
    bundle: bool = False

    def run(self, console: Console) -> None:
        """Make them, and print where they are."""
        from vidrobust.results.pages.bundle import bundle
        from vidrobust.results.pages.paper import paper_figures
        from vidrobust.results.pages.report import report
        from vidrobust.results.pages.tables import tables

        if self.bundle and (self.figures or self.tables):
            raise UsageError("--bundle makes one zip: leave out --figures and --tables.")
        if not (self.figures or self.tables or self.bundle):
            print(report(self.runs, self.out))
            return
        if len(self.runs) > 1:
            raise UsageError("figures and tables for a paper, and the zip, are made of one run at a time.")
        if self.bundle:
            print(bundle(self.runs[0], self.out))
            return
        written = paper_figures(self.runs[0], self.figures, self.out) if self.figures else []
        written += tables(self.runs[0], self.tables, self.out) if self.tables else []
        print(*written, sep="\n")


def main(arguments: list[str]) -> None:
    """``vidrobust report RUN [RUN…]``."""
    run(Report, "report", arguments)
