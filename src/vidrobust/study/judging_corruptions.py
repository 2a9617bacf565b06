"""Corruptions in a judgement: one job per kind, and the part of the record that they add up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrobust.evaluation.corruptions.measuring import evaluate_corruptions, listed_corruptions
from vidrobust.results.numbers.corruptions import CorruptionGrid, grids, scores
from vidrobust.study.jobs import Job, Place
from vidrobust.study.judging import JudgementSubject

if TYPE_CHECKING:
    from vidrobust.results.numbers.statistics import Estimate
    from vidrobust.runs.rows import Row


@dataclass(frozen=True)
class JudgeCorruption(Job):
    """How many clips are right under one kind of corruption.

    Attributes:
        asked: the kind at its severities, as texts.
    """

    subject: JudgementSubject
    asked: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"corruption {self.asked[0].rpartition(',')[0]})"

    @property
    def gradients(self) -> int:
        return len(self.asked) * self.subject.count // 3  # a forward pass is about a third of a gradient

    def run(self, place: Place) -> list[Row]:
        opened = self.subject.open()
        try:
            rows = evaluate_corruptions(opened.model, opened.clips, self.asked)
        except Exception as error:  # noqa: BLE001 - errors of a model are reported by the checks on clips
            return [{"kind": "judge corruption", "rows": [], "told": type(error).__name__}]
        return [{"kind": "judge corruption", "rows": rows, "told": ""}]


def corruption_jobs(subject: JudgementSubject, texts: Sequence[str]) -> list[JudgeCorruption]:
    """A job for each kind that texts ask for.

    Raises:
        NotationError: a text asks for none.
    """
    by_kind: dict[tuple[str, str], list[str]] = {}
    for one in listed_corruptions(texts):
        by_kind.setdefault((one.convention, one.kind), []).append(str(one))
    return [JudgeCorruption(subject, tuple(asked)) for asked in by_kind.values()]


def corruption_records(rows: Sequence[Row], manifest: Row) -> list[dict[str, Any]]:
    """What ``corruption`` rows of one model add up to, a convention each, as records hold it."""
    named = [{**row, "model": "judged", "seed": 0, "split": ""} for row in rows]
    listed = {"kind": "manifest", "clips_of": manifest["hash"], "clips": len(manifest["clips"])}
    return [_convention(grid) for grid in grids([{**listed, "list": manifest["clips"]}, *named])]


def _convention(grid: CorruptionGrid) -> dict[str, Any]:
    summary = scores(grid)
    return {
        "convention": grid.convention,
        "clean": _counted(summary.clean),
        "mpc": _estimate(summary.mpc),
        "rpc": _estimate(summary.rpc),
        "gamma_absolute": _estimate(summary.absolute),
        "gamma_relative": _estimate(summary.relative),
        "kinds": [
            {
                "kind": kind,
                "counted": kind in grid.counted,
                "severities": [{"severity": level, **_counted(grid.at(kind, level))} for level in grid.severities
                               if (kind, level) in grid.cells],
            }
            for kind in grid.kinds
        ],
    }  # fmt: skip


def _counted(found: Estimate | None) -> dict[str, Any]:
    assert found is not None
    correct = round(found.value * found.clips)
    bounds = {"low": round(found.low, 6), "high": round(found.high, 6)}
    return {"correct": correct, "clips": found.clips, **bounds, "sources": found.sources}


def _estimate(found: Estimate | None) -> dict[str, float] | None:
    if found is None or not found.freedom:
        return None if found is None else {"value": round(found.value, 6)}
    return {name: round(getattr(found, name), 6) for name in ("value", "low", "high")}
