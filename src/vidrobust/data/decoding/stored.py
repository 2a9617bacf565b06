"""Where the bytes of a video lie: in a file, in a stretch of a tar file, or in a folder of frames."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from vidrobust.data.layouts.files import FRAME
from vidrobust.data.videos import Video
from vidrobust.errors import DecodeError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredVideo:
    """The bytes of one video.

    Attributes:
        file: a video file, a tar file, or a folder of frames.
        name: what messages call it.
        offset, size: where in a tar file it lies; a size of 0 is all of the file.
    """

    file: Path
    name: str
    offset: int = 0
    size: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def is_folder(self) -> bool:
        """Is it a folder of frames?"""
        return not self.size and self.file.is_dir()

    @contextlib.contextmanager
    def open(self) -> Generator[BinaryIO]:
        """The bytes as a file that can be read and sought."""
        with self.file.open("rb") as file:
            yield cast("BinaryIO", Stretch(file, self.offset, self.size)) if self.size else file

    def length(self) -> int:
        """Bytes of the video, or of its folder's first frame."""
        if self.size:
            return self.size
        return self.frames()[0][0].stat().st_size if self.is_folder else self.file.stat().st_size

    def stamp(self) -> list[int]:
        """Length and time of change: what is compared to see whether a video changed (for frames, the folder's)."""
        stat = self.file.stat()
        return [self.size or stat.st_size, stat.st_mtime_ns, self.offset]

    def digest(self) -> str:
        """A hash of all bytes."""
        found = hashlib.blake2b(digest_size=16)
        places = [StoredVideo(path, path.name) for path, _ in self.frames()] if self.is_folder else [self]
        for place in places:
            with place.open() as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
        return found.hexdigest()

    def frames(self) -> list[tuple[Path, int]]:
        """The images of a folder of frames with their numbers, in numeric order.

        Raises:
            DecodeError: there is none, or two series of frames, or one number twice.
        """
        series: dict[str, dict[int, Path]] = {}
        with os.scandir(self.file) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if match := FRAME.fullmatch(name):
                numbers = series.setdefault(re.sub(r"\W", "", match["stem"]).casefold(), {})
                if int(match["number"]) in numbers:
                    raise DecodeError(f"{self} has frame {int(match['number'])} twice. Delete one.", "ambiguous frames")
                numbers[int(match["number"])] = self.file / name
        if not series:
            raise DecodeError(f"{self} has no frame such as image_00001.jpg. Put them back.", "no frame")
        if len(series) > 1:
            names = ", ".join(f"{stem}…" for stem in sorted(series))
            raise DecodeError(f"{self} has several series of frames ({names}). Keep one.", "ambiguous frames")
        (numbers,) = series.values()
        return [(numbers[number], number) for number in sorted(numbers)]


class Stretch(io.RawIOBase):
    """A part of an open file as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size, self._place = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._offset + self._place)
        data = self._file.read(max(0, min(len(buffer), self._size - self._place)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def tell(self) -> int:
        return self._place


def stored_video(root: Path, video: Video) -> StoredVideo:
    """Where the bytes of a video of a data set lie."""
    if video.shard:
        return StoredVideo(root / video.shard, str(root / video.path), video.offset, video.size)
    return StoredVideo(root / video.path, str(root / video.path))


def stored_at(place: Path | StoredVideo) -> StoredVideo:
    """A path as a source."""
    return place if isinstance(place, StoredVideo) else StoredVideo(place, str(place))
