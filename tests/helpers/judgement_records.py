"""Records of judgements, made by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidrobust.results.judgements.record import Judgement, accuracy_record, write_judgement
from vidrobust.runs.keys import content_key


def record(distance: Sequence[float | None], *, weights: str = "a", eps: float = 8.0, **changed: Any) -> dict[str, Any]:
    """A record of clips with a source each, wrong as they are where their distance is 0."""
    listed = [
        {
            "video": f"video {number}",
            "source": f"source {number}",
            "label": number % 3,
            "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        }
        for number in range(len(distance))
    ]
    of = [clip["source"] for clip in listed]
    right = [int(size != 0) for size in distance]
    alive = [int(size is None or size > eps) for size in distance]
    threat = {"norm": "Linf", "eps": eps, "support": "WholeClip", "worst_case": accuracy_record(alive, of)}
    threat |= {"distance": list(distance), "found_by": ["" if size is None else "PGD" for size in distance]}
    made = {
        "schema": "vidrobust.judgement/1",
        "verdict": "trust",
        "reasons": [],
        "model": {"name": f"model {weights}", "weights": weights * 16},
        "data": {"name": "given", "split": "test"},
        "clips": {"hash": content_key(listed), "shape": [3, 2, 8, 8], "list": listed},
        "clean": {**accuracy_record(right, of), "right": "".join(map(str, right))},
        "threats": [threat],
        "checks": [],
        "ensemble": {"steps": 100},
        "code": {"version": "0", "revision": "unknown"},
        "gradients": 1000,
    }
    return made | changed


def with_its_hash(made: dict[str, Any]) -> dict[str, Any]:
    """The record, once its list of clips has been changed."""
    made["clips"]["hash"] = content_key(made["clips"]["list"])
    return made


def stored(folder: Path, made: dict[str, Any]) -> Judgement:
    """The record in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_judgement(folder, made)
