"""The speed of decoding against a bare PyAV loop, OpenCV, decord and torchcodec, and of an epoch from the cache.

    python benchmarks/decoding.py --setup          # makes the peers' environment, once
    python benchmarks/decoding.py [--rounds 7] [--only decoding|cache]    # measures; prints JSON

Every decoder gives the same frames: all of a file as RGB at its own size, or the shorter side scaled to 112 (the bare
loop and ours; the peers do not scale by area). Runs are interleaved, each on one thread, and compared by CPU time,
because a busy neighbour slows all alike: ratios are those within a round, told by their quartiles. Above 1, we are
faster. What is not installed, or cannot find FFmpeg's libraries, is named with its error.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".decoders"
INSIDE = "VIDROBUST_DECODERS"
BOUND = 0.9
"""The least ratio to a bare PyAV loop."""

SHARE = 0.05
"""The most that an epoch from the cache may cost of a training step's time."""

Decoder = Callable[[Path], Any]
Pairs = Sequence[tuple[str, str]]

KINDS = {
    "ucf101.avi": ("mpeg4", 320, 240, 180),
    "kinetics.mp4": ("libx264", 340, 256, 300),
    "hd.mp4": ("libx264", 1280, 720, 60),
}
"""The files: codec, width, height, frames."""


PEERS = ("decord==0.6.0", "opencv-python-headless", "torchcodec==0.13.0")


def setup() -> None:
    """Make the environment of the peers; torchcodec finds the FFmpeg libraries that PyAV's wheel brings."""
    venv.create(ENVIRONMENT, with_pip=True)
    (ENVIRONMENT / ".gitignore").write_text("*\n")
    install = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", HERE / "decoders-requirements.txt"], check=True)
    for peer in PEERS:
        tried = subprocess.run([*install, peer], capture_output=True, text=True, check=False)
        said = (tried.stderr.strip() or "pip gave no reason").splitlines()[-1]
        print(f"{peer}: {'installed' if tried.returncode == 0 else f'absent ({said})'}", flush=True)
    (ENVIRONMENT / "ffmpeg").mkdir(exist_ok=True)
    for library in ENVIRONMENT.glob("lib/*/site-packages/av.libs/lib*.so.*"):
        name, _, version = library.name.partition(".so.")
        link = ENVIRONMENT / "ffmpeg" / f"{name.rpartition('-')[0]}.so.{version.partition('.')[0]}"
        link.unlink(missing_ok=True)
        link.symlink_to(library)


