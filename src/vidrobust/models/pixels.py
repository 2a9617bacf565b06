"""What a model wants of its pixels, as a value: layout, normalisation, size and frames. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from vidrobust.errors import InputError

AXES = "BCTHW"


@dataclass(frozen=True)
class Pixels:
    """What a model wants to see of a clip.

    Attributes:
        layout: its order of the axes, such as ``BCTHW`` (torchvision) or ``BTCHW`` (transformers).
        mean, std: per channel, of pixels in [0, ``scale``].
        scale: pixels are multiplied by it before they are normalised: 255 for a model that takes 0 … 255.
        size: height and width that it takes; clips of another size are resized (bilinear, antialiased). None takes any.
        frames: frames that it takes; of clips of another length as many are taken evenly, ends included, a frame
            several times if need be. None takes any.
    """

    layout: str = AXES
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    scale: float = 1.0
    size: tuple[int, int] | None = None
    frames: int | None = None

    def __post_init__(self) -> None:
        if sorted(self.layout) != sorted(AXES) or self.layout[0] != "B":
            raise InputError(f"layout is an order of the letters {AXES} that begins with B, not {self.layout!r}.")
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise InputError(f"mean and std are three numbers each (or one), not {self.mean} and {self.std}.")
        if not all(value > 0 for value in (*self.std, self.scale)):
            raise InputError(f"std and scale must be above 0, but are {self.std} and {self.scale}.")
        if (self.size and min(self.size) < 1) or (self.frames is not None and self.frames < 1):
            raise InputError(f"size and frames must be at least 1, not {self.size} and {self.frames}.")


def pixels(
    layout: str = AXES,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    scale: float = 1.0,
    size: int | Sequence[int] | None = None,
    frames: int | None = None,
) -> Pixels:
    """:class:`Pixels` from plain values: one number for all channels, one size for both sides.

    Raises:
        InputError: a value is out of its range.
    """
    numbers = [(value,) if isinstance(value, int | float) else value for value in (mean, std)]
    sides = (size, size) if isinstance(size, int) else size
    if sides is not None and len(sides) != 2:
        raise InputError(f"size is one number or height and width, not {size}.")
    return Pixels(
        str(layout).upper().replace(" ", ""),
        tuple(float(value) for value in numbers[0] or (0.0,) * 3),
        tuple(float(value) for value in numbers[1] or (1.0,) * 3),
        float(scale),
        None if sides is None else (int(sides[0]), int(sides[1])),
        frames,
    )


PIXEL_OPTIONS = frozenset(item.name for item in fields(Pixels))
"""The options of a specification that say what a model wants of its pixels."""
