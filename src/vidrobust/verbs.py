"""The single steps as commands: typed options, and a thin call of the public API behind each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from vidrobust.attack_text import from_text
from vidrobust.data.dataset import DataConfig, load, open_videos
from vidrobust.dry_run import Estimate
from vidrobust.errors import InputError
from vidrobust.evaluation import BATCH, budget, evaluate, ranks
from vidrobust.fitting import append_new, fit, study_alpha_star
from vidrobust.jobs import device, examples, first
from vidrobust.models.checkpoints import load_model
from vidrobust.models.conventions import Convention
from vidrobust.models.estimate import count, gpu_named
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.spec import build, parse_spec
from vidrobust.notation import parse_policy
from vidrobust.policies import Policy
from vidrobust.progress import Display
from vidrobust.recipes import TRAININGS
from vidrobust.runs import Row, Run
from vidrobust.schedules import Clock
from vidrobust.study import cost, study
from vidrobust.sweeps import step_sizes, sweep
from vidrobust.terminal import rate, show_accuracy, show_robustness
from vidrobust.tracking import TrackerName
from vidrobust.trained import Source, Trained, examined, fitting_clips
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World, joined
from vidrobust.training.learner import frozen_before
from vidrobust.training.watch import Watch
from vidrobust.video_level import Average, Level, evaluate_views

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation import Progress
    from vidrobust.recipes import StudyConfig

Split = Literal["train", "val", "test"]

NOTICES = 20
"""Videos left out or damaged that are named in the terminal; the run's `dataset` row names all."""


@dataclass(frozen=True)
class Train:
    """Train one model under one policy.

    Attributes:
        out: the run directory.
        data: motion, the embedded data set, or a folder of videos.
        method: standard, or a policy such as "AT(ε=8,α=8,i=3)".
        epochs: passes over the training clips.
        batch: clips a step.
        lr: the highest learning rate.
        seed: of the weights, the order of the clips and their augmentation.
        model: such as r3d-18, torchvision:r3d_18, hf:ORG/NAME, pytorchvideo:slow_r50, mypkg.module:factory.
        weights: a checkpoint, a run directory, or the name of weights that torchvision has.
        new_head: replace a last layer of another number of classes by a new one.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained; auto recognises it.
        init: a run directory or .safetensors file to start from.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        recipe: a published training; options after it override it.
        clips: frames, size and number of the clips.
        fit: the optimiser and what fine-tuning asks for; epochs, batch and lr stand above.
        watch: what is looked at after each epoch, on train and validation alike, and when training ends early.
        track: trackers that get the numbers of each epoch: tensorboard, mlflow, wandb. JSON lines are always written.
        skip_bad: leave out videos that cannot be decoded.
        dry_run: say what it would cost, and stop.
        gpu: the GPU for which a dry run estimates.
    """

    out: Path | None = None
    data: str = "motion"
    method: str = "standard"
    epochs: int = 10
    batch: int = 32
    lr: float = 3e-3
    seed: int = 0
    model: str = "r3d-small"
    weights: str | None = None
    new_head: bool = False
    convention: Convention = "auto"
    init: Path | None = None
    alpha_star: Path | None = None
    recipe: str | None = None
    clips: DataConfig = DataConfig()
    fit: FitConfig = FitConfig()
    watch: Watch = Watch(every=1)
    track: tuple[TrackerName, ...] = ()
    skip_bad: bool = False
    dry_run: bool = False
    gpu: str = "A100"

    def run(self, console: Console) -> None:
        """Train, and say how accurate the model is; under torchrun, each process with its part of every batch."""
        with joined() as world:
            self._train(console if world.first else Console(quiet=True), world)

    def _train(self, console: Console, world: World) -> None:
        policy = parse_policy(self.method)
        if policy.family == "fAT" and self.init is None:
            raise InputError(f"{policy} starts from a standard-trained model: give its run directory with --init.")
        how = replace(self.fit, epochs=self.epochs, batch=self.batch, lr=self.lr)
        if self.dry_run:
            print(self._estimate(policy, how))
            return
        if self.out is None or not self.data:
            raise InputError("say where the data is and where the run goes: --data PATH --out DIRECTORY.")
        told = telling(console)
        config = replace(self.clips, name=self.data, skip_bad=self.skip_bad or self.clips.skip_bad)
        model = self._model(config, told).to(device())
        data = load(fitting_clips(model, config), workers=default_workers())
        for notice in data.notices[:NOTICES]:
            told(notice)
        if not isinstance(model, ResNet3d):
            for finding in examined(model, data):
                told(f"self-test of {self.model}: {finding}")
        alpha_star = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        each = sum(policy.cost(Clock(epoch, self.epochs)) for epoch in range(self.epochs))
        with Display(each * len(data.train), console) as display:
            done = fit(
                model,
                data,
                policy,
                settings=how,
                seed=self.seed,
                alpha_star=alpha_star,
                out=self.out,
                watch=self.watch,
                track=self.track,
                world=world,
                progress=display.add,
                told=display.said,
                shown=display.curves,
            )
        show_accuracy(done.rows, console)
        if world.first:
            print(self.out)

    def _estimate(self, policy: Policy, how: FitConfig) -> Estimate:
        """What it would cost; the data need not be there if a recipe knows how large it is."""
        if self.recipe and not self.data:
            about = TRAININGS[self.recipe]().about
            classes, clips = about.classes, about.clips
        else:
            folder = open_videos(replace(self.clips, name=self.data))
            classes, clips = len(folder.classes), len(folder.train)
        model = build(self.model, classes)
        data = fitting_clips(model, self.clips)
        frozen_before(model, how.freeze)  # marks what is trained
        settings = tuple(policy.at(Clock(epoch, how.epochs), lambda eps, steps: eps) for epoch in range(how.epochs))
        counted = count(model, data.frames, data.size)
        return Estimate(self.model, counted, how, data, self.clips.train or clips, settings, gpu_named(self.gpu))

    def _model(self, config: DataConfig, told: Callable[[str], None]) -> nn.Module:
        """The model to start from."""
        if self.init is not None:
            return load_model(self.init)
        classes = len(open_videos(config).classes)
        if self.weights is None and parse_spec(self.model).kind in ("own", "torchvision", "pytorchvideo"):
            return build(self.model, classes, self.seed)  # training from scratch needs no word on random weights
        return Source(self.model, self.weights, self.new_head, self.convention, self.seed).load(classes, told)


