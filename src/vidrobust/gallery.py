"""Clips one can watch: a run's examples, stored losslessly for the page's player."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from vidrobust.errors import RunError
from vidrobust.markup import packed
from vidrobust.runs import Run

Row = dict[str, Any]


def watchable(run: Run, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """The run's examples for the player, and what is to be said of those that cannot be shown."""
    clips, troubles = [], []
    for row in rows:
        try:
            clips.append(_clip(run, row))
        except RunError as error:
            troubles.append(str(error))
    return clips, troubles


def _clip(run: Run, row: Row) -> Row:
    """One example: pixels and perturbation as compressed bytes, answers as they are."""
    clean, delta = _arrays(run, row["file"])
    frames, height, width, _ = clean.shape
    attack = f"PGD(ε={row['eps']:g}, α={row['alpha']:.3g}, i={row['steps']})"
    return {
        "frames": frames, "height": height, "width": width, "label": row["label"],
        "about": f"{row['video']}, class {row['label']}, {row['model']}, {attack}",
        "title": f"{row['label']}: {Path(row['video']).name}, {row['model']}, ε={row['eps']:g}",
        "clean": packed(clean.tobytes()), "delta": packed(delta.astype("<f2").tobytes()),
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
