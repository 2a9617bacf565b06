"""Verification of a judgement by forward passes alone, on any machine.

A record has an exact adversarial clip for every broken clip. For each of them it is checked that it is within the
threat without a tolerance, that the clean clip has the hash in the record, and that the model misclassifies it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.text import threat_from_text
from vidrobust.errors import InputError, RunError
from vidrobust.evaluation.attacked_model import AttackedModel
from vidrobust.evaluation.clips import device_of
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.judging import clean_answers
from vidrobust.evaluation.manifest import manifest_entry
from vidrobust.evaluation.worst_case import refuse_shared
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.judgements.record import (
    accuracy_record,
    key_of,
    perturbed,
    read_adversarial,
    stands,
    threat_name,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.results.judgements.record import Judgement
    from vidrobust.threats import Threat

BATCH = 32

ROUNDED = 1e-9
"""Sizes stand in a record with twelve digits."""

CLOSE = 1e-3
"""How near the ends of an interval must be to those that are computed anew."""


OUTSIDE = "adversarial clips lie outside the threat, or are larger than the record says"
SMALLER = "adversarial clips are smaller than the record says: there are ε at which it counts too many as unbroken"
UNBROKEN = "adversarial clips do not break the model"
LACKING = "clips count as broken and have no adversarial clip beside the record"


@dataclass
class Verification:
    """The result of a verification.

    Attributes:
        checked: adversarial clips that were looked at.
        held: how many of them break the model within the threat.
        faults: what does not hold, in words.
    """

    checked: int = 0
    held: int = 0
    faults: list[str] = field(default_factory=list)


def verified(judgement: Judgement, model: nn.Module, clips: Any) -> Verification:
    """Check a record against a model and clips.

    Args:
        judgement: the record, with its adversarial clips beside it.
        model: in evaluation mode.
        clips: a split of a data set (or :class:`vidrobust.data.given.Given`), of which the record's clips are some.

    Raises:
        RunError: the adversarial clips are missing or damaged, or clips have another shape than the record says.
        InputError: none of the record's clips is among those given.
    """
    record, found = judgement.record, Verification()
    if fingerprint(model) != record["model"]["weights"]:
        found.faults.append(f"the model has other weights than {record['model']['weights']}: this is not it")
    places = _places(record["clips"]["list"], clips)
    if not any(place is not None for place in places):
        raise InputError("none of the record's clips is among these: give the data it was judged on.")
    pixels = _same_pixels(record["clips"]["list"], places, clips, found)
    _refuse_other_shapes(judgement, pixels)  # before memory for clips of its shape is asked for
    _check_intervals(record, found)
    _check_clean(record, model, pixels, found)
    done: set[str] = set()
    for threat in record["threats"]:
        of = json.dumps([threat.get(name) for name in ("adversarial", "norm", "support", "distance")])
        if "adversarial" not in threat:
            found.faults.append(f"{threat_name(*key_of(threat))} has no adversarial clips beside it")
        elif of not in done:
            done.add(of)
            _check_region(judgement, threat, model, pixels, found)
    return found


def _places(listed: Sequence[dict[str, Any]], clips: Any) -> list[int | None]:
    """Where each clip of the record is among those given, by its video."""
    known = {video: index for index, video in enumerate(clips.videos)}
    return [known.get(clip["video"]) for clip in listed]


def _same_pixels(
    listed: Sequence[dict[str, Any]], places: Sequence[int | None], clips: Any, found: Verification
) -> dict[int, Tensor]:
    """The clips of the record that are here with the same pixels, by their number in it."""
    same, missing, other, otherwise = {}, [], [], []
    for number, (clip, place) in enumerate(zip(listed, places, strict=True)):
        if place is None:
            missing.append(clip["video"])
            continue
        pixels = clips.centre([place])[0]
        here = manifest_entry(clips, place, pixels)
        if here["sha256"] != clip["sha256"]:
            other.append(clip["video"])
            continue
        same[number] = pixels
        if any(here[name] != value for name, value in clip.items() if name in here):
            otherwise.append(clip["video"])
    for names, what in (
        (missing, "are not among the data, such as {}: they are not checked"),
        (other, "have other pixels here, such as {}: they are not checked"),
        (otherwise, "have another label, source, place of frames or crop in the data than in the record, such as {}"),
    ):
        if names:
            found.faults.append(f"{len(names)} of {len(listed)} clips {what.format(names[0])}")
    return same


def _refuse_other_shapes(judgement: Judgement, pixels: dict[int, Tensor]) -> None:
    shape = judgement.record["clips"]["shape"]
    other = next((list(clip.shape) for clip in pixels.values() if list(clip.shape) != shape), None)
    if other is not None:
        raise RunError(f"{judgement.path} says that its clips have the shape {shape}, but here they have {other}.")


def _check_intervals(record: dict[str, Any], found: Verification) -> None:
    """Are the intervals those of the clips and their sources?"""
    sources = [clip["source"] for clip in record["clips"]["list"]]
    counted = [("clean", record["clean"], [int(digit) for digit in record["clean"]["right"]])]
    counted += [(threat_name(*key_of(one)), one["worst_case"], stands(one)) for one in record["threats"]]
    for name, written, correct in counted:
        anew = accuracy_record(correct, sources)
        if any(abs(written[end] - anew[end]) > CLOSE for end in ("low", "high")):
            intervals = [f"{one['low']:.1%} … {one['high']:.1%}" for one in (written, anew)]
            found.faults.append(f"{name}: the interval is {intervals[0]}, but that of its clips is {intervals[1]}")


def _check_clean(record: dict[str, Any], model: nn.Module, pixels: dict[int, Tensor], found: Verification) -> None:
    """Do clean clips get the answers that the record says?"""
    labels = [clip["label"] for clip in record["clips"]["list"]]
    numbers, other = list(pixels), 0
    for start in range(0, len(numbers), BATCH):
        some = numbers[start : start + BATCH]
        clean = torch.stack([pixels[number] for number in some]).to(device_of(model))
        look = clean_answers(model, clean, torch.tensor([labels[number] for number in some]), Ensemble(noise=1))
        other += sum(
            bool(right) != (record["clean"]["right"][number] == "1")
            for number, right in zip(some, look.right.tolist(), strict=True)
        )
    if other:
        found.faults.append(f"{other} of {len(numbers)} clean clips are not answered as the record says")


def _check_region(
    judgement: Judgement, threat: dict[str, Any], model: nn.Module, pixels: dict[int, Tensor], found: Verification
) -> None:
    """The adversarial clips of one norm and support."""
    record = judgement.record
    name = f"{threat['norm']} on {threat['support']}"
    whole = threat_from_text(threat["eps"], threat["norm"], threat["support"])
    try:
        refuse_shared(whole, next(iter(pixels.values()), torch.zeros(record["clips"]["shape"]))[None])
    except InputError as error:
        found.faults.append(f"{name}: {error}")
        return
    index, bits = read_adversarial(judgement, threat)
    samples = record["ensemble"].get("samples", 1) if record["model"].get("random") else 1
    judged = AttackedModel(model, model, samples if samples > 1 else 1)
    claimed, stored, counts = threat["distance"], set(), Counter[str]()
    for start in range(0, len(index), BATCH):
        rows = [row for row in range(start, min(start + BATCH, len(index))) if int(index[row]) in pixels]
        if not rows:
            continue
        numbers = [int(index[row]) for row in rows]
        clean = torch.stack([pixels[number] for number in numbers])
        adversarial = torch.from_numpy(perturbed(clean.numpy(), bits[rows]))
        labels = torch.tensor([record["clips"]["list"][number]["label"] for number in numbers])
        usable = torch.where(adversarial.isfinite(), adversarial, 0.0).clamp(0, 1)
        wrong = judged.wrong(usable, labels).tolist()
        for row, number in enumerate(numbers):
            fault = _misplaced(whole, claimed[number], clean[row : row + 1], adversarial[row : row + 1])
            counts[fault or ("" if wrong[row] else UNBROKEN)] += 1
        stored |= set(numbers)
    found.checked, found.held = found.checked + counts.total(), found.held + counts.pop("", 0)
    right = record["clean"]["right"]
    needed = {number for number in pixels if claimed[number] is not None and right[number] == "1"}
    counts[LACKING] = len(needed - stored)
    found.faults += [f"{name}: {counts[what]} {what}" for what in (OUTSIDE, SMALLER, UNBROKEN, LACKING) if counts[what]]


def _misplaced(threat: Threat, claimed: float | None, clip: Tensor, other: Tensor) -> str:
    """What is wrong with where a perturbed clip lies: its pixels, its size or its support; empty if nothing is."""
    largest = threat.norm.largest(clip[0].numel())
    if claimed is None or not bool(((other >= 0) & (other <= 1)).all()) or claimed / 255 > largest * (1 + ROUNDED):
        return OUTSIDE
    region = replace(threat, eps=min(claimed / 255 * (1 + ROUNDED), largest))
    if not _allows(region, clip, other):
        return OUTSIDE
    return SMALLER if float(region.around(clip).size(other)) < claimed / 255 * (1 - ROUNDED) else ""


def _allows(threat: Threat, clip: Tensor, other: Tensor) -> bool:
    feasible = threat.around(clip)
    assert isinstance(threat.eps, (int, float))
    if float(feasible.size(other)) > threat.eps:
        return False
    if feasible.start.shape != clip.shape:
        return _is_tied(threat, clip, other)
    movable = feasible.movable
    return movable is None or bool((other == clip)[~movable.expand_as(clip)].all())


def _is_tied(threat: Threat, clip: Tensor, other: Tensor) -> bool:
    """Of a perturbation that is the same in many pixels: does one explain the clip, but for the ends of the range?

    Pixels at 0 or 1 may have been cut off; all others must have moved alike, but for rounding.
    """
    moved, free = other - clip, (other > 0) & (other < 1)
    shape = threat.around(clip).start.shape
    if len(shape) != clip.ndim or any(size not in (1, whole) for size, whole in zip(shape, clip.shape, strict=True)):
        return True  # a support of somebody's own: its size is all that is known
    ties = [axis for axis, size in enumerate(shape) if size == 1 and clip.shape[axis] != 1]
    low = torch.where(free, moved, torch.inf).amin(ties)
    high = torch.where(free, moved, -torch.inf).amax(ties)
    return bool(((high - low) <= 1e-6).logical_or(high < low).all())
