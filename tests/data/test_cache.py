from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidrobust.data import CachedSplit, DataConfig, VideoFolder, cache_root, cached_frames, open_folder
from vidrobust.data.cache import estimate
from vidrobust.data.decoding import decode
from vidrobust.data.decoding.encode import write_video
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.data.subset import spread
from vidrobust.data.videos import Video
from vidrobust.errors import DataError, DecodeError, InputError, RunError

SIZES = {"size": 16, "max_frames": 4}


@pytest.fixture
def folder(ucf):
    return open_folder(ucf)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the files that are decoded from now on."""
    names: list[str] = []
    real = decode.decode_video

    def counted(source: StoredVideo, *options: object) -> decode.Decoded:
        names.append(source.file.name)
        return real(source, *options)

    monkeypatch.setattr(decode, "decode_video", counted)
    return names


def fails(monkeypatch, after: int, error: BaseException) -> None:
    """Decoding works so many times, then raises."""
    real, calls = decode.decode_video, []

    def failing(source: StoredVideo, *options: object) -> decode.Decoded:
        calls.append(source)
        if len(calls) > after:
            raise error
        return real(source, *options)

    monkeypatch.setattr(decode, "decode_video", failing)


def place(root: Path) -> Path:
    (found,) = root.glob("clips/frames-*")
    return found


def frames_in(
    folder: VideoFolder, split: str, cache_root: Path, workers: int = 1, progress: object = None, **fields: Any
) -> CachedSplit:
    """The frames of a split from a cache at some place, with videos as the fields of a configuration ask for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDROBUST_CACHE", str(cache_root))
        return cached_frames(folder, split, DataConfig(frames=1, **fields), workers, progress)  # type: ignore[arg-type]


def test_frames_are_those_of_the_videos(folder, tmp_path):
    cached = frames_in(folder, "train", cache_root=tmp_path / "c", **SIZES)
    assert cached.pixels.dtype == np.uint8
    assert cached.shapes.tolist() == [[4, 16, 16]] * 8
    assert cached.videos == tuple(v.path for v in folder.train)
    assert cached.sources == tuple(f"{folder.classes[v.label]}/{v.group}" for v in folder.train)
    assert cached.labels.tolist() == [v.label for v in folder.train]
    assert cached.skipped == cached.damaged == ()
    for index, video in enumerate(cached.videos):
        assert np.array_equal(cached.frames(index), decode.decode(folder.root / video, **SIZES))
    (window,) = cached.windows([3], np.array([[3, 1, 1]]))
    assert np.array_equal(window, cached.frames(3)[[3, 1, 1]])


def test_whole_frames_keep_their_shape(folder, tmp_path, moving):
    wide = np.concatenate([moving(6), moving(6, seed=1)], 2)
    write_video(folder.root / folder.test[0].path, wide)
    cached = frames_in(folder, "test", size=16, max_frames=0, resolution=16, cache_root=tmp_path)
    assert cached.shapes.tolist() == [[6, 16, 32]] + [[6, 16, 16]] * 3
    assert np.array_equal(cached.frames(0), decode.decode(folder.root / folder.test[0].path, size=16, whole=True))


def test_a_second_call_never_decodes(folder, tmp_path, decoded):
    progress: list[tuple[int, int]] = []
    first = frames_in(
        folder, "train", cache_root=tmp_path / "c", progress=lambda done, of: progress.append((done, of)), **SIZES
    )
    assert len(decoded) == 8
    assert progress == [(n, 8) for n in range(1, 9)]
    second = frames_in(folder, "train", cache_root=tmp_path / "c", skip_bad=True, **SIZES)
    assert len(decoded) == 8
    assert np.array_equal(first.pixels, second.pixels)
    frames_in(folder, "train", cache_root=tmp_path / "c", size=8, max_frames=4)
    frames_in(folder, "train", cache_root=tmp_path / "c", size=16, max_frames=5)
    assert len(decoded) == 24


def test_splits_limits_and_seeds_share_what_is_decoded(ucf, tmp_path, decoded):
    for seed in range(4):
        for split in ("train", "val"):
            frames_in(open_folder(ucf, seed=seed), split, cache_root=tmp_path, **{split: 4 + seed}, **SIZES)
    assert len(decoded) == len(set(decoded)) <= 12


