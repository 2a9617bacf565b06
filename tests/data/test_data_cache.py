from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vidrobust.data import cache_root, cached_frames, decode, open_folder
from vidrobust.data.cache import spread
from vidrobust.data.folders import Video
from vidrobust.errors import DataError, DecodeError, InputError, RunError

SIZES = {"size": 16, "max_frames": 4}


@pytest.fixture
def folder(ucf):
    return open_folder(ucf)


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the files that are decoded from now on."""
    names: list[str] = []
    real = decode.decode

    def counted(path: Path, **options: int) -> np.ndarray:
        names.append(path.name)
        return real(path, **options)

    monkeypatch.setattr(decode, "decode", counted)
    return names


def test_frames_are_those_of_the_videos(folder, tmp_path):
    cached = cached_frames(folder, "train", cache_root=tmp_path / "c", **SIZES)
    assert cached.frames.shape == (8 * 4, 16, 16, 3)
    assert cached.frames.dtype == np.uint8
    assert cached.offsets.tolist() == list(range(0, 33, 4))
    assert cached.videos == tuple(v.path for v in folder.train)
    assert cached.groups == tuple(v.group for v in folder.train)
    assert cached.labels.tolist() == [v.label for v in folder.train]
    assert cached.skipped == ()
    assert np.array_equal(cached.frames[4:8], decode.decode(folder.root / cached.videos[1], **SIZES))


def test_a_second_call_never_decodes(folder, tmp_path, decoded):
    progress: list[tuple[int, int]] = []
    first = cached_frames(
        folder, "train", cache_root=tmp_path / "c", progress=lambda done, of: progress.append((done, of)), **SIZES
    )
    assert len(decoded) == 8
    assert progress == [(n, 8) for n in range(1, 9)]
    second = cached_frames(folder, "train", cache_root=tmp_path / "c", skip_bad=True, **SIZES)
    assert len(decoded) == 8
    assert np.array_equal(first.frames, second.frames)
    cached_frames(folder, "train", cache_root=tmp_path / "c", size=8, max_frames=4)
    cached_frames(folder, "train", cache_root=tmp_path / "c", size=16, max_frames=5)
    assert len(decoded) == 24


@pytest.mark.parametrize("change", ["time", "content"])
def test_a_changed_file_is_decoded_again(folder, tmp_path, decoded, change):
    cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)
    file = folder.root / folder.test[0].path
    if change == "content":
        file.write_bytes(file.read_bytes() + b"tail")
    os.utime(file, ns=(0, 12345))
    cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert len(decoded) == 8


def test_writing_to_the_frames_does_not_reach_the_cache(folder, tmp_path):
    cached_frames(folder, "test", cache_root=tmp_path, **SIZES).frames[:] = 7
    assert not (cached_frames(folder, "test", cache_root=tmp_path, **SIZES).frames == 7).all()


def test_bad_videos_are_an_error_unless_they_are_to_be_skipped(folder, tmp_path):
    bad = folder.root / folder.test[1].path
    bad.write_bytes(bad.read_bytes()[:3000])
    for skipped_before in (False, True):
        with pytest.raises(DecodeError, match=f"{bad.name} is truncated"):
            cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)
        if not skipped_before:
            cached = cached_frames(folder, "test", cache_root=tmp_path / "c", skip_bad=True, **SIZES)
            assert len(cached.videos) == len(cached.offsets) - 1 == len(cached.labels) == 3
            assert [file for file, _ in cached.skipped] == [folder.test[1].path]
            assert "truncated" in cached.skipped[0][1]
    for video in folder.test:
        (folder.root / video.path).write_bytes(b"")
    with pytest.raises(DataError, match="no video of split test can be used"):
        cached_frames(folder, "test", cache_root=tmp_path / "c", skip_bad=True, **SIZES)


def test_an_interrupted_call_leaves_no_cache(folder, tmp_path, monkeypatch):
    calls = []

    def interrupted(path: Path, **options: int) -> np.ndarray:
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.zeros((4, 16, 16, 3), np.uint8)

    monkeypatch.setattr(decode, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert [file.suffix for file in (tmp_path / "c").iterdir()] == [".lock"]


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "VIDROBUST_CACHE")])
def test_a_full_or_closed_disk(folder, tmp_path, monkeypatch, number, words):
    def fails(path: Path, **options: int) -> np.ndarray:
        raise OSError(number, os.strerror(number))  # as the write after it would

    monkeypatch.setattr(decode, "decode", fails)
    with pytest.raises(RunError, match=words):
        cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)
    assert not list((tmp_path / "c").glob("frames-*"))


SCRIPT = """
import hashlib, sys, time
from pathlib import Path
from vidrobust.data import cached_frames, decode, open_folder
real, calls = decode.decode, []
def slow(path, **options):
    calls.append(path)
    print("decoding", flush=True)
    time.sleep(float(sys.argv[3]))
    return real(path, **options)
decode.decode = slow
cached = cached_frames(open_folder(sys.argv[1]), "train", size=16, max_frames=4, cache_root=Path(sys.argv[2]))
print("result", len(calls), hashlib.sha256(cached.frames.tobytes()).hexdigest())
"""


def start(folder, cache: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder.root), str(cache), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_decode_once(folder, tmp_path):
    both = [start(folder, tmp_path / "c", 0.02) for _ in range(2)]
    results = [process.communicate(timeout=60)[0].splitlines()[-1].split() for process in both]
    assert sorted(int(calls) for _, calls, _ in results) == [0, 8]
    assert results[0][2] == results[1][2]


def test_a_killed_process_leaves_nothing_that_is_taken_for_a_cache(folder, tmp_path, decoded):
    process = start(folder, tmp_path / "c", 0.2)
    assert process.stdout is not None
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert list((tmp_path / "c").glob(".frames-*.part"))
    cached = cached_frames(folder, "train", cache_root=tmp_path / "c", **SIZES)
    assert len(decoded) == 8
    assert len(cached.frames) == 32
    assert not list((tmp_path / "c").glob(".frames-*.part"))


@pytest.mark.parametrize("damage", ["short", "index", "gone"])
def test_a_damaged_cache_is_named(folder, tmp_path, damage):
    cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)
    (place,) = (tmp_path / "c").glob("frames-*")
    if damage == "short":
        (place / "frames.u8").write_bytes(b"123")
    elif damage == "index":
        (place / "index.json").write_text(json.dumps({"offsets": [0]}))
    else:
        (place / "index.json").unlink()
    with pytest.raises(DataError, match=f"{place.name} is damaged .* Delete that folder"):
        cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)


def test_a_video_that_went_away_is_named(folder, tmp_path):
    (folder.root / folder.test[2].path).unlink()
    with pytest.raises(DataError, match=Path(folder.test[2].path).name):
        cached_frames(folder, "test", cache_root=tmp_path / "c", **SIZES)


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
    cached = cached_frames(folder, "train", cache_root=tmp_path / "c", limit=4, **SIZES)
    assert len(decoded) == 4
    assert Counter(cached.labels.tolist()) == {0: 2, 1: 2}
    assert len(set(cached.groups)) == 2


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
