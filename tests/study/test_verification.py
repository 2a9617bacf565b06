"""A record that says something else than its clips show is never called verified, and what is wrong is said."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.judged import clips, linear, made
from helpers.judgement_records import with_its_hash
from torch import nn

from vidrobust.data.given import Given
from vidrobust.errors import RunError
from vidrobust.evaluation.manifest import manifest
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.judgements.record import accuracy_record, read_judgement, stands, write_adversarial
from vidrobust.study.verification import OUTSIDE, SMALLER, UNBROKEN, verified

Change = Callable[[dict[str, Any], dict[str, np.ndarray]], Any]

EPS = 3.0


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return made(lambda: linear(4)).eval()


@pytest.fixture(scope="module")
def given(model: nn.Module) -> Given:
    shown = clips(4, 12, 7)[0]
    labels = model(shown).argmax(1)
    labels[11] = (labels[11] + 1) % 4  # the last one is wrong as it is
    return Given(shown, labels, [f"video {number // 2}" for number in range(12)])


@pytest.fixture(scope="module")
def honest(model: nn.Module, given: Given) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A record with the nearest misclassified clips along the gradient, and what is stored beside it."""
    clean, distance, stored = given.centre(range(12)), [0.0] * 12, []
    for number in range(11):
        clip = clean[number : number + 1].requires_grad_(True)
        first, second = model(clip)[0].topk(2).values
        way = torch.autograd.grad(second - first, clip)[0].sign()
        for step in range(1, 400):
            moved = (clip + step / 2000 * way).detach().clamp(0, 1)
            if model(moved).argmax(1) != given.labels[number]:
                break
        stored.append(moved[0].numpy())
        distance[number] = (moved.double() - clip).abs().max().item() * 255
    listed, right = manifest(given), "1" * 11 + "0"
    threat = {"norm": "Linf", "eps": EPS, "support": "WholeClip", "adversarial": "adversarial-0.npz"}
    threat |= {"distance": [float(f"{size:.12g}") for size in distance], "found_by": ["PGD"] * 11 + ["clean"]}
    threat["worst_case"] = accuracy_record(stands(threat), list(given.sources))
    assert 0 < threat["worst_case"]["correct"] < 11
    record = {
        "schema": "vidrobust.judgement/1",
        "verdict": "trust",
        "reasons": [],
        "model": {"name": "linear", "weights": fingerprint(model)},
        "data": {"name": "given", "split": "test"},
        "clips": {"hash": listed["hash"], "shape": list(clean.shape[1:]), "list": listed["clips"]},
        "clean": {**accuracy_record([*map(int, right)], list(given.sources)), "right": right},
        "threats": [threat],
        "checks": [],
        "ensemble": {"steps": 100},
        "code": {"version": "0", "revision": "unknown"},
    }
    beside = {"index": np.arange(11, dtype=np.int32), "clean": clean[:11].detach().numpy(), "found": np.stack(stored)}
    return record, beside


def counted_anew(record: dict[str, Any]) -> None:
    """Make the counts and intervals those of the changed list, distances and digits."""
    of = [clip["source"] for clip in record["clips"]["list"]]
    record["clean"] |= accuracy_record([*map(int, record["clean"]["right"])], of)
    for threat in record["threats"]:
        threat["worst_case"] = accuracy_record(stands(threat), of)
    with_its_hash(record)


@pytest.fixture
def faults(
    honest: tuple[dict[str, Any], dict[str, np.ndarray]], model: nn.Module, given: Given, tmp_path: Path
) -> Callable[[Change], list[str]]:
    """What does not hold of a record in which something was changed."""

    def check(change: Change, anew: bool = True) -> list[str]:
        record, beside = copy.deepcopy(honest)
        change(record, beside)
        if anew:
            counted_anew(record)
        (tmp_path / "judgement.json").write_text(json.dumps(record))
        file, index = tmp_path / "adversarial-0.npz", beside["index"].tolist()
        write_adversarial(file, beside["clean"], beside["found"].astype(np.float32), index)
        done = verified(read_judgement(tmp_path), model, given)
        assert done.faults or done.held == done.checked == 11
        return done.faults

    return check


def distance(number: int, size: float | None) -> Change:
    return lambda record, beside: record["threats"][0]["distance"].__setitem__(number, size)


def pixel(value: float) -> Change:
    return lambda record, beside: beside["found"].reshape(11, -1).__setitem__((2, 5), value)


def told(number: int, **what: Any) -> Change:
    return lambda record, beside: record["clips"]["list"][number].update(what)