def enter() -> None:
    """Go on with the peers' Python, with this checkout's package."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        sys.exit(f"{ENVIRONMENT} is missing: run {Path(__file__).name} --setup first.")
    inside = {INSIDE: "1", "PYTHONPATH": str(HERE.parent / "src"), "OMP_NUM_THREADS": "1"}
    libraries = [ENVIRONMENT / "ffmpeg", *ENVIRONMENT.glob("lib/*/site-packages/av.libs")]
    inside["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
    os.execve(python, [str(python), __file__, *sys.argv[1:]], os.environ | inside)


def videos(folder: Path) -> dict[str, Path]:
    """Files as the data sets have them: noise that moves over a smooth ground, so that codecs have work to do."""
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    made = {}
    for name, (codec, width, height, frames) in KINDS.items():
        ground = rng.uniform(40, 215, (height // 8 + 2, (width + frames) // 8 + 2, 3)).repeat(8, 0).repeat(8, 1)
        made[name] = folder / name
        with av.open(str(made[name]), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for number in range(frames):
                frame = ground[:height, number : number + width] + rng.normal(0, 8, (height, width, 3))
                picture = np.ascontiguousarray(frame.clip(0, 255).astype(np.uint8))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return made


def bare(path: Path) -> Any:
    """What one writes first, with the same result as ours: one array."""
    import numpy as np

    return np.stack(bare_list(path))


def bare_list(path: Path) -> list[Any]:
    """The same without the array, which is half of the work at large sizes."""
    return list(_bare(path))


def bare_dropped(path: Path) -> range:
    """The same without keeping a frame."""
    return _dropped(_bare(path))


def tuned_list(path: Path) -> list[Any]:
    """One reformatter for all frames instead of one for each, on one thread: what one writes last."""
    return list(_tuned(path))


def tuned_dropped(path: Path) -> range:
    """The tuned loop without keeping a frame: the memory of one is used again for the next."""
    return _dropped(_tuned(path))


def _bare(path: Path) -> Iterator[Any]:
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _tuned(path: Path) -> Iterator[Any]:
    import av
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            yield reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()


def _dropped(frames: Iterable[Any]) -> range:
    return range(sum(1 for _ in frames))


def bare_scaled(path: Path) -> Any:
    """The bare loop with frames scaled as ours."""
    import av
    import numpy as np

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        scale = 112 / min(stream.width, stream.height)
        size = round(stream.width * scale), round(stream.height * scale)
        frames = [
            frame.to_ndarray(format="rgb24", width=size[0], height=size[1], interpolation="AREA")
            for frame in container.decode(video=0)
        ]
    return np.stack(frames)


def ours(path: Path) -> Any:
    """All frames at their own size, which the caller knows, in an array of their own."""
    from vidrobust.data.decoding.decode import decode

    return decode(path, size=_side(path), whole=True)


BUFFER: list[Any] = []
"""The memory of :func:`ours_again`."""


def ours_again(path: Path) -> Any:
    """The same in the memory of the video before, as the cache is filled."""
    from vidrobust.data.decoding.decode import decode_video
    from vidrobust.data.decoding.frames import FrameBuffer
    from vidrobust.data.decoding.geometry import Fit
    from vidrobust.data.decoding.stored import stored_at

    BUFFER[:] = BUFFER or [FrameBuffer()]
    return decode_video(stored_at(path), Fit(_side(path), whole=True), buffer=BUFFER[0]).frames


def ours_dropped(path: Path) -> range:
    """Our frames one by one without keeping any, with all checks: what random access is made of."""
    from vidrobust.data.decoding import streams
    from vidrobust.data.decoding.frames import FrameConverter
    from vidrobust.data.decoding.geometry import Fit
    from vidrobust.data.decoding.stored import stored_at

    video, count, converter = stored_at(path), streams.FrameCount(), FrameConverter(Fit(_side(path), whole=True))
    streams.check_size(video)
    with streams.opened(video) as (container, stream):
        found = _dropped(converter(frame) for frame in streams.stream_frames(container, stream, count))
        streams.check_promises(video, container, stream, count)
    return found


def _side(path: Path) -> int:
    return min(KINDS[path.name][1:3])


def ours_scaled(path: Path) -> Any:
    """The shorter side scaled to 112."""
    from vidrobust.data.decoding.decode import decode

    return decode(path, size=112, whole=True)


def opencv(path: Path) -> list[Any]:
    """OpenCV, one thread."""
    import cv2  # type: ignore[import-not-found]

    cv2.setNumThreads(1)
    video, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1]), []
    while (found := video.read())[0]:
        frames.append(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB))
    return frames


def decord(path: Path) -> Any:
    """decord, one thread."""
    import decord as library  # type: ignore[import-not-found]

    reader = library.VideoReader(str(path), num_threads=1)
    return reader.get_batch(range(len(reader))).asnumpy()


def torchcodec(path: Path) -> Any:
    """torchcodec, one thread."""
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found]

    return VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")[:].numpy()


RACES: dict[str, dict[str, Decoder]] = {
    "own size": {
        "ours": ours,
        "ours, memory used again": ours_again,
        "ours, dropped": ours_dropped,
        "bare": bare,
        "bare, a list": bare_list,
        "bare, dropped": bare_dropped,
        "tuned, a list": tuned_list,
        "tuned, dropped": tuned_dropped,
        "opencv": opencv,
        "decord": decord,
        "torchcodec": torchcodec,
    },
    "scaled to 112": {"ours": ours_scaled, "bare": bare_scaled},
}
"""``bare`` is the loop that one writes first, ``tuned`` the fastest that PyAV allows."""

HELD = {
    "own size": (
        ("ours", "bare"),
        ("ours", "bare, a list"),
        ("ours, memory used again", "bare, a list"),
        ("ours, memory used again", "tuned, a list"),
        ("ours, dropped", "bare, dropped"),
        ("ours, dropped", "tuned, dropped"),
    ),
    "scaled to 112": (("ours", "bare"),),
}
"""What the bound is held against: like with like, of ours against theirs."""


def race(decoders: dict[str, Decoder], held: Pairs, path: Path, rounds: int) -> dict[str, Any]:
    """CPU seconds of each decoder, interleaved, and the ratios to ours."""
    usable: dict[str, Decoder] = {}
    found: dict[str, Any] = {"frames": {}, "absent": {}}
    for name, decoder in decoders.items():
        try:
            found["frames"][name] = len(decoder(path))
            usable[name] = decoder
        except Exception as error:  # noqa: BLE001 - whatever a peer raises is reported
            found["absent"][name] = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    spent: dict[str, list[float]] = {name: [] for name in usable}
    for turn in range(rounds):
        order = list(usable.items())
        for name, decoder in order[turn % len(order) :] + order[: turn % len(order)]:
            started = time.process_time()
            decoder(path)
            spent[name].append(time.process_time() - started)
    found["cpu_seconds"] = {name: round(statistics.median(times), 4) for name, times in spent.items()}
    found["ratios"] = {name: quartiles(spent[name], spent["ours"]) for name in spent if name != "ours"}
    found["bound"] = {f"{own} : {other}": verdict(spent[other], spent[own]) for own, other in held}
    return found


def quartiles(theirs: Sequence[float], own: Sequence[float]) -> list[float]:
    """Of the rounds' ratios, above 1 where we are faster: lower quartile, median, upper quartile."""
    return [round(cut, 3) for cut in statistics.quantiles((a / b for a, b in zip(theirs, own, strict=True)), n=4)]


