"""The ranking of many judgements: the lowest accuracy that any record shows for each model on the same clips.

A record of the same weights and the same clips from somebody else may lower a number clip by clip, as in RobustBench:
what counts is the smallest perturbation of each clip that any record holds. It says who found it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidrobust.errors import InputError, RunError
from vidrobust.results.judgements.record import NAME, Judgement, accuracy_record, key_of, read_judgement, stands

MOST = 10_000
"""Records of a folder, at most."""


@dataclass(frozen=True)
class Standing:
    """A model under one threat, by all records of it.

    Attributes:
        model: its name.
        weights: its fingerprint.
        data: the data and the split.
        clips_of: hash of the clips.
        track: the norm, with the support where it is not the whole clip.
        threat: norm, ε (1/255) and support.
        clean, worst: counts with intervals.
        trust: does the record that started it trust its number, or one that lowered it?
        reasons: why not, if not.
        lowered: by record, how many clips it broke that ``first`` did not; of several, the one that came nearest.
        first: the record that the others are held against: that of the most gradients.
    """

    model: str
    weights: str
    data: str
    clips_of: str
    track: str
    threat: tuple[str, float, str]
    clean: dict[str, Any]
    worst: dict[str, Any]
    trust: bool
    reasons: Sequence[str]
    lowered: dict[str, int]
    first: str


def read_judgements(folder: str | Path) -> tuple[list[Judgement], list[str]]:
    """All records below a folder that can be read, and why the others cannot.

    Raises:
        InputError: the folder is none, or holds no record at all.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is no folder. Give one that holds folders of `vidrobust judge`.")
    files = sorted(file for file in root.rglob(NAME) if not file.is_symlink())[:MOST]
    found, refused = [], []
    for file in files:
        try:
            found.append(read_judgement(file))
        except RunError as error:
            refused.append(str(error).replace(f"{root}/", ""))  # a page says nothing of its maker's folders
    if not files:
        raise InputError(f"{root} holds no {NAME}. Give a folder that holds folders of `vidrobust judge`.")
    return found, refused


def ranked(judgements: Iterable[Judgement], root: Path) -> list[Standing]:
    """The worst-case accuracy of each model under each threat, the most robust first.

    Args:
        judgements: the records.
        root: the folder that their names are relative to.
    """
    groups: dict[tuple[Any, ...], list[Judgement]] = {}
    for judgement in judgements:
        record = judgement.record
        for threat in record["threats"]:
            key = (record["model"]["weights"], record["clips"]["hash"], key_of(threat))
            groups.setdefault(key, []).append(judgement)
    found = []
    for (_, _, threat), members in groups.items():
        members.sort(key=lambda one: (-one.record.get("gradients", 0), str(one.path)))
        found.append(_standing(members, threat, root))
    return sorted(
        found, key=lambda one: (one.track, one.threat[1], -one.worst["correct"] / one.worst["clips"], one.model)
    )


def _standing(members: Sequence[Judgement], threat: tuple[str, float, str], root: Path) -> Standing:
    """The minimum over records, clip by clip."""
    first, record = members[0], members[0].record
    found = {record_name(one, root): one.threat(threat) or {} for one in members}
    nearest = {name: [math.inf if size is None else size for size in one["distance"]] for name, one in found.items()}
    alive, mine = [stands(one) for one in found.values()], stands(found[record_name(first, root)])
    together = [min(digits) for digits in zip(*alive, strict=True)]
    fallen = [row for row, left in enumerate(together) if mine[row] > left]
    lowered = Counter(min(nearest, key=lambda name: nearest[name][row]) for row in fallen)
    trusting = next((one for one in members if one.trust), None)
    norm, _, support = threat
    return Standing(
        first.name,
        record["model"]["weights"],
        f"{record['data']['name']}, {record['data']['split']}",
        record["clips"]["hash"],
        norm if support == "WholeClip" else f"{norm}, {support}",
        threat,
        record["clean"],
        accuracy_record(together, first.sources),
        trusting is not None and not lowered,
        [*first.record["reasons"], *(["another record lowered the number"] if lowered else [])],
        dict(lowered),
        record_name(first, root),
    )


def record_name(judgement: Judgement, root: Path) -> str:
    """A record's folder, relative to the leaderboard's."""
    folder = judgement.path.parent
    return str(folder.relative_to(root)) if folder.is_relative_to(root) else folder.name
