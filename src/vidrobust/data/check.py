"""Checking a data set before training: which videos exist, are missing, or cannot be used."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vidrobust.data.layouts import kinetics
from vidrobust.data.layouts.opening import open_folder
from vidrobust.data.leaks import leak_text, same_contents
from vidrobust.data.surveys import OK, SurveyOutcome, surveyed
from vidrobust.data.videos import SPLITS, Video, VideoFolder
from vidrobust.errors import DataError
from vidrobust.runs.wording import counted

CheckReport = dict[str, Any]

CANNOT_BE_OPENED = "cannot be opened"
"""The outcome of a data set whose lists or folders are not as they must be."""


def check_data(
    path: str | Path,
    *,
    split: int = 1,
    seed: int = 0,
    damaged: str = "keep",
    skip_bad: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> CheckReport:
    """Open a data set, decode every video, compare the splits, and report.

    Args:
        path: a folder, a list or shards, as for :func:`vidrobust.data.layouts.opening.open_folder`.
        split, seed: of the splits.
        damaged: are videos with a few bad packets to be used (``keep``)?
        skip_bad: are videos that cannot be decoded to be left out? Else one is enough to make the data unusable.
        workers: processes that decode.
        progress: called with (videos done, videos in all).

    Returns:
        A dictionary of plain values: ``usable``, ``errors``, ``layout``, ``classes``, ``clips``, ``groups``, ``sizes``,
        ``seconds``, ``frames``, ``fps``, ``outcomes``, ``files`` (those not ``ok``, each with outcome and reason),
        ``missing``, ``leaks``, ``notes``.
    """
    try:
        folder = open_folder(path, split=split, seed=seed, allow_missing=True)
    except DataError as error:
        outcomes = {CANNOT_BE_OPENED: 1}
        return {"path": str(path), "usable": False, "errors": [str(error)], "layout": None, "outcomes": outcomes}
    videos = [video for name in SPLITS for video in folder.split(name)]
    found = surveyed(folder.root, videos, damaged=damaged, workers=workers, progress=progress)
    report = {"path": str(path), **_about(folder), **_measured(found), **_outcomes(videos, found)}
    alike = [(pair[0] == pair[2], leak_text(folder, *pair)) for pair in same_contents(folder, classes=True)]
    leaks = [words for within, words in alike if not within]
    report |= {"leaks": leaks, "errors": leaks + _unusable(folder, videos, found, skip_bad)}
    report["notes"] = [*folder.notes, *(words for within, words in alike if within)]
    return {"usable": not report["errors"], **report}


def _about(folder: VideoFolder) -> CheckReport:
    per_class: dict[str, dict[str, int]] = {name: dict.fromkeys(SPLITS, 0) for name in folder.classes}
    for split in SPLITS:
        for video in folder.split(split):
            per_class[folder.classes[video.label]][split] += 1
    return {
        "layout": folder.layout,
        "classes": per_class,
        "clips": {split: len(folder.split(split)) for split in SPLITS},
        "groups": {split: len(set(map(folder.source, folder.split(split)))) for split in SPLITS},
        "missing": [{"split": one.split, "clip": one.name} for one in folder.missing],
        "notes": list(folder.notes),
    }


def _measured(found: Sequence[SurveyOutcome]) -> CheckReport:
    known = [one.survey for one in found if one.survey is not None]
    sizes = Counter(f"{one.width}×{one.height}" for one in known)
    return {
        "sizes": dict(sizes.most_common()),
        "frames": _range([one.frames for one in known]),
        "seconds": _range([round(one.seconds, 3) for one in known if one.seconds]),
        "fps": _range([round(one.fps, 3) for one in known if one.fps]),
        "codecs": dict(Counter(one.codec for one in known).most_common()),
        "variable_frame_rate": sum(one.variable for one in known),
    }


def _range(values: Sequence[float]) -> CheckReport:
    if not values:
        return {"least": None, "median": None, "most": None, "total": 0}
    return {
        "least": min(values),
        "median": statistics.median(values),
        "most": max(values),
        "total": round(sum(values), 3),
    }


def _outcomes(videos: Sequence[Video], found: Sequence[SurveyOutcome]) -> CheckReport:
    rest = [(video, one) for video, one in zip(videos, found, strict=True) if one.outcome != OK]
    return {
        "outcomes": dict(Counter(one.outcome for one in found).most_common()),
        "files": [{"file": video.path, "outcome": one.outcome, "reason": one.reason} for video, one in rest],
    }


def _unusable(
    folder: VideoFolder, videos: Sequence[Video], found: Sequence[SurveyOutcome], skip_bad: bool
) -> list[str]:
    """What stands in the way of training: videos that are missing or cannot be decoded."""
    outcome = {video.path: one for video, one in zip(videos, found, strict=True)}
    bad = [one for one in found if one.survey is None]
    errors = []
    if folder.missing and folder.layout != kinetics.LAYOUT and not skip_bad:
        first = folder.missing[0]
        errors.append(
            f"{first.where}: {first.name} does not exist; {len(folder.missing)} of the listed videos are missing. With "
            "--skip-bad they are left out."
        )
    if bad and not skip_bad:
        errors.append(
            f"{len(bad)} of {len(found)} videos cannot be used: training stops at the first, {bad[0].reason} With "
            "--skip-bad they are left out."
        )
    for split in ("train", "test"):
        left: dict[int, int] = defaultdict(int)
        for video in folder.split(split):
            left[video.label] += outcome[video.path].survey is not None
        empty = [name for label, name in enumerate(folder.classes) if label in left and not left[label]]
        if empty:
            errors.append(f"no {split} video of class {', '.join(empty[:5])} can be decoded.")
    return errors


def summary(report: CheckReport) -> list[str]:
    """The report in lines for people."""
    if report["layout"] is None:
        return [f"{report['path']}: not usable.", *report["errors"]]
    clips, groups = report["clips"], report["groups"]
    counts = ", ".join(
        f"{split} {counted(clips[split], 'clip')} of {counted(groups[split], 'source')}" for split in SPLITS
    )
    lines = [f"{report['path']}: {report['layout']}, {counted(len(report['classes']), 'class')}", counts]
    empty = [name for name, per in report["classes"].items() if not per["train"] or not per["test"]]
    if empty:
        lines.append(f"{counted(len(empty), 'class')} without training or test clips: {', '.join(empty[:5])}")
    lines.append("sizes: " + (", ".join(f"{size} ({count})" for size, count in _first(report["sizes"])) or "none"))
    for name, unit in (("frames", ""), ("seconds", " s"), ("fps", "")):
        span = report[name]
        if span["least"] is not None:
            total = f", {span['total']:g}{unit} in all" if name != "fps" else ""
            lines.append(f"{name}: {span['least']:g} to {span['most']:g}{unit}, median {span['median']:g}{unit}{total}")
    if report["variable_frame_rate"]:
        lines.append(
            f"variable frame rate: {counted(report['variable_frame_rate'], 'video')}; frames are taken as stored"
        )
    lines.append("outcomes: " + ", ".join(f"{outcome} {count}" for outcome, count in report["outcomes"].items()))
    lines += [f"  {one['file']}: {one['outcome']}" for one in report["files"][:20]]
    if len(report["files"]) > 20:
        lines.append(f"  … and {len(report['files']) - 20} more, in the report")
    if report["missing"]:
        by_split = Counter(one["split"] for one in report["missing"])
        lines.append("missing: " + ", ".join(f"{count} of {split}" for split, count in by_split.items()))
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [f"error: {error}" for error in report["errors"]]
    lines.append("usable" if report["usable"] else "not usable as it is")
    return lines


def _first(counts: dict[str, int], most: int = 5) -> list[tuple[str, int]]:
    return list(counts.items())[:most]
