"""Train one model into a run directory: what ``vr.fit`` and ``vidrobust train`` do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.data.videos import SPLITS
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import device_of, silent
from vidrobust.evaluation.manifest import manifest_row, manifest_rows
from vidrobust.evaluation.sweeps import StepSizes
from vidrobust.models.checkpoints import description, load_tensors
from vidrobust.models.fingerprint import fingerprint
from vidrobust.notation import parse_policy
from vidrobust.notation.policies import AlphaStar, Policy
from vidrobust.results.numbers.sensitivity import step_size_rows
from vidrobust.runs.directory import Run
from vidrobust.runs.jobs import clear_checkpoints
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import policy_threat
from vidrobust.training.distributed import World
from vidrobust.training.methods.table import method_of, name_of
from vidrobust.training.reporting import Reporter
from vidrobust.training.requirements import check_model, check_trained
from vidrobust.training.stages import CALIBRATION_CLIPS, LAST, WEIGHTS, Best, accuracies, alpha_star_of, store_weights
from vidrobust.training.stopping import EarlyStopping, terminating
from vidrobust.training.trackers import TrackerName, Trackers
from vidrobust.training.trainer import train
from vidrobust.training.watch import Watch, Watcher, watch_rows

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.data.dataset import VideoClips
    from vidrobust.evaluation.clips import GradientProgress
    from vidrobust.training.methods.objectives import Method


@dataclass(frozen=True)
class FitRun:
    """A finished training.

    Attributes:
        model: the trained model, in evaluation mode.
        rows: its ``dataset``, ``manifest``, ``epoch``, ``watch`` and ``accuracy`` rows.
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
    progress: GradientProgress = silent,
    log: Callable[[str], None] = lambda text: None,
    log_scalars: Callable[[Mapping[str, float]], None] = lambda numbers: None,
) -> FitRun:
    """Train a model under a policy, and evaluate it clean.

    Args:
        model: from clips to logits; trained in place.
        data: as :func:`vidrobust.data.motion` or :func:`vidrobust.data.videos` gives it.
        method: ``standard``, or a policy such as ``AT(ε=8,α=8,i=3)`` or ``TRADES(ε=8,α=2,i=7,β=6)``, or a method of
            your own. What it needs besides a classifier (a purifier, BatchNorm branches) is put around the model.
        epochs, batch, lr: how long and how fast, see :class:`vidrobust.training.config.FitConfig`.
        seed: of the order of the clips and their augmentation.
        alpha_star: α*(ε, i) in units of 1/255, such as a study's table. Without it, and for ``α=auto``, it is
            calibrated in each epoch, on training clips and the current model.
        out: a run directory; after a kill, the same call resumes from the last checkpoint.
        settings: all of :class:`vidrobust.training.config.FitConfig`, in place of epochs, batch and lr.
        watch: what is evaluated after each epoch, and when training ends early; by default nothing.
        track: trackers that get the numbers of each epoch besides ``training.jsonl``; they need ``out``.
        world: the processes that train together, each of which makes this call.
        progress: called with the clip-gradients spent.
        log: called after each epoch with a line on how it went.
        log_scalars: called after each epoch with its numbers by name, for curves.

    Returns:
        The trained model with its rows.

    Raises:
        InputError: the model has another number of classes than the data.
        NotationError: the policy does not parse.
        RunError: ``out`` holds another run, another process works on it, or the disk is full.
        StoppedError: SIGTERM came; what is done is saved.
    """
    how = method_of(parse_policy(method) if isinstance(method, str) else method)
    settings, watch, world = settings or FitConfig(epochs, batch, lr), watch or Watch(), world or World()
    check_fit(model, data, how.policy, watch, seed)
    model = how.around(model, seed)
    check_trained(model)
    asked = determining(model, data, how, settings, watch, seed, alpha_star)
    run = None if out is None else world.once(lambda: Run.start(out, "train", asked, seed))
    with run_lock(run, world):
        if run is not None and (run.path / WEIGHTS).exists():
            model.load_state_dict(load_tensors(run.path / WEIGHTS)[0])
            return _finished(run, model.eval(), world)
        checkpoints = None if run is None else run.path / "checkpoints"
        best = Best(checkpoints, world)
        splits = {"train": data.train.spread(watch.clips), "val": data.val.spread(watch.clips)}
        watcher = Watcher(watch.every, splits, partial(watch_rows, watch=watch))
        report = Reporter(
            EarlyStopping(watch, watcher, how.policy, best.keep, best.recall),
            data.val.spread(CALIBRATION_CLIPS),
            Trackers(run.path, track, name_of(how), asked) if run is not None and world.first else None,
            log,
            log_scalars,
        )
        with terminating() as stopping, contextlib.closing(report):
            rows = train(
                model,
                data.train,
                how,
                settings,
                seed=seed,
                alpha_star=alpha_star_of(how.policy, alpha_star, model, data.train),
                checkpoints=checkpoints,
                after_epoch=report,
                progress=progress,
                world=world,
                stopping=stopping,
            )
        if watch.patience or any(row.get("stop") for row in rows):
            best.choose(model)
        rows = [{**row, "model": name_of(how), "seed": seed} for row in (*rows, *accuracies(model, data))]
        rows = [data.row, *_manifests(splits.values() if watch.every else (), rows), *rows]
        if run is None:
            return FitRun(model, rows, None)
        if world.first:  # rows first: that the weights are there says that the run is whole
            run.append(rows)
        store_weights(run.path, model, data, name_of(how), world)
        return _finished(run, model, world, rows)


