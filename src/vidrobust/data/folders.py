"""Folders of videos as data sets: UCF-101's layout with its lists, and class folders without any.

Nothing here opens a video: it is about names, lists, labels and splits. Every path is relative to the root and stays
inside it; train, validation and test never share a group (a source video or photograph) within a class.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from vidrobust.errors import DataError, InputError

SUFFIXES = frozenset({".avi", ".mp4", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v"})
"""What counts as a video in a class folder."""

VIDEO_FOLDERS = ("UCF-101", "UCF101")
LIST_FOLDER = "ucfTrainTestlist"

_GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)
_LIST = re.compile(r"classInd\.txt|(train|test)list\d\d\.txt")
_WHERE = "The lists come with UCF-101 as UCF101TrainTestSplits-RecognitionTask.zip"


@dataclass(frozen=True)
class Video:
    """One video of a data set.

    Attributes:
        path: POSIX path relative to the root.
        label: index into the classes.
        group: the source it was cut from (``g07``); its own path if the name tells of none.
    """

    path: str
    label: int
    group: str


@dataclass(frozen=True)
class VideoFolder:
    """A data set of video files in three disjoint splits."""

    name: str
    root: Path
    classes: tuple[str, ...]
    train: tuple[Video, ...]
    val: tuple[Video, ...]
    test: tuple[Video, ...]

    def split(self, name: str) -> tuple[Video, ...]:
        """The videos of ``train``, ``val`` or ``test``.

        Raises:
            InputError: there is no such split.
        """
        if name not in ("train", "val", "test"):
            raise InputError(f"no split {name!r}: choose train, val or test.")
        return getattr(self, name)


def open_folder(path: str | Path, *, split: int = 1, val_fraction: float = 0.2, seed: int = 0) -> VideoFolder:
    """Read a folder of videos.

    Two layouts are known. With UCF-101's lists (``classInd.txt``, ``trainlist01.txt``, ``testlist01.txt``, in the
    folder, in ``ucfTrainTestlist`` or beside the videos) the lists decide, and validation is cut from the training
    list: the same group numbers for all classes. Without lists every folder is a class, and train, validation and test
    (60, 20, 20 %) are cut by group within each class, unless there are folders ``train`` and ``test`` (and ``val``).

    Args:
        path: the folder.
        split: which of UCF-101's official splits, 1 to 3.
        val_fraction: part of the training groups to hold out for validation, in (0, 1); at least one group.
        seed: which groups are held out.

    Raises:
        DataError: the folder or a list is not as it must be; the message names the file, the line and the remedy.
        InputError: ``val_fraction`` or ``split`` is out of range.
    """
    root = Path(path).expanduser()
    if not 0 < val_fraction < 1 or split < 1:
        raise InputError(f"val_fraction must lie in (0, 1) and split be at least 1, not {val_fraction} and {split}.")
    if not root.exists():
        raise DataError(f"{root} does not exist. Give a folder of videos, or `motion` for the embedded data set.")
    if not root.is_dir():
        raise DataError(f"{root} is a file, not a folder. Give the folder that holds one folder a class.")
    try:
        folder = _read(root, split, val_fraction, seed)
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be read ({error.strerror}). Check its permissions."
        ) from error
    _check(folder)
    return folder


def _read(root: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    lists = _find_lists(root)
    if lists is not None:
        classes, train, test = _read_ucf101(root, lists, split)
        train, val = _cut_validation(train, val_fraction, seed)
    elif _is_split(root / "train") or _is_split(root / "test"):
        classes, train, val, test = _read_splits(root)
        if not val:
            train, val = _cut_validation(train, val_fraction, seed)
    else:
        classes, train, val, test = _read_classes(root, seed)
    return VideoFolder(root.resolve().name, root, classes, tuple(train), tuple(val), tuple(test))


def _find_lists(root: Path) -> Path | None:
    """The folder with UCF-101's lists: as soon as one of them is there, all must be."""
    places = [root, root / LIST_FOLDER]
    if any(root.glob("*/v_*_g*_c*.avi")):  # else a neighbour's lists would capture an unrelated folder
        places.append(root.resolve().parent / LIST_FOLDER)
    for place in places:
        if place.is_dir() and any(_LIST.fullmatch(file.name) for file in place.iterdir()):
            return place
    videos_apart = any((root / name).is_dir() for name in (*VIDEO_FOLDERS, LIST_FOLDER))
    return root / LIST_FOLDER if videos_apart else None


