"""Adversarial video files: perturbations that survive rounding to 8 bits, a codec and another window of the video.

The search follows the model behind what happens to a file: frames are rounded, encoded at a quality near the one asked
for, decoded, and a window is cut from them that begins a few frames earlier or later. The codec has no gradient;
backwards it is replaced by what it always does, chroma at half the resolution (BPDA and EOT; Athalye, Carlini and
Wagner, ICML 2018). What is reported is what the file does when the data pipeline decodes it, beside the clip as it was
before rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.data.decoding.coded import CRF, through_codec
from vidrobust.data.written import read_written, write_clip
from vidrobust.evaluation.clips import device_of
from vidrobust.evaluation.fields import attack_budget
from vidrobust.fast.view import answers
from vidrobust.losses import predicted
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from vidrobust.data.clips import Clips
    from vidrobust.data.decoding.coded import Codec
    from vidrobust.types import ClipTensor, Labels, Logits

MARGIN = 4
"""Frames of a file before and after the clip's own window."""

SPREAD = 3
"""By how much the quality varies during the search (CRF)."""

SAMPLES = 4
"""Windows of each pass of the search."""

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (BT.601)."""


class Windowed(nn.Module):
    """A classifier of longer clips, of which it sees a window that begins anywhere, another one at each pass."""

    def __init__(self, classifier: nn.Module, frames: int, stride: int) -> None:
        super().__init__()
        self.classifier, self.frames, self.stride = classifier, frames, stride

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        reach = (self.frames - 1) * self.stride + 1
        start = int(torch.randint(0, clips.shape[2] - reach + 1, ()))
        return self.classifier(clips[:, :, start : start + reach : self.stride])


@dataclass(frozen=True)
class Coded:
    """Clips as they come back from files of a codec, each at a quality near ``crf`` that is drawn anew at each call."""

    codec: Codec
    crf: int
    spread: int = SPREAD

    def __call__(self, clips: ClipTensor) -> ClipTensor:
        drawn = (
            torch.randint(-self.spread, self.spread + 1, (len(clips),)).tolist() if self.spread else [0] * len(clips)
        )
        quality = [min(max(self.crf + more, CRF[0]), CRF[1]) for more in drawn]
        pairs = zip(frames_of(clips), quality, strict=True)
        return clips_from(np.stack([through_codec(frames, self.codec, crf) for frames, crf in pairs])).to(clips)


def frames_of(clips: ClipTensor) -> np.ndarray:
    """``B T H W 3`` uint8 of clips ``B 3 T H W`` in [0, 1], rounded."""
    return (clips.detach().float() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 4, 1).cpu().numpy()


def clips_from(frames: np.ndarray) -> ClipTensor:
    """The reverse."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 255


def half_chroma(clips: ClipTensor) -> ClipTensor:
    """Clips with their colours, not their brightness, at half the resolution: what is left of a gradient by yuv420p."""
    weights = torch.tensor(_LUMA, dtype=clips.dtype, device=clips.device).view(1, 3, 1, 1, 1)
    luma = (clips * weights).sum(1, keepdim=True)
    colour = (clips - luma).transpose(1, 2).flatten(0, 1)
    coarse = F.interpolate(F.avg_pool2d(colour, 2), colour.shape[2:], mode="bilinear", align_corners=False)
    return luma + coarse.unflatten(0, (len(clips), clips.shape[2])).transpose(1, 2)


def rounded_within(clips: ClipTensor, clean: ClipTensor, eps: float) -> ClipTensor:
    """Perturbed clips rounded to 8 bits, within ε under L∞ (in pixels) of clean ones that are 8-bit themselves."""
    most = int(eps / PIXEL + 1e-9)
    whole, middle = (clips * 255).round(), (clean * 255).round()
    return torch.minimum(torch.maximum(whole, middle - most), middle + most).clamp(0, 255) / 255


@dataclass(frozen=True)
class FileAttack:
    """How adversarial files are made.

    Args:
        search: an attack such as PGD, whose ε holds for the frames that are encoded.
        codec, crf: of the files.
    """

    search: Any
    codec: Codec = "h264"
    crf: int = 18

    def __call__(self, model: nn.Module, longer: ClipTensor, labels: Labels, frames: int, stride: int) -> ClipTensor:
        """8-bit adversarial clips ``B 3 F H W`` in [0, 1] of clips that are longer than those that the model takes."""
        seen = Windowed(model, frames, stride).eval()
        surrogate: Callable[[ClipTensor], ClipTensor] = torch.Tensor.clone if self.codec == "png" else half_chroma
        found = EOT(BPDA(self.search, Coded(self.codec, self.crf), surrogate), SAMPLES)(seen, longer, labels)
        threat = getattr(self.search, "threat", None)
        if threat is None or type(threat.norm).__name__ != "Linf":
            return clips_from(frames_of(found.clips)).to(longer)
        return rounded_within(found.clips, longer, attack_budget(self.search)[0] * PIXEL)