def verdict(theirs: Sequence[float], own: Sequence[float]) -> dict[str, Any]:
    """Is the median ratio within the bound?"""
    cuts = quartiles(theirs, own)
    return {"quartiles": cuts, "within": cuts[1] >= BOUND}


def access(path: Path, rounds: int) -> dict[str, Any]:
    """A clip of 16 frames from a random place against decoding from the beginning up to it."""
    import random

    from vidrobust.data.decoding.decode import decode_video
    from vidrobust.data.decoding.geometry import Fit
    from vidrobust.data.decoding.random_access import read_frames, survey
    from vidrobust.data.decoding.stored import stored_at

    source, fit, rng = stored_at(path), Fit(112), random.Random(0)
    known = survey(source)
    seconds, whole = [], []
    for _ in range(rounds * 3):
        start = rng.randrange(known.frames - 16)
        began = time.process_time()
        read_frames(source, known, range(start, start + 16), fit)
        seconds.append(time.process_time() - began)
        began = time.process_time()
        decode_video(source, fit)
        whole.append(time.process_time() - began)
    return {"clip": round(statistics.mean(seconds), 4), "whole": round(statistics.mean(whole), 4)}


def epoch(folder: Path, rounds: int) -> dict[str, Any]:
    """Batches from the cache against training steps on them, CPU seconds, for two models and sizes."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    from vidrobust.data.cache import CachedSplit
    from vidrobust.data.clips import Clips
    from vidrobust.models.building import build
    from vidrobust.models.resnet3d import ResNet3d
    from vidrobust.models.shapes import ResNet3dConfig

    torch.set_num_threads(1)
    small = build("r3d-small", classes=10, seed=0)
    r3d18 = ResNet3d(
        ResNet3dConfig(
            classes=101,
            layers=(2, 2, 2, 2),
            widths=(64, 128, 256, 512),
            strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2)),
        )
    )
    cases = {
        "r3d-small 32×3×8×24×24, shift": (small, 32, (16, 24, 24), 8, 24, "shift"),
        "R3D-18 4×3×16×112×112, corner crops of 128×171": (r3d18, 4, (64, 128, 171), 16, 112, "corner"),
        "R3D-18 4×3×16×112×112, resized crops of 128×171": (r3d18, 4, (64, 128, 171), 16, 112, "resized"),
    }
    report = {}
    for name, (model, batch, shape, frames, size, crop) in cases.items():
        file = folder / "frames.u8"
        count = int(np.prod(shape)) * 3
        np.random.default_rng(0).integers(0, 256, 64 * count, np.uint8).tofile(file)
        split = CachedSplit(
            pixels=np.memmap(file, np.uint8, "c"),
            offsets=np.arange(64) * count,
            shapes=np.array([shape] * 64, np.int64),
            labels=np.arange(64) % 10,
            videos=tuple(map(str, range(64))),
            sources=tuple(map(str, range(64))),
        )
        clips = Clips(split, tuple(map(str, range(10))), frames=frames, size_out=size, crop=crop, flip=crop != "shift")  # type: ignore[arg-type]
        optimizer, generator = torch.optim.SGD(model.parameters(), 0.01), torch.Generator().manual_seed(0)
        model.train()
        loading, stepping = [], []
        for turn in range(rounds):
            index = [(turn * batch + place) % 64 for place in range(batch)]
            began = time.process_time()
            x = clips.augmented(index, generator)
            loading.append(time.process_time() - began)
            began = time.process_time()
            optimizer.zero_grad()
            F.cross_entropy(model(x), clips.labels[index]).backward()
            optimizer.step()
            stepping.append(time.process_time() - began)
        share = statistics.median(a / b for a, b in zip(loading[1:], stepping[1:], strict=True))
        report[name] = {
            "load": round(statistics.median(loading), 4),
            "step": round(statistics.median(stepping), 4),
            "share": round(share, 4),
            "within_bound": share < SHARE,
        }
    return report


def main() -> None:
    """Make the environment, or measure in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--setup", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["decoding", "cache"], help="the cache's training steps take minutes")
    values = parser.parse_args()
    if values.setup:
        setup()
        return
    if INSIDE not in os.environ:
        enter()
    with tempfile.TemporaryDirectory() as place:
        report: dict[str, Any] = {}
        if values.only != "cache":
            files = videos(Path(place))
            for name, path in files.items():
                report[name] = {kind: race(RACES[kind], HELD[kind], path, values.rounds) for kind in RACES}
            report["random access, seconds"] = access(files["kinetics.mp4"], values.rounds)
        if values.only != "decoding":
            report["cache"] = epoch(Path(place), values.rounds)
    report["load"] = os.getloadavg()
    print(json.dumps(report, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
