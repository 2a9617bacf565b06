"""What is logged after each epoch of a training."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.evaluation.clips import accuracy
from vidrobust.training.stopping import EarlyStopping
from vidrobust.training.trackers import Trackers, scalars

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row


@dataclass
class Reporter:
    """Called after each epoch: has the model evaluated, and logs how the epoch went.

    Attributes:
        stopping: evaluates the model, and stops early.
        clips: validation clips, on which clean accuracy is logged.
        trackers: get the numbers; None tracks nothing.
        log: called with lines of text.
        log_scalars: called with the epoch's numbers by name, for curves.
        last: when the epoch began.
    """

    stopping: EarlyStopping
    clips: Clips
    trackers: Trackers | None
    log: Callable[[str], None]
    log_scalars: Callable[[Mapping[str, float]], None]
    last: float = 0.0

    def __post_init__(self) -> None:
        self.last = time.perf_counter()

    def __call__(self, model: nn.Module, row: Row, earlier: Sequence[Row]) -> list[Row]:
        """The rows of the evaluation, which are kept with the run's."""
        rows = self.stopping(model, row, earlier)
        self._log_epoch(model, row, rows)
        self.log_scalars({name: value for found in (row, *rows) for name, value in scalars(found).items()})
        if self.trackers is not None:
            self.trackers.log([row, *rows])
        return rows

    def close(self) -> None:
        """Close the trackers."""
        if self.trackers is not None:
            self.trackers.close()

    def _log_epoch(self, model: nn.Module, row: Row, rows: Sequence[Row]) -> None:
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
        self.log(", ".join(parts))
        for found in rows:
            if "reason" in found:
                self.log(f"epoch {row['epoch']}: {found['kind']}: {found['reason']}")
        self.last = now
