"""``vidrobust compare``: two judgements, clip for clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run
from vidrobust.cli.terminal import printer
from vidrobust.results.judgements.pairs import compared, left_out
from vidrobust.results.judgements.record import read_judgement
from vidrobust.results.pages.console import printable

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Compare(Verb):
    """Compare two judgements by their difference on the clips that both saw.

    Attributes:
        first: a folder that `vidrobust judge` wrote.
        second: another.
    """

    NEXT = (
        Step("vidrobust compare runs/judged-a runs/judged-b", "which model is more robust, and how sure that is"),
        Step("vidrobust leaderboard runs", "all judgements on one page"),
    )

    first: Path = option(positional=True, type=Path)
    second: Path = option(positional=True, type=Path)

    def run(self, console: Console) -> None:
        """Print the differences, and which numbers not to trust."""
        judgements = read_judgement(self.first), read_judgement(self.second)
        differences = compared(*judgements)
        print(printable(f"{judgements[0].name} less {judgements[1].name}, paired by clip:"))
        for difference in differences:
            print(difference)
        log = printer(console)
        for text in left_out(*judgements):
            log(text)
        if not differences[0].found.trusted:
            log(f"only {differences[0].found.sources} sources: the intervals are not to be trusted.")
        for judgement in judgements:
            if not judgement.trust:
                log(f"{judgement.path.parent}: do not trust, because {'; '.join(judgement.record['reasons'])}.")


def main(arguments: list[str]) -> None:
    """``vidrobust compare A B``."""
    run(Compare, "compare", arguments)
