"""Frame counts and sizes from headers, without decoding; used only to estimate sizes."""

from __future__ import annotations

from vidrobust.data.decoding.decode import explained, opened
from vidrobust.data.decoding.stills import image_size
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.errors import DecodeError


def promised(video: StoredVideo) -> tuple[int, int, int]:
    """Width, height and frames by the header; 0 where it says nothing."""
    try:
        with explained(video):
            if video.is_folder:
                frames = video.frames()
                width, height = image_size(frames[0][0]) or (0, 0)
                return width, height, len(frames)
            with opened(video) as (container, stream):
                seconds = (container.duration or 0) / 1e6
                frames = stream.frames or round(seconds * float(stream.average_rate or 25))
                return stream.codec_context.width, stream.codec_context.height, max(0, frames)
    except DecodeError:
        return 0, 0, 0
