"""Attacked clips to watch: clean, perturbation and adversarial, stored without loss for the page's gallery."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.evaluation.clips import device_of, steady_logits
from vidrobust.evaluation.fields import attack_fields
from vidrobust.runs.files import write_atomic
from vidrobust.runs.rows import Row
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from vidrobust.data.clips import Clips


def examples(
    model: nn.Module,
    clips: Clips,
    attack: Callable[..., Any],
    folder: Path,
    setting: Row,
    recorded: Callable[[int], np.ndarray] | None = None,
) -> list[Row]:
    """Attack clips and store them losslessly, one ``npz`` a clip, with an ``example`` row each.

    Args:
        model: the model, left as it was.
        clips: the clips to attack.
        attack: the attack.
        folder: where the files go.
        setting: fields of all rows.
        recorded: of a clip's index its frames as the video has them (``T H W 3`` uint8), stored for people to watch.
    """
    if len(clips) == 0:
        return []
    device = device_of(model)
    x, y = clips.centre(range(len(clips))).to(device), clips.labels.to(device)
    result = attack(model, x, y)
    with undisturbed(model), torch.no_grad():
        before, after = (steady_logits(model, pair).softmax(1).cpu() for pair in (x, result.clips))
    rows = []
    for index, video in enumerate(clips.videos):
        file = folder / f"example-{index}.npz"
        films = {} if recorded is None else {"recorded": recorded(index)}
        write_atomic(file, _packed(x[index].cpu(), result.clips[index].cpu(), films))
        rows.append(
            {
                "kind": "example",
                "file": "/".join(file.parts[-3:]),
                "video": video,
                "label": clips.classes[int(clips.labels[index])],
                **attack_fields(attack, model),
                "no_gradient": int(result.no_gradient[index]),
                "gradients": int(result.backwards[index]),
                **setting,
                "clean_top": _top(before[index], clips.classes),
                "adversarial_top": _top(after[index], clips.classes),
            }
        )
    return rows


def _packed(clean: Tensor, adversarial: Tensor, films: dict[str, np.ndarray]) -> bytes:
    """The clip as 8-bit frames and the perturbation in units of 1/255, both ``T H W 3``, and other films."""
    frames = clean.permute(1, 2, 3, 0).numpy()
    delta = (adversarial - clean).permute(1, 2, 3, 0).numpy() / PIXEL
    buffer = io.BytesIO()
    clip = {"clean": np.rint(frames * 255).astype(np.uint8), "delta": delta.astype(np.float16)}
    arrays: dict[str, Any] = {**clip, **films}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _top(probabilities: Tensor, classes: Sequence[str]) -> list[list[Any]]:
    values, indices = probabilities.topk(min(5, len(classes)))
    return [[classes[index], round(value, 4)] for value, index in zip(values.tolist(), indices.tolist(), strict=True)]
