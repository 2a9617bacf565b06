"""Frames as the bytes of a video file of a codec and a quality, and back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal, TypeAlias

import av
import av.error
import numpy as np
from av.video.frame import VideoFrame

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Codec: TypeAlias = Literal["h264", "h265", "png"]
"""``png`` is a folder of frames, without loss."""

_ENCODERS = {
    "h264": ("libx264", {"x264-params": "log-level=none:threads=1:asm=sse2"}, 16),
    "h265": ("libx265", {"x265-params": "log-level=none:pools=none:frame-threads=1"}, 96),
}
"""Encoder, options that keep it to one thread and silent, and the least side: below, x265 writes beyond its memory."""

CRF = (0, 51)
"""The range of the constant rate factor; x264 is lossless at 0 but for the chroma, and 18 looks lossless."""

FPS = 25


def check_codable(codec: Codec, crf: int, height: int, width: int) -> None:
    """Refuse frames and qualities that a codec cannot take.

    Raises:
        InputError: it cannot.
    """
    if codec == "png":
        return
    least = _ENCODERS[codec][2]
    if not CRF[0] <= crf <= CRF[1]:
        raise InputError(f"crf must lie in {CRF[0]} … {CRF[1]}, but is {crf}.")
    if height % 2 or width % 2 or min(height, width) < least:
        raise InputError(
            f"{codec} needs frames with even sides of at least {least} pixels, not {height} × {width}: "
            f"{'--codec h264' if codec == 'h265' else '--codec png'}, or clips of another --size."
        )


def video_bytes(frames: NDArray[np.uint8], codec: Literal["h264", "h265"], crf: int) -> bytes:
    """An MP4 file of frames ``T H W 3`` (RGB), with chroma at half the resolution (yuv420p).

    Raises:
        InputError: the codec cannot take them.

    >>> len(video_bytes(np.zeros((4, 16, 16, 3), np.uint8), "h264", 18)) > 500
    True
    """
    check_codable(codec, crf, *frames.shape[1:3])
    encoder, options, _ = _ENCODERS[codec]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        try:
            stream = container.add_stream(encoder, rate=FPS, options={"crf": str(crf), **options})
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"this PyAV has no encoder {encoder} ({error}): take --codec png.") from error
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"  # type: ignore[attr-defined]
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))  # type: ignore[attr-defined]
        container.mux(stream.encode())  # type: ignore[attr-defined]
    return buffer.getvalue()


def png_bytes(frame: NDArray[np.uint8]) -> bytes:
    """A PNG file of a frame ``H W 3`` (RGB), without loss."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()


def through_codec(frames: NDArray[np.uint8], codec: Codec, crf: int) -> NDArray[np.uint8]:
    """Frames ``T H W 3`` (RGB) as they come back from a file.

    >>> again = through_codec(np.full((3, 16, 16, 3), 100, np.uint8), "h264", 30)
    >>> again.shape, int(abs(again.astype(int) - 100).max()) < 8
    ((3, 16, 16, 3), True)
    """
    if codec == "png":
        return frames
    with av.open(io.BytesIO(video_bytes(frames, codec, crf))) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
