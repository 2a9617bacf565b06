from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from vidrobust.data.decoding.encode import write_video


def picture(frames: int, size: int = 32, seed: int = 0) -> np.ndarray:
    """A smooth coloured texture that moves to the right by a pixel a frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(40, 215, (size // 4, (size + frames) // 4 + 1, 3))
    wide = coarse.repeat(4, 0).repeat(4, 1).astype(np.uint8)
    return np.stack([wide[:size, frames - t : frames - t + size] for t in range(frames)])


@pytest.fixture
def moving() -> Callable[..., np.ndarray]:
    return picture


@pytest.fixture(scope="session")
def avi(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real video: 6 frames of 32 × 32."""
    path = tmp_path_factory.mktemp("video") / "a.avi"
    write_video(path, picture(6))
    return path.read_bytes()


@pytest.fixture
def ucf(tmp_path: Path, avi: bytes) -> Path:
    """UCF-101's layout in small: 2 classes, 4 groups of 2 clips; groups 1 for test, 2 to 4 for training."""
    return make_ucf(tmp_path / "set", avi)


@pytest.fixture
def make() -> Callable[..., Path]:
    return make_ucf


def make_ucf(root: Path, avi: bytes, classes: Sequence[str] = ("Archery", "Bowling")) -> Path:
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes, 1)))
    train, test = "", ""
    for label, name in enumerate(classes, 1):
        (root / name).mkdir()
        for group in range(1, 5):
            for clip in (1, 2):
                entry = f"{name}/v_{name}_g{group:02d}_c{clip:02d}.avi"
                (root / entry).write_bytes(avi)
                test += f"{entry}\n" if group == 1 else ""
                train += f"{entry} {label}\n" if group > 1 else ""
    (lists / "trainlist01.txt").write_text(train)
    (lists / "testlist01.txt").write_text(test)
    return root
