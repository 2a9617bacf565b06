"""What is told and tracked after each epoch of a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.evaluation.clips import accuracy
from vidrobust.training.stopping import Overseer
from vidrobust.training.trackers import Trackers, scalars

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row


@dataclass
class Reporter:
    """Called after each epoch: has the model looked at, and passes on how it went.

    Attributes:
        overseer: looks at the model.
        clips: validation clips, on which clean accuracy is told.
        trackers: get the numbers; None tracks nothing.
        told: called with lines for people.
        shown: called with the epoch's numbers by name, for curves.
        last: when the epoch began.
    """

    overseer: Overseer
    clips: Clips
    trackers: Trackers | None
    told: Callable[[str], None]
    shown: Callable[[Mapping[str, float]], None]
    last: float = 0.0

    def __post_init__(self) -> None:
        self.last = time.perf_counter()

    def __call__(self, model: nn.Module, row: Row, earlier: Sequence[Row]) -> list[Row]:
        """The rows of the look at the model, which are kept with the run's."""
        rows = self.overseer(model, row, earlier)
        self._tell(model, row, rows)
        self.shown({name: value for found in (row, *rows) for name, value in scalars(found).items()})
        if self.trackers is not None:
            self.trackers.log([row, *rows])
        return rows

    def close(self) -> None:
        """No more epochs will come."""
        if self.trackers is not None:
            self.trackers.close()

    def _tell(self, model: nn.Module, row: Row, rows: Sequence[Row]) -> None:
        """How the epoch went: on its own attacked batches, and on a few validation clips."""
        clean, now = accuracy(model, self.clips), time.perf_counter()
        attack = f"ε={row['eps']:g} α={row['alpha']:.3g} i={row['steps']}" if row["eps"] else "clean"
        robust = [
            f"{look['split']} under PGD ε={look['eps']:g} {look['robust'] / look['clips']:.0%} of {look['clips']}"
            for look in rows
            if look["kind"] == "watch"
        ]
        parts = [
            f"epoch {row['epoch']}/{row['epochs']}: loss {row['loss']:.3f}",
            f"train as attacked {row['correct'] / row['clips']:.0%} of {row['clips']}",
            f"validation clean {clean['top1'] / clean['clips']:.0%} of {clean['clips']}",
            *robust,
            attack,
            f"{row['clips'] / (now - self.last):.0f} clips/s",
        ]
        self.told(", ".join(parts))
        for found in rows:
            if "reason" in found:
                self.told(f"epoch {row['epoch']}: {found['kind']}: {found['reason']}")
        self.last = now
