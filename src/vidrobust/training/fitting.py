"""Train one model into a run directory: what ``vr.fit`` and ``vidrobust train`` do."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.blind import classifier_behind
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import accuracy, device_of, silent
from vidrobust.evaluation.sweeps import StepSizes, calibrated
from vidrobust.models.checkpoints import description, load_tensors, save_tensors
from vidrobust.models.fingerprint import fingerprint
from vidrobust.notation import parse_policy
from vidrobust.notation.policies import AlphaStar, Policy
from vidrobust.results.numbers.sensitivity import step_size_rows
from vidrobust.runs.directory import Run
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row
from vidrobust.training.checkpoints import take_weights, weights_of
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import threat_of
from vidrobust.training.distributed import World
from vidrobust.training.methods.table import method_of, name_of
from vidrobust.training.requirements import check_model
from vidrobust.training.stopping import Overseer
from vidrobust.training.trackers import TrackerName, Trackers, scalars
from vidrobust.training.trainer import train
from vidrobust.training.watch import Watch, Watcher, look

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.data.dataset import VideoClips
    from vidrobust.evaluation.clips import Progress
    from vidrobust.training.methods.objectives import Method

CALIBRATION_CLIPS = 32
"""Training clips on which α* is looked for where no table of it is given."""


@dataclass(frozen=True)
class FitRun:
    """A finished training.

    Attributes:
        model: the trained model, in evaluation mode.
        rows: its ``dataset``, ``epoch``, ``watch`` and ``accuracy`` rows.
        path: the run directory, or None.
    """

    model: nn.Module
    rows: list[Row]
    path: Path | None


def fit(
    model: nn.Module,
    data: VideoClips,
    method: str | Policy | Method = "standard",
    *,
    epochs: int = 10,
    batch: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
    alpha_star: AlphaStar | None = None,
    out: str | Path | None = None,
    settings: FitConfig | None = None,
    watch: Watch | None = None,
    track: Sequence[TrackerName] = (),
    world: World | None = None,
    progress: Progress = silent,
    told: Callable[[str], None] = lambda text: None,
    shown: Callable[[Mapping[str, float]], None] = lambda numbers: None,
) -> FitRun:
    """Train a model under a policy, and evaluate it clean.

    Args:
        model: from clips to logits; trained in place.
        data: as :func:`vidrobust.data.motion` or :func:`vidrobust.data.videos` gives it.
        method: ``standard``, or a policy such as ``AT(ε=8,α=8,i=3)`` or ``TRADES(ε=8,α=2,i=7,β=6)``, or a method of
            your own. What it needs besides a classifier (a purifier, BatchNorm branches) is put around the model.
        epochs, batch, lr: how long and how fast, see :class:`vidrobust.training.config.FitConfig`.
        seed: of the order of the clips and their augmentation.
        alpha_star: α*(ε, i) in units of 1/255, such as a study's table. Without it, and for ``α=auto``, it is looked
            for at each epoch, on training clips and the model as it then is.
        out: a run directory; the same call after a kill goes on from the last checkpoint.
        settings: all of :class:`vidrobust.training.config.FitConfig`, in place of epochs, batch and lr.
        watch: what is looked at after each epoch, and when training ends early; by default nothing.
        track: trackers that get the numbers of each epoch besides ``training.jsonl``; they need ``out``.
        world: the processes that train together, each of which makes this call.
        progress: called with the clip-gradients spent.
        told: called after each epoch with a line on how it went.
        shown: called after each epoch with its numbers by name, for curves.

    Returns:
        The trained model with its rows.

    Raises:
        InputError: the model has another number of classes than the data.
        NotationError: the policy does not parse.
        RunError: ``out`` holds another run, another process works on it, or the disk is full.
        StoppedError: SIGTERM came; what is done is saved.
    """
    how = method_of(parse_policy(method) if isinstance(method, str) else method)
    policy, name = how.policy, name_of(how)
    settings, watch, world = settings or FitConfig(epochs, batch, lr), watch or Watch(), world or World()
    found = check_model(model, data.train, seed)
    if found != len(data.classes):
        raise InputError(f"the model has {found} classes, the data {len(data.classes)}.")
    model = how.around(model, seed)
    asked = {
        "policy": name,
        "fit": asdict(settings),
        "watch": asdict(watch),
        "seed": seed,
        "model": description(model),
        "data": asdict(data.config),
        "start": fingerprint(model),
        "alpha_star": content_key(alpha_star.table) if isinstance(alpha_star, StepSizes) else None,
    }
    if watch.patience and policy.family == "standard":
        raise InputError("patience watches robust accuracy, which standard training does not raise: leave it at 0.")
    for part in policy.parts or (policy,):
        threat_of(part, 1.0)  # a norm or a support that cannot be made is known before anything is written
    run = None if out is None else _started(Path(out), asked, seed, world)
    if run is not None and (run.path / "model.safetensors").exists():
        model.load_state_dict(load_tensors(run.path / "model.safetensors")[0])
        return FitRun(model.eval(), run.rows(), run.path)
    with contextlib.nullcontext() if run is None or not world.first else run.working():
        rows = [data.row]
        best = Best(None if run is None else run.path / "checkpoints" / "best.safetensors", world)
        splits = {"train": data.train.spread(watch.clips), "val": data.val.spread(watch.clips)}
        after = AfterEpoch(
            Overseer(watch, Watcher(watch.every, splits, partial(look, watch=watch)), policy, best.keep, best.recall),
            data.val.spread(CALIBRATION_CLIPS),
            Trackers(run.path, track, name, asked) if run is not None and world.first else None,
            told,
            shown,
        )
        with terminating() as stopping, contextlib.closing(after):
            rows += train(
                model,
                data.train,
                how,
                settings,
                seed=seed,
                alpha_star=alpha_star_of(policy, alpha_star, model, data.train),
                checkpoints=None if run is None else run.path / "checkpoints",
                after_epoch=after,
                progress=progress,
                world=world,
                stopping=stopping,
            )
        if watch.patience or any(row.get("stop") for row in rows):
            best.recall(model, _last(run))
        splits = {"train": data.train, "val": data.val, "test": data.test}
        rows += [{**accuracy(model, clips), "split": split} for split, clips in splits.items()]
        rows = [row if row["kind"] == "dataset" else {**row, "model": name, "seed": seed} for row in rows]
        if run is not None:
            about = {"classes": list(data.classes), "data": asked["data"], "policy": name}
            _store(run, model, rows, {"model": description(model), **about}, world)
    return FitRun(model, rows, None if run is None else run.path)


def _started(out: Path, asked: dict[str, Any], seed: int, world: World) -> Run:
    """The run directory, made by the first process."""
    run = Run.start(out, "train", asked, seed) if world.first else None
    world.wait()
    return run or Run.open(out)


def alpha_star_of(policy: Policy, given: AlphaStar | None, model: nn.Module, clips: Clips) -> AlphaStar:
    """The table that was given, but for ``α=auto``; without one, α* of the model as it then is."""
    if given is not None and not policy.auto:
        return given
    return calibrated(classifier_behind(model) or model, clips.spread(CALIBRATION_CLIPS))


def _last(run: Run | None) -> Path | None:
    return None if run is None else run.path / "checkpoints" / "last.safetensors"


class terminating:  # noqa: N801 - a context manager
    """Inside, SIGTERM asks training to save and stop instead of ending the process; gives the question.

    Schedulers send it some seconds before they take a machine away. Only a main thread can listen.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Callable[[], bool]:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return lambda: self._asked

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


