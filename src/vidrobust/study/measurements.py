"""The jobs that measure the models of a study, and keep clips of them for the gallery."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from vidrobust.data.recorded import recorded_frames
from vidrobust.evaluation.clips import BATCH, clip_ranks, masking, pgd, robustness_rows
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.examples import examples
from vidrobust.evaluation.judging import ATTACKS, COSTS, worst_case_row
from vidrobust.evaluation.manifest import manifest_row
from vidrobust.evaluation.sweeps import step_sizes, sweep
from vidrobust.study.config import Robustness, Sensitivity, WorstCaseSearch
from vidrobust.study.jobs import ModelJob, Place, SizeTable, open_data, step_size_table
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class MeasureSensitivity(ModelJob):
    """One surface: loss and accuracy over α × i at one ε, on test clips."""

    seed: int
    eps: float
    settings: Sensitivity

    @property
    def title(self) -> str:
        return f"sensitivity at ε={self.eps:g}"

    @property
    def gradients(self) -> int:
        return len(self.settings.alphas(self.eps)) * self.settings.steps * self.settings.clips

    def run(self, place: Place) -> list[Row]:
        clips = open_data(self.data).test.spread(self.settings.clips)
        alphas, last = self.settings.alphas(self.eps), self.settings.steps
        rows = sweep(place.model(self.model), clips, self.eps, alphas, last, (last,), place.progress)
        about: Row = {"model": "standard", "seed": self.seed, "surface": True}
        return [manifest_row(clips), *({**row, **about} for row in rows)]


@dataclass(frozen=True)
class FindStepSize(ModelJob):
    """α*(ε, i) at one ε, on validation clips: it is used in training, so test clips must not set it."""

    seed: int
    eps: float
    steps: tuple[int, ...]
    clips: int

    @property
    def title(self) -> str:
        return f"α* at ε={self.eps:g}"

    @property
    def gradients(self) -> int:
        return 8 * max(self.steps) * self.clips

    def run(self, place: Place) -> list[Row]:
        clips = open_data(self.data).val.spread(self.clips)
        rows = step_sizes(place.model(self.model), clips, self.eps, self.steps, place.progress)
        about: Row = {"model": "standard", "seed": self.seed, "surface": False}
        return [manifest_row(clips), *({**row, **about} for row in rows)]


@dataclass(frozen=True)
class MeasureRobustness(ModelJob):
    """Accuracy against ε of one trained model, with its masking checks."""

    CALLED: ClassVar = "Evaluate"

    name: str
    seed: int
    sizes: SizeTable
    settings: Robustness
    split: str = "test"
    kind: str = "robustness"

    @property
    def title(self) -> str:
        return f"evaluate {self.name}, seed {self.seed}"

    @property
    def gradients(self) -> int:
        budgets = sum(eps > 0 for eps in self.settings.eps)
        curves = budgets * sum(self.settings.steps) * self.settings.clips // 2  # broken clips leave early, and for good
        checked = min(BATCH, self.settings.clips) if self.kind == "robustness" else 0
        return curves + 15 * checked  # of the two attacks of 20 steps that look for masking, some steps

    def run(self, place: Place) -> list[Row]:
        data, model, sizes = open_data(self.data), place.model(self.model), step_size_table(self.sizes)
        clips = getattr(data, self.split).spread(self.settings.clips)
        rows = robustness_rows(model, clips, self.settings.eps, self.settings.steps, sizes, place.progress)
        about: Row = {"model": self.name, "seed": self.seed, "kind": self.kind, "split": self.split}
        if self.kind == "difficulty":
            about["contrast"] = round(sum(self.data.contrast) / 2, 4)
            return [manifest_row(clips), *({**row, **about} for row in rows)]
        sample = clips.spread(BATCH)
        check = {**masking(model, sample, sizes(8.0, 20), 20, self.seed), "model": self.name, "seed": self.seed}
        return [manifest_row(clips), manifest_row(sample), *({**row, **about} for row in rows), check]


@dataclass(frozen=True)
class MeasureWorstCase(ModelJob):
    """Accuracy of one trained model under all attacks of a judgement.

    Attributes:
        name, seed: of the training.
        settings: the budget, how many clips, and how hard the attacks try.
        among: clips of the accuracies under PGD, of which these are some: accuracies on other clips cannot be compared.
    """

    name: str
    seed: int
    settings: WorstCaseSearch
    among: int

    @property
    def title(self) -> str:
        return f"worst case of {self.name}, seed {self.seed}"

    @property
    def ensemble(self) -> Ensemble:
        """How hard the attacks try."""
        return Ensemble(self.settings.steps, self.settings.targets, self.settings.queries)

    @property
    def gradients(self) -> int:
        return sum(COSTS[name](self.ensemble) for name in ATTACKS) * self.settings.clips

    def run(self, place: Place) -> list[Row]:
        clips = open_data(self.data).test.spread(self.among).spread(self.settings.clips)
        threat = Threat(Linf(), self.settings.eps * PIXEL)
        row = worst_case_row(place.model(self.model), clips, threat, self.ensemble, place.progress)
        return [manifest_row(clips), {**row, "model": self.name, "seed": self.seed, "split": "test"}]


@dataclass(frozen=True)
class MakeExamples(ModelJob):
    """Clips for the gallery: clean, perturbation, adversarial, with the model's answers."""

    name: str
    sizes: SizeTable
    eps: float
    steps: int
    count: int

    @property
    def title(self) -> str:
        return f"examples of {self.name}"

    @property
    def gradients(self) -> int:
        return self.count * self.steps

    def run(self, place: Place) -> list[Row]:
        data, model = open_data(self.data), place.model(self.model)
        right = data.test.spread(BATCH * 2)
        right = right.subset((clip_ranks(model, right) == 0).nonzero().flatten())
        alpha = step_size_table(self.sizes)(self.eps, self.steps)
        attack = pgd(self.eps, alpha, self.steps)
        setting = {"model": self.name, "eps": self.eps, "alpha": alpha, "steps": self.steps}
        examined = right.spread(self.count)
        return examples(model, examined, attack, place.folder, setting, partial(recorded_frames, data, examined))
