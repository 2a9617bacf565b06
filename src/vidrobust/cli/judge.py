"""``vidrobust judge``: how robust a model is, and whether the number can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.cli.model_under_test import ModelUnderTest, Split
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat, option, run
from vidrobust.cli.terminal import printer
from vidrobust.errors import InputError
from vidrobust.evaluation.corruptions.measuring import listed_corruptions
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.models.conventions import Convention
from vidrobust.models.zoo import in_zoo
from vidrobust.results.pages.judgement import lines, page
from vidrobust.runs.wording import counted
from vidrobust.study.engines import Where
from vidrobust.study.judgement import plan_judgement, run_judgement, seconds_a_gradient
from vidrobust.study.judgement_plan import (
    THREAT,
    affordable,
    count_gradients,
    group_threats,
    half_width,
    longest_row,
)
from vidrobust.study.judging import Opened

if TYPE_CHECKING:
    from rich.console import Console

    from vidrobust.study.trained import Trained

CLIPS, CLIPS_OF_ZOO = 200, 10
"""Clips, where neither these nor minutes are asked for; of a model of the zoo few, for an answer within minutes."""


@dataclass(frozen=True, kw_only=True)
class Judge(Verb):
    """Judge a model: its worst case under an ensemble of attacks, and whether the number can be trusted.

    Attributes:
        subject: the run directory of a training or a study, a .safetensors file, a model of the zoo such as
            zoo:motion-at, or with --data a model such as torchvision:r3d_18, hf:ORG/NAME, mypkg.module:factory or a
            checkpoint of 3D-ResNets.
        model: of a study, which of its models: standard, or a policy.
        data: for a model without a run: motion, the embedded data set, or a folder of videos.
        weights: of a model without a run: a checkpoint, or the name of weights that torchvision has.
        classes: for a model without a run, a file with its class names, one per line, in the order of its outputs.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained; auto recognises it.
        frames: of a clip of a model without a run; by default what the model expects.
        size: of its clips, in pixels; by default what the model expects.
        split: the clips to judge on.
        skip_bad: leave out videos that cannot be decoded, and list them.
        threat: such as "Linf(8)", "L2(128)" or "Linf(8, Border(ratio=0.1))", ε in units of 1/255; may be given several
            times.
        clips: the most clips to judge on; 0 takes all. By default 200, of a model of the zoo 10, or as
            many as --minutes allow.
        minutes: take as many clips as can be judged in about so many minutes.
        ensemble: how hard attacks try.
        corruption: under which corruptions the accuracy is measured besides, such as ucf101-p or
            "frames(severity=(1,3,5))"; may be given several times.
        where: where the jobs run.
        out: the run directory; the same command goes on there after a kill.
        dry_run: say what it would cost, and stop.
    """

    NEXT = (
        Step("vidrobust judge zoo:motion-at", "a model of the zoo, in minutes"),
        Step("vidrobust judge runs/at --minutes 5 --dry-run", "how many clips five minutes allow"),
        Step("vidrobust judge runs/at --minutes 5", "judge them, and make the page"),
        Step("vidrobust verify runs/judged", "score the adversarial clips anew"),
    )

    subject: str = option(positional=True, type=str)
    model: str = "standard"
    data: str | None = None
    weights: str | None = None
    classes: Path | None = None
    convention: Convention = "auto"
    frames: int | None = None
    size: int | None = None
    split: Split = "test"
    skip_bad: bool = False
    threat: list[str] | None = option(action="append", default=None)
    corruption: list[str] | None = option(action="append", default=None)
    clips: int | None = None
    minutes: float | None = None
    ensemble: Ensemble = Ensemble()
    where: Where = flat(Where())
    out: Path = Path("runs/judged")
    dry_run: bool = False

    def __post_init__(self) -> None:
        group_threats(self.threat or [THREAT])  # that they can be made is known before any model is loaded
        listed_corruptions(self.corruption or ())  # as well
        if self.clips is not None and self.minutes is not None:
            raise InputError("--minutes says how many clips there can be: give it or --clips.")
        if self.clips is not None and self.clips < 0:
            raise InputError(f"--clips must be at least 0, but is {self.clips}.")
        if self.minutes is not None and not self.minutes > 0:
            raise InputError(f"--minutes must be above 0, but is {self.minutes:g}.")

    def run(self, console: Console) -> None:
        """Tell the cost, judge, and print the path of the page."""
        self.where.check()
        log = printer(console)
        found = tested(self).found(console, strict=False, only=self.split, count=0 if self.minutes else self._asked)
        pool = found.clips(self.split, 0)
        if len(pool) == 0:
            raise InputError(f"the split {self.split} has no clips.")
        speed, threats = seconds_a_gradient(Opened(found.model.eval(), pool)), group_threats(self.threat or [THREAT])
        count = self._count(len(pool), speed)
        chosen = pool.spread(count)
        a_clip = count_gradients(self.ensemble, threats)
        of_all = f"{len(chosen)} of " if len(chosen) < len(pool) else ""
        minutes = a_clip * longest_row(len(chosen), self.where.processes) * speed / 60
        log(
            f"{of_all}{counted(max(len(chosen), len(pool)), 'clip')} of {counted(len(set(chosen.sources)), 'source')}, "
            f"about {a_clip * len(chosen):,} gradients, "
            f"about {minutes:.1f} min; an accuracy of 50 % gets an interval of ±{half_width(chosen.sources):.1%}"
        )
        if self.dry_run:
            return
        plan = plan_judgement(
            found.model,
            chosen,
            self._subject(found),
            name=found.name,
            data=found.data.folder.name,
            threats=self.threat or [THREAT],
            ensemble=self.ensemble,
            origin=found.origin,
            classes=len(found.data.classes),
            corruptions=self.corruption or (),
        )
        judgement = run_judgement(plan, self.out, self.where, console)
        for line in lines(judgement):
            log(line)
        print(page(judgement))

    @property
    def _asked(self) -> int:
        """Clips, where minutes do not decide; 0 is all."""
        usual = CLIPS_OF_ZOO if in_zoo(self.subject) else CLIPS
        return usual if self.clips is None else self.clips

    def _count(self, there: int, speed: float) -> int:
        if self.minutes is None:
            return self._asked or there
        found = affordable(
            self.minutes, speed, self.where.processes, self.ensemble, group_threats(self.threat or [THREAT])
        )
        return min(found, there)

    def _subject(self, found: Trained) -> dict[str, Any]:
        """The model and its data, so that a process anywhere finds them."""
        if is_run(self.subject, self.data):
            place = self.subject if in_zoo(self.subject) else str(Path(self.subject).resolve())
            return {"split": self.split, "run": place, "model": self.model}
        asked = found.origin if self.subject.startswith("hf:") and self.weights is None else self.subject  # pinned
        model, file = (
            str(Path(text).resolve()) if text and Path(text).exists() else text for text in (asked, self.weights)
        )
        about = {"model": model, "file": file, "convention": self.convention, "data": found.data.config}
        return {"split": self.split, **about}


def is_run(subject: str, data: str | None) -> bool:
    """Is it a run directory, a file that says which data it was trained on, or a model of the zoo?"""
    return data is None and (in_zoo(subject) or Path(subject).exists())


def tested(of: Any) -> ModelUnderTest:
    """The options of a judgement as those of other verbs."""
    common: dict[str, Any] = {"convention": of.convention, "frames": of.frames, "size": of.size}
    common |= {"split": of.split, "skip_bad": of.skip_bad, "weights": of.weights, "data": of.data}
    common["classes"] = of.classes
    if is_run(of.subject, of.data):
        return ModelUnderTest(run_dir=Path(of.subject), model=of.model, **common)
    if of.data is None:
        raise InputError(f"{of.subject} is no run directory; for a model of your own give --data as well.")
    return ModelUnderTest(model=of.subject, **common)


def main(arguments: list[str]) -> None:
    """``vidrobust judge MODEL --data DATA``, ``vidrobust judge RUN``."""
    run(Judge, "judge", arguments)