def _manifests(watched: Iterable[Clips], rows: Sequence[Row]) -> list[Row]:
    """The manifests of the clips of rows; of watched clips too, which a resumed training may not have evaluated."""
    return list({row["clips_of"]: row for row in (*map(manifest_row, watched), *manifest_rows(rows))}.values())


def check_fit(model: nn.Module, data: VideoClips, policy: Policy, watch: Watch, seed: int) -> None:
    """Refuse what cannot be trained, before anything is written.

    Raises:
        InputError: the data have no splits, the model cannot be trained on them, or patience would wait for what never
            comes.
        NotationError: there is no such norm or support.
    """
    if not all(hasattr(data, split) for split in SPLITS):
        raise InputError(
            f"data must have the splits train, val and test, as vr.data.motion() and vr.data.videos(folder) give them, "
            f"but is a {type(data).__name__}. In your own loop, vr.TrainingAttack makes attacked batches of tensors."
        )
    found = check_model(model, data.train, seed)
    if found != len(data.classes):
        raise InputError(f"the model has {found} classes, the data {len(data.classes)}.")
    if watch.patience and policy.family == "standard":
        raise InputError("patience watches robust accuracy, which standard training does not raise: leave it at 0.")
    for part in policy.parts or (policy,):
        policy_threat(part)


def determining(
    model: nn.Module,
    data: VideoClips,
    method: Method,
    settings: FitConfig,
    watch: Watch,
    seed: int,
    alpha_star: AlphaStar | None,
) -> dict[str, Any]:
    """The configuration of a run: all that the result of a training depends on, as plain values."""
    return {
        "policy": name_of(method),
        "fit": settings.fields,
        "watch": asdict(watch),
        "seed": seed,
        "model": description(model),
        "data": asdict(data.config),
        "start": fingerprint(model),
        "alpha_star": content_key(alpha_star.table) if isinstance(alpha_star, StepSizes) else None,
    }


@contextlib.contextmanager
def run_lock(run: Run | None, world: World) -> Iterator[None]:
    """Lock the run directory for the processes of a training.

    Raises:
        RunError: another training holds it.
    """
    with contextlib.ExitStack() as stack:
        if run is not None:
            world.once(lambda: stack.enter_context(run.working()))
        yield


def _finished(run: Run, model: nn.Module, world: World, rows: list[Row] | None = None) -> FitRun:
    """The result of a run whose weights are stored; its checkpoints are removed."""
    if world.first:
        clear_checkpoints(run.path, keep=(LAST,))
    world.wait()
    return FitRun(model, run.rows() if rows is None else rows, run.path)


def check_class_count(model: nn.Module, data: VideoClips) -> None:
    """Refuse a model that does not have one logit for each class of the data.

    Raises:
        InputError: it has more or fewer.
    """
    found = getattr(model, "classes", None)
    if not isinstance(found, int):
        with undisturbed(model), torch.no_grad():
            clips = data.train.centre([0]).to(device_of(model))
            found = model(clips).shape[1]
    if found != len(data.classes):
        raise InputError(
            f"the model has {found} classes, the data {len(data.classes)}. If these are some of the model's, give the "
            "names of all in the order of its outputs: --classes FILE (DataConfig.classes)."
        )


def study_alpha_star(path: str | Path) -> Callable[[float, int], float]:
    """The α*(ε, i) that a study measured on its standard model, without those of later sweeps in its folder.

    Raises:
        InputError: the run holds no step sizes.
    """
    rows = step_size_rows(Run.open(path).rows("step_size"))
    if not rows:
        raise InputError(f"{path} holds no step sizes. Give the folder of a study, or of `vidrobust sweep`.")
    return StepSizes([row for row in rows if "split" not in row] or rows)  # a sweep names its split, a study does not
