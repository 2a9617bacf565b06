"""``vidrobust runs``: the run directories in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Runs(Verb):
    """List the run directories in a folder.

    Attributes:
        folder: where to look.
    """

    NEXT = (
        Step("vidrobust runs", "the run directories in ./runs"),
        Step("vidrobust show runs/at", "what one of them found"),
    )

    folder: str = option(positional=True, nargs="?", metavar="DIR", default="runs")

    def run(self, console: Console) -> None:
        """List them."""
        from vidrobust.results.pages.show import list_runs

        list_runs(self.folder)


def main(arguments: list[str]) -> None:
    """``vidrobust runs DIR``."""
    run(Runs, "runs", arguments)
