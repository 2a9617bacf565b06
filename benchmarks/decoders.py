"""Decoders of whole videos as functions of a path, each on one thread: ours, loops over PyAV, and other libraries."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vidrobust.data.decoding import streams
from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.frames import FrameBuffer, FrameConverter
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import stored_at

Decoder = Callable[[Path], Any]
SCALED = 112

KINDS = {
    "MPEG-4, 320×240, 180 frames": ("ucf101.avi", "mpeg4", 320, 240, 180),
    "H.264, 340×256, 300 frames": ("kinetics.mp4", "libx264", 340, 256, 300),
    "H.264, 1280×720, 60 frames": ("hd.mp4", "libx264", 1280, 720, 60),
}
"""Files as the data sets have them: name, codec, width, height, frames."""


def make_video(file: Path, codec: str, width: int, height: int, frames: int) -> None:
    """Noise that moves over a smooth ground, so that the codec has work to do."""
    rng = np.random.default_rng(0)
    ground = rng.uniform(40, 215, (height // 8 + 2, (width + frames) // 8 + 2, 3)).repeat(8, 0).repeat(8, 1)
    with av.open(str(file), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            frame = ground[:height, number : number + width] + rng.normal(0, 8, (height, width, 3))
            picture = np.ascontiguousarray(frame.clip(0, 255).astype(np.uint8))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def ours(path: Path) -> Any:
    """All frames at their own size in an array of their own."""
    return decode(path, size=_side(path), whole=True)


def ours_scaled(path: Path) -> Any:
    """The shorter side scaled to 112 pixels by area."""
    return decode(path, size=SCALED, whole=True)


class OursAgain:
    """The same in the memory of the video before, as the cache is filled."""

    def __init__(self) -> None:
        self._buffer = FrameBuffer()

    def __call__(self, path: Path) -> Any:
        return decode_video(stored_at(path), Fit(_side(path), whole=True), buffer=self._buffer).frames


def ours_dropped(path: Path) -> range:
    """Our frames one by one without keeping any, with all checks: what random access is made of."""
    video, count, converter = stored_at(path), streams.FrameCount(), FrameConverter(Fit(_side(path), whole=True))
    streams.check_size(video)
    with streams.opened(video) as (container, stream):
        found = _dropped(converter(frame) for frame in streams.stream_frames(container, stream, count))
        streams.check_promises(video, container, stream, count)
    return found


def bare(path: Path) -> Any:
    """The loop of PyAV's guide, with the same result as ours: one array."""
    return np.stack(list(_bare(path)))


def bare_list(path: Path) -> list[Any]:
    """The same without the array, which is half of the work at large sizes."""
    return list(_bare(path))


def bare_dropped(path: Path) -> range:
    """The same without keeping a frame."""
    return _dropped(_bare(path))


def bare_scaled(path: Path) -> Any:
    """The same with frames scaled as ours."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        scale = SCALED / min(stream.width, stream.height)
        width, height = round(stream.width * scale), round(stream.height * scale)
        wanted: dict[str, Any] = {"format": "rgb24", "width": width, "height": height, "interpolation": "AREA"}
        return np.stack([frame.to_ndarray(**wanted) for frame in container.decode(video=0)])


def tuned_list(path: Path) -> list[Any]:
    """One reformatter on one thread for all frames, instead of one for each: the fastest that PyAV allows."""
    return list(_tuned(path))


def tuned_dropped(path: Path) -> range:
    """The tuned loop without keeping a frame: the memory of one is used again for the next."""
    return _dropped(_tuned(path))


def opencv(path: Path) -> list[Any]:
    """OpenCV."""
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    video, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), []
    while (found := video.read())[0]:
        frames.append(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
    return frames


def decord(path: Path) -> Any:
    """Decord."""
    library: Any = importlib.import_module("decord")
    reader = library.VideoReader(str(path), num_threads=1)
    return reader.get_batch(range(len(reader))).asnumpy()


def torchcodec(path: Path) -> Any:
    """Torchcodec."""
    library: Any = importlib.import_module("torchcodec.decoders")
    return library.VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")[:].numpy()


def own_size() -> dict[str, Decoder]:
    """Every decoder that gives all frames at their own size."""
    return {
        "ours": ours,
        "ours, memory used again": OursAgain(),
        "ours, dropped": ours_dropped,
        "bare": bare,
        "bare, a list": bare_list,
        "bare, dropped": bare_dropped,
        "tuned, a list": tuned_list,
        "tuned, dropped": tuned_dropped,
        "opencv": opencv,
        "decord": decord,
        "torchcodec": torchcodec,
    }


def _bare(path: Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _tuned(path: Path) -> Iterator[Any]:
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()


def _dropped(frames: Iterable[Any]) -> range:
    return range(sum(1 for _ in frames))


def _side(path: Path) -> int:
    """The shorter side of one of the videos above."""
    return next(min(width, height) for name, _, width, height, _ in KINDS.values() if name == path.name)
