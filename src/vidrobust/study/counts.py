"""How much data there is, counted without making the embedded data set, and what a study can use of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from vidrobust.data.dataset import DataConfig, open_videos
from vidrobust.data.motion import CLASSES, motion_of
from vidrobust.data.videos import SPLITS
from vidrobust.errors import InputError
from vidrobust.runs.directory import config_differences
from vidrobust.study.config import StudyConfig


def count_classes(data: DataConfig) -> int:
    """Classes of a data set, without making the embedded one just to count them.

    Raises:
        InputError: there is only one.
    """
    embedded = data.name == "motion" and data.classes is None
    classes = len(CLASSES) if embedded else len(open_videos(data).classes)
    if classes < 2:
        raise InputError(f"{data.name} has {classes} class: a classifier needs at least two.")
    return classes


def count_clips(data: DataConfig) -> dict[str, int]:
    """Clips of each split of a data set, before any is left out as damaged.

    >>> count_clips(DataConfig(train=1200, val=160, test=1000))
    {'train': 1200, 'val': 160, 'test': 560}
    """
    if data.name == "motion":
        found = motion_of(data).clip_counts
    else:
        folder = open_videos(data)
        found = {split: len(folder.split(split)) for split in SPLITS}
    return {split: min(data.limit(split) or count, count) for split, count in found.items()}


def within(config: StudyConfig, have: Mapping[str, int]) -> StudyConfig:
    """A study that attacks no more clips in any step than there are; too few for a step are left to the checks.

    Args:
        config: as it was asked for.
        have: the clips of each split.
    """
    test, val = max(1, have["test"]), max(1, have["val"])
    train = min(config.gap.train, max(2, have["train"]))
    harder = {"test": test, "val": val}[config.difficulty.split]
    robustness = min(config.robustness.clips, test)
    return replace(
        config,
        sensitivity=replace(config.sensitivity, clips=min(config.sensitivity.clips, test)),
        step_sizes=replace(config.step_sizes, clips=min(config.step_sizes.clips, val)),
        robustness=replace(config.robustness, clips=robustness),
        worst_case=replace(config.worst_case, clips=min(config.worst_case.clips, robustness)),
        gap=replace(config.gap, train=train, clips=min(config.gap.clips, max(train, val))),
        difficulty=replace(config.difficulty, clips=min(config.difficulty.clips, harder)),
    )


def cut(config: StudyConfig) -> list[str]:
    """Where a study uses fewer clips than it was asked for, for people."""
    have = count_clips(config.clips)
    used = within(config, have)
    train, val, test = (min(config.clips.limit(split) or 0, have[split]) for split in SPLITS)
    used = replace(used, clips=replace(config.clips, train=train, val=val, test=test))
    left_out = {
        "sensitivity": not config.sensitivity.eps,
        "worst_case": not config.worst_case.seeds,
        "gap": not config.gap.seeds,
        "difficulty": not config.difficulty.contrasts,
    }
    return [
        f"--{name} is {asked}, but there are {found}: all of them are used."
        for name, asked, found in config_differences(asdict(config), asdict(used))
        if not left_out.get(name.partition(".")[0])
    ]