def _read_ucf101(root: Path, lists: Path, split: int) -> tuple[tuple[str, ...], list[Video], list[Video]]:
    names = ("classInd.txt", f"trainlist{split:02d}.txt", f"testlist{split:02d}.txt")
    for name in names:
        if not (lists / name).is_file():
            raise DataError(f"{lists / name} is missing. {_WHERE}: put the file there, or choose another split.")
    base = next((root / name for name in VIDEO_FOLDERS if (root / name).is_dir()), root)
    classes = _read_class_index(lists / names[0])
    on_disk = {f"{folder.name}/{file.name}" for folder in _folders(base) for file in _videos(root, folder)}
    filled = {name.split("/")[0].casefold() for name in on_disk}
    for name in classes:
        if name.casefold() not in filled:
            raise DataError(f"class folder {base / name} has no video. Put its clips there.")
    train, test = (_read_list(root, base, lists / name, classes, on_disk) for name in names[1:])
    return classes, train, test


def _lines(file: Path) -> Iterable[tuple[int, str]]:
    """The lines of a list that are not blank, numbered from 1."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text ({error}). {_WHERE}: put it there again.") from error
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _read_class_index(file: Path) -> tuple[str, ...]:
    """``1 ApplyEyeMakeup`` a line: the indices must be 1 … K."""
    names: dict[int, str] = {}
    for number, line in _lines(file):
        index, name = [*line.split(None, 1), ""][:2]
        if not index.isdecimal() or not name or int(index) in names or name in names.values():
            raise DataError(f"{file}, line {number}: {line!r} must be a new index and a new class, as in `1 Archery`.")
        names[int(index)] = name
    if len(names) < 2 or sorted(names) != list(range(1, len(names) + 1)):
        raise DataError(
            f"{file} must number at least two classes 1, 2, 3 … without a gap; it has {sorted(names)[:20]}."
        )
    return tuple(names[index] for index in sorted(names))


def _read_list(root: Path, base: Path, file: Path, classes: Sequence[str], on_disk: set[str]) -> list[Video]:
    """``Archery/v_Archery_g08_c01.avi 3`` a line, the label (from 1) optional."""
    # The class is the folder's name: UCF-101 itself spells HandstandPushups/v_HandStandPushups_g01_c01.avi.
    spelled = {name.casefold(): name for name in on_disk}
    labels = {name.casefold(): label for label, name in enumerate(classes)}
    videos: dict[str, Video] = {}
    for number, line in _lines(file):
        where = f"{file}, line {number}"
        name, label = _parse_entry(where, line)
        if name.split("/")[0].casefold() not in labels:
            raise DataError(f"{where}: class {name.split('/')[0]!r} is not in classInd.txt. Correct one of the two.")
        expected = labels[name.split("/")[0].casefold()]
        if label is not None and label != expected + 1:
            raise DataError(f"{where}: label {label} contradicts classInd.txt, where that class is {expected + 1}.")
        found = name if name in on_disk else spelled.get(name.casefold())
        if found is None:
            raise DataError(f"{where}: {base / name} does not exist. Put the video there, or delete the line.")
        relative = (base / found).relative_to(root).as_posix()
        if relative in videos:
            raise DataError(f"{where}: {name} is listed twice. Delete the line.")
        videos[relative] = Video(relative, expected, _group(relative))
    return list(videos.values())


def _parse_entry(where: str, line: str) -> tuple[str, int | None]:
    words = line.rsplit(None, 1)
    name, label = (words[0], int(words[1])) if len(words) == 2 and words[1].isdecimal() else (line, None)
    path = PurePosixPath(name)
    if path.is_absolute() or PureWindowsPath(name).drive or "\\" in name or ".." in path.parts:
        raise DataError(
            f"{where}: {name} leads out of the data set. Only paths of the form Class/video.avi may stand here."
        )
    if len(path.parts) != 2:
        raise DataError(f"{where}: {name!r} is not of the form Class/video.avi.")
    return path.as_posix(), label


def _group(relative: str) -> str:
    match = _GROUP.search(PurePosixPath(relative).stem)
    return match[1].lower() if match else relative


def _folders(base: Path) -> list[Path]:
    return sorted(entry for entry in base.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _videos(root: Path, folder: Path) -> list[Path]:
    """The video files of a class folder, none of which may lie outside the root."""
    inside = root.resolve()
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    for file in files:
        target = file.resolve()
        if not target.is_relative_to(inside) or not target.exists():
            raise DataError(f"{file} is a link out of {root}, or to nothing. Copy the video to where the link is.")
    return [file for file in files if file.is_file()]


def _is_split(folder: Path) -> bool:
    """A folder of class folders (a class may itself be called `train`)."""
    return folder.is_dir() and bool(_folders(folder))


def _read_classes(root: Path, seed: int) -> tuple[tuple[str, ...], list[Video], list[Video], list[Video]]:
    classes = tuple(folder.name for folder in _folders(root))
    train, val, test = [], [], []
    for videos in _by_class(root, root, classes):
        members = _members(videos)
        if len(members) < 3:
            raise DataError(
                f"{root / classes[videos[0].label]} has {len(members)} group(s) of videos; train, validation and test "
                "need one each, so at least 3. Add videos, or leave the class out."
            )
        # A fresh generator each time: classes with the same group numbers are cut alike, so that sources stay apart.
        order = _shuffled(members, seed)
        part = max(1, round(0.2 * len(order)))
        for target, names in ((test, order[:part]), (val, order[part : 2 * part]), (train, order[2 * part :])):
            target += [video for video in videos if video.group in names]
    return classes, train, val, test


def _read_splits(root: Path) -> tuple[tuple[str, ...], list[Video], list[Video], list[Video]]:
    for name in ("train", "test"):
        if not _is_split(root / name):
            raise DataError(f"{root / name} is missing or holds no class folders, though {root} is cut into splits.")
    classes = tuple(folder.name for folder in _folders(root / "train"))
    parts = {}
    for name in ("train", "val", "test"):
        if name == "val" and not (root / name).is_dir():
            parts[name] = []
            continue
        differing = set(classes) ^ {folder.name for folder in _folders(root / name)}
        if differing:
            raise DataError(f"{root / name} and {root / 'train'} differ in their class folders: {sorted(differing)}.")
        parts[name] = [video for videos in _by_class(root, root / name, classes) for video in videos]
    return classes, parts["train"], parts["val"], parts["test"]


def _by_class(root: Path, base: Path, classes: Sequence[str]) -> list[list[Video]]:
    if len(classes) < 2:
        raise DataError(f"{base} has {len(classes)} class folder(s); at least 2 are needed: {base}/CLASS/video.avi.")
    found = []
    for label, name in enumerate(classes):
        paths = [file.relative_to(root).as_posix() for file in _videos(root, base / name)]
        if not paths:
            raise DataError(
                f"class folder {base / name} has no video ({', '.join(sorted(SUFFIXES))}). Add some, or delete it."
            )
        found.append([Video(path, label, _group(path)) for path in paths])
    return found


def _members(videos: Iterable[Video]) -> list[str]:
    return sorted({video.group for video in videos})


def _shuffled(names: Sequence[str], seed: int) -> list[str]:
    return random.Random(seed).sample(list(names), len(names))


def _cut_validation(videos: Sequence[Video], fraction: float, seed: int) -> tuple[list[Video], list[Video]]:
    """Hold out groups for validation; never all of a class.

    Where classes share group numbers, as in UCF-101, the same ones are held out for all classes, so that a source
    shared by classes is never on both sides. Where they do not, each class gives its own part.
    """
    groups = _members(videos)
    per_class = [_members(v for v in videos if v.label == label) for label in sorted({v.label for v in videos})]
    shared = sum(len(members) for members in per_class) > len(groups)
    held: set[str] = set()
    for pool in [groups] if shared else per_class:
        count = min(max(1, round(fraction * len(pool))), len(pool) - 1)
        held.update(_shuffled(pool, seed)[:count])
    if not held:
        raise DataError(f"no group of the training videos can be held out: {', '.join(groups[:5])} is all. Add others.")
    return [v for v in videos if v.group not in held], [v for v in videos if v.group in held]


def _check(folder: VideoFolder) -> None:
    """Every class has training and test clips, and no (class, group) lies in two splits."""
    owners: dict[tuple[int, str], tuple[str, Video]] = {}
    for name in ("train", "val", "test"):
        videos = folder.split(name)
        if name != "val":
            _check_classes(folder, name)
        for video in videos:
            other, first = owners.setdefault((video.label, video.group), (name, video))
            if other != name:
                raise DataError(
                    f"{folder.root}: {other} ({first.path}) and {name} ({video.path}) share group {video.group} of "
                    f"class {folder.classes[video.label]}. Move one of them, so that no source is on both sides."
                )


def _check_classes(folder: VideoFolder, name: str) -> None:
    clips: dict[int, int] = defaultdict(int)
    for video in folder.split(name):
        clips[video.label] += 1
    empty = [title for label, title in enumerate(folder.classes) if not clips[label]]
    if empty:
        raise DataError(
            f"{folder.root}: no {name} clips of class {', '.join(empty[:5])}. Add videos (and lines in the lists), "
            "hold out less for validation, or leave the class out."
        )
