"""What a judgement costs beside AutoAttack alone on the same clips, and whether it is weaker anywhere.

    python benchmarks/judging.py RUN [--eps 8] [--clips 64] [--split test]

Prints one JSON line: CPU seconds of either in one process with one thread (a busy neighbour slows the clock on the
wall), the clips that stand under either, those that AutoAttack broke and the judgement did not, and the ratio of times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import torch  # noqa: E402

from vidrobust import AutoAttack, Linf, Threat  # noqa: E402
from vidrobust.attacks.base import RobustnessWarning  # noqa: E402
from vidrobust.evaluation.clips import BATCH  # noqa: E402
from vidrobust.results.judgements.record import stands  # noqa: E402
from vidrobust.study.judgement import judge  # noqa: E402
from vidrobust.study.trained import Trained  # noqa: E402


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="standard", help="of a study, which model")
    parser.add_argument("--eps", type=float, default=8.0, help="in 1/255")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--split", default="test", choices=["train", "val", "test"])
    values = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(measure(Trained.find(values.run, values.model), values.eps, values.clips, values.split)))


def measure(found: Trained, eps: float, clips: int, split: str) -> dict[str, object]:
    """AutoAttack, then the judgement, on the same clips."""
    model, chosen = found.model.eval(), found.clips(split, clips)
    alive, begun = [], time.process_time()
    for rows in torch.arange(len(chosen)).split(BATCH):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RobustnessWarning)
            result = AutoAttack(Threat(Linf(), eps / 255))(model, chosen.centre(rows), chosen.labels[rows])
        alive += (~result.success).tolist()
    alone = time.process_time() - begun
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        record = judge(model, chosen, threats=[f"Linf({eps:g})"], clips=0, out=Path(folder) / "run").record
        whole = time.process_time() - begun
    judged = stands(record["threats"][0])
    return {
        "model": found.name,
        "eps": eps,
        "clips": len(chosen),
        "clean": record["clean"]["correct"],
        "autoattack_stand": sum(alive),
        "judge_stand": sum(judged),
        "broken_by_autoattack_alone": sum(mine and not theirs for mine, theirs in zip(judged, alive, strict=True)),
        "autoattack_cpu_seconds": round(alone, 1),
        "judge_cpu_seconds": round(whole, 1),
        "ratio": round(whole / alone, 2),
        "verdict": record["verdict"],
        "reasons": record["reasons"],
    }


if __name__ == "__main__":
    main()
