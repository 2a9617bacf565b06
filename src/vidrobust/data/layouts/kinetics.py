"""Kinetics-400, 600 and 700 (Kay et al. 2017; Carreira et al. 2018, 2019): the official CSV files, and what is left.

The videos come from YouTube and vanish from it, so that missing clips are normal: they are counted and listed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vidrobust.data.classes import class_order
from vidrobust.data.layouts.files import files, folders, walk_clips
from vidrobust.data.layouts.splitting import cut_validation
from vidrobust.data.layouts.tables import SPLIT_NAMES, csv_rows, header, split_of
from vidrobust.data.videos import SPLITS, Missing, Video, VideoFolder, check_link
from vidrobust.errors import DataError

LAYOUT = "Kinetics"
WORKS = ("kay2017", "carreira2018", "carreira2019")
REQUIRED_COLUMNS = ("youtube_id", "time_start", "time_end")

_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_CLIP = re.compile(r"(?P<id>[\w-]{1,64})_\d{6}_\d{6}", re.ASCII)


@dataclass(frozen=True)
class KineticsEntry:
    """A line of a list: a clip, its place in the splits, and its label if that is known."""

    clip: str
    split: str
    source: str
    label: str | None


def find_lists(root: Path) -> list[Path]:
    """The CSV files with Kinetics' columns: in this folder, in one within it, or beside it if clips lie in it."""
    places = [root, *folders(root)]
    parent = root.resolve().parent
    if any(_CLIP.fullmatch(file.stem) for pattern in ("*", "*/*") for file in root.glob(pattern)):
        places += [parent, parent / "annotations"]
    for place in places:
        if not place.is_dir():
            continue
        found = [file for file in files(place) if file.suffix.lower() in (".csv", ".tsv") and is_list(file)]
        if found:
            return found
    return []


def is_list(file: Path) -> bool:
    """Has this CSV file Kinetics' columns?

    Raises:
        DataError: it has, and is a link out of its folder.
    """
    found = set(REQUIRED_COLUMNS) <= set(header(file))
    if found and file.is_symlink():
        check_link(file.parent, file)
    return found


def read(root: Path, lists: Iterable[Path], val_fraction: float, seed: int) -> VideoFolder:
    """The clips of the lists that are on disk; a class keeps its label even if all its clips are gone.

    Validation is cut from the training list, and the official validation list is the test split, as papers on
    Kinetics report it. Where the official test list comes with labels and clips, that is the test split, and the
    official validation list is ``val``.

    Args:
        root: the folder.
        lists: the CSV files.
        val_fraction, seed: how many sources of the training list are held out, and which.

    Raises:
        DataError: a list is not as it must be, or nothing of it is there.
    """
    lists = tuple(lists)
    entries, notes = _read_lists(lists)
    classes = class_order({entry.label for entry in entries if entry.label is not None})
    if len(classes) < 2:
        raise DataError(f"{root}: its lists name {len(classes)} class(es); at least 2 are needed.")
    labels = {name: label for label, name in enumerate(classes)}
    on_disk = _index(root)
    parts: dict[str, list[Video]] = {name: [] for name in SPLITS}
    missing: list[Missing] = []
    unlabelled = 0
    for entry in entries:
        places = on_disk.get(entry.clip)
        if entry.label is None:
            unlabelled += 1
        elif places is None:
            missing.append(Missing(entry.split, entry.clip))
        else:
            parts[entry.split].append(Video(_best(places, entry.split), labels[entry.label], entry.source))
    if unlabelled:
        notes.append(f"{unlabelled} clips of the test list have no label: they are not used.")
    train, val, test = _assigned(parts, val_fraction, seed, notes, str(root))
    if not train or not test:
        raise DataError(
            f"{root}: {len(missing)} of {len(entries)} clips of the lists are missing, so that no "
            f"{'training' if not train else 'validation or test'} clip is left. Files must be named like "
            f"{entries[0].clip}.mp4, in split folders, class folders or flat."
        )
    name = root.resolve().name
    splits = tuple(train), tuple(val), tuple(test)
    return VideoFolder(name, root, classes, *splits, LAYOUT, tuple(missing), tuple(notes), True, lists)


