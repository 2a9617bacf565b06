"""The plan of a judgement: which threats, which clips in which parts, and the jobs in their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.text import threat_from_call
from vidrobust.errors import InputError, NotationError
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.fields import field_text, in_levels
from vidrobust.evaluation.judging import COSTS, STAGES, stages_before
from vidrobust.results.numbers.rules import Measured
from vidrobust.results.numbers.statistics import accuracy_estimate
from vidrobust.study.jobs import Job, job_key
from vidrobust.study.judging import AnswerClean, AttackStage, JudgementSubject, JudgeVideos
from vidrobust.study.judging_corruptions import JudgeCorruption, corruption_jobs

if TYPE_CHECKING:
    from vidrobust.threats import Threat

CHUNK = 25
"""Clips of a job, at most."""

THREAT = "Linf(8)"


@dataclass(frozen=True)
class Region:
    """A norm and a support, with the budgets of interest."""

    norm: str
    support: str
    eps: tuple[float, ...]


def parse_threat(text: str) -> Threat:
    """A threat from its text: ``Linf(8)``, ``Linf(8/255)``, ``L2(128)``, ``Linf(8, Border(ratio=0.1))``.

    ε is in units of 1/255, also as a fraction of 255.

    Raises:
        InputError: it is none.

    >>> parse_threat("Linf(8, Border(ratio=0.1))").support
    Border(ratio=0.1)
    """
    try:
        return threat_from_call(text)
    except NotationError as error:
        raise InputError(
            f"--threat {text[:200]!r} is no threat: write its norm with ε above 0 in units of 1/255, and "
            f'maybe a support, such as "Linf(8)", "L2(128)" or "Linf(8, Border(ratio=0.1))".\n{error}'
        ) from None


def group_threats(texts: Sequence[str]) -> list[Region]:
    """Threats of the same norm and support belong together: what breaks a clip at ε breaks it at every larger one.

    >>> group_threats(["Linf(8)", "L2(128)", "Linf(4)"])[0]
    Region(norm='Linf', support='WholeClip', eps=(4.0, 8.0))
    """
    found: dict[tuple[str, str], set[float]] = {}
    for text in texts or [THREAT]:
        threat = parse_threat(text)
        assert isinstance(threat.eps, (int, float))
        found.setdefault((field_text(threat.norm), field_text(threat.support)), set()).add(in_levels(threat.eps))
    return [Region(norm, support, tuple(sorted(eps))) for (norm, support), eps in found.items()]


@dataclass(frozen=True)
class JudgementPlan:
    """What is to be measured.

    Attributes:
        subject: the model and its clips, by their content.
        name: of the model, for people.
        data: of the data, for people.
        manifest: of the clips.
        regions: the threats.
        ensemble: how hard attacks try.
        origin: what the model was taken from, for people.
        corruptions: as text, such as ``ucf101-p``; none measures none.
    """

    subject: JudgementSubject
    name: str
    data: str
    manifest: dict[str, Any]
    regions: Sequence[Region]
    ensemble: Ensemble
    origin: str = ""
    videos: bool = True
    findings: list[Measured] = field(default_factory=list)
    corruptions: tuple[str, ...] = ()

    @property
    def clips(self) -> int:
        return len(self.manifest["clips"])

    def parts(self) -> list[tuple[int, ...]]:
        """The clips in parts, mixed, so that each part has clips of all classes."""
        order = torch.randperm(self.clips, generator=torch.Generator().manual_seed(0))
        return [tuple(rows.tolist()) for rows in order.tensor_split(count_parts(self.clips))]  # of about one size

    def looks(self) -> list[AnswerClean]:
        return [AnswerClean(self.subject, rows, self.ensemble) for rows in self.parts()]

    def stages(self, region: Region) -> list[list[AttackStage]]:
        """For each part, its stages in their order."""
        found, looks = [], self.looks()
        for number, look in enumerate(looks):
            line: dict[str, AttackStage] = {}
            diagnostic = min(share(self.ensemble.diagnostic, number, len(looks)), len(look.rows))
            for name in STAGES:
                earlier = (job_key(look), *(job_key(line[one]) for one in stages_before(name)))
                about = (region.norm, region.support, region.eps, self.ensemble, name, earlier, diagnostic)
                line[name] = AttackStage(self.subject, look.rows, *about)
            found.append([*line.values()])
        return found

    def jobs(self) -> list[Job]:
        """All jobs: stage by stage, so that the surviving clips of all parts are known at about the same time."""
        found: list[Job] = [*self.looks()]
        for region in self.regions:
            found += [stage for stages in zip(*self.stages(region), strict=True) for stage in stages]
        return found + ([JudgeVideos(self.subject)] if self.videos else []) + [*self.corrupted()]

    def corrupted(self) -> list[JudgeCorruption]:
        """A job for each kind of corruption."""
        return corruption_jobs(self.subject, self.corruptions)

    def config(self) -> dict[str, Any]:
        """All that determines the judgement."""
        return {
            "subject": asdict(self.subject),
            "name": self.name,
            "data": self.data,
            "origin": self.origin,
            "regions": [asdict(region) for region in self.regions],
            "ensemble": asdict(self.ensemble),
            **({"corruptions": list(self.corruptions)} if self.corruptions else {}),
        }


def count_gradients(ensemble: Ensemble, found: Sequence[Region]) -> int:
    """About how many gradients a clip costs."""
    return sum(cost(ensemble) for cost in COSTS.values()) * len(found)


def count_parts(clips: int) -> int:
    """Into how many parts clips are divided, each a job of every stage.

    >>> [count_parts(clips) for clips in (10, 25, 26, 100)]
    [1, 1, 2, 4]
    """
    return math.ceil(clips / CHUNK)


def share(total: int, number: int, parts: int) -> int:
    """Of a total that is divided evenly, what part ``number`` gets.

    >>> [share(16, number, 3) for number in range(3)]
    [5, 5, 6]
    """
    return total * (number + 1) // parts - total * number // parts


def affordable(minutes: float, seconds: float, workers: int, ensemble: Ensemble, found: Sequence[Region]) -> int:
    """How many clips can be judged in this many minutes, at least one; the clips of a job are judged by one worker.

    >>> affordable(10, 0.01, 1, Ensemble(steps=10, targets=1, queries=30, noise=30), group_threats(["Linf(8)"])) > 10
    True
    """
    row = 60 * minutes / (seconds * count_gradients(ensemble, found))
    clips = int(row * workers)
    while clips > 1 and longest_row(clips, workers) > row:
        clips -= 1
    return max(1, clips)


def longest_row(clips: int, workers: int) -> int:
    """How many clips one worker judges, one after another, at most.

    >>> longest_row(10, 2), longest_row(60, 2), longest_row(100, 2), longest_row(100, 3)
    (10, 40, 50, 50)
    """
    parts = count_parts(clips)
    return math.ceil(parts / workers) * math.ceil(clips / parts)


def half_width(of: Sequence[str]) -> float:
    """Half of the interval of an accuracy of about 50 % over clips of these sources.

    >>> half_width([str(number) for number in range(100)]) < 0.11
    True
    """
    found = accuracy_estimate([index % 2 for index in range(len(of))], list(of))
    return (found.high - found.low) / 2
