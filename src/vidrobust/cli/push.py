"""``vidrobust push``: a trained model as a repository of the Hugging Face Hub, with its judgement as its card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run
from vidrobust.cli.terminal import printer
from vidrobust.results.judgements.record import read_judgement
from vidrobust.study.sharing import repository, upload, write_folder
from vidrobust.study.trained import weights_of

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Push(Verb):
    """Push a trained model to the Hugging Face Hub: weights, config, and a card made from its judgement.

    Attributes:
        subject: the run directory of a training or a study, or a .safetensors file that vidrobust wrote.
        to: the repository, hf:ORG/NAME; made if it is not there.
        model: of a study, which of its models: standard, or a policy.
        judgement: the folder that `vidrobust judge` wrote of this model; without it the card says that it was not
            judged.
        private: make the repository private, if it is new.
        out: the folder that is written and pushed; by default hub in the run directory.
        dry_run: write the folder, and stop.
    """

    NEXT = (
        Step("vidrobust push runs/at hf:ORG/at-motion --judgement runs/at-judged --dry_run", "look at it before"),
        Step("vidrobust judge hf:ORG/at-motion --data motion", "what anybody may then do"),
    )

    subject: Path = option(positional=True, type=Path, metavar="RUN")
    to: str = option(positional=True, type=str, metavar="hf:ORG/NAME")
    model: str = "standard"
    judgement: Path | None = None
    private: bool = False
    out: Path | None = None
    dry_run: bool = False

    def run(self, console: Console) -> None:
        """Write the folder, push it, and print the text that loads the model; of a dry run the files."""
        name = repository(self.to)
        judgement = None if self.judgement is None else read_judgement(self.judgement)
        found, _, weights = weights_of(self.subject, self.model)
        folder = self.out or (self.subject if found else self.subject.parent) / "hub"
        rows = [] if found is None or found.kind != "train" else found.rows("accuracy")
        files = write_folder(weights, folder, name, judgement, rows)
        log = printer(console)
        if judgement is None:
            log("the model was not judged, and its card says so: --judgement DIR, of `vidrobust judge`.")
        if self.dry_run:
            print(*files, sep="\n")
            return
        print(upload(folder, name, self.private))


def main(arguments: list[str]) -> None:
    """``vidrobust push RUN hf:ORG/NAME``."""
    run(Push, "push", arguments)
