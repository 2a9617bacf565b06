"""Clips one can watch: a run's examples, stored losslessly for the page's player."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from vidrobust.errors import RunError
from vidrobust.results.numbers.attacks import attack_label
from vidrobust.results.pages.markup import packed
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row

LARGEST = 9_000_000
"""Characters of pixels that one page carries at most: it shall open at once, and travel by mail."""


class Shelf:
    """The pixels of a page, each array once however many attacks share its clean clip."""

    def __init__(self) -> None:
        self.arrays: list[str] = []
        self._known: dict[bytes, int] = {}

    @property
    def size(self) -> int:
        """Characters so far."""
        return sum(map(len, self.arrays))

    def put(self, data: bytes) -> int:
        """Store an array and give its number."""
        if data not in self._known:
            self._known[data] = len(self.arrays)
            self.arrays.append(packed(data))
        return self._known[data]


def watchable(run: Run, rows: Sequence[Row], shelf: Shelf | None = None) -> tuple[list[Row], list[str]]:
    """The run's examples for the player, and what is to be said of those that cannot be shown.

    Args:
        run: the run that the examples' files belong to.
        rows: its ``example`` rows.
        shelf: where the pixels go.
    """
    shelf = shelf if shelf is not None else Shelf()
    clips, troubles = [], []
    for number, row in enumerate(rows):
        if shelf.size > LARGEST:
            left = len(rows) - number
            troubles.append(f"{left} further clips are not shown, so that the page stays small; they are in the run.")
            break
        try:
            clips.append(_clip(run, row, shelf))
        except RunError as error:
            troubles.append(str(error))
    return clips, troubles


def _clip(run: Run, row: Row, shelf: Shelf) -> Row:
    """One example: pixels and perturbation as numbers of stored arrays, answers as they are."""
    clean, delta = _arrays(run, row["file"])
    frames, height, width, _ = clean.shape
    spent = np.sqrt(np.mean(delta.astype(np.float64) ** 2, axis=(1, 2, 3)))
    return {
        "frames": frames, "height": height, "width": width, "label": row["label"], "model": row["model"],
        "attack": attack_label(row), "video": f"{row['label']}: {Path(row['video']).name}",
        "about": f"{row['video']}, class {row['label']}; step size α={row['alpha']:.3g}, {row['steps']} iterations",
        "clean": shelf.put(clean.tobytes()), "delta": shelf.put(delta.astype("<f2").tobytes()),
        "spent": [round(float(one), 3) for one in spent],
        "clean_top": row["clean_top"], "adversarial_top": row["adversarial_top"],
    }  # fmt: skip


def _arrays(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Clean pixels (uint8 T H W 3) and perturbation of an example.

    Raises:
        RunError: its file is missing, damaged or outside the run.
    """
    path = (run.path / name).resolve()
    if not path.is_relative_to(run.path.resolve()):
        raise RunError(f"the example {name} lies outside the run directory and is not shown.")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            clean, delta = np.asarray(stored["clean"]), np.asarray(stored["delta"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise RunError(f"the example {name} cannot be read ({error}); it is not shown.") from error
    if clean.dtype != np.uint8 or clean.ndim != 4 or clean.shape[-1] != 3 or clean.shape != delta.shape:
        raise RunError(f"the example {name} is not a clip of T H W 3 with its perturbation; it is not shown.")
    return clean, delta
