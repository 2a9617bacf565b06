"""``vidrobust deck``: the slides, live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Deck(Verb):
    """Rebuild the slides from a run, as one offline file.

    Attributes:
        run_dir: a run directory.
        out: the deck; by default deck.html in the run directory.
        script: the slides as Markdown: read if it exists, else written to be edited.
    """

    NEXT = (
        Step("vidrobust deck runs/quick", "the slides with the numbers of the quick study"),
        Step("vidrobust report runs/quick", "the same numbers on a page"),
    )

    run_dir: str = option(positional=True, metavar="RUN")
    out: Path | None = None
    script: Path | None = None

    def run(self, console: Console) -> None:
        """Make it, and print where it is."""
        from vidrobust.results.pages.deck import deck

        print(deck(self.run_dir, self.out, self.script))


def main(arguments: list[str]) -> None:
    """``vidrobust deck RUN``."""
    run(Deck, "deck", arguments)
