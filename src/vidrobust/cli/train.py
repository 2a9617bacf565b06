"""``vidrobust train``: one model under one method, from options to a run directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flattened, run
from vidrobust.cli.terminal import printer, show_accuracy
from vidrobust.cli.video_bar import video_bar
from vidrobust.data.dataset import DataConfig, load, open_videos
from vidrobust.data.parallel import cores
from vidrobust.errors import InputError, UsageError
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_model
from vidrobust.models.conventions import Convention
from vidrobust.models.estimate import count, gpu_named
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.spec import parse_spec
from vidrobust.models.zoo import located
from vidrobust.notation import parse_policy
from vidrobust.notation.policies import Policy
from vidrobust.notation.schedules import Clock
from vidrobust.runs.files import check_writable
from vidrobust.study.checks import blank_clips, rehearse
from vidrobust.study.counts import count_classes, count_clips
from vidrobust.study.jobs import device
from vidrobust.study.progress import Display
from vidrobust.study.recipes import TRAININGS
from vidrobust.study.trained import ModelSource, fitting_clips, self_tested
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World, process_group
from vidrobust.training.dry_run import TrainingEstimate
from vidrobust.training.fitting import fit, study_alpha_star
from vidrobust.training.trackers import TrackerName, missing_tracker
from vidrobust.training.watch import Watch

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.parallel import DataProgress


NOTICES = 20
"""Videos left out or damaged that are named in the terminal; the run's `dataset` row names all."""


