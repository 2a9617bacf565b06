"""``vidrobust export``: the rows of a run as a table, one column per field, for pandas, DuckDB or polars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Write the rows of a run as Parquet.

    Attributes:
        run_dir: a run directory.
        out: the file to write.
        kind: rows of this kind only, such as robustness.
    """

    NEXT = (
        Step("vidrobust export runs/at rows.parquet", "one table, a row for each measurement"),
        Step("vidrobust show runs/at", "what the rows say, in the terminal"),
    )

    run_dir: str = option(positional=True, metavar="RUN")
    out: str = option(positional=True, metavar="OUT.parquet")
    kind: str | None = None

    def run(self, console: Console) -> None:
        """Write them, and print where they are."""
        from vidrobust.results.export import export

        print(export(self.run_dir, self.out, self.kind))


def main(arguments: list[str]) -> None:
    """``vidrobust export RUN OUT.parquet``."""
    run(Export, "export", arguments)
