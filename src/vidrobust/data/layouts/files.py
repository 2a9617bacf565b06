"""Finding videos on disk: files by their suffix, and folders of frames as older pipelines leave them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath, PurePosixPath

from vidrobust.data.videos import CONTROL_CHARACTERS, FRAME, Video, check_link
from vidrobust.errors import DataError

SUFFIXES = frozenset(
    f".{name}"
    for name in "avi mp4 mkv mov webm mpg mpeg m4v wmv asf flv 3gp 3g2 ts mts m2ts ogv vob divx".split()  # noqa: SIM905
)
"""What counts as a video file."""

SYSTEM = frozenset(
    ("__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini")
)
"""What operating systems leave in folders and archives; like hidden files, it is passed over."""

_GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)
_LOOKED_AT = 64
"""Files of a folder looked at to see whether it holds frames."""


def group_of(path: str) -> str:
    """The source that a name such as ``v_Archery_g07_c02.avi`` tells of; else the path itself."""
    match = _GROUP.search(PurePosixPath(path).stem)
    return match[1].lower() if match else path


def is_hidden(name: str) -> bool:
    """Is this hidden, or what an operating system leaves?"""
    return name.startswith(".") or name.casefold() in SYSTEM


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, in order, without what is hidden."""
    return sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name))


def check_name(path: Path) -> None:
    """A path must be text, without characters that a terminal obeys.

    Raises:
        DataError: it is no UTF-8, or has control characters.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        printed = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        raise DataError(f"the name of {printed} is no UTF-8. Rename it (convmv does so for whole folders).") from error
    if CONTROL_CHARACTERS.search(str(path)):
        raise DataError(f"the name of {str(path)!r} has control characters. Rename it.")


def folders(base: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, in order.

    Raises:
        DataError: the name of one is no text.
    """
    found = [entry for entry in entries(base) if entry.is_dir()]
    for folder in found:
        check_name(folder)
    return found


def files(base: Path) -> list[Path]:
    """The regular files in a folder, hidden ones left out, in order."""
    return [entry for entry in entries(base) if entry.is_file()]


def is_video_file(path: PurePath) -> bool:
    """Does the name say that this is a video?"""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def holds_frames(folder: Path) -> bool:
    """Is this a folder of frames: images with numbers, and no folders?"""
    found = False
    with os.scandir(folder) as listed:
        for _, entry in zip(range(_LOOKED_AT), listed, strict=False):
            followed = Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()
            if followed and not is_hidden(entry.name):
                return False
            found = found or FRAME.fullmatch(entry.name) is not None
    return found


def clips_in(root: Path, folder: Path) -> list[Path]:
    """The videos of a class folder: files, and folders of frames.

    Raises:
        DataError: one is a link out of the root, or its name is no text.
    """
    found = []
    for entry in entries(folder):
        if is_video_file(entry) or entry.is_dir():
            check_name(entry)
        if is_video_file(entry):
            check_link(root, entry)
            if entry.is_dir() and not holds_frames(entry):
                continue
            found.append(entry)
        elif entry.is_dir():
            check_link(root, entry)
            if holds_frames(entry):
                found.append(entry)
    return found


def walk_clips(root: Path, depth: int = 4) -> Iterator[Path]:
    """Every video below a folder, at most so many folders deep; links that lead out are an error."""
    for folder in [root, *_below(root, depth)]:
        yield from clips_in(root, folder)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for entry in folders(folder) if depth else ():
        if not holds_frames(entry):
            yield entry
            yield from _below(entry, depth - 1)


def by_class(root: Path, base: Path, classes: Iterable[str]) -> list[list[Video]]:
    """The videos of each class folder.

    Raises:
        DataError: there are fewer than two classes, or one is empty.
    """
    classes = list(classes)
    if len(classes) < 2:
        raise DataError(f"{base} has {len(classes)} class folder(s); at least 2 are needed: {base}/CLASS/video.avi.")
    found = []
    for label, name in enumerate(classes):
        paths = [file.relative_to(root).as_posix() for file in clips_in(root, base / name)]
        if not paths:
            deeper = next(iter(walk_clips(base / name)), None)
            said = "" if deeper is None else f"; {deeper.relative_to(base)} lies too deep"
            raise DataError(
                f"class folder {base / name} has no video ({', '.join(sorted(SUFFIXES))}, or folders of frames such as "
                f"image_00001.jpg{said}). Add some, or delete it."
            )
        found.append([Video(path, label, group_of(path)) for path in paths])
    return found


class VideoIndex:
    """The videos of some class folders by the names that lists give them, in any letter case.

    ``Archery/v_Archery_g01_c01.avi`` is found as that file, or as the folder of frames ``Archery/v_Archery_g01_c01``.

    Args:
        root: of the data set.
        base: the folder of the class folders.
    """

    def __init__(self, root: Path, base: Path) -> None:
        self._prefix = base.relative_to(root)
        found = [clip for folder in folders(base) if not holds_frames(folder) for clip in clips_in(root, folder)]
        self._exact = {clip.relative_to(base).as_posix(): clip.relative_to(root).as_posix() for clip in found}
        self._folded = {name.casefold(): path for name, path in self._exact.items()}
        self.classes = {name.split("/")[0].casefold() for name in self._exact}

    def path_of(self, name: str) -> str:
        """Where a video of this name would lie, relative to the root."""
        return (self._prefix / name).as_posix()

    def find(self, name: str) -> str | None:
        """The path relative to the root, or None."""
        stem = str(PurePosixPath(name).with_suffix(""))
        for spelling in (name, stem):
            found = self._exact.get(spelling) or self._folded.get(spelling.casefold())
            if found is not None:
                return found
        return None
