"""The jobs of a judgement: a look at some clips, then one attack after another on them, each stored as it comes.

Every job works on a part of the clips and is named by the content of what determines it: the weights, the clips, the
threats, how hard attacks try, and the jobs before it. A judgement that was killed goes on after its last whole job.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors import safe_open
from safetensors.torch import save

from vidrobust.attacks.text import threat_from_text
from vidrobust.data.dataset import DataConfig
from vidrobust.errors import RunError
from vidrobust.evaluation.clips import device_of
from vidrobust.evaluation.consistency import CleanAnswers
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.judging import (
    ATTACKS,
    COSTS,
    batches_noted,
    check_drift,
    clean_answers,
    missing_attacks,
    run_stage,
    start_case,
)
from vidrobust.evaluation.videos import evaluate_views
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.numbers.rules import Measured
from vidrobust.runs.files import write_atomic
from vidrobust.runs.jobs import stored_job
from vidrobust.study.jobs import Job, Place, device, open_data
from vidrobust.study.trained import ModelSource, Trained

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips
    from vidrobust.evaluation.worst_case import WorstCase
    from vidrobust.models.conventions import Convention
    from vidrobust.runs.rows import Row
    from vidrobust.threats import Threat

DRIFT = 8
"""Clips that are asked about again after each attack."""

VIEWS = 4
"""Clips of a video over which its answer is the average."""


@dataclass(frozen=True)
class Opened:
    """A model with the clips that it is judged on."""

    model: nn.Module
    clips: Clips


@dataclass(frozen=True)
class JudgementSubject:
    """What is judged, by what any process can open it from, and by its content.

    Attributes:
        weights: fingerprint of the model.
        clips_of: hash of the manifest of the clips.
        split: of the data.
        count: clips of it, spread evenly; 0 for all.
        run: the run directory or weights file that the model is in, or an empty text.
        model: its name in a study, or without a run the model's text.
        file: its weights, without a run.
        convention: of a 3D-ResNets checkpoint.
        data: of a model without a run. Without either, the model lives in this process alone.
    """

    weights: str
    clips_of: str
    split: str
    count: int
    run: str = ""
    model: str = "standard"
    file: str | None = None
    convention: Convention = "auto"
    data: DataConfig | None = None

    def open(self) -> Opened:
        """The model and its clips, once per process.

        Raises:
            RunError: the model has other weights by now.
        """
        if self not in HELD:
            model, data = self._found()
            if fingerprint(model) != self.weights:
                raise RunError(f"the weights of {self.run or self.model} have changed since the judgement began.")
            split: Clips = getattr(data, self.split)
            HELD[self] = Opened(model, split.spread(self.count or len(split)))
        return HELD[self]

    def _found(self) -> tuple[nn.Module, Any]:
        if self.run:
            found = Trained.find(Path(self.run), self.model, only=self.split, count=self.count)
            return found.model, found.data
        assert self.data is not None, "a model of another process's memory"
        data = open_data(self.data)
        source = ModelSource(self.model, self.file, convention=self.convention)
        return source.load(len(data.classes), lambda text: None).to(device()).eval(), data


HELD: dict[JudgementSubject, Opened] = {}
"""What this process has opened."""


def part(opened: Opened, rows: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Pixels and labels of some clips, where the model is."""
    index, where = torch.tensor(rows), device_of(opened.model)
    return opened.clips.centre(index).to(where), opened.clips.labels[index].to(where)


def row_of(measured: Measured) -> dict[str, Any]:
    """A count as rows hold it."""
    return asdict(measured)


