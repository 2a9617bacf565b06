"""Where a video is stored: in a file, in a part of a tar file, or in a folder of frames."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from vidrobust.data.videos import COPY, FRAME, Video, leads_out
from vidrobust.errors import DecodeError

_CHUNK = 1 << 20


class FileState(NamedTuple):
    """What the file system tells of a video.

    Attributes:
        stamp: length and time of modification, which programs can set.
        changed: when the system last noted a change, in nanoseconds, which they cannot.
    """

    stamp: tuple[int | str, ...]
    changed: int


@dataclass(frozen=True)
class StoredVideo:
    """Where one video is stored.

    Attributes:
        file: a video file, a tar file, or a folder of frames.
        name: what messages call it.
        offset, size: where in a tar file it lies; a size of 0 is all of the file.
        root: the data set's folder, out of which no link of a frame may lead; None allows any link.
    """

    file: Path
    name: str
    offset: int = 0
    size: int = 0
    root: Path | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def is_folder(self) -> bool:
        """Is it a folder of frames?"""
        return not self.size and self.file.is_dir()

    @contextlib.contextmanager
    def open(self) -> Generator[BinaryIO]:
        """The bytes as a file that can be read and sought.

        Raises:
            DecodeError: it is a pipe, a device or a socket, of which reading might never end.
        """
        self._regular()
        with self.file.open("rb") as file:
            yield cast("BinaryIO", Stretch(file, self.offset, self.size)) if self.size else file

    def _regular(self) -> os.stat_result:
        found = self.file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DecodeError(f"{self} is no file, but a pipe or a device. Put the video there.", "unreadable")
        return found

    def length(self) -> int:
        """Bytes of the video, or of its folder's first frame.

        Raises:
            DecodeError: it is a pipe, a device or a socket, or a folder without frames.
        """
        if self.size:
            return self.size
        return self.frames()[0][0].stat().st_size if self.is_folder else self._regular().st_size

    def state(self) -> FileState:
        """What the file system tells of it, of a folder for each frame.

        Raises:
            OSError: it is not there.
            DecodeError: a folder's frames are not as they must be.
        """
        if not self.is_folder:
            found = self.file.stat()
            return FileState((self.size or found.st_size, found.st_mtime_ns, self.offset), found.st_ctime_ns)
        frames = [(path.name, path.stat()) for path, _ in self.frames()]
        listed = [(name, found.st_size, found.st_mtime_ns) for name, found in frames]
        stamp = len(listed), hashlib.blake2b(repr(listed).encode(), digest_size=16).hexdigest()
        return FileState(stamp, max(found.st_ctime_ns for _, found in frames))

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
            DecodeError: there is none, or two series of frames, or one number twice, or one that is no file within the
                data set.
        """
        series: dict[str, dict[int, Path]] = {}
        with os.scandir(self.file) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if match := FRAME.fullmatch(entry.name):
                numbers = series.setdefault(re.sub(r"\W", "", match["stem"]).casefold(), {})
                if int(match["number"]) in numbers:
                    raise DecodeError(f"{self} has frame {int(match['number'])} twice. Delete one.", "ambiguous frames")
                numbers[int(match["number"])] = self._frame(entry)
        if not series:
            raise DecodeError(f"{self} has no frame such as image_00001.jpg. Put them back.", "no frame")
        if len(series) > 1:
            names = ", ".join(f"{stem}…" for stem in sorted(series))
            raise DecodeError(f"{self} has several series of frames ({names}). Keep one.", "ambiguous frames")
        (numbers,) = series.values()
        return [(numbers[number], number) for number in sorted(numbers)]

    def _frame(self, entry: os.DirEntry[str]) -> Path:
        path = self.file / entry.name
        if entry.is_symlink() and self.root is not None and leads_out(self.root, path):
            raise DecodeError(f"{path} is a link out of {self.root}. {COPY}", "unreadable")
        if not entry.is_file():  # a pipe, a device, or a link to nothing
            raise DecodeError(f"{path} is no file. {COPY}", "unreadable")
        return path


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
    """Where a video of a data set is stored."""
    if video.shard:
        return StoredVideo(root / video.shard, str(root / video.path), video.offset, video.size, root)
    return StoredVideo(root / video.path, str(root / video.path), root=root)


def stored_at(place: Path | StoredVideo) -> StoredVideo:
    """A path as a stored video."""
    return place if isinstance(place, StoredVideo) else StoredVideo(place, str(place))
