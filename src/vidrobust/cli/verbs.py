"""The single steps as commands: typed options, and a thin call of the public API behind each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from vidrobust.attacks.aimed import Aimed
from vidrobust.attacks.blind import Blind, classifier_behind
from vidrobust.attacks.text import from_text, object_from_text
from vidrobust.cli.terminal import show_robustness, telling
from vidrobust.data.dataset import DataConfig
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import BATCH, evaluate, ranks, refuse_targets
from vidrobust.evaluation.defences import Defended, adaptive
from vidrobust.evaluation.examples import examples
from vidrobust.evaluation.fields import budget
from vidrobust.evaluation.videos import Average, Level, evaluate_views
from vidrobust.models.conventions import Convention
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row
from vidrobust.study.jobs import first
from vidrobust.study.plan import cost, study
from vidrobust.study.progress import Display
from vidrobust.study.trained import Source, Trained, refuse_gradients
from vidrobust.training.fitting import append_new

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation.clips import Progress
    from vidrobust.study.recipes import StudyConfig

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What evaluate, sweep and attack look at: a run, or a model of one's own with the data to judge it on.

    Attributes:
        run_dir: the run directory of `vidrobust train` or of a study, or a .safetensors file; without it, model and
            data are needed.
        model: with a study, which of its models: standard, or a policy. Without a run, the model itself, such as
            torchvision:r3d_18, hf:ORG/NAME, mypkg.module:factory, model.onnx, or a checkpoint of 3D-ResNets.
        weights: of a model without a run: a checkpoint, or the name of weights that torchvision has.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained; auto recognises it.
        data: for a model without a run: motion, the embedded data set, or a folder of videos.
        frames, size: of its clips; by default what the model expects.
        split: the clips to attack.
        skip_bad: leave out videos that cannot be decoded.
    """

    run_dir: Path | None = None
    model: str = "standard"
    weights: str | None = None
    convention: Convention = "auto"
    data: str | None = None
    frames: int | None = None
    size: int | None = None
    split: Split = "test"
    skip_bad: bool = False

    def found(self, console: Console) -> Trained:
        """The model and its data.

        Raises:
            InputError: neither a run nor a model with data is given, or both.
        """
        if self.run_dir is not None:
            if self.data is not None or self.weights is not None:
                raise InputError(f"{self.run_dir} has its own data and weights: leave out --data and --weights.")
            return Trained.find(self.run_dir, self.model)
        if self.model == "standard" or self.data is None:
            raise InputError("give a run directory, or a model and data: --model SPEC [--weights FILE] --data PATH.")
        config = DataConfig(name=self.data, skip_bad=self.skip_bad)
        source = Source(self.model, self.weights, convention=self.convention)
        return Trained.bring(source, config, telling(console), frames=self.frames, size=self.size)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Judged):
    """Accuracy of a model under attacks; the rows are added to its run, or go to --out.

    Attributes:
        attack: attacks such as "PGD(ε=8,α=α*,i=20)"; α* is that of the study, or else looked for on training clips.
        clips: the most clips to attack; 0 attacks all.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        defence: an input transform before the model, such as "Recompress(quality=20)", "RandomCrop(share=0.8)" or
            "FrameShuffle(window=4)". Behind a transform or a purifier, each attack is made twice: through it, and on
            the classifier alone (blind).
        out: a run directory of its own for the rows, with a page.
        views: clips of each video, evenly over it, or sliding, one behind the other over all of it.
        level: count clips, or videos by the average over their clips, each clip attacked or the video's answer.
        average: of the logits, or of the probabilities.
    """

    attack: list[str]
    defence: str = ""
    clips: int = 0
    alpha_star: Path | None = None
    out: Path | None = None
    views: int | Literal["sliding"] = 1
    level: Level = "clip"
    average: Average = "logits"

    def run(self, console: Console) -> None:
        """Evaluate, and print a table."""
        texts = ["".join(text.split()) for text in self.attack]
        steps = sum(getattr(check(text), "steps", 1) for text in texts)
        found = self.found(console)
        chosen = found.clips(self.split, self.clips)
        with Display(steps * len(chosen), console) as display:
            alpha_star = found.alpha_star(self.alpha_star)
            searches = [from_text(text, alpha_star) for text in texts]
            for search in searches:
                refuse_gradients(found.model, search)
            model, name = self._defended(found)
            attacks = [adaptive(search, model) for search in searches]
            if classifier_behind(model) is not None and (self.views, self.level) == (1, "clip"):
                attacks += [Blind(search) for search in searches]
                texts += [f"{text}, blind" for text in texts]
            measured = self._measured(model, chosen, attacks, display.add)
        about = {"model": name, "seed": found.seed, "split": self.split}
        names = ["none", *(text for text in texts for _ in range((len(measured) - 1) // len(texts)))]
        rows = [{**row, **about, "attack": text} for row, text in zip(measured, names, strict=True)]
        show_robustness(name, rows, console)
        keys = ("kind", "model", "seed", "split", "clips", "attack", "level", "views", "average", "attacked")
        if self.out is not None:
            from vidrobust.results.pages.report import report

            asked = {"of": found.origin, "model": found.name, "data": asdict(found.data.config)}
            run = Run.start(self.out, "evaluate", asked, found.seed)
            append_new(run, [found.data.row], ("kind", "name"))
            append_new(run, rows, keys)
            print(report([run.path]))
        elif found.run is not None:
            append_new(found.run, rows, keys)

    def _defended(self, found: Trained) -> tuple[nn.Module, str]:
        """The model behind its transform, and its name."""
        if not self.defence:
            return found.model, found.name
        transform = object_from_text(self.defence)
        return Defended(found.model, transform).eval(), f"{found.name} behind {transform}"

    def _measured(self, model: nn.Module, clips: Clips, attacks: list[Any], progress: Progress) -> list[Row]:
        if self.views == 1 and self.level == "clip":
            return evaluate(model, clips, attacks, progress)
        asked: dict[str, Any] = {"views": self.views, "level": self.level, "average": self.average}
        return evaluate_views(model, clips, attacks, **asked, progress=progress)


@dataclass(frozen=True, kw_only=True)
class Attack(Judged):
    """Attack some clips and keep them, losslessly, in a run directory whose page shows them.

    Attributes:
        out: the run directory to write.
        attack: such as "PGD(ε=8,α=α*,i=20)".
        clips: how many rightly classified clips.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        target: the class that a targeted attack is to reach, by name; clips of that class are left out.
    """

    out: Path
    attack: str = "PGD(ε=8,α=α*,i=20)"
    clips: int = 4
    alpha_star: Path | None = None
    target: str = ""

    def run(self, console: Console) -> None:
        """Attack, store, and print the path of the page."""
        from vidrobust.results.pages.report import report

        check(self.attack, aimed=bool(self.target))
        found = self.found(console)
        attack = from_text(self.attack, found.alpha_star(self.alpha_star))
        refuse_gradients(found.model, attack)
        aimed = self._aimed(attack, found.data.classes)
        asked = {"attack": self.attack, "model": found.name, "split": self.split, "clips": self.clips}
        asked |= {"target": self.target} if self.target else {}
        run = Run.start(self.out, "attack", {**asked, "of": found.origin}, found.seed)
        pool = found.clips(self.split, max(BATCH * 2, self.clips))
        usable = (ranks(found.model, pool) == 0) & (pool.labels != getattr(aimed, "target", -1))
        right = pool.subset(usable.nonzero().flatten())
        if len(right) == 0:
            raise InputError(f"{found.name} classifies none of {len(pool)} clips rightly: there is nothing to attack.")
        eps, alpha, steps = budget(attack)
        setting: Row = {"model": found.name, "attack": self.attack, "eps": eps, "alpha": alpha, "steps": steps}
        folder = run.job_path("examples")
        folder.mkdir(parents=True, exist_ok=True)
        rows = examples(found.model, first(right, self.clips), aimed, folder, setting)
        append_new(run, [found.data.row], ("kind", "name"))
        append_new(run, rows, ("kind", "video", "file"))
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


TARGETED = "PGD(ε=8,α=2,i=20,targeted=true)"


def check(text: str, aimed: bool = False) -> Any:
    """The attack of a text with some step size for α*: that it can be made is known before any model is loaded."""
    attack = from_text(text, lambda eps, steps: 1.0)
    if not aimed:
        refuse_targets(attack)
    return attack


def run_study(
    config: StudyConfig,
    *,
    data: str | None,
    out: Path | None,
    workers: int,
    skip_bad: bool,
    dry_run: bool,
    **where: Any,
) -> None:
    """What ``vidrobust study`` does: the cost, then the study, then the path of its page."""
    if workers < 1:
        raise InputError(f"--workers must be at least 1, but is {workers}.")
    clips = replace(config.clips, name=data or config.clips.name, skip_bad=skip_bad or config.clips.skip_bad)
    config = replace(config, clips=replace(clips, seed=config.seed))
    console = Console(stderr=True, emoji=False)
    console.print(f"study, profile {config.profile}: {cost(config, workers)}", highlight=False, soft_wrap=True)
    if dry_run:
        return
    print(study(config, out or Path("runs") / config.profile, workers, console, **where))


def default_workers() -> int:
    """A process for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, cores or 1)
