"""Decoding with torchcodec, an extra, behind the signature of :func:`vidrobust.data.decoding.decode.decode_video`."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from vidrobust.data.decoding.containers import is_indexed
from vidrobust.data.decoding.decode import REMEDY, Damaged, Decoded, FrameBuffer, check_size
from vidrobust.data.decoding.decode import decode_video as with_pyav
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.errors import DecodeError

AT_ONCE = 64
"""Frames decoded at full size before they are scaled."""


def decode_video(
    source: StoredVideo,
    fit: Fit,
    max_frames: int | None = None,
    damaged: Damaged = "keep",
    reel: FrameBuffer | None = None,
) -> Decoded:
    """The frames of a video, scaled and cropped; torchcodec scans the file first, so its count is that of the packets.

    A folder of frames, a bare stream, and a file that torchcodec gives up on go to PyAV, which knows what is lost; only
    these use the ``reel``.
    """
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

    if source.is_folder:
        return with_pyav(source, fit, max_frames, damaged, reel)
    try:
        check_size(source)
        with source.open() as file:
            if not is_indexed(file):  # torchcodec's own index of a bare stream misses frames at its beginning
                return with_pyav(source, fit, max_frames, damaged, reel)
            video = VideoDecoder(file, dimension_order="NCHW", num_ffmpeg_threads=1, seek_mode="exact")
            total = len(video)
            start = max(0, (total - max_frames) // 2) if max_frames is not None else 0
            stop = min(total, start + max_frames) if max_frames is not None else total
            parts = []
            for first in range(0, stop, AT_ONCE):  # from the beginning: where there is no index its seeks go astray
                frames = video.get_frames_in_range(first, min(first + AT_ONCE, stop)).data[max(0, start - first) :]
                parts += [_fitted(frames, fit)] if len(frames) else []
    except OSError as error:
        raise DecodeError(f"{source} cannot be read ({error.strerror or error}). {REMEDY}", "unreadable") from error
    except (RuntimeError, ValueError, IndexError):
        return with_pyav(source, fit, max_frames, damaged, reel)
    if not parts:
        return with_pyav(source, fit, max_frames, damaged, reel)
    return Decoded(np.concatenate(parts), 0)


def _fitted(frames: torch.Tensor, fit: Fit) -> np.ndarray:
    width, height = fit.scaled(frames.shape[3], frames.shape[2])
    if (height, width) != tuple(frames.shape[2:]):
        small = F.interpolate(frames.float(), (height, width), mode="bilinear", antialias=True, align_corners=False)
        frames = small.round_().clamp_(0, 255).to(torch.uint8)
    return np.stack([fit.cropped(frame) for frame in frames.permute(0, 2, 3, 1).numpy()])
