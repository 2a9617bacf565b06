"""The steps of a training before and after its epochs, shared by ``vr.fit`` and the training job of a study."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidrobust.attacks.blind import classifier_behind
from vidrobust.evaluation.clips import accuracy
from vidrobust.evaluation.sweeps import calibrated
from vidrobust.models.checkpoints import description, load_tensors, save_tensors
from vidrobust.notation.policies import AlphaStar, Policy
from vidrobust.training.checkpoints import take_weights, weights_of
from vidrobust.training.distributed import World

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.data.dataset import VideoClips
    from vidrobust.runs.rows import Row

WEIGHTS = "model.safetensors"
"""The file of a trained model, in a run directory or the folder of a job."""

LAST = "last.safetensors"
"""The file of the last weights, where a training ended with its best ones."""

CALIBRATION_CLIPS = 32
"""Training clips on which α* is looked for where no table of it is given."""


def alpha_star_of(policy: Policy, given: AlphaStar | None, model: nn.Module, clips: Clips) -> AlphaStar:
    """The α*(ε, i) that a training uses.

    Args:
        policy: what is trained.
        given: a table of it, which holds unless the policy says ``α=auto``.
        model: the model; without a table, its α* is looked for whenever it is asked for, as the model then is.
        clips: the training split, of which a few are looked at.
    """
    if given is not None and not policy.auto:
        return given
    return calibrated(classifier_behind(model) or model, clips.spread(CALIBRATION_CLIPS))


def accuracies(model: nn.Module, data: VideoClips) -> list[Row]:
    """The ``accuracy`` rows of a trained model on the three splits."""
    splits = {"train": data.train, "val": data.val, "test": data.test}
    return [{**accuracy(model, clips), "split": split} for split, clips in splits.items()]


def store_weights(folder: Path, model: nn.Module, data: VideoClips, method: str, world: World | None = None) -> None:
    """Write ``model.safetensors``: the weights, and what a reader must know of them.

    A collective operation: every process must call it.

    Args:
        folder: the run directory, or the folder of a job.
        model: the trained model.
        data: what it was trained on.
        method: by what, as text.
        world: the processes that trained it together.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    world = world or World()
    tensors = weights_of(model)
    if world.first:
        about = {"classes": list(data.classes), "data": asdict(data.config), "policy": method}
        save_tensors(folder / WEIGHTS, tensors, {"model": description(model), **about})


class Best:
    """The weights of the epoch with the best robust accuracy on validation, in a file or else in memory."""

    def __init__(self, checkpoints: Path | None, world: World) -> None:
        self._path = None if checkpoints is None else checkpoints / "best.safetensors"
        self._last = None if checkpoints is None else checkpoints / LAST
        self._world = world
        self._kept: dict[str, Any] | None = None

    def keep(self, model: nn.Module) -> None:
        """Keep the weights of a model."""
        tensors = weights_of(model)
        if self._path is None:
            self._kept = {name: tensor.clone() for name, tensor in tensors.items()}
        elif self._world.first:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self._path, tensors, {"best": True})

    def recall(self, model: nn.Module) -> None:
        """Load the best weights into a model."""
        self._world.wait()
        kept = self._kept if self._path is None else load_tensors(self._path)[0]
        if kept is not None:
            take_weights(model, kept)

    def choose(self, model: nn.Module) -> None:
        """Replace the last weights by the best ones; the last ones are kept in a file beside the checkpoints."""
        tensors = weights_of(model)
        if self._last is not None and self._world.first:
            save_tensors(self._last, tensors, {"last": True})
        self.recall(model)
