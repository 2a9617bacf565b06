"""A trained model with the data it was trained on, wherever it is found: a run, a study, a bare file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.errors import RunError
from vidrobust.evaluation import BATCH
from vidrobust.fitting import study_alpha_star
from vidrobust.jobs import device, first
from vidrobust.models.checkpoints import load_described
from vidrobust.notation import parse_policy
from vidrobust.runs import Run
from vidrobust.sweeps import calibrated

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips
    from vidrobust.models.resnet3d import ResNet3d
    from vidrobust.policies import AlphaStar


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

    def clips(self, split: str, limit: int) -> Clips:
        """At most ``limit`` clips of a split, spread evenly over it; 0 takes all."""
        clips: Clips = getattr(self.data, split)
        return first(clips, limit or len(clips))

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
