"""``vidrobust transfer``: clips perturbed on one model, shown to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.attacks.text import from_text
from vidrobust.attacks.traits import attack_cost
from vidrobust.cli.model_under_test import Split, checked
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run
from vidrobust.cli.terminal import show_tables
from vidrobust.cli.video_bar import video_bar
from vidrobust.errors import InputError, UsageError
from vidrobust.evaluation.defences import TRANSFORMS
from vidrobust.evaluation.manifest import manifest_rows
from vidrobust.evaluation.transfer import transfer
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.figures.transfer import transfer_tables
from vidrobust.runs.directory import Run
from vidrobust.runs.files import check_writable
from vidrobust.study.config import check_count
from vidrobust.study.progress import Display
from vidrobust.study.trained import Trained, refuse_gradients

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Transfer(Verb):
    """The accuracy of each model on clips that were perturbed on each of them.

    Attributes:
        runs: two or more run directories of `vidrobust train`, .safetensors files or models of the zoo. The clips are
            those of the first; all must have its classes.
        attack: such as "MIFGSM(ε=8,i=10)"; may be given several times. α* is that of the first model.
        ensembles: for each target, also perturb on the mean logits of all others (of three models or more).
        clips: the most clips to attack; 0 attacks all.
        split: the clips to attack.
        out: a run directory for the rows, with a page.
    """

    NEXT = (
        Step('vidrobust transfer runs/a runs/b runs/c --attack "MIFGSM(ε=8,i=10)"', "a matrix in the terminal"),
        Step('vidrobust transfer runs/a runs/b --attack "MIFGSM(ε=8)" --out runs/transfer', "and as a page"),
    )

    runs: list[Path] = option(positional=True, nargs="+", type=Path, metavar="RUN")
    attack: list[str] = option(action="append")
    ensembles: bool = False
    clips: int = 0
    split: Split = "test"
    out: Path | None = None

    def __post_init__(self) -> None:
        check_count("--clips", self.clips, 0)
        if len(self.runs) < 2 + self.ensembles:
            least = "three models with --ensembles" if self.ensembles else "two models"
            raise UsageError(f"give at least {least}: vidrobust transfer A B C --attack TEXT.")

    def run(self, console: Console) -> None:
        """Attack each model, show the clips to all, and print the matrices."""
        cost = sum(attack_cost(checked(text)) for text in self.attack)
        if self.out is not None:
            check_writable(self.out)
        with video_bar(console) as progress:
            models = named(self.runs, [Trained.find(path, progress=progress) for path in self.runs])
        first = next(iter(models.values()))
        out = None if self.out is None else self._started(self.out, models)
        attacks = [from_text(text, first.alpha_star(), TRANSFORMS) for text in self.attack]
        for found in models.values():
            for attack in attacks:
                refuse_gradients(found.model, attack)
        others = [[name for name in models if name != target] for target in models] if self.ensembles else []
        clips = first.clips(self.split, self.clips)
        networks = {name: found.model for name, found in models.items()}
        with Display(cost * len(clips) * (len(models) + len(others)), console) as display:
            rows = transfer(networks, clips, attacks, others, display.add)
        weights = {name: fingerprint(network) for name, network in networks.items()}
        about = {name: {"seed": found.seed, "split": self.split} for name, found in models.items()}
        rows = [{**row, **about[row["model"]], "weights": weights[row["model"]]} for row in rows]
        rows = [*manifest_rows(rows), *rows]
        show_tables(transfer_tables(rows), console)
        if out is not None:
            from vidrobust.results.pages.report import report

            out.append(rows)
            print(report([out.path]))

    def _started(self, out: Path, models: dict[str, Trained]) -> Run:
        """The run directory, refused before anything is measured."""
        first = next(iter(models.values()))
        asked = {"of": {name: found.origin for name, found in models.items()}, "data": asdict(first.data.config)}
        run = Run.start(out, "transfer", asked, first.seed)
        run.append(first.rows())
        return run


def named(paths: Sequence[Path], found: Sequence[Trained]) -> dict[str, Trained]:
    """The models by names of their own: of two that are called alike, with their folders.

    Raises:
        InputError: a model has other classes than the first, or stands there twice.
    """
    names = [one.name for one in found]
    models: dict[str, Trained] = {}
    for path, one in zip(paths, found, strict=True):
        name = one.name if names.count(one.name) == 1 else f"{one.name} of {path.name}"
        if one.data.classes != found[0].data.classes:
            raise InputError(f"{path} has other classes than {paths[0]}: transfer is between models of the same.")
        if name in models:
            raise InputError(f"{path} stands there twice, as {name}: give each model once, in folders of other names.")
        models[name] = one
    return models


def main(arguments: list[str]) -> None:
    """``vidrobust transfer A B [C…] --attack TEXT``."""
    run(Transfer, "transfer", arguments)
