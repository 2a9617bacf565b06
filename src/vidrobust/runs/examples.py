"""Stored clips of a run: one ``npz`` a clip, read within bounds, since files come from elsewhere."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from vidrobust.errors import RunError
from vidrobust.runs.arrays import DAMAGE, read_array

LARGEST_FILE = 256 << 20
"""Bytes of a file that are opened at all."""
LARGEST_ARRAY = 64 << 20
"""Bytes of an array by its own header: the perturbation of 64 frames of 400 × 400 pixels fits."""
_ENTRIES = 16


def read_example(run: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Clean pixels and perturbation of an example, and the frames as the video has them.

    Args:
        run: the run directory.
        name: the file in it.

    Returns:
        ``T H W 3`` uint8; ``T H W 3`` floating point in units of 1/255, finite; and ``T H' W' 3`` uint8, or None where
        they were not stored.

    Raises:
        RunError: the file is missing, outside the run, damaged, larger than :data:`LARGEST_FILE` or not such a clip.
    """
    try:
        path = (run / name).resolve()
        inside, regular = path.is_relative_to(run.resolve()), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name that no file can have, links in a circle
        raise RunError(f"the example {name!r} cannot be read ({error}); it is not shown.") from error
    if not inside:
        raise RunError(f"the example {name!r} lies outside the run directory and is not shown.")
    if not regular:
        raise RunError(f"the example {name!r} is missing or no regular file; it is not shown.")
    if path.stat().st_size > LARGEST_FILE:
        raise RunError(f"the example {name!r} has more than {LARGEST_FILE >> 20} MiB and is not shown.")
    try:
        return _arrays(path)
    except DAMAGE as error:
        raise RunError(f"the example {name!r} cannot be read ({error}); it is not shown.") from error


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > _ENTRIES:
            raise ValueError(f"it holds {len(archive.infolist())} files instead of clean and delta")
        clean, delta = (read_array(archive, name, LARGEST_ARRAY) for name in ("clean", "delta"))
        recorded = read_array(archive, "recorded", LARGEST_ARRAY) if "recorded.npy" in archive.namelist() else None
    _check_film("clean", clean)
    if recorded is not None:
        _check_film("recorded", recorded)
        if len(recorded) != len(clean):
            raise ValueError(f"recorded has {len(recorded)} frames instead of {len(clean)}")
    if not np.issubdtype(delta.dtype, np.floating) or delta.shape != clean.shape:
        raise ValueError(f"delta is {delta.dtype} {delta.shape} instead of floating point {clean.shape}")
    if not np.isfinite(delta).all():
        raise ValueError("its perturbation is not finite")
    return clean, delta, recorded


def _check_film(name: str, pixels: np.ndarray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[-1] != 3 or not pixels.size:
        raise ValueError(f"{name} is {pixels.dtype} {pixels.shape} instead of uint8 (T, H, W, 3)")