def adversarial_files(model: nn.Module, clips: Clips, attack: FileAttack, folder: Path) -> list[dict[str, Any]]:
    """Attack clips, write them as files and judge the files.

    Args:
        model: left as it was.
        clips: that it gets right.
        attack: how.
        folder: of the files.

    Returns:
        One record a file: ``file``, ``video``, ``label``; ``clean``: is the clean clip right after the same codec;
        ``unrounded``, ``rounded``, ``decoded``: is the attacked clip wrong before rounding (attacked without regard to
        a file), as 8-bit frames and as the data pipeline decodes the file; ``windows``: of how many windows of the
        file, and ``moved``: of how many it is wrong; ``size``: the largest change of an encoded pixel in 1/255.
    """
    index, device = range(len(clips)), device_of(model)
    longer, window, labels = (
        part.to(device) for part in (clips.longer(MARGIN).centre(index), clips.centre(index), clips.labels)
    )
    plain = attack.search(model, window, labels).clips
    adversarial = attack(model, longer, labels, clips.frames, clips.stride)
    moment = slice(MARGIN, longer.shape[2] - MARGIN, clips.stride)
    kept = Coded(attack.codec, attack.crf, 0)(longer)[:, :, moment]
    paths = [
        write_clip(folder, name_of_file(number, clips.videos[number]), frames, attack.codec, attack.crf)
        for number, frames in enumerate(frames_of(adversarial))
    ]
    answered = judged_files(model, folder, paths, clips)
    sizes = ((adversarial - longer).abs().flatten(1).amax(1) * 255).round(decimals=3).tolist()
    wrong = {
        "clean": ~_wrong(model, kept, labels),
        "unrounded": _wrong(model, plain, labels),
        "rounded": _wrong(model, adversarial[:, :, moment], labels),
    }
    return [
        {
            "file": path,
            "video": clips.videos[number],
            "label": clips.classes[int(labels[number])],
            **{name: bool(mask[number]) for name, mask in wrong.items()},
            **answered[number],
            "size": sizes[number],
        }
        for number, path in enumerate(paths)
    ]


def judged_files(model: nn.Module, folder: Path, paths: list[str], like: Clips) -> list[dict[str, Any]]:
    """What the model says of files as the data pipeline decodes them.

    Args:
        model: left as it was.
        folder, paths: the files, in the order of ``like``.
        like: the clips they were made of, for their labels, frames and size.

    Returns:
        Of each: ``decoded``, is its centre window wrong; ``windows``, how many were looked at; ``moved``, how many of
        them are wrong; ``predicted``, the class of the centre window.
    """
    read = read_written(folder, paths, like.labels.tolist(), like)
    index, device = range(len(read)), device_of(model)
    centre = _predicted(model, read.centre(index).to(device))
    views = read.viewed(3)
    moved = (_predicted(model, views.centre(range(len(views))).to(device)) != views.labels).view(len(read), -1)
    return [
        {
            "decoded": int(centre[number]) != int(read.labels[number]),
            "windows": moved.shape[1],
            "moved": int(moved[number].sum()),
            "predicted": read.classes[int(centre[number])],
        }
        for number in index
    ]


def name_of_file(number: int, video: str) -> str:
    """A name for the file made of a video, within its class' folder.

    >>> name_of_file(3, "PanLeft/v_PanLeft_g04_c01.avi")
    'PanLeft/003-v_PanLeft_g04_c01'
    """
    folder, _, name = video.rpartition("/")
    kind = folder.rpartition("/")[2] or "clips"
    return f"{kind}/{number:03d}-{name.rpartition('.')[0] or name}"


def _predicted(model: nn.Module, clips: ClipTensor) -> Tensor:
    with undisturbed(model), torch.no_grad():
        return predicted(answers(model)(clips).float()).cpu()


def _wrong(model: nn.Module, clips: ClipTensor, labels: Labels) -> Tensor:
    return _predicted(model, clips) != labels.cpu()
