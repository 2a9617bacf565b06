"""Pictures of natural statistics from a seed: dead leaves, in colour, with texture inside the leaves.

A. B. Lee, D. Mumford and J. Huang, *Occlusion models for natural images: a statistical study of a scale-invariant dead
leaves model*, International Journal of Computer Vision 41, 2001: discs of independent colours fall on a plane and hide
what lies below. With a density of radii of r⁻³ the picture is scale-invariant up to the bounds of the radii, and shows
the edges, the heavy-tailed differences and the 1/f² spectrum of photographs.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

SMALLEST, LARGEST = 1 / 96, 1 / 4
"""Bounds of the radii, as shares of the picture's side; finer detail is the texture's."""

SCALE = 2.0
"""The bounds of a picture are larger or smaller by up to this factor, so that no size of a leaf tells a zoom."""

COVER = 4.0
"""Area of all leaves over that of the picture; what none covers (e⁻⁴ of it) is one leaf that lies below all."""

TEXTURE = (0.02, 0.12)
"""Range of the standard deviation of the texture inside a leaf."""

LIGHT = (0.1, 0.9)
"""Range of the lightness of a leaf."""

CHROMA = (0.07, 0.12)
"""Standard deviations of a leaf's colour along red–green and yellow–blue; photographs vary more along the latter."""

_OPPONENT = np.array([[0.5, -0.5, 0.0], [0.25, 0.25, -0.5]], np.float32) * 2


def dead_leaves(rng: np.random.Generator, side: int = 192) -> np.ndarray:
    """A picture; opposite edges fit together.

    Args:
        rng: decides everything.
        side: height and width in pixels.

    Returns:
        ``side side 3``, float32, in [0, 1].

    >>> dead_leaves(np.random.default_rng(0), side=32).shape
    (32, 32, 3)
    """
    radii = draw_radii(rng, side * SCALE ** rng.uniform(-1, 1), side)
    owner = _paint(rng.integers(0, side, (2, len(radii)), np.int32), radii, side)
    leaves = len(radii) + 1  # the last is the one below all
    colour = rng.uniform(*LIGHT, (leaves, 1)) + rng.standard_normal((leaves, 2)) * CHROMA @ _OPPONENT
    strength = rng.uniform(*TEXTURE, leaves).astype(np.float32)
    field, shift = _noise(rng, side), rng.integers(0, side * side, leaves, np.int32)
    texture = field[(np.arange(side * side, dtype=np.int32) + shift[owner]) % (side * side)] * strength[owner]
    return (colour.astype(np.float32)[owner] + texture[:, None]).clip(0, 1).reshape(side, side, 3)


def draw_radii(rng: np.random.Generator, unit: float, side: int) -> np.ndarray:
    """Radii with a density of r⁻³ between the bounds, as many as cover the picture :data:`COVER` times.

    Args:
        rng: decides the radii.
        unit: of the bounds, in pixels.
        side: of the picture, in pixels.
    """
    low, high = (SMALLEST * unit) ** -2.0, (LARGEST * unit) ** -2.0
    mean_square = math.log(low / high) / (low - high)
    count = round(COVER * side**2 / (math.pi * mean_square))
    return (low - rng.random(count) * (low - high)) ** -0.5


def _paint(centres: np.ndarray, radii: np.ndarray, side: int) -> np.ndarray:
    """For each pixel, row after row, the index of the disc that lies on top; each hides those before it."""
    reach = radii.astype(np.int32)
    disc, down = _counted(2 * reach + 1)  # the rows of all discs, one disc behind the other
    down -= reach[disc]
    half = np.sqrt(radii[disc] ** 2 - down**2).astype(np.int32)
    row, right = _counted(2 * half + 1)  # the pixels of all rows
    line, first = (centres[0][disc] + down) % side * side, centres[1][disc] - half
    right += first[row]
    owner = np.full(side * side, len(radii), np.int32)
    owner[line[row] + right % side] = disc[row]  # of indices that repeat, the last value stays
    return owner


def _counted(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of these lengths, one behind the other: of each member the run, and its place in the run from 0."""
    ends = np.cumsum(lengths, dtype=np.int32)
    run = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    return run, np.arange(ends[-1], dtype=np.int32) - (ends - lengths)[run]


def _noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """A periodic random field, row after row, with a spectrum of 1/f² (amplitudes of 1/f), mean 0 and deviation 1."""
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * _falling(side), (side, side))
    return (field / field.std()).astype(np.float32).ravel()


@lru_cache(maxsize=2)
def _falling(side: int) -> np.ndarray:
    """1/f at each frequency of a real transform, 0 at frequency 0."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    return np.divide(1.0, f, out=np.zeros_like(f), where=f > 0)
