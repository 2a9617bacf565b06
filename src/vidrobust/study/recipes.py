"""Recipes: functions that return the typed configuration of a study, and published trainings.

A recipe is a plain value. The command line starts from the one that ``--profile`` or ``--recipe`` names, lets a YAML
file and options override it, and stores the result in the run directory.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidrobust.data.dataset import DataConfig
from vidrobust.notation.slides import FALLING, RISING, STRONG, WEAK
from vidrobust.study.config import (
    Difficulty,
    Gap,
    Robustness,
    Sensitivity,
    StepSizeSearch,
    StudyConfig,
    WorstCaseSearch,
)
from vidrobust.training.config import FitConfig


def quick() -> StudyConfig:
    """Every figure but that of difficulty in some minutes on two cores, without the worst case.

    The training claims need the seeds of :func:`full`.
    """
    return StudyConfig(
        profile="quick",
        clips=DataConfig(train=400, val=100, test=200),
        standard=FitConfig(epochs=12),
        adversarial=FitConfig(epochs=6, lr=2e-3),
        policies=(WEAK, STRONG, RISING, FALLING),
        sensitivity=Sensitivity(clips=16, steps=20),
        step_sizes=StepSizeSearch(eps=(1.0, 2.0, 4.0, 8.0, 12.0), clips=16),
        robustness=Robustness(eps=(0.0, 2.0, 4.0, 8.0, 12.0), clips=64),
        gap=Gap(epochs=9, train=96, every=3, eps=(2.0, 8.0), clips=32),
    )


def full() -> StudyConfig:
    """All policies, five seeds, the worst case, and the dependence on difficulty.

    The regime (contrast, warm start, epochs, clips) is the outcome of a search on validation data with a seed of its
    own: ``docs/regime.md``.
    """
    return StudyConfig(
        profile="full",
        seeds=5,
        clips=DataConfig(train=600, val=160, test=320),
        standard=FitConfig(epochs=12),
        adversarial=FitConfig(epochs=10, lr=2e-3),
        sensitivity=Sensitivity(clips=64),
        step_sizes=StepSizeSearch(eps=(1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0), clips=64),
        robustness=Robustness(clips=160),
        worst_case=WorstCaseSearch(seeds=3),
        gap=Gap(epochs=20, train=200, every=4, clips=80, seeds=3),
        difficulty=Difficulty(contrasts=((0.15, 0.5), (0.25, 0.7), (0.4, 1.0)), seeds=2),
    )


@dataclass(frozen=True)
class DataSize:
    """How large a published data set is, for estimates where it is not available."""

    classes: int
    clips: int


@dataclass(frozen=True)
class TrainingRecipe:
    """A published training: what ``vidrobust train --recipe NAME`` starts from.

    Attributes:
        about: the data set it is for.
        model: as ``--model`` takes it.
        method: the policy.
        new_head: the weights are those of another data set.
        clips: the data's clips.
        fit: the optimiser and what fine-tuning asks for.
    """

    about: DataSize
    model: str
    method: str
    new_head: bool
    clips: DataConfig
    fit: FitConfig


def _resnext101_64f(about: DataSize) -> TrainingRecipe:
    """Fine-tuning of a Kinetics 3D-ResNeXt-101 as Hara et al. (CVPR 2018, section 3.2) do it.

    SGD with momentum 0.9, weight decay 1e-5 and a learning rate of 1e-3, conv5_x and a new last layer alone, clips of
    64×112×112, batches of 128. They divide the rate by ten when the validation loss stands still; here it falls along
    a cosine. Memory is kept to one GPU's by bfloat16, eight parts per batch and checkpointed blocks.
    """
    return TrainingRecipe(
        about,
        model="resnext3d-101",
        method="standard",
        new_head=True,
        clips=DataConfig(frames=64, size=112, max_frames=96),
        fit=FitConfig(
            epochs=30,
            batch=128,
            lr=1e-3,
            weight_decay=1e-5,
            optimiser="sgd",
            momentum=0.9,
            freeze="layer4",
            accumulate=8,
            checkpointing=True,
        ),
    )


def ucf101_resnext101_64f() -> TrainingRecipe:
    """UCF-101, split 1: 9,537 training videos, of which validation takes a fifth of the groups."""
    return _resnext101_64f(DataSize(classes=101, clips=9537))


def hmdb51_resnext101_64f() -> TrainingRecipe:
    """HMDB-51, split 1: 70 training videos of each class."""
    return _resnext101_64f(DataSize(classes=51, clips=3570))


TRAININGS = {"ucf101-resnext101-64f": ucf101_resnext101_64f, "hmdb51-resnext101-64f": hmdb51_resnext101_64f}
"""The trainings that ``vidrobust train --recipe`` names."""

PROFILES = {"quick": quick, "full": full}
"""The recipes that ``--profile`` names."""