@dataclass(frozen=True)
class AnswerClean(Job):
    """The outputs of the model for some clean clips."""

    CALLED: ClassVar = "LookAt"

    subject: JudgementSubject
    rows: tuple[int, ...]
    ensemble: Ensemble

    @property
    def title(self) -> str:
        return f"clean clips {self.rows[0] + 1}, …"

    @property
    def gradients(self) -> int:
        return 4 * len(self.rows)

    def ended(self, rows: Sequence[Row]) -> str:
        """What came out, for people."""
        return f"clean clips: {sum(rows[0]['right'])} of {len(self.rows)} right"

    def run(self, place: Place) -> list[Row]:
        opened = self.subject.open()
        clips, labels = part(opened, self.rows)
        noted: list[Measured] = []
        with batches_noted(noted):
            found = clean_answers(opened.model.eval(), clips, labels, self.ensemble)
        tensors = {"right": found.right, "failed": found.failed}
        if found.logits is not None:
            tensors["logits"] = found.logits
        write_atomic(place.folder / "look.safetensors", save({name: t.contiguous() for name, t in tensors.items()}))
        logits = found.logits
        about: Row = {
            "kind": "judge look",
            "clips": list(self.rows),
            "right": [int(right) for right in found.right.tolist()],
            "predicted": [] if logits is None else logits.nan_to_num(-torch.inf).argmax(1).tolist(),
            "classes": 0 if logits is None else logits.shape[1],
            "random": found.random,
            "probabilities": found.probabilities,
            "measured": [row_of(one) for one in (*found.measured, *noted)],
        }
        return [about]


def clean_answers_of(folder: Path) -> CleanAnswers:
    """What an earlier job saw."""
    rows = stored_job(folder)
    assert rows is not None
    with safe_open(folder / "look.safetensors", "pt") as stored:
        held = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
    measured = tuple(Measured(**one) for one in rows[0]["measured"])
    random, probabilities = rows[0]["random"], rows[0]["probabilities"]
    return CleanAnswers(held.get("logits"), held["right"], held["failed"], random, probabilities, measured)


