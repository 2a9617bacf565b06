"""Recipes: functions that return the typed configuration of a study.

A recipe is a plain value. The command line starts from the one that ``--profile`` names, lets a YAML file and options
override it, and stores the result in the run directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vidrobust.data.dataset import DataConfig
from vidrobust.errors import InputError
from vidrobust.notation import POLICIES, parse_policy
from vidrobust.training.config import FitConfig

RISING = "CAL(ε~U(0,12),α=ε,i=i*)"
FALLING = "CAL(ε~rU(12,0),α=ε,i=i*)"
WEAK = "AT(ε=8,α=8,i=3)"
STRONG = "AT(ε=8,α=2,i=10)"
SMALL = "AT(ε=4,α=4,i=5)"
LARGE = "AT(ε=12,α=12,i=2)"
GAP = "CAL(ε~U(0,12),α=α*,i=5)"


@dataclass(frozen=True)
class Sensitivity:
    """Mean PGD loss and accuracy over α × i.

    Attributes:
        eps: budgets, in units of 1/255.
        steps: the largest number of iterations; one trajectory yields all smaller ones.
        clips: test clips attacked.
    """

    eps: tuple[float, ...] = (4.0, 8.0)
    steps: int = 30
    clips: int = 100

    @staticmethod
    def alphas(eps: float) -> tuple[float, ...]:
        """The step sizes of the slides: ten even ones up to 2, then four up to 2ε + 2; 0 is replaced by 0.05."""
        fine = [round(2 * index / 9, 4) for index in range(1, 10)]
        coarse = [round(2.2 + index * (2 * eps - 0.2) / 3, 4) for index in range(4)]
        return (0.05, *fine, *coarse)


@dataclass(frozen=True)
class StepSizeSearch:
    """α*(ε) at stated iteration counts, measured on validation clips.

    Attributes:
        eps: budgets, in units of 1/255.
        steps: iteration counts.
        clips: validation clips attacked.
    """

    eps: tuple[float, ...] = tuple(float(eps) for eps in range(1, 13))
    steps: tuple[int, ...] = (5, 10, 20)
    clips: int = 100


@dataclass(frozen=True)
class Robustness:
    """Accuracy against ε under PGD(α=α*, i).

    Attributes:
        eps: budgets, in units of 1/255; 0 is the clean accuracy.
        steps: iteration counts.
        clips: test clips attacked.
    """

    eps: tuple[float, ...] = (0.0, 2.0, 4.0, 8.0, 12.0, 15.0)
    steps: tuple[int, ...] = (5, 20)
    clips: int = 200


@dataclass(frozen=True)
class Gap:
    """Train and validation accuracy by epoch, both in evaluation mode on centre clips.

    Attributes:
        policy: the training policy watched.
        epochs: epochs trained; long enough that a gap can open.
        train: training clips (few of them let the gap open sooner).
        every: epochs between measurements.
        eps: budgets of the evaluation, in units of 1/255.
        steps: iterations of the evaluation, with α = α*.
        clips: clips evaluated of each split.
        seeds: repetitions.
    """

    policy: str = GAP
    epochs: int = 30
    train: int = 200
    every: int = 2
    eps: tuple[float, ...] = (2.0, 8.0, 12.0)
    steps: int = 5
    clips: int = 100
    seeds: int = 1


@dataclass(frozen=True)
class Difficulty:
    """How the training claims depend on how hard ε is: the same policies on data of lower and higher contrast.

    Attributes:
        contrasts: ranges of contrast of the embedded data set; none switches the step off.
        policies: trained at each contrast.
        eps: budgets of the evaluation, in units of 1/255.
        steps: iterations of the evaluation, with α = α* of the study.
        clips: clips evaluated.
        split: of the data the clips come from; the search for the regime looks at ``val`` alone.
        seeds: repetitions.
    """

    contrasts: tuple[tuple[float, float], ...] = ()
    policies: tuple[str, ...] = (RISING, FALLING, WEAK, SMALL, LARGE, STRONG)
    eps: tuple[float, ...] = (0.0, 2.0, 4.0, 8.0, 12.0)
    steps: int = 10
    clips: int = 160
    split: Literal["val", "test"] = "test"
    seeds: int = 1


@dataclass(frozen=True)
class StudyConfig:
    """All that determines the results of a study.

    Attributes:
        profile: the recipe it started from.
        seed: of the data, the weights, the order of clips.
        seeds: repetitions of every training, with seeds ``seed``, ``seed + 1``, ….
        model: as ``--model`` takes it: ``r3d-18``, ``torchvision:r3d_18``, ….
        weights: a checkpoint that standard training starts from, with a new last layer; none starts from new weights.
        clips: the data.
        standard: standard training.
        adversarial: adversarial training.
        start: ``warm`` starts AT and CAL from the standard-trained model, ``scratch`` from new weights; ``fAT`` is
            always warm (our reading of the slides' term).
        policies: trained besides the standard model.
        sensitivity: the mean loss of PGD and the accuracy over α × i.
        step_sizes: the search for α*.
        robustness: accuracy against ε of every model.
        gap: the training that is watched by epoch.
        difficulty: the same policies on data of lower and higher contrast.
        examples: clips in the gallery.
    """

    profile: Literal["quick", "full"] = "quick"
    seed: int = 0
    seeds: int = 1
    model: str = "r3d-small"
    weights: str = ""
    clips: DataConfig = field(default_factory=DataConfig)
    standard: FitConfig = field(default_factory=FitConfig)
    adversarial: FitConfig = field(default_factory=FitConfig)
    start: Literal["warm", "scratch"] = "warm"
    policies: tuple[str, ...] = POLICIES
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    step_sizes: StepSizeSearch = field(default_factory=StepSizeSearch)
    robustness: Robustness = field(default_factory=Robustness)
    gap: Gap = field(default_factory=Gap)
    difficulty: Difficulty = field(default_factory=Difficulty)
    examples: int = 6

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds must be at least 1, but is {self.seeds}.")
        for text in (*self.policies, self.gap.policy, *self.difficulty.policies):
            parse_policy(text)


def quick() -> StudyConfig:
    """Every figure in under three minutes on two cores; the training claims need the seeds of :func:`full`."""
    return StudyConfig(
        profile="quick",
        clips=DataConfig(train=400, val=100, test=200),
        standard=FitConfig(epochs=15),
        adversarial=FitConfig(epochs=8, lr=2e-3),
        policies=(WEAK, STRONG, RISING, FALLING),
        sensitivity=Sensitivity(clips=32),
        step_sizes=StepSizeSearch(clips=32),
        robustness=Robustness(clips=100),
        gap=Gap(epochs=16, train=100, every=2, clips=50),
    )


def full() -> StudyConfig:
    """All policies, three seeds, and the dependence on difficulty.

    The regime (contrast, warm start, epochs, clips) is the outcome of a search on validation data with seeds of its
    own: ``recipes/regime-search`` and ``docs/regime.md``.
    """
    return StudyConfig(
        profile="full",
        seeds=3,
        clips=DataConfig(train=400, val=160, test=320),
        standard=FitConfig(epochs=15),
        adversarial=FitConfig(epochs=12, lr=2e-3),
        sensitivity=Sensitivity(clips=100),
        step_sizes=StepSizeSearch(clips=80),
        robustness=Robustness(clips=160),
        gap=Gap(epochs=30, train=200, every=3, clips=80, seeds=3),
        difficulty=Difficulty(contrasts=((0.15, 0.5), (0.25, 0.7), (0.4, 1.0)), seeds=2),
    )


@dataclass(frozen=True)
class DataSize:
    """How large a published data set is, for estimates where it is not at hand."""

    classes: int
    clips: int


@dataclass(frozen=True)
class Training:
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


def _resnext101_64f(about: DataSize) -> Training:
    """Fine-tuning of a Kinetics 3D-ResNeXt-101 as Hara et al. (CVPR 2018, section 3.2) do it.

    SGD with momentum 0.9, weight decay 1e-5 and a learning rate of 1e-3, conv5_x and a new last layer alone, clips of
    64×112×112, batches of 128. They divide the rate by ten when the validation loss stands still; here it falls along
    a cosine. Memory is kept to one GPU's by bfloat16, eight parts a batch and checkpointed blocks.
    """
    return Training(
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


def ucf101_resnext101_64f() -> Training:
    """UCF-101, split 1: 9,537 training videos, of which validation takes a fifth of the groups."""
    return _resnext101_64f(DataSize(classes=101, clips=9537))


def hmdb51_resnext101_64f() -> Training:
    """HMDB-51, split 1: 70 training videos of each class."""
    return _resnext101_64f(DataSize(classes=51, clips=3570))


TRAININGS = {"ucf101-resnext101-64f": ucf101_resnext101_64f, "hmdb51-resnext101-64f": hmdb51_resnext101_64f}
"""The trainings that ``vidrobust train --recipe`` names."""

PROFILES = {"quick": quick, "full": full}
"""The recipes that ``--profile`` names."""
