"""``vidrobust evaluate``: accuracy of a model under attacks and under corruptions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from vidrobust.attacks.blind import Blind, classifier_behind
from vidrobust.attacks.text import from_text, object_from_text
from vidrobust.attacks.traits import attack_cost
from vidrobust.cli.model_under_test import ModelUnderTest, checked
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat, option, run
from vidrobust.cli.terminal import show_corruptions, show_robustness
from vidrobust.errors import InputError, UsageError
from vidrobust.evaluation.clips import evaluate
from vidrobust.evaluation.corruptions.measuring import (
    corruption_examples,
    evaluate_corruptions,
    listed_corruptions,
)
from vidrobust.evaluation.defences import DRAWS, TRANSFORMS, Defended, adaptive, is_random
from vidrobust.evaluation.fields import spelled
from vidrobust.evaluation.manifest import manifest_rows
from vidrobust.evaluation.videos import Average, Level, evaluate_views
from vidrobust.fast.spilled import spill
from vidrobust.models.fingerprint import fingerprint
from vidrobust.runs.directory import Run
from vidrobust.runs.files import check_writable
from vidrobust.runs.rows import Row
from vidrobust.study.config import check_count
from vidrobust.study.progress import Display
from vidrobust.study.trained import Trained, refuse_gradients
from vidrobust.training.fitting import study_alpha_star

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation.clips import GradientProgress
    from vidrobust.evaluation.corruptions import Corruption


@dataclass(frozen=True, kw_only=True)
class Evaluate(Verb):
    """Accuracy of a model under attacks and corruptions; the rows are added to its run, or go to --out.

    Attributes:
        subject: the model and its clips.
        attack: such as "PGD(ε=8,α=α*,i=20)"; may be given several times. α* is that of the study, or else looked for on
            training clips.
        corruption: such as minikinetics-c, "ucf101-p(kinds=(jumble,jpeg),severity=1-3)" or frames; may be given several
            times. Besides the accuracies, a clip to watch of each kind is stored.
        reference: the run directory of a model that is measured under the same corruptions, as the unit of mCE.
        clips: the most clips to attack; 0 attacks all.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        defence: an input transform before the model, such as "JPEG(quality=50)", "Recompress(quality=20)",
            "RandomCrop(share=0.8)" or "FrameShuffle(window=4)". Behind a transform or a purifier, each attack is made
            twice: through it, and on the classifier alone (blind).
        out: a run directory of its own for the rows, with a page.
        views: clips of each video, evenly over it, or sliding, one behind the other over all of it.
        level: count clips, or videos by the average over their clips, each clip attacked or the video's answer.
        average: of the logits, or of the probabilities.
        spill: a folder on a disk for what attacks hold of long videos, of which memory then holds little.
    """

    NEXT = (
        Step('vidrobust evaluate runs/at --attack "PGD(ε=8,α=α*,i=20)"', "accuracy under PGD"),
        Step('vidrobust evaluate runs/at --attack "AutoAttack(ε=8)" --clips 50', "under stronger attacks"),
        Step("vidrobust evaluate runs/at --corruption ucf101-p", "under noise, blur, compression and jumbled frames"),
        Step("vidrobust judge runs/at", "and whether to believe the number"),
    )

    subject: ModelUnderTest = flat(ModelUnderTest())
    attack: list[str] | None = option(action="append", default=None)
    corruption: list[str] | None = option(action="append", default=None)
    reference: Path | None = None
    defence: str = ""
    clips: int = 0
    alpha_star: Path | None = None
    out: Path | None = None
    views: int | Literal["sliding"] = 1
    level: Level = "clip"
    average: Average = "logits"
    spill: Path | None = None

    def __post_init__(self) -> None:
        check_count("--clips", self.clips, 0)
        if not isinstance(self.views, str):
            check_count("--views", self.views)
        if not self.attack and not self.corruption:
            raise UsageError('say under what: --attack "PGD(ε=8,α=α*,i=20)", --corruption ucf101-p, or both.')
        if self.corruption and (self.views, self.level) != (1, "clip"):
            raise InputError("corruptions are of centre clips: leave out --views and --level, or --corruption.")
        if self.reference is not None and not self.corruption:
            raise InputError("--reference is the model that --corruption compares with: give both.")

    def run(self, console: Console) -> None:
        """Evaluate, and print a table."""
        with spill(self.spill):
            self._evaluate(console)

    def _evaluate(self, console: Console) -> None:
        texts = ["".join(text.split()) for text in self.attack or ()]
        wanted = listed_corruptions(self.corruption or ())
        steps = sum(attack_cost(checked(text)) for text in texts) + len(wanted) * (2 if self.reference else 1)
        transform = object_from_text(self.defence, TRANSFORMS) if self.defence else None
        known = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        if self.out is not None:
            check_writable(self.out)
        found = self.subject.found(console)
        run = found.run if self.out is None else self._started(self.out, found)
        chosen = found.clips(self.subject.split, self.clips)
        with Display(steps * len(chosen), console) as display:
            alpha_star = (known or found.alpha_star()) if texts else None
            searches = [from_text(text, alpha_star, TRANSFORMS) for text in texts]
            texts = [spelled(text, search) for text, search in zip(texts, searches, strict=True)]
            for search in searches:
                refuse_gradients(found.model, search)
            model, name = (found.model, found.name) if transform is None else defended(found, transform)
            attacks = [adaptive(search, model) for search in searches]
            if classifier_behind(model) is not None and (self.views, self.level) == (1, "clip"):
                attacks += [Blind(search, DRAWS if is_random(model) else 1) for search in searches]
                texts += [f"{text}, blind" for text in texts]
            measured = self._measured(model, chosen, attacks, display.add)
            harmed = evaluate_corruptions(model, chosen, wanted, progress=display.add)
            others = [] if self.reference is None else self._reference(found, name, wanted, chosen, display.add)
        about = {"model": name, "seed": found.seed, "split": self.subject.split, "weights": fingerprint(found.model)}
        names = ["none", *(text for text in texts for _ in range((len(measured) - 1) // len(texts)))]
        rows = [{**row, **about, "attack": text} for row, text in zip(measured, names, strict=True)]
        rows = [*manifest_rows(rows), *rows]
        show_robustness(name, rows, console)
        rows += [{**row, **about} for row in harmed] + others
        show_corruptions(rows, console)
        if run is not None and wanted:
            example_rows = corruption_examples(model, chosen, wanted, run.path / "corruptions")
            rows += [{**row, "model": name, "seed": found.seed} for row in example_rows]
        if run is not None:
            run.append(rows)
        if self.out is not None:
            from vidrobust.results.pages.report import report

            print(report([self.out]))

    def _started(self, out: Path, found: Trained) -> Run:
        """The run directory of its own, refused before anything is measured."""
        asked = {"of": found.origin, "model": found.name, "data": asdict(found.data.config)}
        run = Run.start(out, "evaluate", asked, found.seed)
        run.append(found.rows())
        return run

    def _reference(
        self, found: Trained, name: str, wanted: Sequence[Corruption], clips: Clips, progress: GradientProgress
    ) -> list[Row]:
        """The rows of the reference, on the same clips; where it has the same name, its folder tells it apart."""
        assert self.reference is not None
        other = Trained.find(self.reference)
        if len(other.data.classes) != len(found.data.classes):
            raise InputError(f"{self.reference} has {len(other.data.classes)} classes, not {len(found.data.classes)}.")
        called = other.name if other.name != name else f"{other.name} of {self.reference.resolve().name}"
        about = {"model": called, "seed": other.seed, "split": self.subject.split, "reference": True}
        about["weights"] = fingerprint(other.model)
        return [{**row, **about} for row in evaluate_corruptions(other.model, clips, wanted, progress=progress)]

    def _measured(self, model: nn.Module, clips: Clips, attacks: list[Any], progress: GradientProgress) -> list[Row]:
        if self.views == 1 and self.level == "clip":
            return evaluate(model, clips, attacks, progress)
        asked: dict[str, Any] = {"views": self.views, "level": self.level, "average": self.average}
        return evaluate_views(model, clips, attacks, **asked, progress=progress)


def defended(found: Trained, transform: Any) -> tuple[nn.Module, str]:
    """The model behind an input transform, and its name."""
    return Defended(found.model, transform).eval(), f"{found.name} behind {transform}"


def main(arguments: list[str]) -> None:
    """``vidrobust evaluate [RUN] --attack TEXT --corruption TEXT``."""
    run(Evaluate, "evaluate", arguments)