@dataclass(frozen=True)
class AttackStage(Job):
    """One attack, or one check, on some clips under one norm and support.

    Attributes:
        norm, support, eps: the threats, budgets ascending in 1/255.
        name: one of :data:`vidrobust.evaluation.judging.STAGES`.
        earlier: the jobs before it on these clips, the look first.
        diagnostic: how many of the clips belong to the diagnostic subset.
    """

    CALLED: ClassVar = "Stage"

    subject: JudgementSubject
    rows: tuple[int, ...]
    norm: str
    support: str
    eps: tuple[float, ...]
    ensemble: Ensemble
    name: str
    earlier: tuple[str, ...]
    diagnostic: int

    @property
    def title(self) -> str:
        return f"{self.name} under {self.norm}"

    @property
    def gradients(self) -> int:
        return COSTS[self.name](self.ensemble) * len(self.rows)

    @property
    def needs(self) -> tuple[str, ...]:
        return self.earlier

    def ended(self, rows: Sequence[Row]) -> str:
        """What came out, for people."""
        left = ", ".join(f"{count} at ε={eps}" for eps, count in rows[0]["standing"].items())
        return f"{self.name} under {self.norm}: of {len(self.rows)} clips stand {left}"

    def threats(self) -> list[Threat]:
        """The threats, ascending."""
        return [threat_from_text(eps, self.norm, self.support) for eps in self.eps]

    def run(self, place: Place) -> list[Row]:
        opened = self.subject.open()
        clips, labels = part(opened, self.rows)
        seen_before = clean_answers_of(place.jobs / self.earlier[0])
        measured: list[Measured] = []
        with batches_noted(measured):
            case, first_measured = start_case(
                opened.model.eval(), clips, labels, self.threats(), seen_before, self.ensemble, self._followed(place)
            )
            self._recall(case, place)
            before = case.distance.clone()
            classes = 0 if seen_before.logits is None else seen_before.logits.shape[1]
            measured += first_measured if self.name == "FMN" else []
            if case.right.any():
                measured += run_stage(case, self.name, self.ensemble, classes, self.diagnostic)
                place.progress(case.gradients + case.passes // 3)
        measured += missing_attacks(case) + check_drift(opened.model, clips[:DRIFT], _first(seen_before, DRIFT))
        self._keep(case, before, place)
        return [self._row(case, measured)]

    def _row(self, case: WorstCase, measured: list[Measured]) -> Row:
        standing = {f"{eps:g}": len(case.standing(eps / 255)) for eps in self.eps}
        return {
            "kind": "judge stage",
            "name": self.name,
            "norm": self.norm,
            "support": self.support,
            "clips": list(self.rows),
            "standing": standing,
            "broke": [self.rows[index] for index in case.broke.get(self.name, [])],
            "diagnostic": self.diagnostic,
            "alpha": case.alpha * 255,
            "measured": [row_of(one) for one in measured],
            "gradients": case.gradients,
            "passes": case.passes,
            "has_gradient": case.attacked.gradients,
            "straight_to": case.attacked.layer,
        }

    def _followed(self, place: Place) -> tuple[str, bool] | None:
        """Which gradient the first attack followed; None if this is it, or an earlier version ran it."""
        rows = None if self.name == ATTACKS[0] else stored_job(place.jobs / self.earlier[1])
        return (rows[0]["straight_to"], rows[0]["has_gradient"]) if rows and "straight_to" in rows[0] else None

    def _recall(self, case: WorstCase, place: Place) -> None:
        """Take up what the earlier attacks found."""
        for key in self.earlier[1:]:
            rows = stored_job(place.jobs / key)
            assert rows is not None
            case.alpha = rows[0]["alpha"] / 255 or case.alpha
            case.broke[rows[0]["name"]] = [self.rows.index(row) for row in rows[0]["broke"]]
            recall(place.jobs / key, case.distance, case.adversarial, case.found_by)

    def _keep(self, case: WorstCase, before: Tensor, place: Place) -> None:
        closer = (case.distance < before).nonzero().flatten()
        tensors = {
            "index": closer,
            "distance": case.distance[closer],
            "adversarial": case.adversarial[closer].cpu().contiguous(),
        }
        names = json.dumps([case.found_by[index] for index in closer.tolist()])
        write_atomic(place.folder / "found.safetensors", save(tensors, {"found_by": names}))


def recall(folder: Path, distance: Tensor, adversarial: Tensor, found_by: list[str]) -> None:
    """Load the results of a finished stage, of the clips for which it found a smaller perturbation than is known."""
    with safe_open(folder / "found.safetensors", "pt") as stored:
        index, size, found = (stored.get_tensor(name) for name in ("index", "distance", "adversarial"))
        names = json.loads(stored.metadata()["found_by"])
    closer = size < distance[index]  # a stage beside this one may have come nearer
    distance[index[closer]] = size[closer]
    adversarial[index[closer]] = found[closer].to(adversarial)
    for place in closer.nonzero().flatten().tolist():
        found_by[int(index[place])] = names[place]


def _first(found: CleanAnswers, count: int) -> CleanAnswers:
    logits = None if found.logits is None else found.logits[:count]
    return CleanAnswers(logits, found.right[:count], found.failed[:count], found.random, found.probabilities, ())


@dataclass(frozen=True)
class JudgeVideos(Job):
    """Clean accuracy of whole videos, by the average over several clips of each."""

    subject: JudgementSubject

    @property
    def title(self) -> str:
        return "clean videos"

    @property
    def gradients(self) -> int:
        return 2 * self.subject.count

    def run(self, place: Place) -> list[Row]:
        opened = self.subject.open()
        try:
            row = evaluate_views(opened.model, opened.clips, [], views=VIEWS, level="video")[0]
        except Exception as error:  # noqa: BLE001 - errors of a model are reported by the checks on clips
            return [{"kind": "judge videos", "survived": "", "told": f"{type(error).__name__}"}]
        return [{"kind": "judge videos", "survived": row["survived"], "told": ""}]
