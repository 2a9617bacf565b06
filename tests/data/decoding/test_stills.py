"""Folders of frames: images of any depth and orientation are what an image viewer shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.data_videos import film, stills
from PIL import Image, ImageOps

from vidrobust.data.decoding.decode import decode, decode_video
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.random_access import read_frames, survey
from vidrobust.data.decoding.stored import stored_at
from vidrobust.errors import DecodeError


def test_deep_grey_keeps_its_brightness(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    for number in (1, 2):
        Image.fromarray(levels).save(tmp_path / f"{number}.png")
    found = decode(tmp_path, size=32)
    assert np.array_equal(found[0], np.repeat((levels >> 8)[..., None], 3, -1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_other_modes_are_colours(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(film(1)[0]).convert(mode)
    image.save(tmp_path / ("1.jpg" if mode == "CMYK" else "1.png"))
    expected = np.asarray(Image.open(next(tmp_path.iterdir())).convert("RGB"))
    assert np.array_equal(decode(tmp_path, size=48, whole=True)[0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_the_orientation_of_a_camera_is_carried_out(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for number, frame in enumerate(film(3, 96, 128), 1):
        Image.fromarray(frame).save(tmp_path / f"{number}.{suffix}", exif=exif)
    upright = [np.asarray(ImageOps.exif_transpose(Image.open(path))) for path in sorted(tmp_path.iterdir())]
    stored, fit = stored_at(tmp_path), Fit(96, whole=True)
    assert np.array_equal(decode_video(stored, fit).frames, upright)
    known = survey(stored)
    assert (known.width, known.height) == ((96, 128) if orientation > 4 else (128, 96))
    small = decode(tmp_path, size=12, whole=True)
    assert small.shape == (3, 16, 12, 3) if orientation > 4 else (3, 12, 16, 3)
    assert np.array_equal(read_frames(stored, known, [2, 0], Fit(12, whole=True)), small[[2, 0]])


def test_an_image_cut_short_is_lost_however_it_is_read(tmp_path: Path) -> None:
    folder = stills(tmp_path / "frames", film(20))
    file = folder / "image_00009.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    found, known = decode_video(stored_at(folder), Fit(16)), survey(stored_at(folder))
    assert (len(found.frames), found.lost, known.frames, known.lost) == (19, 1, 19, 1)
    assert np.array_equal(read_frames(stored_at(folder), known, range(19), Fit(16)), found.frames)
    assert np.array_equal(decode_video(stored_at(folder), Fit(16), 5).frames, found.frames[7:12])
    with pytest.raises(DecodeError, match="1 of 20 frames"):
        decode(folder, size=16)
