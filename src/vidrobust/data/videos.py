"""What a data set of videos is: named videos with labels and sources, in three splits that share none.

Nothing here opens a video. Every path is relative to the root and stays inside it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from vidrobust.errors import DataError, InputError

SPLITS = ("train", "val", "test")

FRAME = re.compile(r"(?P<stem>(?:image|img|frames?)?[-_]?)(?P<number>\d{1,12})\.(?:jpe?g|png)", re.IGNORECASE)
"""``image_00001.jpg``, ``img_00001.jpg``, ``frame000001.jpg``, ``00001.jpg``; optical flow beside them is let alone."""


@dataclass(frozen=True)
class Video:
    """One video of a data set.

    Attributes:
        path: POSIX path relative to the root: a file, a folder of frames, or ``SHARD.tar/KEY.mp4``.
        label: index into the classes.
        group: the source it was cut from (``g07``, a YouTube id); its own path if nothing tells of one.
        shard: of a video within a tar file, that file's path relative to the root.
        offset, size: where in that file its bytes lie.
    """

    path: str
    label: int
    group: str
    shard: str = ""
    offset: int = 0
    size: int = 0


@dataclass(frozen=True)
class VideoFolder:
    """A data set of videos in three disjoint splits.

    Attributes:
        name: of its folder or list.
        root: what the videos' paths are relative to.
        classes: the class names, in the order of the labels.
        train, val, test: the videos.
        layout: how it was recognised, such as ``UCF-101``.
        missing: the videos that the lists name and the disk lacks, where that is normal (Kinetics): split and name.
        notes: what a reader should know, such as a list that was left unused.
        global_groups: does a group mean the same source in every class (a YouTube id), or only within one (``g07``)?
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    train: tuple[Video, ...]
    val: tuple[Video, ...]
    test: tuple[Video, ...]
    layout: str = ""
    missing: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    global_groups: bool = False

    def split(self, name: str) -> tuple[Video, ...]:
        """The videos of ``train``, ``val`` or ``test``.

        Raises:
            InputError: there is no such split.
        """
        if name not in SPLITS:
            raise InputError(f"no split {name!r}: choose train, val or test.")
        return getattr(self, name)

    def source(self, video: Video) -> str:
        """What a video was cut from, unique in the data set: the unit of chance for splits, statistics and reports.

        That is its group, with the class before it where the same group of two classes is two sources (UCF-101 numbers
        the sources of each class from ``g01``).
        """
        if self.global_groups or video.group == video.path:
            return video.group
        return f"{self.classes[video.label]}/{video.group}"


def inside(where: str, name: str) -> PurePosixPath:
    """A path that a list names, if it stays inside the data set.

    Args:
        where: file and line, for the message.
        name: the path as it stands there.

    Raises:
        DataError: it is absolute, has a drive or a backslash, climbs with ``..``, or is empty.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or PureWindowsPath(name).drive or "\\" in name or ".." in path.parts:
        raise DataError(f"{where}: {name!r} leads out of the data set. Only paths within its folder may stand here.")
    return path


COPY = "Copy it there, or give as data set the folder in which the files really lie: nothing outside of it is read."


def leads_out(root: Path, file: Path) -> bool:
    """Does a path lead out of a folder, if all links are followed?"""
    return not file.resolve().is_relative_to(root.resolve())


def check_link(root: Path, file: Path) -> None:
    """A link may lead anywhere within the root, and must lead somewhere.

    Raises:
        DataError: it leads out, or to nothing.
    """
    if leads_out(root, file) or not file.exists():
        raise DataError(f"{file} is a link out of {root}, or to nothing. {COPY}")


def read_lines(file: Path, remedy: str) -> list[tuple[int, str]]:
    """The lines of a list that are not blank, numbered from 1; line ends may be Unix or Windows.

    Raises:
        DataError: the file cannot be read as text.
    """
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text ({error}). {remedy}") from error
    if "\0" in text:
        raise DataError(f"{file} cannot be read as text (it holds zero bytes). {remedy}")
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def check_sources(folder: VideoFolder) -> None:
    """No source lies in two splits.

    Raises:
        DataError: one does; the message names a video on either side.
    """
    owners: dict[str, tuple[str, Video]] = {}
    for name in SPLITS:
        for video in folder.split(name):
            other, first = owners.setdefault(folder.source(video), (name, video))
            if other != name:
                of = "" if folder.global_groups else f" of class {folder.classes[video.label]}"
                raise DataError(
                    f"{folder.root}: {other} ({first.path}) and {name} ({video.path}) share group {video.group}{of}. "
                    "Move one of them, so that no source is on both sides."
                )


def check_classes(folder: VideoFolder, *, complete: bool) -> None:
    """Training and test have clips, of every class if the data set ought to be complete.

    Raises:
        DataError: they have not; the message names the classes.
    """
    for name in ("train", "test"):
        clips: dict[int, int] = defaultdict(int)
        for video in folder.split(name):
            clips[video.label] += 1
        empty = [title for label, title in enumerate(folder.classes) if not clips[label]]
        if len(empty) == len(folder.classes) or (empty and complete):
            lost = f" {len(folder.missing)} clips of its lists are missing." if folder.missing else ""
            raise DataError(
                f"{folder.root}: no {name} clips of class {', '.join(empty[:5])}.{lost} Add videos (and lines in the "
                "lists), hold out less for validation, or leave the class out."
            )