def _assigned(
    parts: dict[str, list[Video]], val_fraction: float, seed: int, notes: list[str], where: str
) -> tuple[list[Video], list[Video], list[Video]]:
    if parts["test"] and parts["val"]:
        return parts["train"], parts["val"], parts["test"]
    if not parts["test"]:
        notes.append("The official validation list is the test split; validation is cut from the training list.")
    train, val = cut_validation(parts["train"], val_fraction, seed, where) if parts["train"] else ([], [])
    return train, val, parts["test"] or parts["val"]


def _read_lists(lists: Iterable[Path]) -> tuple[list[KineticsEntry], list[str]]:
    found: dict[str, KineticsEntry] = {}
    seen: Counter[str] = Counter()
    for file in lists:
        if not is_list(file):
            raise DataError(f"{file}: Kinetics' columns {', '.join(REQUIRED_COLUMNS)} are not in its first line.")
        for where, cells in csv_rows(file):
            entry = _entry(where, file, cells)
            first = found.setdefault(entry.clip, entry)
            seen[entry.clip] += 1
            if first != entry:
                raise DataError(
                    f"{where}: {entry.clip} is {entry.label} in {entry.split}, but elsewhere {first.label} in "
                    f"{first.split}. Delete one of the two lines."
                )
    if not found:
        raise DataError(f"{', '.join(map(str, lists))}: no clip is listed there. Get the lists again.")
    twice = sum(count > 1 for count in seen.values())
    return list(found.values()), [f"{twice} clips are listed more than once; each is used once."] if twice else []


def _entry(where: str, file: Path, cells: dict[str, str]) -> KineticsEntry:
    lacking = [name for name in REQUIRED_COLUMNS if name not in cells]
    if lacking:
        raise DataError(f"{where}: {', '.join(lacking)} is empty. Every line needs {', '.join(REQUIRED_COLUMNS)}.")
    if not _ID.fullmatch(cells["youtube_id"]):
        raise DataError(f"{where}: {cells['youtube_id']!r} is not a YouTube id, and may not name a file.")
    start, end = (_seconds(where, cells[name]) for name in REQUIRED_COLUMNS[1:])
    if end <= start:
        raise DataError(f"{where}: time_end {end} must lie after time_start {start}.")
    split = split_of(where, cells["split"]) if "split" in cells else _split_by_name(where, file)
    if "label" not in cells and split != "test":
        raise DataError(f"{where}: the label is empty. Only the test list may lack labels.")
    source = cells["youtube_id"]
    return KineticsEntry(f"{source}_{start:06d}_{end:06d}", split, source, cells.get("label"))


def _seconds(where: str, text: str) -> int:
    try:
        seconds = float(text)
    except ValueError as error:
        raise DataError(f"{where}: {text!r} is not a time in seconds.") from error
    if not (0 <= seconds < 1e6 and seconds == int(seconds)):
        raise DataError(f"{where}: {text!r} must be whole seconds from 0.")
    return int(seconds)


def _split_by_name(where: str, file: Path) -> str:
    for word in re.split(r"[^a-z]+", file.stem.casefold()):
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    raise DataError(f"{where}: no column `split`, and {file.name} does not tell it (such as train.csv).")


def _index(root: Path) -> dict[str, list[str]]:
    """The paths of each clip by its name without suffix."""
    found: dict[str, list[str]] = {}
    for clip in walk_clips(root):
        key = clip.name if clip.is_dir() else clip.stem
        found.setdefault(key, []).append(clip.relative_to(root).as_posix())
    return found


def _best(places: list[str], split: str) -> str:
    """Of several files of one clip, that in the folder of its split."""
    return min(places, key=lambda place: (split not in {SPLIT_NAMES.get(part) for part in place.split("/")}, place))
