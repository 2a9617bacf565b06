"""Verification of a judgement by forward passes alone, on any machine.

A record has an exact adversarial clip for every broken clip. For each of them it is checked that it is within the
threat without a tolerance, that the clean clip has the hash in the record, and that the model misclassifies it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.text import threat_from_text
from vidrobust.errors import InputError
from vidrobust.evaluation.attacked_model import AttackedModel
from vidrobust.evaluation.clips import device_of
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.judging import clean_answers
from vidrobust.evaluation.manifest import pixel_hash
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.judgements.record import key_of, perturbed, read_adversarial, threat_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.results.judgements.record import Judgement
    from vidrobust.threats import Threat

BATCH = 32

ROUNDED = 1e-9
"""Sizes stand in a record with twelve digits."""


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
        RunError: the adversarial clips are missing or damaged.
        InputError: none of the record's clips is among those given.
    """
    record, found = judgement.record, Verification()
    if fingerprint(model) != record["model"]["weights"]:
        found.faults.append(f"the model has other weights than {record['model']['weights']}: this is not it")
    places = _places(record["clips"]["list"], clips)
    if not any(place is not None for place in places):
        raise InputError("none of the record's clips is among these: give the data it was judged on.")
    pixels = _same_pixels(record["clips"]["list"], places, clips, found)
    _check_clean(record, model, pixels, found)
    done: set[str] = set()
    for threat in record["threats"]:
        if "adversarial" not in threat:
            found.faults.append(f"{threat_name(*key_of(threat))} has no adversarial clips beside it")
        elif threat["adversarial"] not in done:
            done.add(threat["adversarial"])
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
    same, missing, other = {}, [], []
    for number, (clip, place) in enumerate(zip(listed, places, strict=True)):
        if place is None:
            missing.append(clip["video"])
            continue
        pixels = clips.centre([place])[0]
        if pixel_hash(pixels) == clip["sha256"]:
            same[number] = pixels
        else:
            other.append(clip["video"])
    for names, what in ((missing, "are not among the data"), (other, "have other pixels here")):
        if names:
            found.faults.append(f"{len(names)} of {len(listed)} clips {what}, such as {names[0]}: they are not checked")
    return same


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
    index, bits = read_adversarial(judgement, threat)
    samples = record["ensemble"].get("samples", 1) if record["model"].get("random") else 1
    judged = AttackedModel(model, model, samples if samples > 1 else 1)
    name, claimed = f"{threat['norm']} on {threat['support']}", threat["distance"]
    stored, outside, unbroken = set(), 0, 0
    for start in range(0, len(index), BATCH):
        rows = [row for row in range(start, min(start + BATCH, len(index))) if int(index[row]) in pixels]
        if not rows:
            continue
        numbers = [int(index[row]) for row in rows]
        clean = torch.stack([pixels[number] for number in numbers])
        adversarial = torch.from_numpy(perturbed(clean.numpy(), bits[rows]))
        labels = torch.tensor([record["clips"]["list"][number]["label"] for number in numbers])
        inside = torch.tensor(list(_inside(threat, numbers, claimed, clean, adversarial)))
        usable = torch.where(adversarial.isfinite(), adversarial, 0.0).clamp(0, 1)
        wrong = judged.wrong(usable, labels)
        found.checked += len(rows)
        found.held += int((inside & wrong).sum())
        outside += int((~inside).sum())
        unbroken += int((inside & ~wrong).sum())
        stored |= set(numbers)
    needed = {number for number in pixels if claimed[number] is not None and claimed[number] > 0}
    for count, what in (
        (outside, "adversarial clips lie outside the threat, or are larger than the record says"),
        (unbroken, "adversarial clips do not break the model"),
        (len(needed - stored), "clips count as broken and have no adversarial clip beside the record"),
    ):
        if count:
            found.faults.append(f"{name}: {count} {what}")


def _inside(
    threat: dict[str, Any], numbers: Sequence[int], claimed: Sequence[float | None], clean: Tensor, adversarial: Tensor
) -> Iterator[bool]:
    """Is each perturbed clip of pixels in [0, 1], of the recorded size, and within the support?"""
    for row, number in enumerate(numbers):
        size, clip, other = claimed[number], clean[row : row + 1], adversarial[row : row + 1]
        if size is None or not bool(other.isfinite().all()) or bool((other < 0).any()) or bool((other > 1).any()):
            yield False
            continue
        region = threat_from_text(size * (1 + ROUNDED), threat["norm"], threat["support"])
        yield _allows(region, clip, other)


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
