"""Decoded frames as arrays: rotated upright, scaled, cropped, and collected in reused memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.streams import same_shape

BELIEVED = 1 << 29
"""Bytes of frames for which an expected count makes room at once."""

ONE_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.partition(".")[0]) >= 17 else {}
"""PyAV 17 would start a thread for each core to convert a frame, which costs more than it saves, and may be refused."""


class Orientation(NamedTuple):
    """How a stored frame becomes an upright one: rows and columns exchanged, then rows, then columns reversed."""

    exchanged: bool = False
    rows: bool = False
    columns: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """That of a frame's display matrix; upright where there is none, or none of quarter turns and mirrors."""
        found: Any = frame.side_data.get(Type.DISPLAYMATRIX.name)
        matrix = b"" if found is None else bytes(found)
        return cls.of_matrix(*np.frombuffer(matrix, np.int32)[:5].tolist()) if len(matrix) == 36 else cls()

    @classmethod
    def of_matrix(cls, a: int, b: int, _u: int, c: int, d: int) -> Orientation:
        """That of a matrix that shows the pixel (x, y) at (ax + cy, bx + dy) (ISO/IEC 14496-12).

        >>> Orientation.of_matrix(0, 1, 0, -1, 0)  # a quarter turn clockwise
        Orientation(exchanged=True, rows=False, columns=True)
        >>> Orientation.of_matrix(-1, 0, 0, 0, 1)  # a mirror
        Orientation(exchanged=False, rows=False, columns=True)
        """
        straight, crosswise = abs(a) + abs(d), abs(b) + abs(c)
        if a and d and crosswise * 8 < straight:
            return cls(False, d < 0, a < 0)
        if b and c and straight * 8 < crosswise:
            return cls(True, b < 0, c < 0)
        return cls()

    def upright(self, frame: np.ndarray) -> np.ndarray:
        """``H W 3`` as it is meant to be seen: a view."""
        turned = frame.swapaxes(0, 1) if self.exchanged else frame
        return turned[:: -1 if self.rows else 1, :: -1 if self.columns else 1]


@dataclass
class FrameConverter:
    """Turns the decoded frames of one video into arrays: RGB, upright, scaled and cropped."""

    fit: Fit
    reformatter: VideoReformatter = field(default_factory=VideoReformatter)
    first: tuple[int, int] | None = None
    """Width and height of the first frame, which decides those of the others: a stream may change its size midway."""
    known: tuple[float, Orientation] | None = None
    """The angle and the orientation of the frame before."""

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        """``H W 3``, uint8: a view of the decoder's memory, not copied."""
        width, height = self.fit.scaled(*self.check(frame))
        scaled = (width, height) != (frame.width, frame.height)
        how = Interpolation.AREA if scaled else None  # the area filter is slow even where there is nothing to scale
        small = self.reformatter.reformat(frame, width, height, "rgb24", interpolation=how, **ONE_THREAD)
        plane = small.planes[0]
        lines = np.ndarray((height, width, 3), np.uint8, memoryview(plane), strides=(plane.line_size, 3, 1))  # padded
        return self.fit.cropped(self._orientation(frame).upright(lines))

    def _orientation(self, frame: VideoFrame) -> Orientation:
        """That of the frame before, as long as the angle is the same: looking for the matrix takes time."""
        if self.known is None or self.known[0] != frame.rotation:
            self.known = frame.rotation, Orientation.of(frame)
        return self.known[1]

    def check(self, frame: VideoFrame) -> tuple[int, int]:
        """The stored width and height of the first frame, if this one's are in proportion.

        Raises:
            ChangedShapeError: they are not.
        """
        self.first = same_shape(self.first, frame)
        return self.first


@dataclass
class FrameBuffer:
    """Frames copied one by one into one array, so that each is copied once.

    One buffer for video after video takes its memory from the system once: fresh pages cost as much as the copy. The
    frames that it gave before are then overwritten.
    """

    room: int = 0
    count: int = 0
    pixels: np.ndarray | None = None
    memory: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint8))

    def start(self, room: int) -> None:
        """Begin a video, with room for so many frames, if that is believable; a wrong count costs at most a copy."""
        self.room, self.count, self.pixels = room, 0, None

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, of the shape of the first one."""
        if self.pixels is None:
            believed = max(1, min(self.room, BELIEVED // frame.size))
            self.pixels = self._array(max(believed, self.memory.size // frame.size), frame.shape)
        if self.count == len(self.pixels):
            full = self.pixels
            self.pixels = self._array(2 * len(full), frame.shape)
            self.pixels[: len(full)] = full
        self.pixels[self.count] = frame
        self.count += 1

    def _array(self, frames: int, shape: tuple[int, ...]) -> np.ndarray:
        needed = frames * math.prod(shape)
        if needed > self.memory.size:
            self.memory = np.empty(needed, np.uint8)
        return self.memory[:needed].reshape(frames, *shape)

    @property
    def frames(self) -> np.ndarray:
        """``T H W 3``; none if nothing was added."""
        return np.zeros((0, 1, 1, 3), np.uint8) if self.pixels is None else self.pixels[: self.count]
