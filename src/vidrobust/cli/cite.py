"""``vidrobust cite``: the citations of a run, as BibTeX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Cite(Verb):
    """Print the BibTeX of the methods, attacks and data of a run or a judgement.

    Attributes:
        run_dir: a run directory, or the folder of a judgement.
    """

    NEXT = (Step("vidrobust cite runs/quick > references.bib", "a file for LaTeX"),)

    run_dir: Path = option(positional=True, type=Path, metavar="RUN")

    def run(self, console: Console) -> None:
        """Print the entries."""
        from vidrobust.study.citing import cite

        print(cite(self.run_dir), end="")


def main(arguments: list[str]) -> None:
    """``vidrobust cite RUN``."""
    run(Cite, "cite", arguments)
