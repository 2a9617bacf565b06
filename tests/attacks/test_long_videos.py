"""The memory of attacks on longer and longer clips: copies of the clip grow, activations do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIDDLE, LONGEST, SIZE = 512, 1024, 32
COPY = 4 * 3 * SIZE * SIZE
"""Bytes of a frame in float32."""

RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
"""Makes glibc give memory back when it is freed: what it keeps for later differs from run to run."""

SCRIPT = """
import re, sys
import torch
from torch import nn
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.evaluation.defences import Defended, FrameShuffle
from vidrobust.evaluation.videos import VideoClassifier, each_view
from vidrobust.fast.spilled import spill
from vidrobust.fast.view import answers
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig
from vidrobust.threats import Linf, Threat

def resident(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

name, frames, size, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] or None
torch.set_num_threads(1)
torch.manual_seed(0)
strides = ((1, 1, 1), (2, 2, 2))
shape = ResNet3dConfig(classes=5, widths=(16, 16), layers=(2, 1), strides=strides, stem_width=16)
model = ResNet3d(shape).eval()
pgd = PGD(Threat(Linf(), 1e-4), 1e-5, 2, precision="exact")
attack, subject = {
    "pgd": lambda: (pgd, model),
    "eot": lambda: (EOT(pgd, 2), Defended(model, FrameShuffle(2)).eval()),
    "bpda": lambda: (BPDA(pgd, torch.clone), model),
    "views": lambda: (each_view(pgd, frames // 32), VideoClassifier(model, frames // 32).eval()),
}[name]()
for length in (64, frames):  # the first one loads what is loaded once
    clips = torch.rand(1, 3, length, size, size)
    views = {"views": max(1, length // 32)}.get(name)
    if views:
        attack, subject = each_view(pgd, views), VideoClassifier(model, views).eval()
    with torch.no_grad():
        labels = answers(subject)(clips).argmax(1)  # a clip that is wrong at once would not be attacked
    before = resident("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
    with spill(folder, 2**20):
        found = attack(subject, clips, labels)
assert found.backwards.min() >= 2
print(resident("VmHWM") - before)
"""


def peak(name: str, frames: int, folder: str) -> int:
    """Bytes beyond what a process of its own held, clip included, before the attack."""
    command = [sys.executable, "-c", SCRIPT, name, str(frames), str(SIZE), folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | RETURNED)
    return int(done.stdout.split()[-1])


CASES = [("pgd", "memory", 3), ("bpda", "memory", 4), ("eot", "memory", 5), ("views", "memory", 4), ("pgd", "files", 2)]


@pytest.mark.long
@pytest.mark.parametrize(("name", "held_in", "copies"), CASES)
def test_what_grows_with_the_frames_is_copies_of_the_clip(name: str, held_in: str, copies: int, tmp_path: Path) -> None:
    folder = str(tmp_path) if held_in == "files" else ""
    grown = (peak(name, LONGEST, folder) - peak(name, MIDDLE, folder)) / ((LONGEST - MIDDLE) * COPY)
    assert grown < copies + 0.5, f"from {MIDDLE} to {LONGEST} frames by {grown:.1f} copies of what was added"
