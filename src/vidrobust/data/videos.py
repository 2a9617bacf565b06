"""A data set of videos: named videos with labels and sources, in three splits without common sources.

Nothing here opens a video. Every path is relative to the root and stays inside it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from vidrobust.errors import DataError, InputError

SPLITS = ("train", "val", "test")

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that no name may have, because a terminal obeys them."""

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


class Missing(NamedTuple):
    """A video that a list names and the disk lacks: its split, its name, and the place in the list."""

    split: str
    name: str
    where: str = ""


def present(videos: Iterable[Video], missing: Iterable[Missing]) -> tuple[Video, ...]:
    """The videos that are not missing."""
    gone = {one.name for one in missing}
    return tuple(video for video in videos if video.path not in gone)


@dataclass(frozen=True)
class VideoFolder:
    """A data set of videos in three disjoint splits.

    Attributes:
        name: of its folder or list.
        root: what the videos' paths are relative to.
        classes: the class names, in the order of the labels.
        train, val, test: the videos.
        layout: how it was recognised, such as ``UCF-101``.
        missing: the videos that its lists name and the disk lacks.
        notes: what a reader should know, such as what lies there and is not used.
        global_groups: does a group mean the same source in every class (a YouTube id), or only within one (``g07``)?
        lists: the files, and the folders of files, that say what there is.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    train: tuple[Video, ...]
    val: tuple[Video, ...]
    test: tuple[Video, ...]
    layout: str = ""
    missing: tuple[Missing, ...] = ()
    notes: tuple[str, ...] = ()
    global_groups: bool = False
    lists: tuple[Path, ...] = ()

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
    r"""A path that a list names, if it stays inside the data set; Windows' separators are read as well.

    Args:
        where: file and line, for the message.
        name: the path as it stands there.

    Raises:
        DataError: it is absolute, has a drive, climbs with ``..``, is empty, or has control characters.

    >>> str(inside("a.txt, line 1", r"Archery\v_Archery_g01_c01.avi"))
    'Archery/v_Archery_g01_c01.avi'
    """
    path = PurePosixPath(name.replace("\\", "/"))
    climbs = path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts
    if not path.parts or climbs or CONTROL_CHARACTERS.search(name):
        raise DataError(f"{where}: {name!r} leads out of the data set. Only paths within its folder may stand here.")
    return path


COPY = "Copy it there, or give as data set the folder in which the files really lie: nothing outside of it is read."


def leads_out(root: Path, file: Path) -> bool:
    """Does a path lead out of a folder, or to nothing, if all links are followed?"""
    try:
        return not file.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # not there, or links that lead in a circle
        return True


def check_link(root: Path, file: Path) -> None:
    """A link may lead anywhere within the root, and must lead somewhere.

    Raises:
        DataError: it leads out, or to nothing.
    """
    if leads_out(root, file):
        raise DataError(f"{file} is a link out of {root}, or to nothing. {COPY}")


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
            lost = f" {len(folder.missing)} videos of its lists are missing." if folder.missing else ""
            raise DataError(
                f"{folder.root}: no {name} clips of class {', '.join(empty[:5])}.{lost} Add videos (and lines in the "
                "lists), hold out less for validation, or leave the class out."
            )


def check_given(folder: VideoFolder) -> None:
    """A data set that a function outside this package returned is as those of the layouts are.

    Raises:
        DataError: a video is not there, leads out of the root, is named twice or has no class; two classes have one
            name; two splits share a source; a split lacks a class.
    """
    if len(set(folder.classes)) < len(folder.classes):
        raise DataError(f"{folder.root}: two classes have the same name. Give each of its own: {folder.classes}.")
    seen: dict[str, str] = {}
    for split in SPLITS:
        for number, video in enumerate(folder.split(split)):
            where = f"{folder.root}, {split}[{number}]"
            _check_video(folder, video, where)
            if video.path in seen:
                raise DataError(f"{where}: {video.path} is also in {seen[video.path]}. Name every video once.")
            seen[video.path] = split
    check_sources(folder)
    check_classes(folder, complete=not folder.missing)


def _check_video(folder: VideoFolder, video: Video, where: str) -> None:
    """A video lies within the root, under its shortest name, and its label is that of a class."""
    for name in filter(None, (video.path, video.shard)):
        if str(inside(where, name)) != name:
            raise DataError(f"{where}: write {name!r} as {str(inside(where, name))!r}, so that a video has one name.")
    file = folder.root / (video.shard or video.path)
    if not file.exists():
        raise DataError(f"{where}: {file} does not exist. Put it there, or leave it out and list it in `missing`.")
    check_link(folder.root, file)
    if not 0 <= video.label < len(folder.classes):
        raise DataError(f"{where}: label {video.label} is no index into the {len(folder.classes)} classes.")
