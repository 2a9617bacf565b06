"""WebDataset shards: tar files of ``key.mp4`` beside ``key.cls`` or ``key.json``, read in place.

Each shard is indexed once (names, labels, where the bytes of each video lie); nothing is ever unpacked, and a clip
reads only its own stretch. So shards may lie on several disks, and no disk need hold them twice.
"""

from __future__ import annotations

import json
import math
import os
import re
import tarfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from vidrobust.data.classes import class_order
from vidrobust.data.freshness import COARSE
from vidrobust.data.layouts.files import SUFFIXES, check_name, files, folders, group_of, is_hidden
from vidrobust.data.layouts.manifest import by_split, with_validation
from vidrobust.data.layouts.splitting import cut_three
from vidrobust.data.layouts.tables import SPLIT_NAMES
from vidrobust.data.storage import cache_root
from vidrobust.data.videos import Video, VideoFolder
from vidrobust.errors import DataError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import content_key

LAYOUT = "WebDataset shards"
FORMAT = 2
LABEL_BYTES = 1 << 20
"""The largest ``.json`` or ``.cls`` that is read."""

MOST_SHARDS = 100_000
"""Shards that a pattern may name."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,12})\.\.(\d{1,12})", re.ASCII)

Sample = dict[str, str | int]
"""A video of a shard: its ``name``, ``offset``, ``size``, and ``label``, ``group`` and ``split`` if it has them."""


def is_pattern(text: str) -> bool:
    """Does this name shards rather than a file or folder: braces, ``::`` between several, or a tar file?"""
    return "::" in text or text.endswith(".tar")


def expand(pattern: str) -> list[Path]:
    """The files of a pattern.

    Raises:
        DataError: it names too many, or a range runs downwards.

    >>> [str(path) for path in expand("a-{08..10}.tar::b.tar")]
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b.tar']
    """
    found = []
    for part in pattern.split("::"):
        pieces = _BRACES.split(part)  # text, braces, text, braces, …
        choices = [[piece] if place % 2 == 0 else _choices(part, piece) for place, piece in enumerate(pieces)]
        if math.prod(map(len, choices)) + len(found) > MOST_SHARDS:
            raise DataError(f"{_short(pattern)} names more than {MOST_SHARDS:,} shards. Correct its braces.")
        found += [Path("".join(chosen)).expanduser() for chosen in product(*choices)]
    return found


def _choices(pattern: str, braces: str) -> list[str]:
    if match := _RANGE.fullmatch(braces):
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < MOST_SHARDS:
            raise DataError(
                f"{_short(pattern)}: {{{braces}}} must run upwards, over at most {MOST_SHARDS:,} shards. Correct it."
            )
        return [str(number).zfill(len(match[1])) for number in range(first, last + 1)]
    return braces.split(",")


def _short(pattern: str) -> str:
    return pattern if len(pattern) <= 200 else f"{pattern[:200]}…"


def in_folder(root: Path) -> list[Path]:
    """The shards in a folder, or in its folders ``train``, ``val`` and ``test``."""
    places = [root, *(folder for folder in folders(root) if folder.name.casefold() in SPLIT_NAMES)]
    return [file for place in places for file in files(place) if file.suffix == ".tar"]


def read(shards: Sequence[Path], val_fraction: float, seed: int) -> VideoFolder:
    """The videos of some shards.

    The split is that of the sample's ``.json``, else the first word of that meaning in the shard's or its folder's name
    (``train-000000.tar``, ``val/000.tar``); where nothing names a split, videos are cut into three by group.

    Args:
        shards: the tar files.
        val_fraction, seed: how many groups of training are held out where there is no validation, and which.

    Raises:
        DataError: a shard is missing or damaged, or a sample lacks its label.
    """
    absent = [file for file in shards if not file.is_file()]
    if absent:
        raise DataError(f"shard {absent[0]} does not exist ({len(absent)} of {len(shards)}). Put it there.")
    where = f"{shards[0]} and the like"
    root = Path(os.path.commonpath([file.resolve().parent for file in shards]))
    indices = [(file.resolve(), indexed(file)) for file in shards]
    listed = [(file, sample) for file, index in indices for sample in index.samples]
    if not listed:
        raise DataError(f"{where} hold no video ({', '.join(sorted(SUFFIXES))}).")
    classes = class_order((str(sample["label"]) for _, sample in listed), where)
    if len(classes) < 2:
        raise DataError(f"{where} have the class {classes[0]} alone; at least 2 are needed.")
    labels = {name: label for label, name in enumerate(classes)}
    found = [(_split(root, file, sample), _video(root, file, sample, labels)) for file, sample in listed]
    names = [video.path for _, video in found]
    if len(set(names)) < len(names):
        raise DataError(f"{shards[0]}: a shard is named twice. Name each once.")
    grouped = {"group" in sample for _, sample in listed}
    if len(grouped) > 1:
        raise DataError(f"{where}: some samples have a group and some have none. Give one to all.")
    named = {split != "" for split, _ in found}
    if len(named) > 1:
        raise DataError(f"{where}: some samples belong to a split and some to none.")
    unused = [name for _, index in indices for name in index.unused]
    notes = [f"not used: {len(unused)} samples of the shards without a video ({unused[0]}, …)."] if unused else []
    if named == {True}:
        parts = with_validation(shards[0].parent, by_split(found), val_fraction, seed, notes)
    else:
        parts = cut_three([video for _, video in found], classes, str(root), seed)
    train, val, test = map(tuple, parts)
    everywhere = grouped == {True}
    return VideoFolder(root.name, root, classes, train, val, test, LAYOUT, notes=tuple(notes), global_groups=everywhere)


def _video(root: Path, file: Path, sample: Sample, labels: dict[str, int]) -> Video:
    shard = file.relative_to(root).as_posix()
    path = f"{shard}/{sample['name']}"
    group = str(sample["group"]) if "group" in sample else group_of(path)
    return Video(path, labels[str(sample["label"])], group, shard, int(sample["offset"]), int(sample["size"]))


def _split(root: Path, file: Path, sample: Sample) -> str:
    if "split" in sample:
        return str(sample["split"])
    words = re.split(r"[^a-z]+", file.stem.casefold())
    for word in (*words, *(name.casefold() for name in reversed(file.relative_to(root).parent.parts))):
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word]
    return ""


class Index(NamedTuple):
    """What a shard holds: samples with a video, and the names of those without."""

    samples: list[Sample]
    unused: list[str]


def indexed(file: Path) -> Index:
    """The samples of a shard, from the index made at first sight.

    Raises:
        DataError: the shard is damaged or compressed, or a sample is not as it must be.
    """
    found = file.stat()
    state = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    kept = cache_root() / "shards" / f"{content_key([FORMAT, str(file.resolve()), *state])}.json"
    try:
        return Index(*json.loads(kept.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        index = _index(file, found.st_size)
    if time.time_ns() - found.st_ctime_ns > COARSE:  # else it may change and keep its times
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, json.dumps(index).encode())
    return index


def _index(file: Path, length: int) -> Index:
    samples: dict[str, Sample] = {}
    try:
        with file.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:") as shard:
            for member in shard:
                _add(samples, file, shard, member, length)
            _check_end(file, raw, shard.offset, length)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{file} is no whole, uncompressed tar file ({error}). Make or copy it again.") from error
    videos = [sample for sample in samples.values() if "name" in sample]
    for sample in videos:
        if "label" not in sample:
            raise DataError(f"{file}: {sample['name']} has no label. Put KEY.cls or KEY.json with a label beside it.")
    return Index(videos, [key for key, sample in samples.items() if "name" not in sample])


def _check_end(file: Path, raw: BinaryIO, end: int, length: int) -> None:
    """The list of members ends with zeros; without them the file was cut, perhaps between two members."""
    raw.seek(end)
    tail = raw.read(tarfile.BLOCKSIZE)
    if len(tail) < tarfile.BLOCKSIZE or any(tail):
        raise DataError(f"{file} is truncated or damaged after byte {min(end, length)}. Make or copy it again.")


def _add(samples: dict[str, Sample], file: Path, shard: tarfile.TarFile, member: tarfile.TarInfo, length: int) -> None:
    check_name(file / member.name)
    if member.isdir() or any(map(is_hidden, PurePosixPath(member.name).parts)):
        return
    if not member.isreg() or member.issparse():
        raise DataError(f"{file}: {member.name} is no plain file (a link, a device or sparse). Pack plain files.")
    if member.offset_data + member.size > length:
        raise DataError(f"{file} is truncated within {member.name}. Make or copy it again.")
    name = PurePosixPath(member.name)
    stem, _, kind = name.name.partition(".")
    key = str(name.with_name(stem)) if stem else str(name)
    sample = samples.setdefault(key, {})
    suffix = f".{kind.rpartition('.')[2].lower()}"
    if suffix in SUFFIXES:
        if "name" in sample:
            raise DataError(f"{file}: the key {key} has two videos, {sample['name']} and {member.name}. Keep one.")
        if not member.size:
            raise DataError(f"{file}: {member.name} is empty (0 bytes). Pack it again.")
        sample |= {"name": member.name, "offset": member.offset_data, "size": member.size}
    elif suffix in (".cls", ".json"):
        _label(sample, f"{file}: {member.name}", suffix, _text(shard, member, file))


def _text(shard: tarfile.TarFile, member: tarfile.TarInfo, file: Path) -> str:
    content = shard.extractfile(member) if member.size <= LABEL_BYTES else None
    if content is None:
        raise DataError(f"{file}: {member.name} has {member.size} bytes, too many for a label.")
    try:
        return content.read().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: {member.name} is no UTF-8 text. Pack it again.") from error


def _label(sample: Sample, where: str, suffix: str, text: str) -> None:
    fields: object = {"label": text}
    if suffix == ".json":
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is no JSON ({error}).") from error
    if not isinstance(fields, dict):
        raise DataError(f'{where} is no JSON object such as {{"label": "run"}}.')
    for name in ("label", "group", "split"):
        value = fields.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
            raise DataError(f"{where}: {name} must be a name or a whole number, not {value!r}.")
        found = str(value).strip()
        if name == "split":
            if found.casefold() not in SPLIT_NAMES:
                raise DataError(f"{where}: split {found!r} is none of {', '.join(SPLIT_NAMES)}.")
            found = SPLIT_NAMES[found.casefold()]
        if sample.setdefault(name, found) != found:
            raise DataError(f"{where}: {name} {found!r} contradicts {sample[name]!r} of the same key.")
