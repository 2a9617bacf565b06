"""Decoding against loops over PyAV and other libraries, a clip from a random place, and batches from the cache."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import decoders
from benchmarks.measuring import Stage, interleaved
from benchmarks.problems import r3d_18
from vidrobust.data.cache import CachedSplit
from vidrobust.data.clips import Clips
from vidrobust.data.config import Crop
from vidrobust.data.decoding.decode import decode_video
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.models.building import build

BOUND = round(1 / 0.9, 3)
"""The most of a bare loop's time: 0.9 of its throughput."""

SHARE = 0.05
"""The most that a batch from the cache may cost of the time of a training step."""

LIKE_WITH_LIKE = (
    ("ours", "bare"),
    ("ours", "bare, a list"),
    ("ours, memory used again", "bare, a list"),
    ("ours, memory used again", "tuned, a list"),
    ("ours, dropped", "bare, dropped"),
    ("ours, dropped", "tuned, dropped"),
)
OTHERS = (("ours", "opencv"), ("ours", "decord"), ("ours", "torchcodec"))


def measure(stage: Stage) -> None:
    """Whole videos, random access, and an epoch's batches."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (file, codec, width, height, frames) in decoders.KINDS.items():
            path = Path(folder) / file
            decoders.make_video(path, codec, width, height, 20 if stage.tiny else frames)
            _race(stage, f"{name}, own size", decoders.own_size(), path)
            scaled = {"ours": decoders.ours_scaled, "bare": decoders.bare_scaled}
            _race(stage, f"{name}, scaled to {decoders.SCALED}", scaled, path)
        _access(stage, Path(folder) / "kinetics.mp4")
        _cache(stage, Path(folder))


def _race(stage: Stage, row: str, contestants: Mapping[str, decoders.Decoder], path: Path) -> None:
    """All decoders of one video in turn; the first call of each shows whether it is installed."""
    if not stage.wants(row):
        return
    runs: dict[str, Callable[[], object]] = {}
    for name, decoder in contestants.items():
        try:
            frames = len(decoder(path))
        except Exception as error:  # noqa: BLE001 - whatever another library stumbles over is reported
            why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            stage.add(kind="not run", row=f"{row}: {name}", why=why)
            continue
        stage.add(kind="figure", row=row, what=f"frames of {name}", value=frames)
        runs[name] = partial(decoder, path)
    bounds = dict.fromkeys(LIKE_WITH_LIKE, BOUND) | dict.fromkeys(OTHERS)
    stage.add_times(row, interleaved(runs, stage, warm=1), bounds)


def _access(stage: Stage, path: Path) -> None:
    """16 frames from a random place against decoding the whole file."""
    row = "16 frames from a random place, H.264, 340×256"
    if not stage.wants(row):
        return
    source, fit, rng = stored_at(path), Fit(decoders.SCALED), random.Random(0)
    known = survey(source)

    def clip() -> object:
        start = rng.randrange(known.frames - 16)
        return read_frames(source, known, range(start, start + 16), fit)

    runs = {"clip": clip, "whole file": lambda: decode_video(source, fit)}
    stage.add_times(row, interleaved(runs, stage, warm=1), {("clip", "whole file"): None})


def _cache(stage: Stage, folder: Path) -> None:
    """Batches from the cache against training steps on them."""
    small = build("r3d-small", classes=10, seed=0)
    cases: dict[str, tuple[nn.Module, int, tuple[int, int, int], int, int, Crop]] = {
        "r3d-small, 32×3×8×24×24, shifts": (small, 32, (16, 24, 24), 8, 24, "shift"),
    }
    if not stage.tiny:
        wide = r3d_18(64)
        cases["R3D-18, 4×3×16×112×112, corner crops"] = (wide, 4, (64, 128, 171), 16, 112, "corner")
        cases["R3D-18, 4×3×16×112×112, resized crops"] = (wide, 4, (64, 128, 171), 16, 112, "resized")
    for name, (model, batch, shape, frames, size, crop) in cases.items():
        row = f"batch from the cache, {name}"
        if stage.wants(row):
            clips = Clips(
                _noise(folder / "frames.u8", shape),
                tuple(map(str, range(10))),
                frames=frames,
                size_out=size,
                crop=crop,
                flip=crop != "shift",
            )
            _loading(stage, row, model, clips, batch)


def _loading(stage: Stage, row: str, model: nn.Module, clips: Clips, batch: int) -> None:
    optimiser, generator = torch.optim.SGD(model.parameters(), 0.01), torch.Generator().manual_seed(0)
    rows = torch.arange(batch)
    loaded = clips.augmented(rows, generator)
    model.train()

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(loaded), clips.labels[rows]).backward()
        optimiser.step()

    runs: dict[str, Callable[[], object]] = {"loading": lambda: clips.augmented(rows, generator), "step": step}
    stage.add_times(row, interleaved(runs, stage, warm=1), {("loading", "step"): SHARE})


def _noise(file: Path, shape: tuple[int, int, int], videos: int = 64) -> CachedSplit:
    """A cache of noise in a file."""
    count = int(np.prod(shape)) * 3
    np.random.default_rng(0).integers(0, 256, videos * count, np.uint8).tofile(file)
    names = tuple(map(str, range(videos)))
    return CachedSplit(
        pixels=np.memmap(file, np.uint8, "c"),
        offsets=np.arange(videos) * count,
        shapes=np.array([shape] * videos, np.int64),
        labels=np.arange(videos) % 10,
        videos=names,
        sources=names,
    )
