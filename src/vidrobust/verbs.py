"""The single steps as commands: typed options, and a thin call of the public API behind each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table

from vidrobust.analysis import interval
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.errors import InputError, RunError
from vidrobust.evaluate import BATCH, evaluate, pgd, ranks
from vidrobust.fitting import append_new, fit, study_alpha_star
from vidrobust.jobs import device, examples, first
from vidrobust.models.checkpoints import load_described, load_model
from vidrobust.models.resnet3d import build
from vidrobust.notation import AttackText, parse_attack, parse_policy
from vidrobust.progress import Display
from vidrobust.runs import Row, Run
from vidrobust.schedules import Clock
from vidrobust.study import cost, study
from vidrobust.sweep import calibrated, step_sizes, sweep
from vidrobust.training.engine import TRAINING_STEP

if TYPE_CHECKING:
    from vidrobust.evaluate import Progress
    from vidrobust.models.resnet3d import ResNet3d
    from vidrobust.recipes import StudyConfig
    from vidrobust.training.engine import AlphaStar

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
        config = replace(self.clips, name=self.data, skip_bad=self.skip_bad or self.clips.skip_bad)
        data = load(config)
        if self.init is None:
            model = build(self.model, len(data.classes), self.seed)
        else:
            model = load_model(self.init)
        model = model.to(device())
        alpha_star = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        settings = [policy.at(Clock(epoch, self.epochs), lambda eps, steps: eps) for epoch in range(self.epochs)]
        each = sum(TRAINING_STEP + (setting.steps if setting.eps else 0) for setting in settings)
        with counting(each * len(data.train), console) as progress:
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
                progress=progress,
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
        texts = [parse_attack(text) for text in self.attack]
        found = Trained.find(self.run_dir, self.model)
        chosen = first(getattr(found.data, self.split), self.clips or len(getattr(found.data, self.split)))
        with counting(sum(text.steps for text in texts) * len(chosen), console) as progress:
            alpha_star = found.alpha_star(self.alpha_star)
            settings = [resolve(text, alpha_star) for text in texts]
            rows = evaluate(found.model, chosen, [pgd(*setting) for setting in settings], progress)
        about = {"model": found.name, "seed": found.seed, "split": self.split}
        rows = [{**row, **about} for row in rows]
        if found.run is not None:
            append_new(found.run, rows, ("kind", "model", "seed", "split", "clips", "attack"))
        show_robustness(found.name, texts, rows, console)


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
        chosen = first(getattr(found.data, self.split), self.clips or len(getattr(found.data, self.split)))
        longest = max(self.steps)
        with counting((len(self.alpha) or 8) * longest * len(chosen), console) as progress:
            if self.alpha:
                measured = sweep(found.model, chosen, self.eps, self.alpha, longest, self.steps, progress)
            else:
                measured = step_sizes(found.model, chosen, self.eps, self.steps, progress)
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
        from vidrobust.report import report

        text = parse_attack(self.attack)
        found = Trained.find(self.run_dir, self.model)
        eps, alpha, steps = resolve(text, found.alpha_star(self.alpha_star))
        asked = {"attack": str(text), "model": found.name, "split": self.split, "clips": self.clips, "of": found.origin}
        run = Run.start(self.out, "attack", asked, found.seed)
        pool = first(getattr(found.data, self.split), max(BATCH * 2, self.clips))
        right = pool.subset((ranks(found.model, pool) == 0).nonzero().flatten())
        if len(right) == 0:
            raise InputError(f"{found.name} classifies none of {len(pool)} clips rightly: there is nothing to attack.")
        setting: Row = {"model": found.name, "eps": eps, "alpha": alpha, "steps": steps}
        folder = run.job_path("examples")
        folder.mkdir(parents=True, exist_ok=True)
        rows = examples(found.model, first(right, self.clips), pgd(eps, alpha, steps), folder, setting)
        append_new(run, rows, ("kind", "video", "file"))
        for row in rows:
            before, after = row["clean_top"][0], row["adversarial_top"][0]
            console.print(f"{row['video']}: {before[0]} ({before[1]:.2f}) → {after[0]} ({after[1]:.2f})", markup=False)
        print(report([run.path]))


@dataclass(frozen=True)
class Trained:
    """A trained model with the data it was trained on, wherever it was found.

    Attributes:
        model: in evaluation mode.
        name: ``standard`` or its policy.
        seed: of its training.
        data: its data set, as clips.
        run: the run directory that rows about it go to, or None for a bare file.
        origin: the file of its weights.
    """

    model: ResNet3d
    name: str
    seed: int
    data: VideoClips
    run: Run | None
    origin: str

    @classmethod
    def find(cls, path: Path, name: str = "standard") -> Trained:
        """The model of a training run, the named model of a study, or a bare weights file.

        Raises:
            RunError: there is none; for a study the message lists the models it has.
        """
        run = None if path.is_file() else Run.open(path)
        file = path if run is None else path / "model.safetensors"
        seed = 0 if run is None else int(run.provenance["seed"])
        if run is not None and run.kind == "study":
            file = _in_study(run, name)
        model, about = load_described(file)
        if "data" not in about or "name" not in about["data"]:
            raise RunError(f"{file} does not say which data it was trained on: train it with `vidrobust train`.")
        data = load(DataConfig.from_json(about["data"]))
        return cls(model.to(device()), about["policy"], seed, data, run, str(file))

    def alpha_star(self, path: Path | None) -> AlphaStar:
        """α* of the run named, of this study, or else of this model, looked for on training clips."""
        if path is not None:
            return study_alpha_star(path)
        if self.run is not None and self.run.kind == "study" and self.run.rows("step_size"):
            return study_alpha_star(self.run.path)
        return calibrated(self.model, first(self.data.train, BATCH))


def _in_study(run: Run, name: str) -> Path:
    """The weights of a study's model by its name; of several seeds the first."""
    wanted = str(parse_policy(name))
    main, known = run.config["clips"], []
    for file in sorted(run.path.glob("jobs/*/model.safetensors")):
        _, about = load_described(file)
        known.append(about["policy"])
        if about["policy"] == wanted and about["data"] == main:
            return file
    raise RunError(f"{run.path} has no model {wanted!r}. It has: {', '.join(sorted(set(known))) or 'none yet'}.")


