"""``judgement.json``: the measurements of a model, and whether they can be trusted. It contains only data, no code.

Beside it lie the adversarial clips, exactly as the model saw them: of each the difference of its float32 pixels' bit
patterns from those of the clean clip, as whole numbers.
"""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidrobust.errors import RunError
from vidrobust.notation.calls import NORMS, read_call
from vidrobust.notation.scanner import ParseError
from vidrobust.results.judgements.schema import VERSION, faults
from vidrobust.results.numbers.rules import RULES, Measured
from vidrobust.results.numbers.statistics import Estimate, accuracy_estimate
from vidrobust.runs.arrays import DAMAGE, read_array
from vidrobust.runs.files import refuse_irregular, write_atomic
from vidrobust.runs.keys import content_key
from vidrobust.runs.once import each_once

NAME = "judgement.json"

LARGEST = 256 * 2**20
"""Bytes of a record, at most."""


@dataclass(frozen=True)
class Judgement:
    """A judgement that was read.

    Attributes:
        path: of its file.
        record: its content, which keeps the schema.
    """

    path: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.record["model"]["name"]

    @property
    def trust(self) -> bool:
        """Are its numbers to be believed?"""
        return self.record["verdict"] == "trust"

    @property
    def sources(self) -> list[str]:
        """The source of each clip."""
        return [clip["source"] for clip in self.record["clips"]["list"]]

    def threat(self, key: tuple[str, float, str]) -> dict[str, Any] | None:
        """What was measured under a norm, an ε (1/255) and a support."""
        return next((threat for threat in self.record["threats"] if key_of(threat) == key), None)


def key_of(threat: dict[str, Any]) -> tuple[str, float, str]:
    """What identifies a threat: norm, ε (1/255) and support."""
    return threat["norm"], float(threat["eps"]), threat["support"]


def threat_name(norm: str, eps: float, support: str) -> str:
    """A threat in a few characters.

    >>> threat_name("Linf", 8.0, "WholeClip"), threat_name("L2", 128.0, "Border(ratio=0.1)")
    ('Linf(8)', 'L2(128, Border(ratio=0.1))')
    """
    return f"{norm}({eps:g})" if support == "WholeClip" else f"{norm}({eps:g}, {support})"


def stands(threat: dict[str, Any]) -> list[int]:
    """For each clip 1 if no perturbation is known that breaks it at the threat's ε, else 0."""
    return [int(distance is None or distance > threat["eps"]) for distance in threat["distance"]]


def accuracy_record(correct: list[int], sources: list[str]) -> dict[str, Any]:
    """A count with its clustered interval, as records hold it."""
    found: Estimate = accuracy_estimate(correct, sources)
    return {
        "correct": int(sum(correct)),
        "clips": len(correct),
        "low": round(found.low, 6),
        "high": round(found.high, 6),
        "sources": found.sources,
    }


def write_judgement(folder: Path, record: dict[str, Any]) -> Judgement:
    """Write a record, atomically, in its order; what does not keep the schema is a fault of ours."""
    wrong = next(faults(record), None)
    if wrong is not None:
        raise ValueError(f"not a judgement: {wrong}")
    text = json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    write_atomic(folder / NAME, text.encode())
    return Judgement(folder / NAME, record)


