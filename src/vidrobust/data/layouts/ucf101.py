"""UCF-101 (Soomro, Zamir & Shah 2012): class folders, and the lists of ``ucfTrainTestlist``."""

from __future__ import annotations

import re
from pathlib import Path

from vidrobust.data.layouts.files import VideoIndex, files, group_of
from vidrobust.data.layouts.splitting import cut_validation
from vidrobust.data.layouts.text import numbered_lines
from vidrobust.data.videos import Missing, Video, VideoFolder, check_link, inside, present
from vidrobust.errors import DataError

LAYOUT = "UCF-101"
WORKS = ("soomro2012",)
VIDEO_FOLDERS = ("UCF-101", "UCF101", "videos")
LIST_FOLDER = "ucfTrainTestlist"

_LIST = re.compile(r"classInd\.txt|(train|test)list\d\d\.txt")
_WHERE = "The lists come with UCF-101 as UCF101TrainTestSplits-RecognitionTask.zip"
_AGAIN = f"{_WHERE}: put it there again."


def find_lists(root: Path) -> Path | None:
    """The folder with the lists: as soon as one of them is there, all must be."""
    places = [root, root / LIST_FOLDER]
    if any(root.glob("*/v_*_g*_c*")):  # else a neighbour's lists would capture an unrelated folder
        places.append(root.resolve().parent / LIST_FOLDER)
    for place in places:
        if place.is_dir() and any(_LIST.fullmatch(file.name) for file in files(place)):
            return place
    videos_apart = any((root / name).is_dir() for name in ("UCF-101", "UCF101", LIST_FOLDER))
    return root / LIST_FOLDER if videos_apart else None


def read(root: Path, lists: Path, split: int, val_fraction: float, seed: int) -> VideoFolder:
    """The videos that the official lists name; validation is cut from the training list by group.

    Args:
        root: the folder.
        lists: the folder of the lists.
        split: 1, 2 or 3.
        val_fraction, seed: how many groups of the training list are held out, and which.

    Raises:
        DataError: a list or a video is not as it must be.
    """
    names = ("classInd.txt", f"trainlist{split:02d}.txt", f"testlist{split:02d}.txt")
    for name in names:
        if not (lists / name).is_file():
            raise DataError(f"{lists / name} is missing. {_WHERE}: put the file there, or choose another split.")
        check_link(lists, lists / name)
    base = next((root / name for name in VIDEO_FOLDERS if (root / name).is_dir()), root)
    classes = _read_class_index(lists / names[0])
    on_disk = VideoIndex(root, base)
    for name in classes:
        if name.casefold() not in on_disk.classes:
            raise DataError(f"class folder {base / name} has no video. Put its clips there.")
    missing: list[Missing] = []
    train, test = (
        _read_list(base, lists / name, classes, on_disk, split, missing)
        for name, split in zip(names[1:], ("train", "test"), strict=True)
    )
    train, val = cut_validation(train, val_fraction, seed, str(lists))
    train, val, test = (present(part, missing) for part in (train, val, test))
    return VideoFolder(root.resolve().name, root, classes, train, val, test, LAYOUT, tuple(missing), lists=(lists,))


def _read_class_index(file: Path) -> tuple[str, ...]:
    """``1 ApplyEyeMakeup`` a line: the indices must be 1 … K."""
    names: dict[int, str] = {}
    folded: set[str] = set()
    for number, line in numbered_lines(file, _AGAIN):
        index, name = [*line.split(None, 1), ""][:2]
        if not (index.isascii() and index.isdecimal()) or not name or int(index) in names or name.casefold() in folded:
            raise DataError(f"{file}, line {number}: {line!r} must be a new index and a new class, as in `1 Archery`.")
        names[int(index)] = name
        folded.add(name.casefold())
    if len(names) < 2 or sorted(names) != list(range(1, len(names) + 1)):
        raise DataError(
            f"{file} must number at least two classes 1, 2, 3 … without a gap; it has {sorted(names)[:20]}."
        )
    return tuple(names[index] for index in sorted(names))


def _read_list(
    base: Path, file: Path, classes: tuple[str, ...], on_disk: VideoIndex, split: str, missing: list[Missing]
) -> list[Video]:
    """``Archery/v_Archery_g08_c01.avi 3`` a line, the label (from 1) optional; what is not there is ``missing``."""
    # The class is the folder's name: UCF-101 itself spells HandstandPushups/v_HandStandPushups_g01_c01.avi.
    labels = {name.casefold(): label for label, name in enumerate(classes)}
    videos: dict[str, Video] = {}
    for number, line in numbered_lines(file, _AGAIN):
        where = f"{file}, line {number}"
        name, label = _parse_entry(where, line)
        title = name.split("/")[0]
        if title.casefold() not in labels:
            raise DataError(f"{where}: class {title!r} is not in classInd.txt. Correct one of the two.")
        expected = labels[title.casefold()]
        if label is not None and label != expected + 1:
            raise DataError(f"{where}: label {label} contradicts classInd.txt, where that class is {expected + 1}.")
        found = on_disk.find(name)
        if found is None:
            found = on_disk.path_of(name)
            missing.append(Missing(split, found, where))
        if found in videos:
            raise DataError(f"{where}: {name} is listed twice. Delete the line.")
        videos[found] = Video(found, expected, group_of(found))
    if not videos:
        raise DataError(f"{file} names no video. {_AGAIN}")
    return list(videos.values())


def _parse_entry(where: str, line: str) -> tuple[str, int | None]:
    words = line.rsplit(None, 1)
    numbered = len(words) == 2 and words[1].isascii() and words[1].isdecimal()
    name, label = (words[0], int(words[1])) if numbered else (line, None)
    path = inside(where, name)
    if len(path.parts) != 2:
        raise DataError(f"{where}: {name!r} is not of the form Class/video.avi.")
    return path.as_posix(), label
