"""What was derived from a file is used as long as the file is the same, and no longer, whatever its times say."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.data_videos import film, stills, write

from vidrobust.data import DataConfig, Video, VideoFolder, cached_frames, freshness, open_folder
from vidrobust.data.check import check_data
from vidrobust.data.decoding.decode import decode
from vidrobust.data.leaks import check_contents
from vidrobust.data.live import live_frames
from vidrobust.errors import DataError

CONFIG = DataConfig(frames=1, size=16, max_frames=0)


def as_folder(path: Path) -> VideoFolder:
    return VideoFolder("one", path.parent, ("a",), (Video(path.name, 0, path.name),), (), ())


def pixels(path: Path) -> list[np.ndarray]:
    """The frames of a video from the cache and live."""
    cached, live = (opened(as_folder(path), "train", CONFIG) for opened in (cached_frames, live_frames))
    return [cached.frames(0), live.windows([0], np.arange(live.shapes[0, 0])[None])[0]]


@pytest.fixture(params=["just now", "long ago"])
def _clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are looked at as soon as they are written, or after a while."""
    if request.param == "long ago":
        monkeypatch.setattr(freshness, "COARSE", -1)


@pytest.mark.usefixtures("_clock")
def test_frames_extracted_again_in_place_give_the_new_pictures(tmp_path: Path) -> None:
    folder = stills(tmp_path / "frames", film(6))
    before, times = pixels(folder), folder.stat()
    stills(folder, film(6, seed=1))
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))
    for old, new in zip(before, pixels(folder), strict=True):
        assert not np.array_equal(old, new)
        assert np.array_equal(new, decode(folder, size=16))


@pytest.mark.usefixtures("_clock")
@pytest.mark.parametrize("kind", ["video", "frames"])
def test_a_file_replaced_with_the_same_size_and_time_gives_the_new_pictures(tmp_path: Path, kind: str) -> None:
    def made(seed: int) -> Path:
        if kind == "frames":
            return stills(tmp_path / "frames", film(2, 16, 16, seed=seed), "{}.png")
        return write(tmp_path / "a.avi", film(6, seed=seed), "rawvideo")

    path = made(0)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    times, largest = [file.stat() for file in files], [0] * len(files)
    for seed in (0, 1):  # PNG files of different pictures: zeros behind the end make them equally long
        made(seed)
        largest = [max(a, file.stat().st_size) for a, file in zip(largest, files, strict=True)]
    seen = []
    for seed in (0, 1):
        made(seed)
        for file, size, time in zip(files, largest, times, strict=True):
            file.write_bytes(file.read_bytes().ljust(size, b"\0"))
            os.utime(file, ns=(time.st_atime_ns, time.st_mtime_ns))
        seen.append(pixels(path))
    for old, new in zip(*seen, strict=True):
        assert not np.array_equal(old, new)
        assert np.array_equal(new, decode(path, size=16))


def test_a_file_whose_rights_alone_changed_is_compared_once_and_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidrobust.data.decoding import decode as module
    from vidrobust.data.decoding.stored import StoredVideo

    monkeypatch.setattr(freshness, "COARSE", -1)
    path = write(tmp_path / "a.avi", film(6))
    first = cached_frames(as_folder(path), "train", CONFIG).frames(0).copy()
    path.chmod(0o600)
    compared: list[StoredVideo] = []
    digest = StoredVideo.digest
    monkeypatch.setattr(StoredVideo, "digest", lambda video: compared.append(video) or digest(video))
    monkeypatch.setattr(module, "decode_video", lambda *_: pytest.fail("decoded again"))
    for _ in range(3):
        assert np.array_equal(cached_frames(as_folder(path), "train", CONFIG).frames(0), first)
    assert len(compared) == 1


def test_a_leak_by_content_is_found_though_the_times_did_not_change(tmp_path: Path) -> None:
    for split, seeds in (("train", (0, 1, 2)), ("test", (3, 4))):
        for label, title in enumerate(("cat", "dog")):
            for seed in seeds:
                write(tmp_path / split / title / f"{seed}.avi", film(3, 16, 16, seed=seed + 10 * label), "rawvideo")
    one, other = tmp_path / "train/cat/0.avi", tmp_path / "test/cat/3.avi"
    times = other.stat()
    check_contents(open_folder(tmp_path))
    other.write_bytes(one.read_bytes())
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(DataError, match="hold the same file"):
        check_contents(open_folder(tmp_path))


def links_out(folder: Path, outside: Path) -> None:
    secret = stills(outside / "secret", film(1)) / "image_00001.jpg"
    (folder / "image_00003.jpg").unlink()
    (folder / "image_00003.jpg").symlink_to(secret)


def pipe(folder: Path, outside: Path) -> None:
    (folder / "image_00003.jpg").unlink()
    os.mkfifo(folder / "image_00003.jpg")


def device(folder: Path, outside: Path) -> None:
    (folder / "image_00003.jpg").unlink()
    (folder / "image_00003.jpg").symlink_to("/dev/zero")


@pytest.mark.parametrize("spoil", [links_out, pipe, device])
def test_a_frame_is_a_regular_file_within_the_data_set(tmp_path: Path, spoil: Callable[[Path, Path], None]) -> None:
    root = tmp_path / "set"
    for title in ("cat", "dog"):
        for number in range(3):
            stills(root / title / str(number), film(4, seed=number + 10 * (title == "dog")))
    spoil(root / "cat/1", tmp_path)
    report = check_data(root)
    assert {(one["file"], one["outcome"]) for one in report["files"]} == {("cat/1", "unreadable")}
    assert "image_00003.jpg" in report["files"][0]["reason"]
    assert report["outcomes"] == {"ok": 5, "unreadable": 1}
    assert not report["usable"]


def test_a_link_to_a_frame_within_the_data_set_is_followed(tmp_path: Path) -> None:
    for title in ("cat", "dog"):
        for number in range(3):
            stills(tmp_path / title / str(number), film(4, seed=number + 10 * (title == "dog")))
    frame = tmp_path / "cat/1/image_00003.jpg"
    frame.unlink()
    frame.symlink_to("../2/image_00001.jpg")
    assert check_data(tmp_path)["outcomes"] == {"ok": 6}


def test_a_pipe_in_place_of_a_video_is_named_and_nothing_waits_for_it(tmp_path: Path) -> None:
    for title in ("cat", "dog"):
        for number in range(3):
            write(tmp_path / title / f"{number}.avi", film(3, 16, 16, seed=number + 10 * (title == "dog")))
    (tmp_path / "dog/1.avi").unlink()
    os.mkfifo(tmp_path / "dog/1.avi")
    report = check_data(tmp_path)
    assert [(one["file"], one["outcome"]) for one in report["files"]] == [("dog/1.avi", "unreadable")]
    assert "is no file, but a pipe or a device" in report["files"][0]["reason"]
