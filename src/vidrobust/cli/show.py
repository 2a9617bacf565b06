"""``vidrobust show``: what the page says, in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Show(Verb):
    """Show what a run found, in the terminal.

    Attributes:
        run_dir: a run directory.
    """

    NEXT = (
        Step("vidrobust show runs/at", "what a run found"),
        Step("vidrobust report runs/at", "the same as a page"),
    )

    run_dir: str = option(positional=True, metavar="RUN")

    def run(self, console: Console) -> None:
        """Show it."""
        from vidrobust.results.pages.show import show

        show(self.run_dir)


def main(arguments: list[str]) -> None:
    """``vidrobust show RUN``."""
    run(Show, "show", arguments)