class Best:
    """The weights of the epoch with the best robust accuracy on validation, in a file or else in memory."""

    def __init__(self, path: Path | None, world: World) -> None:
        self._path, self._world = path, world
        self._kept: dict[str, Any] | None = None

    def keep(self, model: nn.Module) -> None:
        """These are the best so far."""
        tensors = weights_of(model)
        if self._path is None:
            self._kept = {name: tensor.clone() for name, tensor in tensors.items()}
        elif self._world.first:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self._path, tensors, {"best": True})

    def recall(self, model: nn.Module, last: Path | None = None) -> None:
        """Put the best weights back; those that the model has are written to ``last``."""
        if last is not None:
            tensors = weights_of(model)
            if self._world.first:
                save_tensors(last, tensors, {"last": True})
        self._world.wait()
        kept = self._kept if self._path is None else load_tensors(self._path)[0]
        if kept is not None:
            take_weights(model, kept)


@dataclass
class AfterEpoch:
    """Watches, tells and tracks after each epoch."""

    watcher: Overseer
    clips: Clips
    trackers: Trackers | None
    told: Callable[[str], None]
    shown: Callable[[Mapping[str, float]], None]
    last: float = 0.0

    def __post_init__(self) -> None:
        self.last = time.perf_counter()

    def __call__(self, model: nn.Module, row: Row, earlier: Sequence[Row]) -> list[Row]:
        """The watcher's rows."""
        rows = self.watcher(model, row, earlier)
        self._tell(model, row, rows)
        self.shown({name: value for found in (row, *rows) for name, value in scalars(found).items()})
        if self.trackers is not None:
            self.trackers.log([row, *rows])
        return rows

    def close(self) -> None:
        """No more epochs will come."""
        if self.trackers is not None:
            self.trackers.close()

    def _tell(self, model: nn.Module, row: Row, rows: Sequence[Row]) -> None:
        """How the epoch went: on its own attacked batches, and on a few validation clips."""
        clean, now = accuracy(model, self.clips), time.perf_counter()
        attack = f"ε={row['eps']:g} α={row['alpha']:.3g} i={row['steps']}" if row["eps"] else "clean"
        robust = [
            f"{look['split']} under PGD ε={look['eps']:g} {look['robust'] / look['clips']:.0%} of {look['clips']}"
            for look in rows
            if look["kind"] == "watch"
        ]
        parts = [
            f"epoch {row['epoch']}/{row['epochs']}: loss {row['loss']:.3f}",
            f"train as attacked {row['correct'] / row['clips']:.0%} of {row['clips']}",
            f"validation clean {clean['top1'] / clean['clips']:.0%} of {clean['clips']}",
            *robust,
            attack,
            f"{row['clips'] / (now - self.last):.0f} clips/s",
        ]
        self.told(", ".join(parts))
        for found in rows:
            if "reason" in found:
                self.told(f"epoch {row['epoch']}: {found['kind']}: {found['reason']}")
        self.last = now


