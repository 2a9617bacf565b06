"""How large a decoded frame is: the shorter side scaled, the longer one cropped or kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidrobust.errors import InputError

LONGEST = 4
"""Of a frame kept whole, the longer side is cropped to so many times the shorter one."""


@dataclass(frozen=True)
class Fit:
    """The frames that decoding gives.

    Args:
        side: the shorter side in pixels.
        whole: keep the longer side, or crop a square around the centre.

    Raises:
        InputError: ``side`` is below 1.

    >>> Fit(112, whole=True).scaled(320, 240)
    (149, 112)
    """

    side: int
    whole: bool = False

    def __post_init__(self) -> None:
        if self.side < 1:
            raise InputError(f"size must be at least 1, not {self.side}.")

    @property
    def longest(self) -> int:
        """The most that the longer side can have."""
        return LONGEST * self.side if self.whole else self.side

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height before cropping, the shorter of which is ``side``."""
        scale = self.side / min(width, height)
        return max(self.side, round(width * scale)), max(self.side, round(height * scale))

    def cropped(self, frame: np.ndarray) -> np.ndarray:
        """``H W 3`` cropped around its centre."""
        all_rows, all_columns = frame.shape[:2]
        height, width = min(all_rows, self.longest), min(all_columns, self.longest)
        top, left = (all_rows - height) // 2, (all_columns - width) // 2
        return frame[top : top + height, left : left + width]
