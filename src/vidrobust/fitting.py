"""Train one model into a run directory: what ``vr.fit`` and ``vidrobust train`` do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.engine import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation import accuracy, device_of, silent
from vidrobust.models.checkpoints import description, load_tensors, save_model
from vidrobust.notation import Policy, parse_policy
from vidrobust.runs import Row, Run, content_key, dumps, write_atomic
from vidrobust.sweeps import StepSizes, calibrated
from vidrobust.training.engine import AlphaStar, FitConfig, train

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.dataset import VideoClips
    from vidrobust.evaluation import Progress

CALIBRATION_CLIPS = 32
"""Training clips on which α* is looked for where no table of it is given."""


@dataclass(frozen=True)
class FitRun:
    """A finished training.

    Attributes:
        model: the trained model, in evaluation mode.
        rows: its ``dataset``, ``epoch`` and ``accuracy`` rows.
        path: the run directory, or None.
    """

    model: nn.Module
    rows: list[Row]
    path: Path | None


def fit(
    model: nn.Module,
    data: VideoClips,
    method: str | Policy = "standard",
    *,
    epochs: int = 10,
    batch: int = 32,
    lr: float = 3e-3,
    seed: int = 0,
    alpha_star: AlphaStar | None = None,
    out: str | Path | None = None,
    settings: FitConfig | None = None,
    progress: Progress = silent,
    told: Callable[[str], None] = lambda text: None,
) -> FitRun:
    """Train a model under a policy, and evaluate it clean.

    Args:
        model: from clips to logits; trained in place.
        data: as :func:`vidrobust.data.motion` or :func:`vidrobust.data.videos` gives it.
        method: ``standard``, or a policy such as ``AT(ε=8,α=8,i=3)``.
        epochs, batch, lr: how long and how fast, see :class:`vidrobust.training.engine.FitConfig`.
        seed: of the order of the clips and their augmentation.
        alpha_star: α*(ε, i) in units of 1/255, such as a study's table. Without it α* is looked for at each epoch, on
            training clips and the model as it then is.
        settings: all of :class:`vidrobust.training.engine.FitConfig`, in place of epochs, batch and lr.
        out: a run directory; the same call after a kill goes on from the last epoch.
        progress: called with the clip-gradients spent.
        told: called after each epoch with a line on how it went.

    Returns:
        The trained model with its rows.

    Raises:
        InputError: the model has another number of classes than the data.
        NotationError: the policy does not parse.
        RunError: ``out`` holds another run, or the disk is full.
    """
    policy = parse_policy(method) if isinstance(method, str) else method
    settings = settings or FitConfig(epochs, batch, lr)
    check_classes(model, data)
    asked = {
        "policy": str(policy),
        "fit": asdict(settings),
        "seed": seed,
        "model": description(model),
        "data": asdict(data.config),
    }
    run = None if out is None else Run.start(out, "train", asked, seed)
    if run is not None and (run.path / "model.safetensors").exists():
        model.load_state_dict(load_tensors(run.path / "model.safetensors")[0])
        return FitRun(model.eval(), run.rows(), run.path)
    rows = [data.row]
    rows += train(
        model,
        data.train,
        policy,
        settings,
        seed=seed,
        alpha_star=alpha_star or calibrated(model, data.train.subset(range(0, len(data.train), _stride(data)))),
        checkpoint=None if run is None else run.path / "checkpoint.safetensors",
        after_epoch=_telling(data, told),
        progress=progress,
    )
    splits = {"train": data.train, "val": data.val, "test": data.test}
    rows += [{**accuracy(model, clips), "split": split} for split, clips in splits.items()]
    rows = [row if row["kind"] == "dataset" else {**row, "model": str(policy), "seed": seed} for row in rows]
    if run is not None:
        _store(run, model, rows, {"classes": list(data.classes), "data": asked["data"], "policy": str(policy)})
    return FitRun(model, rows, None if run is None else run.path)


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


def _telling(data: VideoClips, told: Callable[[str], None]) -> Callable[[nn.Module, Row], list[Row]]:
    """Says after each epoch how it went: on its own attacked batches, and clean on a few validation clips."""
    few = data.val.subset(range(0, len(data.val), max(1, len(data.val) // CALIBRATION_CLIPS)))
    last = time.perf_counter()

    def tell(model: nn.Module, row: Row) -> list[Row]:
        nonlocal last
        clean, now = accuracy(model, few), time.perf_counter()
        attack = f"ε={row['eps']:g} α={row['alpha']:.3g} i={row['steps']}" if row["eps"] else "clean"
        told(
            f"epoch {row['epoch']}/{row['epochs']}: loss {row['loss']:.3f}, "
            f"train as attacked {row['correct'] / row['clips']:.0%} of {row['clips']}, "
            f"validation clean {clean['top1'] / clean['clips']:.0%} of {clean['clips']}, "
            f"{attack}, {row['clips'] / (now - last):.0f} clips/s"
        )
        last = now
        return []

    return tell


def _stride(data: VideoClips) -> int:
    return max(1, len(data.train) // CALIBRATION_CLIPS)


def _store(run: Run, model: nn.Module, rows: list[Row], about: dict[str, object]) -> None:
    """Rows first, weights last: that the weights are there says that the run is whole."""
    write_atomic(run.path / "rows.jsonl", "".join(dumps(row) + "\n" for row in rows).encode())
    save_model(run.path / "model.safetensors", model, about)
    (run.path / "checkpoint.safetensors").unlink(missing_ok=True)


def study_alpha_star(path: str | Path) -> Callable[[float, int], float]:
    """The α*(ε, i) that a study measured.

    Raises:
        InputError: the run holds no step sizes.
    """
    rows = Run.open(path).rows("step_size")
    if not rows:
        raise InputError(f"{path} holds no step sizes. Give the folder of a study, or of `vidrobust sweep`.")
    return StepSizes(rows)


def append_new(run: Run, rows: list[Row], keys: tuple[str, ...]) -> None:
    """Append rows to a run, leaving out those that stand there already with the same ``keys``."""
    known = {content_key([row.get(key) for key in keys]) for row in run.rows()}
    run.append([json.loads(dumps(row)) for row in rows if content_key([row.get(key) for key in keys]) not in known])
