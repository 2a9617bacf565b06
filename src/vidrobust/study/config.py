"""What a study does, as typed values: each refuses what cannot be carried through when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from vidrobust.data.config import DataConfig, as_written
from vidrobust.errors import InputError, RunError
from vidrobust.notation import parse_policy
from vidrobust.notation.slides import FALLING, LARGE, POLICIES, RISING, RISING_5, SMALL, STRONG, WEAK
from vidrobust.notation.units import Levels, check_eps
from vidrobust.results.numbers.advantages import SEEDS_NEEDED
from vidrobust.training.config import FitConfig

Profile: TypeAlias = Literal["quick", "full"]

LARGEST_EPS = 255
"""A budget in units of 1/255 that reaches every pixel value."""

LONGEST = 1000
"""Iterations, as policies have them at most."""

LARGEST_SEED = 2**32 - 1

UNTIL_DECIDED = "until-decided"
"""As many seeds as the claims need, instead of a number."""


def check_count(name: str, value: int, least: int = 1, most: int | None = None) -> None:
    """Refuse a number of things that is out of its range.

    Raises:
        InputError: it is.
    """
    if value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most}"
        raise InputError(f"{name} must be at least {least}{upper}, but is {value}.")


def check_distinct(name: str, values: Sequence[object]) -> None:
    """Refuse a list that names something twice: its rows would be there twice.

    Raises:
        InputError: it does.
    """
    twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
    if twice:
        raise InputError(f"{name} names {', '.join(map(str, twice))} twice.")


def check_budgets(name: str, eps: Sequence[float], *, clean: bool = False, none: bool = False) -> None:
    """Refuse values of ε that are no budgets.

    Args:
        name: of the field.
        eps: in units of 1/255.
        clean: is 0, the clean accuracy, one of the values it may take?
        none: may the list be empty?

    Raises:
        InputError: a value is out of range or named twice, or there is none.
    """
    if not eps and not none:
        raise InputError(f"{name} is empty: name at least one ε.")
    for value in eps:
        if not (0 <= value <= LARGEST_EPS) or (value == 0 and not clean):
            low = "from 0" if clean else "above 0"
            raise InputError(f"{name}: ε must lie {low} to {LARGEST_EPS}, in units of 1/255, but is {value:g}.")
        check_eps(name, value)
    check_distinct(name, eps)


def check_steps(name: str, steps: Sequence[int]) -> None:
    """Refuse iteration counts that no attack can have.

    Raises:
        InputError: one is out of range or named twice, or there is none.
    """
    if not steps:
        raise InputError(f"{name} is empty: name at least one number of iterations.")
    for count in steps:
        check_count(name, count, 1, LONGEST)
    check_distinct(name, steps)


def check_policies(name: str, policies: Sequence[str]) -> None:
    """Refuse texts that are no policies, the standard training that a study has in any case, and a policy named twice.

    Raises:
        InputError: there is one.
        NotationError: a text does not parse.
    """
    parsed = [parse_policy(text) for text in policies]
    if any(policy.family == "standard" for policy in parsed):
        raise InputError(f"{name}: the standard model is trained in any case: leave it out.")
    check_distinct(name, [str(policy) for policy in parsed])


@dataclass(frozen=True)
class Sensitivity:
    """Mean PGD loss and accuracy over α × i.

    Attributes:
        eps: budgets, in units of 1/255; none leaves the step out.
        steps: the largest number of iterations; one trajectory yields all smaller ones.
        clips: test clips attacked.
    """

    eps: tuple[Levels, ...] = (4.0, 8.0)
    steps: int = 30
    clips: int = 100

    def __post_init__(self) -> None:
        check_budgets("sensitivity.eps", self.eps, none=True)
        check_steps("sensitivity.steps", (self.steps,))
        check_count("sensitivity.clips", self.clips)

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

    eps: tuple[Levels, ...] = tuple(float(eps) for eps in range(1, 13))
    steps: tuple[int, ...] = (5, 10, 20)
    clips: int = 100

    def __post_init__(self) -> None:
        check_budgets("step_sizes.eps", self.eps)
        check_steps("step_sizes.steps", self.steps)
        check_count("step_sizes.clips", self.clips)


@dataclass(frozen=True)
class Robustness:
    """Accuracy against ε under PGD(α=α*, i).

    Attributes:
        eps: budgets, in units of 1/255; 0 is the clean accuracy.
        steps: iteration counts.
        clips: test clips attacked.
    """

    eps: tuple[Levels, ...] = (0.0, 2.0, 4.0, 8.0, 12.0, 15.0)
    steps: tuple[int, ...] = (5, 20)
    clips: int = 200

    def __post_init__(self) -> None:
        check_budgets("robustness.eps", self.eps, clean=True)
        check_steps("robustness.steps", self.steps)
        check_count("robustness.clips", self.clips)


@dataclass(frozen=True)
class WorstCaseSearch:
    """Accuracy at one ε under all attacks of ``vidrobust judge``: of each clip the most successful counts.

    Attributes:
        eps: the budget, in units of 1/255.
        clips: of the test clips of the accuracy against ε, so many are attacked.
        steps: gradients of FMN, PGD, APGD, and of FAB per target.
        targets: wrong classes that APGD-T and FAB-T try.
        queries: of Square per clip; RayS gets a tenth.
        seeds: of how many repetitions the models are attacked; 0 leaves the step out.
    """

    eps: float = 8.0
    clips: int = 40
    steps: int = 30
    targets: int = 2
    queries: int = 200
    seeds: int = 0

    def __post_init__(self) -> None:
        check_budgets("worst_case.eps", (self.eps,))
        for name in ("clips", "steps", "targets", "queries"):
            check_count(f"worst_case.{name}", getattr(self, name))
        check_count("worst_case.seeds", self.seeds, 0)


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
        seeds: repetitions; 0 leaves the step out.
    """

    policy: str = RISING_5
    epochs: int = 30
    train: int = 200
    every: int = 2
    eps: tuple[Levels, ...] = (2.0, 8.0, 12.0)
    steps: int = 5
    clips: int = 100
    seeds: int = 1

    def __post_init__(self) -> None:
        parse_policy(self.policy)
        check_budgets("gap.eps", self.eps, clean=True)
        check_steps("gap.steps", (self.steps,))
        for name, least in {"epochs": 1, "train": 2, "every": 1, "clips": 1, "seeds": 0}.items():
            check_count(f"gap.{name}", getattr(self, name), least)


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
    eps: tuple[Levels, ...] = (0.0, 2.0, 4.0, 8.0, 12.0)
    steps: int = 10
    clips: int = 160
    split: Literal["val", "test"] = "test"
    seeds: int = 1

    def __post_init__(self) -> None:
        check_policies("difficulty.policies", self.policies)
        check_budgets("difficulty.eps", self.eps, clean=True)
        check_steps("difficulty.steps", (self.steps,))
        check_count("difficulty.clips", self.clips)
        check_count("difficulty.seeds", self.seeds)
        check_distinct("difficulty.contrasts", self.contrasts)
        for contrast in self.contrasts:
            DataConfig(contrast=contrast)
        if self.split not in ("val", "test"):
            raise InputError(f"difficulty.split must be val or test, but is {self.split!r}.")