def twice(record: dict[str, Any], beside: dict[str, np.ndarray]) -> None:
    """The first clip counts a second time, under the name of another place in its video."""
    record["clips"]["list"].append({**record["clips"]["list"][0], "source": "more", "frames": [7, 8]})
    record["clean"]["right"] += "1"
    record["threats"][0]["distance"].append(record["threats"][0]["distance"][0])
    record["threats"][0]["found_by"].append("PGD")
    for name in ("clean", "found"):
        beside[name] = np.concatenate([beside[name], beside[name][:1]])
    beside["index"] = np.append(beside["index"], 12)


def other_threat(record: dict[str, Any], beside: dict[str, np.ndarray]) -> None:
    """A second norm, under which the clips of the first are said to be tiny."""
    of = {"norm": "L2", "eps": 1.0, "distance": [0.01] * 11 + [0.0]}
    record["threats"].append({**record["threats"][0], **of})


def lacking(record: dict[str, Any], beside: dict[str, np.ndarray]) -> None:
    record["threats"][0]["distance"][0] = 0.0
    beside |= {name: array[1:] for name, array in beside.items()}


def undone(record: dict[str, Any], beside: dict[str, np.ndarray]) -> None:
    """Nearly the clean clip, of the size that the record says."""
    number = 4
    beside["found"][number] = beside["clean"][number]
    beside["found"][number, 0, 0, 0, 0] = min(1, beside["clean"][number, 0, 0, 0, 0] + 1 / 255)
    moved = beside["found"][number].astype(np.float64) - beside["clean"][number]
    record["threats"][0]["distance"][number] = float(np.abs(moved).max() * 255)


FAULTS: dict[str, tuple[Change, str]] = {
    "distance halved": (distance(1, 0.5), OUTSIDE),
    "distance beyond the pixels' range": (distance(1, 1e300), OUTSIDE),
    "counted as unbroken": (distance(1, None), OUTSIDE),
    "distance larger than it is": (distance(1, 90.0), SMALLER),
    "broken without an adversarial clip": (lacking, "1 clips count as broken and have no adversarial clip"),
    "not misclassified": (undone, UNBROKEN),
    "NaN": (pixel(math.nan), OUTSIDE),
    "infinite": (pixel(math.inf), OUTSIDE),
    "darker than 0": (pixel(-0.001), OUTSIDE),
    "brighter than 1": (pixel(1.001), OUTSIDE),
    "another label": (told(0, label=3000), "have another label, source"),
    "made-up sources": (told(3, source="mine"), "have another label, source"),
    "other frames": (told(3, frames=[40, 41]), "have another label, source"),
    "another crop": (told(3, crop=[1, 1, 8, 8]), "have another label, source"),
    "a clip twice": (twice, "have another label, source"),
    "a clip that is not there": (told(3, video="../../clip 3"), "1 of 12 clips are not among the data"),
    "a second norm": (other_threat, "L2 on WholeClip: 11 adversarial clips lie outside"),
    "one perturbation for all": (
        lambda record, beside: record["threats"][0].update(support="Universal"),
        "shares one perturbation among all clips",
    ),
    "on a part that was not kept": (
        lambda record, beside: record["threats"][0].update(support="Border(ratio=0.1)"),
        OUTSIDE,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_record_gets_wrong_is_said(name: str, faults: Callable[..., list[str]]) -> None:
    change, said = FAULTS[name]
    assert any(said in fault for fault in faults(change))


def test_an_honest_record_has_no_fault(faults: Callable[..., list[str]]) -> None:
    assert faults(lambda record, beside: None) == []


def test_an_interval_of_fewer_sources_or_none_is_said(faults: Callable[..., list[str]]) -> None:
    def narrow(record: dict[str, Any], beside: dict[str, np.ndarray]) -> None:
        share = record["threats"][0]["worst_case"]["correct"] / 12
        record["threats"][0]["worst_case"].update(low=share - 1e-3, high=share + 1e-3)

    assert any("Linf(3): the interval is" in fault for fault in faults(narrow, anew=False))


def test_clips_of_another_shape_are_refused_before_they_are_read(faults: Callable[..., list[str]]) -> None:
    with pytest.raises(RunError, match=r"the shape \[1000, .* but here they have \[3, 2, 8, 8\]"):
        faults(lambda record, beside: record["clips"].update(shape=[1000, 1000, 1000, 1000]))


def twice_alike(record: dict[str, Any], beside: dict[str, np.ndarray]) -> None:
    """Two entries for one clip, told apart by their source alone."""
    listed = record["clips"]["list"]
    listed[1] = {**listed[0], "source": "more"}


@pytest.mark.parametrize(
    ("change", "said"),
    [(distance(11, 2.0), "wrong as they are have a distance above 0"), (twice_alike, "has a clip twice")],
)
def test_what_contradicts_itself_is_refused(change: Change, said: str, faults: Callable[..., list[str]]) -> None:
    with pytest.raises(RunError, match=said):
        faults(change)
