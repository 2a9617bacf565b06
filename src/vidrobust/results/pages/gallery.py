"""Clips one can watch: a run's examples, stored losslessly for the page's player."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from vidrobust.errors import RunError
from vidrobust.results.numbers.attacks import attack_label
from vidrobust.results.numbers.masking import NOT_ATTACKED
from vidrobust.results.numbers.selection import PLAIN, attack_setting
from vidrobust.results.pages.markup import packed
from vidrobust.runs.directory import Run
from vidrobust.runs.examples import read_example
from vidrobust.runs.rows import Row

LARGEST = 9_000_000
"""Characters of pixels that one page carries at most: it shall open at once, and travel by mail."""

TRIED = 500
"""Examples that one page reads at most."""


class Arrays:
    """The pixels of a page, each array once however many attacks share its clean clip."""

    def __init__(self) -> None:
        self.packed: list[str] = []
        self.size = 0
        self._known: dict[bytes, int] = {}

    def put(self, data: bytes) -> int:
        """Store an array and give its number."""
        if data not in self._known:
            self._known[data] = len(self.packed)
            self.packed.append(packed(data))
            self.size += len(self.packed[-1])
        return self._known[data]


def watchable(run: Run, rows: Sequence[Row], arrays: Arrays) -> tuple[list[Row], list[str]]:
    """The run's examples for the player, and notes on those that cannot be shown.

    Args:
        run: the run that the examples' files belong to.
        rows: its ``example`` rows.
        arrays: where the pixels go.
    """
    clips: list[Row] = []
    troubles: list[str] = []
    for number, row in enumerate(rows):
        if arrays.size > LARGEST or number == TRIED:
            left = len(rows) - number
            troubles.append(f"{left} further clips are not shown, so that the page stays small; they are in the run.")
            break
        try:
            clips.append(_clip(run, row, arrays))
        except RunError as error:
            troubles.append(str(error))
    return clips, _at_most(troubles)


def _at_most(troubles: list[str], most: int = 20) -> list[str]:
    left = len(troubles) - most
    return troubles if left <= 0 else [*troubles[:most], f"{left} further examples cannot be shown either."]


def _clip(run: Run, row: Row, arrays: Arrays) -> Row:
    """One example: pixels and perturbation as numbers of stored arrays, answers as they are."""
    clean, delta, recorded = read_example(run.path, row["file"])
    frames, height, width, _ = clean.shape
    spent: Any = np.sqrt(np.mean(delta.astype(np.float64) ** 2, axis=(1, 2, 3)))
    label, video = row["label"], row["video"]
    return {
        "frames": frames, "height": height, "width": width, "label": label, "model": row["model"],
        "attack": attack_label(row), "video": f"{label}: {PurePosixPath(video).name}",
        "about": f"{video}, class {label}; step size α={row['alpha']:.3g}, {_iterations(row)}"
        + (f"; this clip {NOT_ATTACKED}" if row.get("no_gradient") else ""),
        "clean": arrays.put(clean.tobytes()), "delta": arrays.put(delta.astype("<f2").tobytes()),
        "recorded": None if recorded is None else _film(recorded, arrays),
        "spent": [round(float(one), 3) for one in spent],
        "clean_top": row["clean_top"], "adversarial_top": row["adversarial_top"],
    }  # fmt: skip


def _film(frames: np.ndarray, arrays: Arrays) -> dict[str, int]:
    """Frames as large as they are: their size, and the number of their pixels."""
    return {"height": frames.shape[1], "width": frames.shape[2], "pixels": arrays.put(frames.tobytes())}


def _iterations(row: Row) -> str:
    """The iterations asked, and those run where the row says so: an attack stops at a clip that it has broken.

    >>> _iterations({"steps": 20, "eps": 8.0, "gradients": 2}), _iterations({"steps": 20, "eps": 8.0})
    ('20 iterations asked, 2 run', 'up to 20 iterations')
    """
    if "gradients" not in row:
        return f"up to {row['steps']} iterations"
    run = (
        "run" if attack_setting(row).search == PLAIN.search else "gradients taken"
    )  # one of PGD's iterations is one gradient
    return f"{row['steps']} iterations asked, {row['gradients']} {run}"
