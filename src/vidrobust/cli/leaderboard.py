"""``vidrobust leaderboard``: a page with many judgements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run
from vidrobust.cli.terminal import printer
from vidrobust.results.pages.leaderboard import leaderboard

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Leaderboard(Verb):
    """Make one offline page of all judgements below a folder.

    Attributes:
        folder: holds folders that `vidrobust judge` wrote.
        out: the page; by default leaderboard.html in the folder.
    """

    NEXT = (
        Step("vidrobust leaderboard runs", "all judgements below runs/"),
        Step("vidrobust compare runs/judged-a runs/judged-b", "two of them, clip for clip"),
    )

    folder: Path = option(positional=True, type=Path)
    out: Path | None = None

    def run(self, console: Console) -> None:
        """Write the page, say which records do not count and why, and print its path."""
        path, refused = leaderboard(self.folder, self.out)
        log = printer(console)
        for why in refused:
            log(f"refused: {why}")
        print(path)


def main(arguments: list[str]) -> None:
    """``vidrobust leaderboard FOLDER``."""
    run(Leaderboard, "leaderboard", arguments)