def resolve(text: AttackText, alpha_star: AlphaStar) -> tuple[float, float, int]:
    """(ε, α, i) of an attack written as text, α* filled in."""
    alpha = alpha_star(text.eps, text.steps) if isinstance(text.alpha, str) else text.alpha
    return text.eps, alpha, text.steps


@contextmanager
def counting(total: int, console: Console) -> Iterator[Progress]:
    """A progress display over ``total`` clip-gradients."""
    spent = 0
    with Display(total, console) as display:

        def progress(gradients: int) -> None:
            nonlocal spent
            spent += gradients
            display.spent(spent)

        yield progress


def rate(correct: int, clips: int) -> str:
    """An accuracy as people must see it: with its interval and its clip count."""
    low, high = interval(correct, clips)
    return f"{correct / clips:.1%} [{low:.1%}, {high:.1%}] of {clips}"


def show_accuracy(rows: list[Row], console: Console) -> None:
    """Print top-1 and top-k of each split."""
    table = Table("split", "top-1 [95 %]", "top-k [95 %]")
    for row in (row for row in rows if row["kind"] == "accuracy"):
        table.add_row(row["split"], rate(row["top1"], row["clips"]), f"k={row['k']}: {rate(row['top5'], row['clips'])}")
    console.print(table)


def show_robustness(name: str, texts: list[AttackText], rows: list[Row], console: Console) -> None:
    """Print the accuracy under each attack."""
    table = Table("attack", "α", "accuracy [95 %]", title=name)
    for text, row in zip(["none", *map(str, texts)], rows, strict=True):
        table.add_row(text, f"{row['alpha']:.3g}" if row["eps"] else "", rate(row["correct"], row["clips"]))
    console.print(table)


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
