"""HMDB-51 (Kuehne et al. 2011): class folders, and ``CLASS_test_split1.txt`` with a 0, 1 or 2 behind each file."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from vidrobust.data.classes import class_order
from vidrobust.data.layouts.files import VideoIndex, check_name, files, folders
from vidrobust.data.layouts.splitting import cut_validation
from vidrobust.data.layouts.text import numbered_lines
from vidrobust.data.videos import Missing, Video, VideoFolder, check_link, inside, present
from vidrobust.errors import DataError

LAYOUT = "HMDB-51"
WORKS = ("kuehne2011",)
LIST_FOLDERS = ("testTrainMulti_7030_splits", "test_train_splits", "splits")
UNUSED, TRAIN, TEST = "0", "1", "2"

_LIST = re.compile(r"(?P<name>.+)_test_split(?P<split>\d+)\.txt")
_TAGS = re.compile(r"_[fhul]_(?:nm|cm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+$", re.IGNORECASE)
"""What the end of a name tells: visible body parts, camera motion, people, viewpoint, quality, number of the clip."""

_WHERE = "The lists come with HMDB-51 as test_train_splits.rar"


def find_lists(root: Path) -> Path | None:
    """The folder with the lists: this one, one within it, or one of the usual names beside it."""
    places = [root, *folders(root)]
    if any(root.glob("*/*_np*_*_*_*")):
        places += [root.resolve().parent / name for name in LIST_FOLDERS]
    for place in places:
        if place.is_dir() and any(_LIST.fullmatch(file.name) for file in files(place)):
            return place
    return None


def source_of(path: str) -> str:
    """The video that a clip was cut from, as best its name tells.

    >>> source_of("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi")
    'april_09_brush_hair'
    """
    return _TAGS.sub("", PurePosixPath(path).stem).casefold()


def read(root: Path, lists: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    """The clips of one of the three official splits; validation is cut from its training clips by source.

    Args:
        root: the folder.
        lists: the folder of the lists.
        split: 1, 2 or 3.
        val_fraction, seed: how many sources of the training clips are held out, and which.

    Raises:
        DataError: a list or a video is not as it must be.
    """
    class_lists = _class_lists(lists, split)
    classes = tuple(class_lists)
    on_disk = VideoIndex(root, _base(root, classes))
    videos: dict[str, list[Video]] = {UNUSED: [], TRAIN: [], TEST: []}
    missing: list[Missing] = []
    for label, (name, file) in enumerate(class_lists.items()):
        if name.casefold() not in on_disk.classes:
            raise DataError(f"{root}: class {name} has no video, though {file.name} lists it. Put its clips there.")
        for use, video in _read_list(file, name, label, on_disk, missing):
            videos[use].append(video)
    train, val = cut_validation(videos[TRAIN], val_fraction, seed, str(lists))
    unused = len(videos[UNUSED])
    notes = (f"{unused} clips are marked 0 in split {split}: they belong to neither side.",) if unused else ()
    name = root.resolve().name
    train, val, test = (present(part, missing) for part in (train, val, videos[TEST]))
    return VideoFolder(name, root, classes, train, val, test, LAYOUT, tuple(missing), notes, lists=(lists,))


def _class_lists(lists: Path, split: int) -> dict[str, Path]:
    """The list of each class for a split; every class that has one for any split must have it."""
    found: dict[str, dict[int, Path]] = {}
    for file in files(lists):
        if match := _LIST.fullmatch(file.name):
            check_link(lists, file)
            check_name(file)
            found.setdefault(match["name"], {})[int(match["split"])] = file
    lacking = [name for name, numbered in found.items() if split not in numbered]
    if lacking:
        file = lists / f"{lacking[0]}_test_split{split}.txt"
        raise DataError(f"{file} is missing. {_WHERE}: put the file there, or choose another split.")
    if len(found) < 2:
        raise DataError(f"{lists} has the lists of {len(found)} class(es); at least 2 are needed. {_WHERE}.")
    return {name: found[name][split] for name in class_order(found)}


def _base(root: Path, classes: tuple[str, ...]) -> Path:
    """The folder of the class folders: this one, or one within it."""
    wanted = {name.casefold() for name in classes}
    for place in [root, *folders(root)]:
        if any(folder.name.casefold() in wanted for folder in folders(place)):
            return place
    raise DataError(f"{root} holds none of the class folders {', '.join(classes[:3])} … that its lists name.")


def _read_list(
    file: Path, name: str, label: int, on_disk: VideoIndex, missing: list[Missing]
) -> list[tuple[str, Video]]:
    """``April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1`` a line: 1 is train, 2 test, 0 unused."""
    videos: dict[str, tuple[str, Video]] = {}
    for number, line in numbered_lines(file, f"{_WHERE}: put it there again."):
        where = f"{file}, line {number}"
        words = line.rsplit(None, 1)
        if len(words) != 2 or words[1] not in (UNUSED, TRAIN, TEST):
            raise DataError(f"{where}: {line!r} must be a file and 0 (unused), 1 (train) or 2 (test).")
        entry = inside(where, words[0])
        if len(entry.parts) != 1:
            raise DataError(f"{where}: {words[0]!r} must be the name of a file in the folder {name}.")
        found = on_disk.find(f"{name}/{entry}")
        if found is None:
            if words[1] == UNUSED:
                continue
            found = on_disk.path_of(f"{name}/{entry}")
            missing.append(Missing("train" if words[1] == TRAIN else "test", found, where))
        if found in videos:
            raise DataError(f"{where}: {entry} is listed twice. Delete the line.")
        videos[found] = (words[1], Video(found, label, source_of(found)))
    if not videos:
        raise DataError(f"{file} names no clip. {_WHERE}: put it there again.")
    return list(videos.values())
