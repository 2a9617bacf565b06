"""Clips as video files of their own, and read back by the pipeline that reads any data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidrobust.data.clips import Clips
from vidrobust.data.config import DataConfig
from vidrobust.data.decoding.coded import png_bytes, video_bytes
from vidrobust.data.live import live_frames
from vidrobust.data.videos import Video, VideoFolder
from vidrobust.runs.files import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidrobust.data.decoding.coded import Codec


def write_clip(folder: Path, name: str, frames: NDArray[np.uint8], codec: Codec, crf: int) -> str:
    """Write frames ``T H W 3`` (RGB) as ``name.mp4``, or with ``png`` as a folder ``name`` of ``image_00001.png``….

    Returns:
        Its path relative to ``folder``.

    Raises:
        InputError: the codec cannot take such frames.
        RunError: the disk is full.
    """
    if codec != "png":
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / f"{name}.mp4", video_bytes(frames, codec, crf))
        return f"{name}.mp4"
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, 1):
        write_atomic(folder / name / f"image_{number:05d}.png", png_bytes(frame))
    return name


def read_written(folder: Path, paths: Sequence[str], labels: Sequence[int], like: Clips) -> Clips:
    """Clips of written files, in their order, with the frames, size and stride of others.

    Raises:
        DecodeError: a file is missing or cannot be decoded.
    """
    videos = tuple(Video(path, label, path) for path, label in zip(paths, labels, strict=True))
    data = VideoFolder(folder.name, folder, like.classes, (), (), videos)
    config = DataConfig(name=str(folder), frames=like.frames, size=like.size, stride=like.stride, max_frames=0)
    store = live_frames(data, "test", replace(config, live=True))
    return Clips(store, like.classes, frames=like.frames, size_out=like.size, stride=like.stride)
