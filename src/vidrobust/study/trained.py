"""A trained model with the data it was trained on: from a run, a study, a weights file, or brought by the user."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.attacks.traits import needs_gradients
from vidrobust.data.classes import read_classes, with_classes
from vidrobust.data.dataset import DataConfig, VideoClips, load, load_spread, open_videos
from vidrobust.data.parallel import DataProgress, cores
from vidrobust.data.storage import cache_root
from vidrobust.errors import DataError, InputError, NotationError, RunError, VidrobustWarning
from vidrobust.evaluation.clips import BATCH
from vidrobust.evaluation.sweeps import calibrated
from vidrobust.models.adapters import innermost
from vidrobust.models.checkpoints import load_described, load_model
from vidrobust.models.diagnosis import Finding, self_test
from vidrobust.models.fingerprint import fingerprint
from vidrobust.models.libraries.class_lists import published_classes
from vidrobust.models.libraries.hub import pinned
from vidrobust.models.spec import names_code, parse_spec
from vidrobust.models.zoo import in_zoo, located
from vidrobust.notation import parse_policy
from vidrobust.runs.directory import Run
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import content_key, dumps
from vidrobust.study.jobs import device
from vidrobust.study.plan import trained_models
from vidrobust.training.fitting import check_class_count, study_alpha_star

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.data.videos import VideoFolder
    from vidrobust.models.conventions import Convention
    from vidrobust.notation.policies import AlphaStar
    from vidrobust.runs.rows import Row
    from vidrobust.study.trainings import TrainModel


@dataclass(frozen=True)
class ModelSource:
    """The source of a model that was not trained by this library.

    Attributes:
        model: as :func:`vidrobust.load_model` takes it.
        weights: a file, a run directory, or the name of weights that its library has.
        new_head: replace a last layer of another number of classes.
        convention: of a 3D-ResNets checkpoint, on which pixels it was trained.
        seed: of weights that are drawn.
    """

    model: str
    weights: str | None = None
    new_head: bool = False
    convention: Convention = "auto"
    seed: int = 0

    def load(self, classes: int, log: Callable[[str], None]) -> nn.Module:
        """Load the model, with ``classes`` classes; ``told`` is called with what the user should know.

        Raises:
            InputError: there is no such model, or its weights do not fit.
        """
        drawn = self.weights is None and not Path(self.model).exists()
        if drawn and parse_spec(self.model).kind in ("own", "torchvision", "pytorchvideo"):
            log(f"{self.model} has no weights (--weights): they are drawn at random.")
        options = {"new_head": self.new_head, "convention": self.convention, "seed": self.seed}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", VidrobustWarning)
            model = load_model(self.model, self.weights, classes, **options)  # type: ignore[arg-type]
        for warning in caught:
            if issubclass(warning.category, VidrobustWarning):
                log(str(warning.message))
        if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
            raise InputError(f"{self.model} has weights without numbers (device meta): build it with real ones.")
        return model


def fitting_clips(model: nn.Module, config: DataConfig) -> DataConfig:
    """The clips that suit a model, where the configuration leaves both their length and size at the defaults."""
    plain = DataConfig()
    if (config.frames, config.size) != (plain.frames, plain.size):
        return config
    return sized(model, config, None, None)


def sized(model: nn.Module, config: DataConfig, frames: int | None, size: int | None) -> DataConfig:
    """Clips of this length and size; None takes what the model expects, or else what the configuration has."""
    expects = getattr(model, "expects", None) or (config.frames, config.size)
    frames, size = frames or expects[0], size or expects[1]
    return replace(config, frames=frames, size=size, max_frames=max(config.max_frames, frames))


@dataclass(frozen=True)
class Trained:
    """A trained model with its data.

    Attributes:
        model: in evaluation mode.
        name: ``standard`` or its policy.
        seed: of its training.
        data: its data set, as clips.
        run: the run directory that rows about it go to, or None for a bare file.
        origin: the file of its weights.
        findings: of the self-test of a model that was not trained here; None of one that was.
    """

    model: nn.Module
    name: str
    seed: int
    data: VideoClips
    run: Run | None
    origin: str
    findings: tuple[Finding, ...] | None = None

    @classmethod
    def find(
        cls,
        path: Path,
        name: str = "standard",
        only: str | None = None,
        count: int = 0,
        progress: DataProgress | None = None,
    ) -> Trained:
        """The model of a training run, the named model of a study, a bare weights file, or a model of the zoo.

        Args:
            path: of the run directory or the file, or ``zoo:NAME``.
            name: of a study's model.
            only: the one split that is used: of the others of the zoo's data, which a new machine has yet to make, few
                videos are made.
            count: clips of that split that are used, those of :meth:`clips`: of the zoo's data, others need not be
                made. 0 is all.
            progress: called as videos are made and decoded.

        Raises:
            InputError: the zoo has no such model.
            RunError: there is none; for a study the message lists the models it has.
        """
        name = "standard" if names_code(name) else name  # it says that the function may be called
        run, training, file = weights_of(path, name)
        model, about = load_described(file)
        if "data" not in about or "name" not in about["data"]:
            raise RunError(f"{file} does not say which data it was trained on: train it with `vidrobust train`.")
        config = DataConfig.from_json(about["data"])
        data = _clips(config, only if in_zoo(path) else None, count, progress)
        seed = training.seed if training else 0 if run is None else int(run.provenance["seed"])
        origin = str(path) if in_zoo(path) else str(file)
        return cls(model.to(device()), training.name if training else about["policy"], seed, data, run, origin)

    @classmethod
    def bring(
        cls,
        source: ModelSource,
        config: DataConfig,
        log: Callable[[str], None],
        *,
        frames: int | None = None,
        size: int | None = None,
        strict: bool = True,
        progress: DataProgress | None = None,
    ) -> Trained:
        """A model that was not trained here, with the data to judge it on.

        Its self-test runs on random clips, and its findings are printed.

        Args:
            source: the model.
            config: the data.
            told: called with each warning for the user.
            frames, size: of the clips, if not those that the model expects.
            strict: refuse what the self-test says cannot be used.
            progress: called as videos are made and decoded.

        Raises:
            InputError: the model cannot be loaded, or has other classes than the data.
        """
        folder = open_videos(config, workers=cores(), progress=progress)
        folder, config = with_published_classes(source, folder, config, log)
        source = replace(source, model=pinned(source.model)) if source.weights is None else source
        model = source.load(len(folder.classes), log).to(device())
        data = load(sized(model, config, frames, size), progress, cores())
        check_class_count(model, data)
        log(f"{source.model}: clips of {data.config.frames}×{data.config.size}×{data.config.size}")
        findings = tuple(self_tested(model, data, strict))
        for finding in findings:
            log(f"self-test of {source.model}: {finding}")
        weights = "" if source.weights is None else f" {Path(source.weights).name}"
        origin = source.weights or source.model
        return cls(model, source.model + weights, source.seed, data, None, origin, findings)

    def rows(self) -> list[Row]:
        """What a run says of its data, and of a model that was not trained here."""
        if self.findings is None:
            return [self.data.row]
        errors = [str(finding) for finding in self.findings if finding.error]
        about: Row = {"kind": "self_test", "model": self.name, "seed": self.seed, "found": errors}
        return [self.data.row, {**about, "weights": fingerprint(self.model)}]

    def clips(self, split: str, limit: int) -> Clips:
        """At most ``limit`` clips of a split, spread evenly over it; 0 takes all."""
        clips: Clips = getattr(self.data, split)
        return clips.spread(limit or len(clips))

    def alpha_star(self) -> AlphaStar:
        """α* of this study, or else of this model, calibrated on training clips."""
        if self.run is not None and self.run.kind == "study" and self.run.rows("step_size"):
            return study_alpha_star(self.run.path)
        return calibrated(self.model, self.data.train.spread(BATCH))


def _clips(config: DataConfig, only: str | None, count: int, progress: DataProgress | None) -> VideoClips:
    if only is None:
        return load(config, progress, cores())
    if count > 0 and config.name == "motion" and not config.limit(only):
        return load_spread(config, only, count, progress, cores())
    return load(config.mainly(only), progress, cores())


def with_published_classes(
    source: ModelSource, folder: VideoFolder, config: DataConfig, log: Callable[[str], None]
) -> tuple[VideoFolder, DataConfig]:
    """The data with labels that count in the class list of published weights, where the data have these classes.

    The list is kept beside the caches, as a file like one that ``--classes`` names. With a list of the user's own, a
    new last layer, or names that the weights do not have, all stays as it is.
    """
    names = None if config.classes is not None or source.new_head else published_classes(source.model, source.weights)
    if names is None or names == folder.classes:
        return folder, config
    file = cache_root() / "classes" / f"{content_key(list(names))}.json"
    write_atomic(file, dumps(list(names)).encode())
    try:
        counted = with_classes(folder, read_classes(file))
    except DataError:
        return folder, config
    log(
        f"the {len(folder.classes)} classes of the data are found by name among the {len(names)} of the weights, whose "
        "order labels have"
    )
    return counted, replace(config, classes=str(file))


def refuse_gradients(model: nn.Module, attack: object) -> None:
    """Refuse an attack by gradients on a model that has none, before the first clip.

    Raises:
        InputError: the attack needs gradients.
    """
    if needs_gradients(attack) and not getattr(innermost(model), "differentiable", True):
        raise InputError(
            f"{type(attack).__name__} needs gradients, which an ONNX file has not. Black-box attacks need none: "
            '"Square(ε=8,queries=1000)" or "RayS(ε=8,queries=1000)".'
        )


def self_tested(model: nn.Module, data: VideoClips, strict: bool = True) -> list[Finding]:
    """What the self-test finds on clips of the data's length and size.

    Raises:
        InputError: the model cannot take such clips.
    """
    found = self_test(model, frames=data.config.frames, size=data.config.size, classes=len(data.classes))
    for finding in found:
        if strict and finding.name in ("layout", "output", "not finite"):
            raise InputError(f"the model cannot be used: {finding}")
    return found


def weights_of(path: Path, name: str = "standard") -> tuple[Run | None, TrainModel | None, Path]:
    """The weights of a training run, of the named model of a study, a bare file or of the zoo: run, training and file.

    Raises:
        InputError: the zoo has no such model.
        RunError: there is none; for a study the message lists the models it has.
    """
    path = located(path)
    if path.is_file():
        return None, None, path
    run, training, folder = Run.open(path), None, path
    if run.kind == "study":
        training, folder = _in_study(run, name)
    return run, training, folder / "model.safetensors"


def _in_study(run: Run, name: str) -> tuple[TrainModel, Path]:
    """The training of a study's model by its name, and its folder; of several seeds the first."""
    models = list(trained_models(run))
    known = list(dict.fromkeys(job.name for job, _ in models))
    wanted = name
    if name not in known:
        with contextlib.suppress(NotationError):
            wanted = str(parse_policy(name))
    for job, folder in models:
        if job.name == wanted:
            return job, folder
    raise RunError(f"{run.path} has no model {wanted!r}. It has: {', '.join(sorted(known)) or 'none yet'}.")
