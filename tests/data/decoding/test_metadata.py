"""Whatever a container says of its frames, the cache, live, random access and a decode from the first give the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.data_videos import edit_list, film, remux, stills, with_matrix, write

from vidrobust.data import DataConfig, Video, VideoFolder, cached_frames
from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.decoders import decoder
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.data.live import live_frames
from vidrobust.errors import DataError

Make = Callable[[Path], Path]
FRAMES = 60

EDITS: dict[str, tuple[dict[str, str], list[tuple[float, float]], list[int]]] = {
    "edit-head.mp4": ({"g": "50", "bf": "0"}, [(25, 35)], [*range(25, 60)]),
    "edit-head-b.mp4": ({"g": "50", "bf": "2"}, [(25, 35)], [*range(25, 60)]),
    "edit-head-key.mp4": ({"g": "20", "bf": "0"}, [(20, 40)], [*range(20, 60)]),
    "edit-tail.mp4": ({"g": "20", "bf": "2"}, [(0, 31)], [*range(31)]),
    "edit-both.mov": ({"g": "20", "bf": "2"}, [(13, 22)], [*range(13, 35)]),
    "edit-pause.mp4": ({"g": "20", "bf": "0"}, [(-1, 50), (13, 22)], [*range(13, 35)]),
    "edit-two.mp4": ({"g": "20", "bf": "0"}, [(3, 10), (40, 12)], [*range(3, 13), *range(40, 52)]),
    "edit-again.mp4": ({"g": "20", "bf": "0"}, [(20, 20), (20, 20)], [*range(20, 40), *range(20, 40)]),
}
"""How a file with an edit list is encoded, the list, and which of the stored frames it shows."""

MATRICES: dict[str, tuple[tuple[int, int, int, int], Callable[[np.ndarray], np.ndarray]]] = {
    "upright": ((1, 0, 0, 1), lambda x: x),
    "mirrored": ((-1, 0, 0, 1), lambda x: x[:, :, ::-1]),
    "upside-down-mirrored": ((1, 0, 0, -1), lambda x: x[:, ::-1]),
    "half-turn": ((-1, 0, 0, -1), lambda x: np.rot90(x, 2, (1, 2))),
    "clockwise": ((0, 1, -1, 0), lambda x: np.rot90(x, -1, (1, 2))),
    "anticlockwise": ((0, -1, 1, 0), lambda x: np.rot90(x, 1, (1, 2))),
    "transposed": ((0, 1, 1, 0), lambda x: x.swapaxes(1, 2)),
    "anti-transposed": ((0, -1, -1, 0), lambda x: np.rot90(x.swapaxes(1, 2), 2, (1, 2))),
}


def h264(frames: int = FRAMES, height: int = 48, width: int = 64, **options: object) -> Make:
    return lambda path: write(path, film(frames, height, width, seed=len(path.name)), "libx264", **options)  # type: ignore[arg-type]


def edited(name: str) -> Make:
    return lambda path: edit_list(h264(**EDITS[name][0])(path), EDITS[name][1])  # type: ignore[arg-type]


def matrix(name: str) -> Make:
    return lambda path: with_matrix(h264(20)(path), *MATRICES[name][0])


def dropped(path: Path) -> Path:
    whole = write(path.with_name("whole.avi"), film(FRAMES), "mpeg4", tag="XVID", g="12")
    found = remux(whole, path, lambda packets: [packet for n, packet in enumerate(packets) if n < 12 or n % 12 != 11])
    whole.unlink()
    return found


def doubled(path: Path) -> Path:
    """Every third frame has the time of the one before it."""

    def edit(packets: list[av.Packet]) -> list[av.Packet | None]:
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = 40 * (number - (number % 3 == 2))
        return [*packets]

    whole = write(path.with_name("whole.mkv"), film(FRAMES), "mpeg4", g="12")
    remux(whole, path, edit)
    whole.unlink()
    return path


def times(*steps: int) -> list[int]:
    return [sum(steps[n % len(steps)] for n in range(number)) for number in range(FRAMES)]


CASES: dict[str, Make] = {
    **{name: edited(name) for name in EDITS},
    "negative-dts.mkv": h264(g="20", bf="3"),
    "starts-late.mkv": h264(g="20", bf="2", times=[90_000 + 40 * n for n in range(FRAMES)]),
    "starts-late.mp4": h264(g="20", bf="2", times=[9_000 + 40 * n for n in range(FRAMES)]),
    "variable.mp4": h264(g="20", bf="2", times=times(40, 13, 120)),
    "long-pause.mkv": h264(g="20", bf="0", times=times(*[40] * 29, 30_000)),
    "doubled-times.mkv": doubled,
    "fragments.mp4": h264(g="15", bf="2", container={"movflags": "frag_keyframe+empty_moov"}),
    "odd.mkv": lambda path: write(path, film(FRAMES, 37, 53), "ffv1"),
    "wide-pixels.mp4": h264(g="20", **{"x264-params": "sar=16/11"}),
    "stream.mpg": lambda path: write(path, film(FRAMES), "mpeg2video", g="15", bf="2"),
    "stream.ts": h264(g="15", bf="2"),
    "dropped.avi": dropped,
    "stills": lambda path: stills(path, film(FRAMES)),
    **{f"{name}.mp4": matrix(name) for name in MATRICES},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> VideoFolder:
    root = tmp_path_factory.mktemp("metadata")
    for name, make in CASES.items():
        make(root / name)
    videos = tuple(Video(name, 0, name) for name in CASES)
    return VideoFolder("metadata", root, ("a",), videos, (), ())


@pytest.mark.parametrize("most", [0, 8, 9])
def test_the_cache_and_live_frames_are_those_of_a_full_decode(folder: VideoFolder, most: int) -> None:
    config = DataConfig(frames=1, size=16, resolution=16, max_frames=most, damaged="refuse")
    cached, live = (opened(folder, "train", config) for opened in (cached_frames, live_frames))
    assert cached.videos == live.videos == tuple(CASES)
    assert np.array_equal(cached.shapes, live.shapes)
    for index, name in enumerate(CASES):
        full = decode(folder.root / name, size=16, whole=True)
        start = max(0, (len(full) - most) // 2) if most else 0
        expected = full[start : start + (most or len(full))]
        assert np.array_equal(cached.frames(index), expected), name
        everything = np.arange(len(expected))[None]
        assert np.array_equal(live.windows([index], everything)[0], expected), name


@pytest.mark.parametrize("name", CASES)
def test_any_frames_are_those_of_a_full_decode(folder: VideoFolder, name: str) -> None:
    stored, fit = stored_at(folder.root / name), Fit(16, whole=True)
    known, full = survey(stored, "refuse"), decode_video(stored, fit, damaged="refuse").frames
    assert (known.frames, known.height < known.width) == (len(full), full.shape[1] < full.shape[2])
    if name.startswith(("starts", "variable", "long", "doubled", "fragments", "stream", "odd")):
        assert known.frames == FRAMES
    rng = np.random.default_rng(len(name))
    for numbers in ([0], [len(full) - 1], *(rng.integers(0, len(full), 4).tolist() for _ in range(6))):
        assert np.array_equal(read_frames(stored, known, numbers, fit), full[numbers])
    for most in (1, 7, 8):
        start = (len(full) - most) // 2
        assert np.array_equal(decode_video(stored, fit, most).frames, full[start : start + most])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_list_decides_which_frames_there_are(tmp_path: Path, name: str) -> None:
    options, entries, shown = EDITS[name]
    path = h264(**options)(tmp_path / name)
    stored = decode(path, size=16)
    assert np.array_equal(decode(edit_list(path, entries), size=16), stored[shown])


@pytest.mark.parametrize("name", MATRICES)
def test_a_display_matrix_turns_and_mirrors(tmp_path: Path, name: str) -> None:
    path = h264(5)(tmp_path / "a.mp4")
    stored = decode(path, size=48, whole=True)
    shown = decode(with_matrix(path, *MATRICES[name][0]), size=48, whole=True)
    assert np.array_equal(shown, MATRICES[name][1](stored))


@pytest.mark.parametrize("name", CASES)
def test_the_other_decoder_gives_the_same_frames(folder: VideoFolder, name: str) -> None:
    """Colours are interpolated in another way; so each frame is nearer to its own than to its neighbour."""
    try:
        with_torchcodec = decoder("torchcodec")
    except DataError:
        pytest.skip("torchcodec is an extra")
    video, fit = stored_at(folder.root / name), Fit(37 if name == "odd.mkv" else 48, whole=True)
    for most in (None, 7):
        one, other = (decode(video, fit, most).frames.astype(int) for decode in (decode_video, with_torchcodec))
        assert one.shape == other.shape
        apart, shifted = np.abs(one - other).mean(), np.abs(one[1:] - other[:-1]).mean()
        assert apart < 12
        assert shifted > 2 * apart


def test_forty_hidden_frames_of_a_hundred(tmp_path: Path) -> None:
    path = h264(100, g="50", bf="2")(tmp_path / "a.mp4")
    whole = decode(path, size=16)
    edit_list(path, [(40, 60)])
    assert np.array_equal(decode(path, size=16), whole[40:])
    assert np.array_equal(decode(path, size=16, max_frames=8), whole[66:74])