@pytest.mark.parametrize("change", ["time", "content"])
def test_a_changed_file_alone_is_decoded_again(folder, tmp_path, decoded, change, moving):
    frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    file = folder.root / folder.test[1].path
    if change == "content":
        write_video(file, 255 - moving(6))
    os.utime(file, ns=(0, 12345))
    cached = frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert decoded[4:] == [file.name]
    assert np.array_equal(cached.frames(1), decode.decode(file, **SIZES))


def test_writing_to_the_frames_does_not_reach_the_cache(folder, tmp_path):
    frames_in(folder, "test", cache_root=tmp_path, **SIZES).pixels[:] = 7
    assert not (frames_in(folder, "test", cache_root=tmp_path, **SIZES).pixels == 7).all()


def test_several_processes_give_the_same_bytes(tmp_path, make, avi, monkeypatch):
    monkeypatch.setattr("vidrobust.data.parallel.FEW", 1)
    folder = open_folder(make(tmp_path / "set", avi))
    one = frames_in(folder, "train", cache_root=tmp_path / "one", **SIZES)
    two = frames_in(folder, "train", cache_root=tmp_path / "two", workers=2, **SIZES)
    assert np.array_equal(one.pixels, two.pixels)
    assert np.array_equal(one.offsets, two.offsets)


def test_bad_videos_are_an_error_unless_they_are_to_be_skipped(folder, tmp_path):
    bad = folder.root / folder.test[1].path
    bad.write_bytes(bad.read_bytes()[:3000])
    for skipped_before in (False, True):
        with pytest.raises(DecodeError, match=f"{bad.name} is truncated"):
            frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
        if not skipped_before:
            cached = frames_in(folder, "test", cache_root=tmp_path / "c", skip_bad=True, **SIZES)
            assert len(cached.videos) == len(cached.offsets) == len(cached.labels) == 3
            assert [file for file, _ in cached.skipped] == [folder.test[1].path]
            assert "truncated" in cached.skipped[0][1]
    for video in folder.test:
        (folder.root / video.path).write_bytes(b"")
    with pytest.raises(DataError, match="no video of split test can be used"):
        frames_in(folder, "test", cache_root=tmp_path / "c", skip_bad=True, **SIZES)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DecodeError("bad")])
def test_an_interrupted_call_is_taken_up_again(folder, tmp_path, monkeypatch, error):
    whole = frames_in(folder, "train", cache_root=tmp_path / "whole", **SIZES)
    with monkeypatch.context() as patch:
        fails(patch, 3, error)
        with pytest.raises(type(error)):
            frames_in(folder, "train", cache_root=tmp_path / "c", **SIZES)
    with monkeypatch.context() as patch:
        fails(patch, 5, AssertionError("more than the missing five were decoded"))
        again = frames_in(folder, "train", cache_root=tmp_path / "c", **SIZES)
    assert np.array_equal(again.pixels, whole.pixels)
    assert np.array_equal(again.offsets, whole.offsets)


@pytest.mark.parametrize("torn", ["frames", "index", "zeros"])
def test_a_torn_cache_is_mended(folder, tmp_path, monkeypatch, torn):
    whole = frames_in(folder, "test", cache_root=tmp_path / "whole", **SIZES)
    with monkeypatch.context() as patch:
        fails(patch, 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    if torn == "index":
        file = place(tmp_path / "c") / "index.jsonl"
        file.write_bytes(file.read_bytes()[:-5])
    else:
        file = place(tmp_path / "c") / "frames.u8"
        data = file.read_bytes()
        file.write_bytes(data[:-100] + (b"" if torn == "frames" else bytes(100)))
    again = frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert all(np.array_equal(again.frames(n), whole.frames(n)) for n in range(4))


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "VIDROBUST_CACHE")])
def test_a_full_or_closed_disk(folder, tmp_path, monkeypatch, number, words):
    with monkeypatch.context() as patch:
        fails(patch, 2, OSError(number, os.strerror(number)))  # as the write after it would
        with pytest.raises(RunError, match=words):
            frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert len(frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES).videos) == 4


def test_a_disk_without_room_is_refused_beforehand(folder, tmp_path, monkeypatch, decoded):
    few, whole = DataConfig(frames=1, **SIZES), DataConfig(frames=1, size=16, max_frames=0)
    assert estimate(folder.root, folder.test, few) == 4 * 4 * 16 * 16 * 3
    assert estimate(folder.root, folder.test, whole) == 4 * 6 * 16 * 16 * 3
    monkeypatch.setattr("vidrobust.data.cache.room", lambda place: 12_000)
    with pytest.raises(RunError, match=r"needs about 12\.3 kB more, but its disk has 12\.0 kB"):
        frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert decoded == []