def read_judgement(path: str | Path) -> Judgement:
    """Read the record of a judgement from its file or its folder.

    Raises:
        RunError: there is none, or it is damaged, too large, of another schema, or its numbers contradict each other.
    """
    file = Path(path)
    file = file / NAME if file.is_dir() else file
    refuse_irregular(file)
    try:
        if file.stat().st_size > LARGEST:
            raise RunError(f"{file} has {file.stat().st_size} bytes, over {LARGEST}: no judgement is so large.")
        record = json.loads(file.read_bytes(), parse_constant=_no_number, object_pairs_hook=each_once)
    except FileNotFoundError as error:
        raise RunError(f"{file} does not exist. Give the folder that `vidrobust judge --out` wrote.") from error
    except OSError as error:
        raise RunError(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged: it is no JSON ({str(error)[:100]}). Judge again.") from error
    if not isinstance(record, dict) or record.get("schema") != VERSION:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise RunError(f"{file} is of the schema {ascii(found)[:60]}; this version reads {VERSION!r}. Judge again.")
    wrong = next(faults(record), None) or next(_contradictions(record), None)
    if wrong is not None:
        raise RunError(f"{file} is damaged: {wrong}. Judge again, or get it anew.")
    return Judgement(file, record)


def _no_number(text: str) -> None:
    """NaN and Infinity are no JSON."""
    raise ValueError(f"{text} is no number")


def _contradictions(record: dict[str, Any]) -> Any:
    """What does not fit together in a record whose fields are right one by one."""
    listed, right = record["clips"]["list"], record["clean"]["right"]
    clips, sources = len(listed), len({clip["source"] for clip in listed})
    if len(right) != clips or record["clean"]["clips"] != clips or record["clean"]["correct"] != right.count("1"):
        yield f"clean.right has {len(right)} digits of {clips} clips, or other counts"
    if (
        len({json.dumps([clip.get(name) for name in ("video", "frames", "crop", "sha256")]) for clip in listed})
        != clips
    ):
        yield "clips.list has a clip twice"
    if (hash_of_list := _hash(listed)) != record["clips"]["hash"]:
        yield f"clips.hash is {record['clips']['hash']}, but the hash of clips.list is {hash_of_list}"
    if len({key_of(threat) for threat in record["threats"]}) != len(record["threats"]):
        yield "threats has a threat twice"
    yield from _verdict(record)
    for index, threat in enumerate(record["threats"]):
        yield from _threat(f"threats[{index}]", threat)
        yield from _distances(f"threats[{index}]", threat, right)
        yield from _interval(f"threats[{index}].worst_case", threat["worst_case"], sources)
    yield from _interval("clean", record["clean"], sources)
    for index, one in enumerate(record.get("corruptions", ())):
        cells = [("clean", one["clean"])]
        cells += [(f"{kind['kind']} {cell['severity']}", cell) for kind in one["kinds"] for cell in kind["severities"]]
        for name, cell in cells:
            where = f"corruptions[{index}], {name[:60]}"
            if cell["clips"] != clips or cell["correct"] > clips:
                yield f"{where} has {cell['correct']} of {cell['clips']} clips right, but {clips} are listed"
            yield from _interval(where, cell, sources)


def _verdict(record: dict[str, Any]) -> Any:
    """A verdict has its reasons, and each check that speaks against the numbers is one."""
    if (record["verdict"] == "trust") != (not record["reasons"]):
        yield f"the verdict is {record['verdict']!r} with {len(record['reasons'])} reasons against it"
    standing = [threat for threat in record["threats"] if sum(stands(threat))]  # where none stands, nothing is doubted
    for check in (*record["checks"], *(check for threat in standing for check in threat.get("checks", ()))):
        rule = RULES.get(check["name"])
        counted = Measured(check["name"], check["count"], check["of"])
        if record["verdict"] == "trust" and rule is not None and rule.scope != "note" and rule.speaks(counted):
            yield f"the verdict is 'trust', but the check {check['name']!r} speaks against it"


def _interval(where: str, found: dict[str, Any], sources: int) -> Any:
    """The interval holds what was found."""
    if found.get("sources", sources) != sources:
        yield f"{where}.sources is {found['sources']}, but the clips are of {sources}"
    if found["clips"] and not found["low"] - 1e-6 <= found["correct"] / found["clips"] <= found["high"] + 1e-6:
        interval = f"{found['low']} … {found['high']}"
        yield f"{where} has {found['correct']} of {found['clips']}, outside its interval {interval}"


def _hash(listed: list[dict[str, Any]]) -> str:
    """The hash of a list of clips, by which measurements refer to it."""
    try:
        return content_key(listed)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape
        return "that of no text"


def _threat(where: str, threat: dict[str, Any]) -> Any:
    """Norm and support are written as in a threat's text. A dotted path is somebody's own, which is not looked up."""
    for name in ("norm", "support"):
        try:
            path = read_call(threat[name], NORMS[0] if name == "norm" else "WholeClip").path
        except ParseError as error:
            yield f"{where}.{name} is {threat[name][:60]!r}, which does not parse: {error.reason}"
            continue
        if name == "norm" and "." not in path and path not in NORMS:
            yield f"{where}.norm is {path[:60]!r}: there are {', '.join(NORMS)}"


def _distances(where: str, threat: dict[str, Any], right: str) -> Any:
    """One distance per clip, from which all else follows."""
    clips, distances, alive = len(right), threat["distance"], stands(threat)
    if not len(distances) == len(threat["found_by"]) == clips == threat["worst_case"]["clips"]:
        yield f"{where} has {len(distances)} distances of {clips} clips"
    elif sum(alive) != threat["worst_case"]["correct"]:
        yield f"{where}.worst_case.correct is {threat['worst_case']['correct']}, but {sum(alive)} clips stand"
    elif any(stood and digit == "0" for stood, digit in zip(alive, right, strict=True)):
        yield f"in {where}, clips stand that are wrong as they are"
    elif any(size and digit == "0" for size, digit in zip(distances, right, strict=True)):
        yield f"in {where}, clips that are wrong as they are have a distance above 0"
    for eps, left in threat.get("curve", ()):
        standing = sum(distance is None or distance > eps for distance in distances)
        if left != standing:
            yield f"{where}.curve says that {left} clips stand at {eps:g}, but {standing} do"


# -------------------------------------------------------------------------------------------------- adversarial clips


def write_adversarial(file: Path, clean: np.ndarray, adversarial: np.ndarray, index: list[int]) -> None:
    """Store perturbed clips exactly.

    Args:
        file: ``.npz``.
        clean, adversarial: ``N C T H W`` float32 in [0, 1].
        index: ``N``, which clip of the record each is.
    """
    import io

    shape = clean.shape[1:]
    bits = adversarial.view(np.int32) - clean.view(np.int32)
    out = io.BytesIO()
    np.savez_compressed(out, index=np.array(index, dtype=np.int32), bits=bits.reshape(-1, *shape))
    write_atomic(file, out.getvalue())


def adversarial_files(judgement: Judgement) -> list[str]:
    """The names of the files with its adversarial clips, which lie beside the record."""
    return sorted({threat["adversarial"] for threat in judgement.record["threats"] if "adversarial" in threat})


def read_adversarial(judgement: Judgement, threat: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """``N`` indices of clips, and ``N C T H W`` int32: what is to be added to the bit patterns of their pixels.

    Raises:
        RunError: the file is missing, damaged, or does not fit the record.
    """
    file = judgement.path.parent / threat.get("adversarial", "-")
    refuse_irregular(file)
    shape, clips = tuple(judgement.record["clips"]["shape"]), len(judgement.record["clips"]["list"])
    try:
        with zipfile.ZipFile(file) as archive:
            index = read_array(archive, "index", 4 * clips)
            bits = read_array(archive, "bits", 4 * len(index) * math.prod(shape))
    except FileNotFoundError as error:
        raise RunError(f"{file} is missing: the adversarial clips are needed beside {judgement.path.name}.") from error
    except DAMAGE as error:
        raise RunError(f"{file} is damaged ({type(error).__name__}: {str(error)[:100]}). Get it anew.") from error
    fits = index.dtype == np.int32 and bits.dtype == np.int32 and index.ndim == 1 and bits.shape == (len(index), *shape)
    known = len(set(index.ravel().tolist()) & set(range(clips)))
    if not fits or known < len(index):
        raise RunError(f"{file} does not fit the record: {index.dtype} {index.shape}, {bits.dtype} {bits.shape}.")
    return index, bits


def perturbed(clean: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The adversarial clips, from the clean ones and what :func:`read_adversarial` gives.

    >>> clean, found = np.float32([0.1, 0.0]), np.float32([0.11, 1.0])
    >>> bool((perturbed(clean, found.view(np.int32) - clean.view(np.int32)) == found).all())
    True
    """
    with np.errstate(over="ignore"):
        return (np.ascontiguousarray(clean, dtype=np.float32).view(np.int32) + bits).view(np.float32)
