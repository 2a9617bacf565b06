"""The model that evaluate, sweep and attack look at, with the clips to judge it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vidrobust.attacks.text import from_text
from vidrobust.cli.options import option
from vidrobust.cli.terminal import printer
from vidrobust.cli.video_bar import video_bar
from vidrobust.data.dataset import DataConfig
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import refuse_targets
from vidrobust.evaluation.defences import TRANSFORMS
from vidrobust.models.conventions import Convention
from vidrobust.study.config import check_count
from vidrobust.study.trained import ModelSource, Trained

if TYPE_CHECKING:
    from rich.console import Console

Split: TypeAlias = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class ModelUnderTest:
    """A run, or a model of one's own with the data to judge it on.

    Attributes:
        run_dir: the run directory of `vidrobust train` or of a study, a .safetensors file, or a model of the zoo such
            as zoo:motion-at; without it, model and data are needed.
        model: with a study, which of its models: standard, or a policy. Without a run, the model itself, such as
            torchvision:r3d_18, hf:ORG/NAME, mypkg.module:factory, model.onnx, or a checkpoint of 3D-ResNets.
        weights: of a model without a run: a checkpoint, or the name of weights that torchvision has.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained; auto recognises it.
        data: for a model without a run: motion, the embedded data set, or a folder of videos.
        classes: for a model without a run, a file with its class names, one per line, in the order of its outputs; the
            data may have only some of them. By default the data's own, in their order.
        frames: of a clip of a model without a run; by default what the model expects.
        size: of its clips, in pixels; by default what the model expects.
        split: the clips to attack.
        skip_bad: leave out videos that cannot be decoded, and list them.
    """

    run_dir: Path | None = option(positional=True, nargs="?", type=Path, default=None)
    model: str = "standard"
    weights: str | None = None
    convention: Convention = "auto"
    data: str | None = None
    classes: Path | None = None
    frames: int | None = None
    size: int | None = None
    split: Split = "test"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        for name in ("frames", "size"):
            if getattr(self, name) is not None:
                check_count(f"--{name}", getattr(self, name))

    def found(self, console: Console, strict: bool = True, only: str | None = None, count: int = 0) -> Trained:
        """The model and its data.

        Args:
            console: where warnings for the user are printed.
            strict: refuse a model of which the self-test says that it cannot be used; a judgement says so itself.
            only: the one split that is used; of the others, few videos are decoded.
            count: clips of it that are used; of the zoo's data, others need not be there. 0 is all.

        Raises:
            InputError: neither a run nor a model with data is given, or both.
        """
        if self.run_dir is not None:
            if (self.data, self.weights, self.classes) != (None, None, None):
                if not self.run_dir.exists():
                    asked = f"--model {self.run_dir} --data {self.data or 'PATH'}"
                    raise InputError(
                        f"there is no run directory {self.run_dir}. A model without a run is given by {asked}."
                    )
                raise InputError(f"{self.run_dir} has its own data: leave out --data, --classes and --weights.")
            with video_bar(console) as progress:
                return Trained.find(self.run_dir, self.model, only, count, progress)
        if self.model == "standard" or self.data is None:
            raise InputError("give a run directory, or a model and data: --model SPEC [--weights FILE] --data PATH.")
        listed = None if self.classes is None else str(self.classes)
        config = DataConfig(name=self.data, skip_bad=self.skip_bad, classes=listed)
        config = config.mainly(only) if only else config
        source = ModelSource(self.model, self.weights, convention=self.convention)
        clips = {"frames": self.frames, "size": self.size}
        with video_bar(console) as progress:
            return Trained.bring(source, config, printer(console), **clips, strict=strict, progress=progress)


def checked(text: str, aimed: bool = False) -> Any:
    """The attack of a text with some step size for α*: that it can be made is known before any model is loaded."""
    attack = from_text(text, lambda eps, steps: 1.0, TRANSFORMS)
    if not aimed:
        refuse_targets(attack)
    return attack