@dataclass(frozen=True)
class Train(Verb):
    """Train one model under one policy.

    Attributes:
        out: the run directory.
        data: motion, the embedded data set, or a folder of videos.
        method: standard, or a policy such as "AT(ε=8,α=8,i=3)".
        epochs: passes over the training clips.
        batch: clips per step.
        lr: the highest learning rate.
        augment: corruptions of the training clips, such as "ucf101-p(kinds=(jumble,jpeg),severity=1-3)": each clip gets
            one of them, drawn anew in each epoch.
        seed: of the weights, the order of the clips and their augmentation.
        model: such as r3d-18, torchvision:r3d_18, hf:ORG/NAME, pytorchvideo:slow_r50, mypkg.module:factory.
        weights: a checkpoint, a run directory, or the name of weights that torchvision has.
        new_head: replace a last layer of another number of classes by a new one.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained; auto recognises it.
        init: a run directory or .safetensors file to start from.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        recipe: a published training; options after it override it.
        clips: frames, size and number of the clips.
        fit: the optimiser and what fine-tuning asks for; epochs, batch, lr and augment stand above.
        watch: what is looked at after each epoch, on train and validation alike, and when training ends early.
        track: trackers that get the numbers of each epoch: tensorboard, mlflow, wandb, trackio. JSON lines are always
            written.
        skip_bad: leave out videos that cannot be decoded, and list them.
        dry_run: say what it would cost, and stop.
        gpu: the GPU for which a dry run estimates.
    """

    NEXT = (
        Step(
            'vidrobust train --method "AT(ε=8,α=8,i=3)" --epochs 2 --out runs/at',
            "adversarial training",
        ),
        Step("vidrobust judge runs/at --minutes 5", "how robust the model is"),
        Step("vidrobust report runs/at", "how training went, as a page"),
    )
    LINKS: ClassVar = {
        "epochs": "fit.epochs",
        "batch": "fit.batch",
        "lr": "fit.lr",
        "augment": "fit.augment",
        "data": "clips.name",
    }
    PRESET: ClassVar = "recipe"

    out: Path | None = None
    data: str = "motion"
    method: str = "standard"
    epochs: int = 10
    batch: int = 32
    lr: float = 3e-3
    augment: str = ""
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

    @classmethod
    def preset(cls, name: str | None) -> dict[str, Any]:
        """The options of a published training, whose data are one's own to name."""
        if name is None:
            return {}
        if name not in TRAININGS:
            raise UsageError(f"there is no recipe {name!r}. Choose one of: {', '.join(TRAININGS)}.")
        options = flattened(asdict(TRAININGS[name]()))
        short = {long: short for short, long in cls.LINKS.items()}
        left_out = ("about.", "clips.skip_bad")
        found = {short.get(long, long): value for long, value in options.items() if not long.startswith(left_out)}
        return {**found, "data": ""}

    def run(self, console: Console) -> None:
        """Train, and say how accurate the model is; under torchrun, each process with its part of every batch."""
        if self.out is None and not self.dry_run:
            raise UsageError("--out is needed: the run directory.")
        with process_group() as world:
            self._train(console if world.first else Console(quiet=True), world)

    def _train(self, console: Console, world: World) -> None:
        policy = parse_policy(self.method)
        self._refuse(policy)
        alpha_star = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        how = replace(self.fit, epochs=self.epochs, batch=self.batch, lr=self.lr, augment=self.augment)
        if self.dry_run:
            print(self._estimate(policy, how))
            return
        if self.out is None or not self.data:
            raise InputError("say where the data is and where the run goes: --data PATH --out DIRECTORY.")
        log = printer(console)
        config = replace(self.clips, name=self.data, skip_bad=self.skip_bad or self.clips.skip_bad)
        with video_bar(console) as progress:
            model = self._model(config, log, progress).to(device())
            data = load(fitting_clips(model, config), progress, cores())
        for notice in data.notices[:NOTICES]:
            log(notice)
        if not isinstance(model, ResNet3d):
            for finding in self_tested(model, data):
                log(f"self-test of {self.model}: {finding}")
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
                log=display.log,
                log_scalars=display.curves,
            )
        show_accuracy(done.rows, console)
        if world.first:
            print(self.out)

    def _refuse(self, policy: Policy) -> None:
        """Refuse what can be known before the data are decoded.

        Raises:
            InputError: the options do not go together, or a tracker is not installed.
            RunError: the run directory cannot be made.
        """
        if policy.warm and self.init is None:
            raise InputError(f"{policy} starts from a standard-trained model: give its run directory with --init.")
        if self.init is not None and self.weights is not None:
            raise InputError("--init and --weights both name weights to start from: leave one out.")
        if self.watch.patience and policy.family == "standard":
            raise InputError("patience watches robust accuracy, which standard training does not raise: leave it at 0.")
        for name in self.track:
            if find_spec(name) is None:
                raise missing_tracker(name)
        if self.init is not None and not located(self.init).exists():
            raise InputError(f"--init {self.init} does not exist: there are no weights to start from.")
        if self.out is not None:
            check_writable(self.out)

    def _estimate(self, policy: Policy, how: FitConfig) -> TrainingEstimate:
        """What it would cost; the data need not be there if a recipe knows how large it is."""
        if self.recipe and not self.data:
            about = TRAININGS[self.recipe]().about
            classes, clips = about.classes, min(self.clips.train or about.clips, about.clips)
        else:
            config = replace(self.clips, name=self.data)
            classes, clips = count_classes(config), count_clips(config)["train"]
        model = build(self.model, classes)
        data = fitting_clips(model, self.clips)
        rehearse(model, blank_clips(data, clips, classes), policy, how, ask=False)  # marks what is trained, too
        spent = tuple(policy.spent(Clock(epoch, how.epochs)) for epoch in range(how.epochs))
        counted = count(model, data.frames, data.size)
        return TrainingEstimate(self.model, counted, how, data, clips, spent, gpu_named(self.gpu))

    def _model(self, config: DataConfig, log: Callable[[str], None], progress: DataProgress) -> nn.Module:
        """The model to start from."""
        if self.init is not None:
            return load_model(self.init)
        scratch = self.weights is None and parse_spec(self.model).kind in ("own", "torchvision", "pytorchvideo")
        # After a look at the model's name: the data may have to be made.
        classes = len(open_videos(config, workers=cores(), progress=progress).classes)
        if scratch:
            return build(self.model, classes, self.seed)  # training from scratch needs no word on random weights
        return ModelSource(self.model, self.weights, self.new_head, self.convention, self.seed).load(classes, log)


def main(arguments: list[str]) -> None:
    """``vidrobust train --out DIR``."""
    run(Train, "train", arguments)
