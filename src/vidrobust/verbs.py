"""The single steps as commands: typed options, and a thin call of the public API behind each."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from vidrobust.attack_text import from_text
from vidrobust.data.dataset import DataConfig, load
from vidrobust.errors import InputError
from vidrobust.evaluation import BATCH, budget, evaluate, ranks
from vidrobust.fitting import append_new, fit, study_alpha_star
from vidrobust.jobs import device, examples, first
from vidrobust.models.checkpoints import load_model
from vidrobust.models.resnet3d import build
from vidrobust.notation import parse_policy
from vidrobust.policies import TRAINING_STEP
from vidrobust.progress import Display
from vidrobust.runs import Row, Run
from vidrobust.schedules import Clock
from vidrobust.study import cost, study
from vidrobust.sweeps import step_sizes, sweep
from vidrobust.terminal import rate, show_accuracy, show_robustness
from vidrobust.trained import Trained

if TYPE_CHECKING:
    from vidrobust.recipes import StudyConfig

Split = Literal["train", "val", "test"]


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
        model: the architecture.
        init: a run directory or .safetensors file to start from.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        clips: frames, size and number of the clips.
        skip_bad: leave out videos that cannot be decoded.
    """

    out: Path
    data: str = "motion"
    method: str = "standard"
    epochs: int = 10
    batch: int = 32
    lr: float = 3e-3
    seed: int = 0
    model: str = "r3d-small"
    init: Path | None = None
    alpha_star: Path | None = None
    clips: DataConfig = DataConfig()
    skip_bad: bool = False

    def run(self, console: Console) -> None:
        """Train, and say how accurate the model is."""
        policy = parse_policy(self.method)
        if policy.family == "fAT" and self.init is None:
            raise InputError(f"{policy} starts from a standard-trained model: give its run directory with --init.")
        config = replace(self.clips, name=self.data, skip_bad=self.skip_bad or self.clips.skip_bad)
        data = load(config)
        new = build(self.model, len(data.classes), self.seed) if self.init is None else load_model(self.init)
        model = new.to(device())
        alpha_star = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        settings = [policy.at(Clock(epoch, self.epochs), lambda eps, steps: eps) for epoch in range(self.epochs)]
        each = sum(TRAINING_STEP + (setting.steps if setting.eps else 0) for setting in settings)
        with Display(each * len(data.train), console) as display:
            done = fit(
                model,
                data,
                policy,
                epochs=self.epochs,
                batch=self.batch,
                lr=self.lr,
                seed=self.seed,
                alpha_star=alpha_star,
                out=self.out,
                progress=display.add,
                told=display.said,
            )
        show_accuracy(done.rows, console)
        print(self.out)


@dataclass(frozen=True)
class Evaluate:
    """Accuracy of a trained model under attacks; the rows are added to its run.

    Attributes:
        run_dir: the run directory of `vidrobust train` or of a study, or a .safetensors file.
        attack: attacks such as "PGD(ε=8,α=α*,i=20)"; α* is that of the study, or else looked for on training clips.
        model: of a study, which model: standard, or a policy.
        split: the clips to attack.
        clips: the most clips to attack; 0 attacks all.
        alpha_star: the run directory of a study or a sweep whose α* is used.
    """

    run_dir: Path
    attack: list[str]
    model: str = "standard"
    split: Split = "test"
    clips: int = 0
    alpha_star: Path | None = None

    def run(self, console: Console) -> None:
        """Evaluate, and print a table."""
        texts = ["".join(text.split()) for text in self.attack]
        steps = sum(getattr(check(text), "steps", 1) for text in texts)
        found = Trained.find(self.run_dir, self.model)
        chosen = found.clips(self.split, self.clips)
        with Display(steps * len(chosen), console) as display:
            alpha_star = found.alpha_star(self.alpha_star)
            attacks = [from_text(text, alpha_star) for text in texts]
            measured = evaluate(found.model, chosen, attacks, display.add)
        about = {"model": found.name, "seed": found.seed, "split": self.split}
        rows = [{**row, **about, "attack": text} for row, text in zip(measured, ["none", *texts], strict=True)]
        if found.run is not None:
            append_new(found.run, rows, ("kind", "model", "seed", "split", "clips", "attack"))
        show_robustness(found.name, rows, console)


@dataclass(frozen=True)
class Sweep:
    """Loss and accuracy over step sizes × iterations at one ε, and α*; the rows are added to the run.

    Attributes:
        run_dir: the run directory of `vidrobust train` or of a study, or a .safetensors file.
        eps: ε in units of 1/255.
        steps: iteration counts for α*; the longest bounds the trajectories.
        alpha: step sizes in units of 1/255; none looks for α* on a widening grid instead.
        model: of a study, which model: standard, or a policy.
        split: the clips to attack.
        clips: the most clips to attack; 0 attacks all.
    """

    run_dir: Path
    eps: float = 8.0
    steps: tuple[int, ...] = (5, 10, 20)
    alpha: tuple[float, ...] = ()
    model: str = "standard"
    split: Split = "val"
    clips: int = 100

    def run(self, console: Console) -> None:
        """Sweep, and print what was found."""
        found = Trained.find(self.run_dir, self.model)
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
            for count in self.steps:
                counts = rate(row["correct"][count], row["clips"])
                table.add_row(f"{row['alpha']:g}", str(count), f"{row['loss'][count]:.3f}", counts)
        console.print(table)
        for row in (row for row in rows if row["kind"] == "step_size"):
            edge = "" if row["interior"] else ", at the edge of the grid"
            found_alpha = f"{row['alpha']:.3g} [{row['low']:.3g}, {row['high']:.3g}]"
            console.print(f"α*(ε={row['eps']:g}, i={row['steps']}) = {found_alpha}{edge}", markup=False)


@dataclass(frozen=True)
class Attack:
    """Attack some clips and keep them, losslessly, in a run directory whose page shows them.

    Attributes:
        run_dir: the run directory of `vidrobust train` or of a study, or a .safetensors file.
        out: the run directory to write.
        attack: such as "PGD(ε=8,α=α*,i=20)".
        model: of a study, which model: standard, or a policy.
        split: the clips to attack.
        clips: how many rightly classified clips.
        alpha_star: the run directory of a study or a sweep whose α* is used.
    """

    run_dir: Path
    out: Path
    attack: str = "PGD(ε=8,α=α*,i=20)"
    model: str = "standard"
    split: Split = "test"
    clips: int = 4
    alpha_star: Path | None = None

    def run(self, console: Console) -> None:
        """Attack, store, and print the path of the page."""
        from vidrobust.pages.report import report

        check(self.attack)
        found = Trained.find(self.run_dir, self.model)
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
