"""``vidrobust attack``: attack some clips and keep them to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from vidrobust.attacks.aimed import Aimed
from vidrobust.attacks.text import from_text
from vidrobust.cli.model_under_test import ModelUnderTest, checked
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat, run
from vidrobust.data.recorded import recorded_frames
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import BATCH, clip_ranks
from vidrobust.evaluation.defences import TRANSFORMS
from vidrobust.evaluation.examples import examples
from vidrobust.evaluation.fields import attack_budget
from vidrobust.runs.directory import Run
from vidrobust.runs.files import check_writable
from vidrobust.runs.rows import Row
from vidrobust.study.config import check_count
from vidrobust.study.trained import refuse_gradients
from vidrobust.training.fitting import study_alpha_star

TARGETED = "PGD(ε=8,α=2,i=20,targeted=true)"


@dataclass(frozen=True, kw_only=True)
class AttackClips(Verb):
    """Attack some clips and keep them, losslessly, in a run directory whose page shows them.

    Attributes:
        subject: the model and its clips.
        out: the run directory to write.
        attack: such as "PGD(ε=8,α=α*,i=20)".
        clips: how many rightly classified clips.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        target: the class that a targeted attack is to reach, by name; clips of that class are left out.
    """

    NEXT = (
        Step("vidrobust attack runs/at --out runs/attacked", "four clips of the model in runs/at"),
        Step("vidrobust report runs/attacked", "the page that shows them"),
    )

    subject: ModelUnderTest = flat(ModelUnderTest())
    out: Path
    attack: str = "PGD(ε=8,α=α*,i=20)"
    clips: int = 4
    alpha_star: Path | None = None
    target: str = ""

    def __post_init__(self) -> None:
        check_count("--clips", self.clips)

    def run(self, console: Console) -> None:
        """Attack, store, and print the path of the page."""
        from vidrobust.results.pages.report import report

        checked(self.attack, aimed=bool(self.target))
        known = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        check_writable(self.out)
        found = self.subject.found(console)
        attack = from_text(self.attack, known or found.alpha_star(), TRANSFORMS)
        refuse_gradients(found.model, attack)
        aimed = self._aimed(attack, found.data.classes)
        asked = {"attack": self.attack, "model": found.name, "split": self.subject.split, "clips": self.clips}
        asked |= {"target": self.target} if self.target else {}
        run = Run.start(self.out, "attack", {**asked, "of": found.origin}, found.seed)
        pool = found.clips(self.subject.split, max(BATCH * 2, self.clips))
        usable = (clip_ranks(found.model, pool) == 0) & (pool.labels != getattr(aimed, "target", -1))
        right = pool.subset(usable.nonzero().flatten())
        if len(right) == 0:
            raise InputError(f"{found.name} classifies none of {len(pool)} clips rightly: there is nothing to attack.")
        eps, alpha, steps = attack_budget(attack)
        setting: Row = {"model": found.name, "attack": self.attack, "eps": eps, "alpha": alpha, "steps": steps}
        folder = run.job_path("examples")
        folder.mkdir(parents=True, exist_ok=True)
        shown = right.spread(self.clips)
        recorded = partial(recorded_frames, found.data, shown)
        rows = examples(found.model, shown, aimed, folder, setting, recorded)
        run.append([found.data.row, *rows])
        for row in rows:
            before, after = row["clean_top"][0], row["adversarial_top"][0]
            console.print(f"{row['video']}: {before[0]} ({before[1]:.2f}) → {after[0]} ({after[1]:.2f})", markup=False)
        print(report([run.path]))

    def _aimed(self, attack: Any, classes: Sequence[str]) -> Any:
        """The attack, with its class to reach.

        Raises:
            InputError: there is no such class, or the attack and the option do not go together.
        """
        if not self.target:
            return attack
        if not getattr(attack, "targeted", False):
            raise InputError(f"--target needs an attack with targeted=true, such as {TARGETED!r}, not {self.attack!r}.")
        if self.target not in classes:
            near = get_close_matches(self.target, classes, 3, 0.0)
            raise InputError(f"--target {self.target!r}: the data have no such class. Near it: {', '.join(near)}.")
        return Aimed(attack, list(classes).index(self.target))


def main(arguments: list[str]) -> None:
    """``vidrobust attack [RUN] --out DIR``."""
    run(AttackClips, "attack", arguments)