SCRIPT = """
import hashlib, os, sys, time
os.environ["VIDROBUST_CACHE"] = sys.argv[2]
from vidrobust.data import DataConfig, cached_frames, open_folder
from vidrobust.data.decoding import decode
real, calls = decode.decode_video, []
def slow(source, *options):
    calls.append(source)
    print("decoding", flush=True)
    time.sleep(float(sys.argv[3]))
    return real(source, *options)
decode.decode_video = slow
cached = cached_frames(open_folder(sys.argv[1]), "train", DataConfig(size=16, frames=1, max_frames=4))
print("result", len(calls), hashlib.sha256(cached.pixels.tobytes()).hexdigest())
"""


def start(folder, cache: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder.root), str(cache), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_decode_once(folder, tmp_path):
    both = [start(folder, tmp_path / "c", 0.02) for _ in range(2)]
    results = [process.communicate(timeout=280)[0].splitlines()[-1].split() for process in both]
    assert sorted(int(calls) for _, calls, _ in results) == [0, 8]
    assert results[0][2] == results[1][2]


def test_a_killed_process_is_taken_up_again(folder, tmp_path, decoded):
    process = start(folder, tmp_path / "c", 0.2)
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=280)
    cached = frames_in(folder, "train", cache_root=tmp_path / "c", **SIZES)
    assert len(decoded) == 5
    assert all(
        np.array_equal(cached.frames(n), decode.decode(folder.root / v, **SIZES)) for n, v in enumerate(cached.videos)
    )


@pytest.mark.parametrize("line", ["{]", '{"offset": 0}', "3"])
def test_a_damaged_cache_is_named(folder, tmp_path, line):
    frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)
    index = place(tmp_path / "c") / "index.jsonl"
    index.write_text(f"{line}\n{index.read_text()}")
    with pytest.raises(DataError, match=f"{index.parent.name} is damaged .* Delete that folder"):
        frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)


@pytest.mark.parametrize("gone", ["index.jsonl", "frames.u8"])
def test_a_cache_without_one_of_its_files_is_made_again(folder, tmp_path, gone):
    first = {split: frames_in(folder, split, cache_root=tmp_path / "c", **SIZES) for split in ("train", "test")}
    (place(tmp_path / "c") / gone).unlink()
    for split in ("test", "train"):  # in another order, so that no video lies where it lay
        again = frames_in(folder, split, cache_root=tmp_path / "c", **SIZES)
        assert all(np.array_equal(again.frames(n), first[split].frames(n)) for n in range(len(again.videos)))


def test_a_video_that_went_away_is_named(folder, tmp_path):
    (folder.root / folder.test[2].path).unlink()
    with pytest.raises(DataError, match=Path(folder.test[2].path).name):
        frames_in(folder, "test", cache_root=tmp_path / "c", **SIZES)


def test_a_limit_is_spread_over_classes_and_groups():
    videos = [
        Video(f"{label}/{group}/{clip}", label, f"g{group}")
        for label in range(3)
        for group in range(4)
        for clip in range(5)
    ]
    for limit in (1, 2, 3, 7, 12, 30, 60, 99):
        chosen = spread(videos, limit)
        assert chosen == spread(videos, limit)
        assert len(chosen) == min(limit, 60)
        assert list(chosen) == [v for v in videos if v in chosen]
        for count in (Counter(v.label for v in chosen), Counter((v.label, v.group) for v in chosen if v.label == 0)):
            assert max(count.values()) - min(count.values()) <= 1
    assert {v.group for v in spread(videos, 12)} == {"g0", "g1", "g2", "g3"}
    with pytest.raises(InputError):
        spread(videos, 0)


def test_a_limit_decodes_no_more(folder, tmp_path, decoded):
    cached = frames_in(folder, "train", cache_root=tmp_path / "c", train=4, **SIZES)
    assert len(decoded) == 4
    assert Counter(cached.labels.tolist()) == {0: 2, 1: 2}
    assert len(set(cached.sources)) == 4


def test_where_caches_go(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("VIDROBUST_CACHE")
    assert cache_root() == tmp_path / "xdg" / "vidrobust"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache" / "vidrobust"


def test_folders_and_caches_do_not_import_torch_or_a_decoder():
    code = "import sys, vidrobust.data as d; d.motion; print([m for m in ('torch', 'av', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