def check_classes(model: nn.Module, data: VideoClips) -> None:
    """Refuse a model that has not one logit for each class of the data.

    Raises:
        InputError: it has more or fewer.
    """
    found = getattr(model, "classes", None)
    if not isinstance(found, int):
        with undisturbed(model), torch.no_grad():
            clips = data.train.centre([0]).to(device_of(model))
            found = model(clips).shape[1]
    if found != len(data.classes):
        raise InputError(f"the model has {found} classes, the data {len(data.classes)}.")


def _store(run: Run, model: nn.Module, rows: list[Row], about: dict[str, object], world: World) -> None:
    """Rows first, weights last: that the weights are there says that the run is whole."""
    tensors = weights_of(model)
    if world.first:
        run.append(rows)
        save_tensors(run.path / "model.safetensors", tensors, about)
        for file in (run.path / "checkpoints").glob("epoch-*.safetensors"):
            file.unlink(missing_ok=True)
    world.wait()


def study_alpha_star(path: str | Path) -> Callable[[float, int], float]:
    """The α*(ε, i) that a study measured on its standard model, whatever was swept into its folder since.

    Raises:
        InputError: the run holds no step sizes.
    """
    rows = step_size_rows(Run.open(path).rows("step_size"))
    if not rows:
        raise InputError(f"{path} holds no step sizes. Give the folder of a study, or of `vidrobust sweep`.")
    return StepSizes([row for row in rows if "split" not in row] or rows)  # a sweep names its split, a study does not
