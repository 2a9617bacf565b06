"""Decoding with torchcodec, an extra, behind the signature of :func:`vidrobust.data.decoding.decode.decode_video`.

torchcodec tells neither of packets that give no frame or rubbish nor of frames before the first key frame. So it
decodes the plain files alone: those whose every packet ought to show a frame, from a key frame on, at even times, so
that none is lacking, upright, and in which PyAV has found no damage. All others, bare streams, folders of frames and
files that it gives up on go to PyAV.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from vidrobust.data.decoding.containers import is_indexed
from vidrobust.data.decoding.decode import Decoded, middle
from vidrobust.data.decoding.decode import decode_video as with_pyav
from vidrobust.data.decoding.frames import FrameBuffer, Orientation
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.data.decoding.streams import (
    Damaged,
    FrameCount,
    check_promises,
    check_size,
    explained,
    opened,
    promises_time,
    shows,
    stream_frames,
)
from vidrobust.errors import DecodeError

AT_ONCE = 64
"""Frames decoded at full size before they are scaled."""


def decode_by_torchcodec(
    video: StoredVideo,
    fit: Fit,
    max_frames: int | None = None,
    damaged: Damaged = "keep",
    buffer: FrameBuffer | None = None,
) -> Decoded:
    """The frames of a video, scaled and cropped; only those that PyAV decodes use the ``buffer``."""
    frames = None
    if not video.is_folder:
        with explained(video):
            check_size(video)
            plain = _plain(video)
        frames = None if plain is None else _decoded(video, fit, max_frames, *plain)
    if frames is None:
        return with_pyav(video, fit, max_frames, damaged, buffer)
    return Decoded(frames, 0)


def _plain(video: StoredVideo) -> tuple[int, int] | None:
    """Packets of a plain file and the number of its video stream; None of any other file."""
    with video.open() as file:
        if not is_indexed(file):  # torchcodec's own index of a bare stream misses frames at its beginning
            return None
    count, times, plain = FrameCount(), [], True
    with opened(video) as (container, stream):
        codec = stream.codec_context.name
        for packet in container.demux(None if promises_time(container) else stream):
            if count.see(packet, stream) and packet.size:
                plain = plain and shows(packet, codec) and (bool(times) or packet.is_keyframe)
                times.append(packet.pts)
        check_promises(video, container, stream, count)
    if not plain or not times or count.lost or None in times or not _even(times):
        return None
    count, first = FrameCount(), None
    with opened(video) as (container, stream):
        for frame in stream_frames(container, stream, count):
            first = first or (frame.pts, frame.rotation, Orientation.of(frame))
        # Frames before the first key frame are left out here, whatever the container calls their packets.
        whole = not count.lost and count.frames == len(times)
        return (len(times), stream.index) if whole and first == (min(times), 0, Orientation()) else None


def _even(times: list[int]) -> bool:
    """Are times all different and equally far apart, but for rounding?"""
    steps = {later - earlier for earlier, later in pairwise(sorted(times))}
    return 0 not in steps and max(steps, default=0) - min(steps, default=0) <= 1


def _decoded(video: StoredVideo, fit: Fit, most: int | None, total: int, stream: int) -> np.ndarray | None:
    """The frames around the middle; None where torchcodec finds others than there are packets."""
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

    try:
        with video.open() as file:
            source: Any = file  # whatever reads and seeks will do, though its types name a few classes
            decoder = VideoDecoder(
                source, stream_index=stream, dimension_order="NCHW", num_ffmpeg_threads=1, seek_mode="exact"
            )
            if len(decoder) != total:
                return None
            wanted, parts, times = middle(total, most), [], []
            for first in range(0, total, AT_ONCE):  # from the beginning: where there is no index its seeks go astray
                found = decoder.get_frames_in_range(first, min(first + AT_ONCE, total))
                times += found.pts_seconds.tolist()
                frames = found.data[max(0, wanted.start - first) : max(0, wanted.stop - first)]
                parts += [_fitted(frames, fit)] if len(frames) else []
    except OSError as error:
        raise DecodeError(f"{video} cannot be read ({error.strerror or error}).", "unreadable") from error
    except (RuntimeError, ValueError, IndexError):
        return None
    # A packet that gives nothing shows as a frame given twice.
    return np.concatenate(parts) if len(times) == total and all(a < b for a, b in pairwise(times)) else None


def _fitted(frames: torch.Tensor, fit: Fit) -> np.ndarray:
    width, height = fit.scaled(frames.shape[3], frames.shape[2])
    if (height, width) != tuple(frames.shape[2:]):
        small = F.interpolate(frames.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
        frames = small.round_().clamp_(0, 255).to(torch.uint8)
    return np.stack([fit.cropped(frame) for frame in frames.permute(0, 2, 3, 1).numpy()])
