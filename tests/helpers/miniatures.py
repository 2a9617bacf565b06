"""UCF-101, HMDB-51 and Kinetics in small: their own encodings, names and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.data_videos import film, write

UCF = ("ApplyEyeMakeup", "HandstandPushups", "YoYo")
HMDB = ("brush_hair", "shoot_bow", "wave")
KINETICS = ("air drumming", "playing guitar", "zumba")


def moving(label: int, seed: int, frames: int, height: int, width: int) -> np.ndarray:
    """A class is a way to move: to the right, downwards, or not at all; every source another texture."""
    still = film(1, height + frames, width + frames, seed=1000 + seed)[0]
    right, down = ((2, 0), (0, 2), (0, 0))[label % 3]
    offsets = [(down * t % frames, right * t % frames) for t in range(frames)]
    return np.stack([still[top : top + height, left : left + width] for top, left in offsets])


def ucf101(root: Path, *, newline: str = "\n", labelled: bool = True, size: tuple[int, int] = (48, 64)) -> Path:
    """Xvid in AVI, 25 fps; groups 1 and 2 for test, 3 to 7 for training, as in the official split 1."""
    train, test = [], []
    for label, name in enumerate(UCF, 1):
        title = name.replace("Handstand", "HandStand")  # the files' spelling, and not the folder's
        for group in range(1, 8):
            for clip in (1, 2):
                file = f"{name}/v_{title}_g{group:02d}_c{clip:02d}.avi"
                frames = moving(label, 100 * group + 10 * clip + label, 12 + group, *size)
                write(root / "UCF-101" / file, frames, tag="XVID", g="12")
                if group < 3:
                    test.append(file)
                else:
                    train.append(f"{file} {label}" if labelled else file)
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    for name, lines in {
        "classInd.txt": [f"{label} {name}" for label, name in enumerate(UCF, 1)],
        "trainlist01.txt": train,
        "testlist01.txt": test,
    }.items():
        (lists / name).write_bytes((newline.join(lines) + newline).encode())
    return root


def hmdb51(root: Path, *, size: tuple[int, int] = (48, 64)) -> Path:
    """Xvid in AVI, 30 fps; sources of several clips each; 70 % train, 30 % test, the rest unused, in three splits."""
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for label, name in enumerate(HMDB):
        lines: dict[int, list[str]] = {1: [], 2: [], 3: []}
        for source in range(7):
            title = ("April_09", "#122_Cleaning_Up_(HD)", "20060723sfjffb!", "AMADEUS", "Best_of&Co;", "x+y", "[old]")[
                source
            ]
            for clip in range(2):
                file = f"{title}_{name}_{'fhul'[source % 4]}_nm_np1_{'frbaleri'[2 * (source % 4) :][:2]}_goo_{clip}.avi"
                frames = moving(label, 7000 + 100 * source + 10 * clip + label, 14 + source, *size)
                write(root / name / file, frames, fps=30, tag="XVID")
                for split, said in lines.items():
                    use = 0 if source == 6 else 2 if source in (split - 1, split) else 1
                    said.append(f"{file} {use} ")
        for split, said in lines.items():
            (lists / f"{name}_test_split{split}.txt").write_text("\n".join(said) + "\n")
    return root


def kinetics(root: Path, *, placed: str = "classes", size: tuple[int, int] = (48, 64)) -> Path:
    """H.264 in MP4 of several sizes and rates; some clips of the lists are missing, and the test list has no labels.

    Args:
        root: where.
        placed: ``classes`` (split, then class folders), ``splits``, or ``flat``.
        size: height and width of most.
    """
    root.mkdir(parents=True)
    heads = "label,youtube_id,time_start,time_end,split,is_cc"
    rows: dict[str, list[str]] = {"train": [heads], "validate": [heads], "test": [heads.partition(",")[2]]}
    for label, name in enumerate(KINETICS):
        for number in range(10):
            split = "train" if number < 7 else "validate" if number < 9 else "test"
            video, start = f"-{label}_Xy{number}aBc-Z", 7 * number
            said = f"{video},{start},{start + 10},{split},{number % 2}"
            rows[split].append(said if split == "test" else f'"{name}",{said}')
            if number == 3:
                continue  # gone from YouTube
            folder = {"classes": f"{split}/{name}", "splits": split, "flat": "."}[placed]
            height, width = size if number % 2 else size[::-1]
            frames = moving(label, 900 + 10 * number + label, 15 + number, height, width)
            file = root / folder / f"{video}_{start:06d}_{start + 10:06d}.mp4"
            write(file, frames, "libx264", fps=(25, 30, 15)[number % 3], g="10")
    for split, lines in rows.items():
        (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root
