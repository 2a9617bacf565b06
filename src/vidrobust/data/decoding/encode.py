"""Frames to video files: how the embedded data set is written."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from av.video.frame import VideoFrame

from vidrobust.errors import InputError
from vidrobust.runs.files import disk_error


def write_video(path: Path, frames: np.ndarray, fps: int = 25) -> None:
    """Write an MPEG-4 (Xvid) AVI of high quality, as UCF-101 has; the same frames give the same bytes.

    Args:
        path: the file, written atomically.
        frames: ``T H W 3``, uint8, RGB, with ``T ≥ 1`` and even ``H`` and ``W``.
        fps: frames per second.

    Raises:
        InputError: ``frames`` is not of that shape or type.
        RunError: the file cannot be written, for instance because the disk is full.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise InputError(f"{path}: frames must be uint8 T H W 3, not {frames.dtype} {frames.shape}.")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise InputError(f"{path}: MPEG-4 needs an even height and width, not {height} × {width}.")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi", container_options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("mpeg4", rate=fps, options={"qmin": "2", "qmax": "2"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.codec_tag = "XVID"
        context.thread_count = 1
        context.flags |= Flags.bitexact
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:  # not forced to disk: thousands of these are written, and a file that a power cut emptied is found by `decode`
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error
