"""Accuracy of a model under corruptions: rows of counts, and clips to watch at each severity."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch.nn import functional as F

from vidrobust import losses
from vidrobust.attacks.inputs import check_some_logits
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import (
    GradientProgress,
    batches,
    device_of,
    digits,
    silent,
    steady_logits,
    warn_of_no_answer,
)
from vidrobust.evaluation.corruptions.conventions import CONVENTIONS
from vidrobust.evaluation.corruptions.corruption import Corruption, corruptions
from vidrobust.evaluation.manifest import clips_of
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import content_key

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row

TILE = 96
"""Side in pixels of a clip in a strip to watch."""

GAP = 16
"""Between clips stays one in so many parts of their side."""

MOST_FRAMES = 64
"""Frames of a clip that a strip shows."""


def evaluate_corruptions(
    model: nn.Module,
    clips: Clips,
    asked: str | Corruption | Sequence[str | Corruption],
    *,
    seed: int = 0,
    progress: GradientProgress = silent,
) -> list[Row]:
    """How many clips a model classifies rightly under each corruption, and as they are.

    Args:
        model: from clips in [0, 1] to logits; left as it was.
        clips: what is corrupted, each at its centre.
        asked: ``ucf101-p``, ``minikinetics-c(kinds=fog,severity=1-3)``, or corruptions as values; one or several.
        seed: of the random draws, which a clip has of its own, whatever other clips there are.
        progress: called with the clips looked at.

    Returns:
        ``corruption`` rows: of each convention one of the clean clips (severity 0), then one for each corruption.

    Raises:
        NotationError: a text asks for no corruption.
        InputError: there are no clips, or the output cannot be logits.

    >>> from vidrobust.data.given import Given
    >>> mean = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten())
    >>> shown = Given(torch.rand(4, 3, 8, 16, 16), [0, 1, 2, 0])
    >>> rows = evaluate_corruptions(mean, shown, "frames(kinds=reversal)")
    >>> [row["severity"] for row in rows], len({row["correct"] for row in rows})  # it does not see the order of frames
    ([0, 1, 2, 3, 4, 5], 1)
    """
    wanted = listed_corruptions(asked)
    if not wanted:
        return []
    if len(clips) == 0:
        raise InputError("there are no clips to evaluate.")
    about: Row = {"draws": seed, "clips": len(clips), "sources": len(set(clips.sources)), "clips_of": clips_of(clips)}
    clean, right = _right(model, clips, wanted, seed, progress)
    rows: list[Row] = []
    for name, some in groupby(zip(wanted, right, strict=True), key=lambda pair: pair[0].convention):
        rows.append({**_row(name, "none", 0, clean), **about, "group": "", "counted": False})
        for one, found in some:
            membership = {"group": one.about.group, "counted": one.kind not in CONVENTIONS[name].beside}
            rows.append({**_row(name, one.kind, one.severity, found), **about, **membership})
    return rows


def listed_corruptions(asked: str | Corruption | Sequence[str | Corruption]) -> list[Corruption]:
    """Corruptions from texts and values, each once, those of a convention together."""
    several = [asked] if isinstance(asked, (str, Corruption)) else asked
    found = [one for each in several for one in (corruptions(each) if isinstance(each, str) else [each])]
    order = list(dict.fromkeys(one.convention for one in found))
    return sorted(dict.fromkeys(found), key=lambda one: order.index(one.convention))


def clip_seeds(clips: Any, rows: Sequence[int], seed: int) -> list[int]:
    """A seed for each clip, from what it shows: its video and which frames of it."""
    return [int(content_key([seed, clips.videos[row], *clips.place(row)[0]])[:15], 16) for row in rows]


def _row(convention: str, kind: str, severity: int, right: Tensor) -> Row:
    counts = {"correct": int(right.sum()), "survived": digits(right)}
    return {"kind": "corruption", "convention": convention, "corruption": kind, "severity": severity, **counts}


def _right(
    model: nn.Module, clips: Clips, wanted: Sequence[Corruption], seed: int, progress: GradientProgress
) -> tuple[Tensor, Tensor]:
    """``N`` bool, which clips are right as they are, and ``K N`` bool, which under each corruption."""
    right = torch.zeros(1 + len(wanted), len(clips), dtype=torch.bool)
    silent_ones = torch.zeros(len(clips), dtype=torch.bool)
    with undisturbed(model), torch.no_grad():
        for part, x, y in batches(clips, torch.arange(len(clips)), device_of(model)):
            for number, corrupted in enumerate(_clean_and_corrupted(x, wanted, clip_seeds(clips, part.tolist(), seed))):
                logits = steady_logits(model, corrupted)
                silent_ones[part] |= check_some_logits(logits, corrupted, y).cpu()
                right[number, part] = (losses.ranks(logits, y) == 0).cpu()
                progress(len(part))
    warn_of_no_answer(silent_ones)
    return right[0], right[1:]


def _clean_and_corrupted(clean: Tensor, wanted: Sequence[Corruption], seeds: list[int]) -> Iterator[Tensor]:
    """The clips as they are, then under each corruption."""
    yield clean
    for one in wanted:
        yield one(clean, seeds)


# ------------------------------------------------------------------------------------------------------ clips to watch


def corruption_examples(
    model: nn.Module, clips: Clips, asked: str | Corruption | Sequence[str | Corruption], folder: Path, seed: int = 0
) -> list[Row]:
    """One clip under each kind, stored as a strip to watch: clean, then at each severity, side by side.

    It is the first clip that the model classifies rightly, if there is one.

    Args:
        model, clips, asked, seed: as :func:`evaluate_corruptions` takes them.
        folder: ``corruptions`` in the run directory.

    Returns:
        ``corruption_example`` rows, one per kind, with the model's answers.
    """
    chosen = _first_right(model, clips)
    x, seeds = clips.centre([chosen]).to(device_of(model)), clip_seeds(clips, [chosen], seed)
    label = clips.classes[int(clips.labels[chosen])] if hasattr(clips, "classes") else str(int(clips.labels[chosen]))
    rows = []
    for (convention, kind), several in groupby(listed_corruptions(asked), key=lambda one: (one.convention, one.kind)):
        some = list(several)
        corrupted = torch.cat([x, *(one(x, seeds) for one in some)])
        file = folder / convention / f"{kind}.webp"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, strip(corrupted))
        rows.append(
            {
                "kind": "corruption_example",
                "file": "/".join(file.parts[-3:]),
                "convention": convention,
                "corruption": kind,
                "severities": [0, *(one.severity for one in some)],
                "video": clips.videos[chosen],
                "label": label,
                "answers": _answers(model, corrupted, clips),
            }
        )
    return rows


def _first_right(model: nn.Module, clips: Clips) -> int:
    with undisturbed(model), torch.no_grad():
        for part, x, y in batches(clips, torch.arange(len(clips)), device_of(model)):
            right = (losses.ranks(steady_logits(model, x), y) == 0).nonzero().flatten()
            if len(right):
                return int(part[right[0]])
    return 0


def _answers(model: nn.Module, corrupted: Tensor, clips: Clips) -> list[list[Any]]:
    """For each clip the class that the model gives, with its probability."""
    with undisturbed(model), torch.no_grad():
        best, index = steady_logits(model, corrupted).softmax(1).nan_to_num(0.0).max(1)
    names = getattr(clips, "classes", None)
    pairs = zip(index.tolist(), best.tolist(), strict=True)
    return [[names[number] if names else str(number), round(share, 4)] for number, share in pairs]


def strip(corrupted: Tensor) -> bytes:
    """Clips ``B 3 T H W`` side by side as one animated WebP, small ones enlarged.

    >>> strip(torch.rand(6, 3, 4, 24, 24))[8:12]
    b'WEBP'
    """
    times = max(1, round(TILE / min(corrupted.shape[-2:])))
    corrupted = F.pad(corrupted, (0, max(1, min(corrupted.shape[-2:]) // GAP)), value=0.5)
    pixels = (corrupted[:, :, :MOST_FRAMES].clamp(0, 1) * 255).round().byte().permute(2, 3, 0, 4, 1).cpu()
    frames = pixels.repeat_interleave(times, 1).repeat_interleave(times, 3).flatten(2, 3).numpy()
    images = [Image.fromarray(frame) for frame in frames]
    if min(corrupted.shape[-2:]) > TILE:
        share = TILE / min(corrupted.shape[-2:])
        size = (round(images[0].width * share), round(images[0].height * share))
        images = [image.resize(size) for image in images]
    file = io.BytesIO()
    images[0].save(file, "WEBP", save_all=True, append_images=images[1:], duration=125, loop=0, quality=70, method=2)
    return file.getvalue()