@dataclass(frozen=True)
class StudyConfig:
    """All that determines the results of a study.

    Attributes:
        profile: the recipe it started from.
        seed: of the data, the weights, the order of clips.
        seeds: repetitions of every training, with seeds ``seed``, ``seed + 1``, …; ``until-decided`` begins with three
            and adds one after another.
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
        worst_case: accuracy at one ε under all attacks of a judgement.
        gap: the training that is watched by epoch.
        difficulty: the same policies on data of lower and higher contrast.
        examples: clips in the gallery.
    """

    profile: Profile = "quick"
    seed: int = 0
    seeds: int | Literal["until-decided"] = 1
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
    worst_case: WorstCaseSearch = field(default_factory=WorstCaseSearch)
    gap: Gap = field(default_factory=Gap)
    difficulty: Difficulty = field(default_factory=Difficulty)
    examples: int = 6

    def __post_init__(self) -> None:
        if isinstance(self.seeds, str) and self.seeds != UNTIL_DECIDED:
            raise InputError(f"seeds must be a number or {UNTIL_DECIDED}, but is {self.seeds!r}.")
        check_count("seeds", self.first_seeds)
        most = max(self.first_seeds, self.gap.seeds, self.difficulty.seeds)
        check_count("seed", self.seed, 0, LARGEST_SEED - most)
        check_count("examples", self.examples, 0)
        check_policies("policies", self.policies)
        for name, known in {"profile": get_args(Profile), "start": ("warm", "scratch")}.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} must be one of {', '.join(known)}, but is {getattr(self, name)!r}.")

    @property
    def first_seeds(self) -> int:
        """The number of seeds, or that which a study begins with that adds more."""
        return SEEDS_NEEDED if isinstance(self.seeds, str) else self.seeds

    @property
    def gap_seeds(self) -> int:
        """The number of seeds of the training that is watched by epoch."""
        grows = self.seeds == UNTIL_DECIDED and self.gap.seeds > 0
        return max(self.gap.seeds, SEEDS_NEEDED) if grows else self.gap.seeds


ConfigType = TypeVar("ConfigType")


def from_json(kind: type[ConfigType], fields: Mapping[str, Any]) -> ConfigType:
    """A configuration from what was written as JSON, which knows no tuples; fields that it lacks have their defaults.

    >>> from_json(Robustness, {"eps": [0, 8]})
    Robustness(eps=(0, 8), steps=(5, 20), clips=200)

    Raises:
        RunError: there is a field that this version does not know.
    """
    hints = get_type_hints(kind)
    fields = as_written(fields) if kind is DataConfig else fields
    unknown = sorted(set(fields) - set(hints))
    if unknown:
        raise RunError(f"this version knows no {', '.join(unknown)} of a {kind.__name__}: use the one that wrote it.")
    return kind(**{name: _typed(hints[name], value) for name, value in fields.items()})


def _typed(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(value, Mapping):
        return from_json(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_typed(get_args(hint)[0], item) for item in value)
    return value