def telling(console: Console) -> Callable[[str], None]:
    """Says on the standard error what the user should know."""
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)


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
        plain = DataConfig()
        config = replace(
            plain,
            name=self.data,
            frames=self.frames or plain.frames,
            size=self.size or plain.size,
            max_frames=max(plain.max_frames, self.frames or 0),
            skip_bad=self.skip_bad,
        )
        source = Source(self.model, self.weights, convention=self.convention)
        return Trained.bring(source, config, None, telling(console))


@dataclass(frozen=True, kw_only=True)
class Evaluate(Judged):
    """Accuracy of a model under attacks; the rows are added to its run, or go to --out.

    Attributes:
        attack: attacks such as "PGD(ε=8,α=α*,i=20)"; α* is that of the study, or else looked for on training clips.
        clips: the most clips to attack; 0 attacks all.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        out: a run directory of its own for the rows, with a page.
        views: clips of each video, evenly over it, or sliding, one behind the other over all of it.
        level: count clips, or videos by the average over their clips, each clip attacked or the video's answer.
        average: of the logits, or of the probabilities.
    """

    attack: list[str]
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
            attacks = [from_text(text, alpha_star) for text in texts]
            measured = self._measured(found.model, chosen, attacks, display.add)
        about = {"model": found.name, "seed": found.seed, "split": self.split}
        names = ["none", *(text for text in texts for _ in range((len(measured) - 1) // len(texts)))]
        rows = [{**row, **about, "attack": text} for row, text in zip(measured, names, strict=True)]
        show_robustness(found.name, rows, console)
        keys = ("kind", "model", "seed", "split", "clips", "attack", "level", "views", "average", "attacked")
        if self.out is not None:
            from vidrobust.pages.report import report

            asked = {"of": found.origin, "model": found.name, "data": asdict(found.data.config)}
            run = Run.start(self.out, "evaluate", asked, found.seed)
            append_new(run, [found.data.row], ("kind", "name"))
            append_new(run, rows, keys)
            print(report([run.path]))
        elif found.run is not None:
            append_new(found.run, rows, keys)

    def _measured(self, model: nn.Module, clips: Clips, attacks: list[Any], progress: Progress) -> list[Row]:
        if self.views == 1 and self.level == "clip":
            return evaluate(model, clips, attacks, progress)
        asked: dict[str, Any] = {"views": self.views, "level": self.level, "average": self.average}
        return evaluate_views(model, clips, attacks, **asked, progress=progress)


@dataclass(frozen=True, kw_only=True)
class Sweep(Judged):
    """Loss and accuracy over step sizes × iterations at one ε, and α*; the rows are added to the run.

    Attributes:
        eps: ε in units of 1/255.
        steps: iteration counts for α*; the longest bounds the trajectories.
        alpha: step sizes in units of 1/255; none looks for α* on a widening grid instead.
        clips: the most clips to attack; 0 attacks all.
    """

    eps: float = 8.0
    steps: tuple[int, ...] = (5, 10, 20)
    alpha: tuple[float, ...] = ()
    split: Split = "val"
    clips: int = 100

    def run(self, console: Console) -> None:
        """Sweep, and print what was found."""
        found = self.found(console)
        chosen = found.clips(self.split, self.clips)
        longest = max(self.steps)
        with Display((len(self.alpha) or 8) * longest * len(chosen), console) as display:
            if self.alpha:
                measured = sweep(found.model, chosen, self.eps, self.alpha, longest, self.steps, display.add)
            else:
                measured = step_sizes(found.model, chosen, self.eps, self.steps, display.add)
        about = {"model": found.name, "seed": found.seed, "surface": bool(self.alpha), "split": self.split}
        rows: list[Row] = [{**row, **about} for row in measured]
        if found.run is not None:
            append_new(found.run, rows, ("kind", "model", "seed", "split", "clips", "eps", "alpha", "steps", "surface"))
        table = Table("α", "i", "mean loss", "accuracy", title=f"{found.name} at ε={self.eps:g}, {len(chosen)} clips")
        for row in (row for row in rows if row["kind"] == "trajectory"):
            for steps in self.steps:
                counts = rate(row["correct"][steps], row["clips"])
                table.add_row(f"{row['alpha']:g}", str(steps), f"{row['loss'][steps]:.3f}", counts)
        console.print(table)
        for row in (row for row in rows if row["kind"] == "step_size"):
            edge = "" if row["interior"] else ", at the edge of the grid"
            found_alpha = f"{row['alpha']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            console.print(f"α*(ε={row['eps']:g}, i={row['steps']}) = {found_alpha}{edge}", markup=False)


@dataclass(frozen=True, kw_only=True)
class Attack(Judged):
    """Attack some clips and keep them, losslessly, in a run directory whose page shows them.

    Attributes:
        out: the run directory to write.
        attack: such as "PGD(ε=8,α=α*,i=20)".
        clips: how many rightly classified clips.
        alpha_star: the run directory of a study or a sweep whose α* is used.
    """

    out: Path
    attack: str = "PGD(ε=8,α=α*,i=20)"
    clips: int = 4
    alpha_star: Path | None = None

    def run(self, console: Console) -> None:
        """Attack, store, and print the path of the page."""
        from vidrobust.pages.report import report

        check(self.attack)
        found = self.found(console)
        attack = from_text(self.attack, found.alpha_star(self.alpha_star))
        asked = {"attack": self.attack, "model": found.name, "split": self.split, "clips": self.clips}
        run = Run.start(self.out, "attack", {**asked, "of": found.origin}, found.seed)
        pool = found.clips(self.split, max(BATCH * 2, self.clips))
        right = pool.subset((ranks(found.model, pool) == 0).nonzero().flatten())
        if len(right) == 0:
            raise InputError(f"{found.name} classifies none of {len(pool)} clips rightly: there is nothing to attack.")
        eps, alpha, steps = budget(attack)
        setting: Row = {"model": found.name, "attack": self.attack, "eps": eps, "alpha": alpha, "steps": steps}
        folder = run.job_path("examples")
        folder.mkdir(parents=True, exist_ok=True)
        rows = examples(found.model, first(right, self.clips), attack, folder, setting)
        append_new(run, rows, ("kind", "video", "file"))
        for row in rows:
            before, after = row["clean_top"][0], row["adversarial_top"][0]
            console.print(f"{row['video']}: {before[0]} ({before[1]:.2f}) → {after[0]} ({after[1]:.2f})", markup=False)
        print(report([run.path]))


def check(text: str) -> Any:
    """The attack of a text with some step size for α*: that it can be made is known before any model is loaded."""
    return from_text(text, lambda eps, steps: 1.0)


def run_study(
    config: StudyConfig, *, data: str | None, out: Path | None, workers: int, skip_bad: bool, dry_run: bool
) -> None:
    """What ``vidrobust study`` does: the cost, then the study, then the path of its page."""
    if workers < 1:
        raise InputError(f"--workers must be at least 1, but is {workers}.")
    clips = replace(config.clips, name=data or config.clips.name, skip_bad=skip_bad or config.clips.skip_bad)
    config = replace(config, clips=replace(clips, seed=config.seed))
    console = Console(stderr=True)
    console.print(f"study, profile {config.profile}: {cost(config, workers)}", highlight=False, soft_wrap=True)
    if dry_run:
        return
    print(study(config, out or Path("runs") / config.profile, workers, console))


def default_workers() -> int:
    """A process for each core that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, cores or 1)
