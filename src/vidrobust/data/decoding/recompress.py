"""Frames through a real video codec and back, in memory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import VideoFrame

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def recompressed(frames: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Frames as they come back from MPEG-4 (as UCF-101 is encoded) at a fixed quantiser.

    Args:
        frames: ``T H W 3``, RGB. Odd sizes are padded by their edge for the codec, and cut again.
        quality: the quantiser, 2 (best) to 31.

    Returns:
        ``T H W 3``.

    Raises:
        InputError: ``quality`` is out of range.

    >>> frames = np.random.default_rng(0).integers(0, 256, (4, 17, 16, 3), np.uint8)
    >>> again = recompressed(frames, 31)
    >>> again.shape, bool((again != frames).any())
    ((4, 17, 16, 3), True)
    """
    if not 2 <= quality <= 31:
        raise InputError(f"quality is MPEG-4's quantiser, from 2 (best) to 31, not {quality}.")
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"qmin": str(quality), "qmax": str(quality)})
        stream.height, stream.width, stream.pix_fmt = even.shape[1], even.shape[2], "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in even:
            container.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(found)[: len(frames), :height, :width]
