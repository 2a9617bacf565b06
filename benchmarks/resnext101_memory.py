"""The peak memory of an attack on one full-size clip: 3D-ResNeXt-101, 101 classes, 64×112×112, PGD.

    python benchmarks/resnext101_memory.py [--steps 5] [--precision auto|exact] [--limit 6] [--lean]

`--lean` behaves as if no memory were free: the clip is run in segments, and what they save computed again.
Prints seconds and the peak resident set of the process, torch and model included, and fails above the limit in GiB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import torch

import vidrobust as vr
from vidrobust.fast import view


def main() -> None:
    """Attack one clip and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--precision", choices=["auto", "exact"], default="auto")
    parser.add_argument("--limit", type=float, default=6.0, help="GiB")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--lean", action="store_true")
    values = parser.parse_args()
    if values.lean:
        view.free_memory = lambda device: 0
    model = vr.models.build("resnext3d-101", classes=101).eval()
    generator = torch.Generator().manual_seed(0)
    clips = torch.rand(values.clips, 3, values.frames, 112, 112, generator=generator)
    labels = model(clips[:1]).argmax(1).expand(values.clips).contiguous()
    attack = vr.PGD(vr.Threat(vr.Linf(), eps=8 / 255), 2 / 255, values.steps, precision=values.precision, keep="last")
    started = time.perf_counter()
    result = attack(model, clips, labels)
    seconds = time.perf_counter() - started
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30
    moved = float((result.clips - clips).abs().max()) * 255
    done = f"{values.steps} steps on {values.clips} clip(s), |δ| up to {moved:.2f}/255"
    print(f"{done}: {seconds:.1f} s, peak {peak:.2f} GiB")
    if peak > values.limit:
        sys.exit(f"the peak of {peak:.2f} GiB is above {values.limit} GiB")


if __name__ == "__main__":
    main()
