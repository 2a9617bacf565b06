"""Whole judgements: the record, going on after a kill, scoring anew, and what a failing model leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.judged import QUICK, conv, made, robust_model, sourced_clips
from helpers.judgement_records import with_its_hash
from helpers.planted import Rounded
from torch import Tensor, nn

from vidrobust.data.dataset import VideoClips
from vidrobust.data.given import Given
from vidrobust.errors import InputError, RunError
from vidrobust.evaluation import judging
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.straight_through import gradient_to_follow
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.results.judgements.record import Judgement, accuracy_record, read_judgement, stands
from vidrobust.results.pages.judgement import lines, page
from vidrobust.study.judgement import judge
from vidrobust.study.judgement_plan import affordable, group_threats, half_width, parse_threat
from vidrobust.study.judging import AttackStage
from vidrobust.study.verification import verified

THREATS = ("Linf(6)", "Linf(12)")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return robust_model()


@pytest.fixture(scope="module")
def pool() -> tuple[Tensor, Tensor, list[str]]:
    return sourced_clips(30)


@pytest.fixture(scope="module")
def judgement(
    model: nn.Module, pool: tuple[Tensor, Tensor, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Judgement:
    out = tmp_path_factory.mktemp("judged") / "run"
    return judge(model, pool, threats=THREATS, ensemble=QUICK, out=out, name="<script>\x1b[2J")


def test_the_record_says_what_was_measured_and_whether_to_believe_it(judgement: Judgement) -> None:
    record = read_judgement(judgement.path.parent).record
    assert record == judgement.record
    assert (record["verdict"], record["reasons"]) == ("trust", [])
    assert list(record)[:3] == ["schema", "verdict", "reasons"]
    assert next(iter(record["threats"][0]["standing"])) == "FMN"  # in the order in which attacks ran
    assert " at 0x" not in judgement.path.read_text()
    low, high = record["threats"]
    assert [threat["eps"] for threat in (low, high)] == [6.0, 12.0]
    assert low["worst_case"]["correct"] > high["worst_case"]["correct"] > 0
    assert low["worst_case"]["clips"] == 30 and low["worst_case"]["sources"] == 15
    assert high["worst_case"]["low"] < high["worst_case"]["correct"] / 30 < high["worst_case"]["high"]
    assert low["distance"] == high["distance"]
    assert [left for _, left in high["curve"]] == sorted((left for _, left in high["curve"]), reverse=True)
    assert dict(high["curve"])[6.0] == low["worst_case"]["correct"]
    assert high["standing"]["signs"] == high["worst_case"]["correct"] == sum(stands(high))
    assert {one["name"] for one in high["checks"]} >= {
        "unavailable gradients",
        "silent success",
        "incomplete optimisation",
        "transfer failure",
        "unconstrained failure",
        "active test",
        "noise",
        "doubling",
        "black box",
    }


def test_the_page_and_the_terminal_say_the_verdict_first_and_escape_names(judgement: Judgement, tmp_path: Path) -> None:
    html = page(judgement, tmp_path / "page.html").read_text()
    assert html.index("Trust these numbers") < html.index("How robust it is") < html.index("Linf(12)")
    assert "<script" not in html and "\x1b" not in html
    assert lines(judgement)[0].endswith("trust")


@pytest.mark.parametrize("known", [True, False])
def test_which_gradient_is_followed_is_found_once(
    known: bool, model: nn.Module, pool: tuple[Tensor, Tensor, list[str]], tmp_path: Path, monkeypatch: Any
) -> None:
    """All attacks go straight through the rounding, also where they ask anew, as after an earlier version's."""
    asked: list[int] = []

    def counted(*given: Any) -> tuple[str, bool]:
        asked.append(len(given[2]))
        return gradient_to_follow(*given)

    monkeypatch.setattr(judging, "gradient_to_follow", counted)
    if not known:
        monkeypatch.setattr(AttackStage, "_followed", lambda self, place: None)
    few = [part[:6] for part in pool]
    brief = Ensemble(steps=2, targets=1, queries=4, noise=2, diagnostic=1)
    judge(Rounded(model).eval(), tuple(few), threats=THREATS[:1], ensemble=brief, out=tmp_path)
    rows = [
        row for file in tmp_path.glob("jobs/*/rows.jsonl") for row in map(json.loads, file.read_text().splitlines())
    ]
    stages = [row for row in rows if row["kind"] == "judge stage"]
    assert len(asked) == (1 if known else len(judging.STAGES)) and len(stages) == len(judging.STAGES)
    assert {row["straight_to"] for row in stages} == {"classifier"}


def test_every_adversarial_clip_breaks_the_model_when_it_is_scored_anew(
    judgement: Judgement, model: nn.Module, pool: tuple[Tensor, Tensor, list[str]]
) -> None:
    done = verified(judgement, model, Given(*pool))
    broken = sum(distance is not None and distance > 0 for distance in judgement.record["threats"][0]["distance"])
    assert (done.checked, done.held, done.faults) == (broken, broken, [])


@pytest.fixture
def copied(judgement: Judgement, tmp_path: Path) -> Callable[..., Judgement]:
    """A copy of the record in which something has been changed."""

    def copy(change: Callable[[dict], None] = lambda record: None, bits: int = 0) -> Judgement:
        record = json.loads(judgement.path.read_text())
        change(record)
        (tmp_path / "judgement.json").write_text(json.dumps(record))
        with np.load(judgement.path.parent / "adversarial-0.npz") as stored:
            np.savez(tmp_path / "adversarial-0.npz", index=stored["index"], bits=stored["bits"] + np.int32(bits))
        return read_judgement(tmp_path)

    return copy


def _nearer(record: dict) -> None:
    """Claim smaller perturbations than were found."""
    for threat in record["threats"]:
        threat["distance"] = [None if size is None else size / 2 for size in threat["distance"]]
        threat["worst_case"] = accuracy_record(stands(threat), [clip["source"] for clip in record["clips"]["list"]])
        del threat["curve"]


def _closer_to_clean(record: dict) -> None:
    record["clips"]["list"][0]["sha256"] = "0" * 64
    with_its_hash(record)


def test_what_does_not_hold_is_told(
    copied: Callable[..., Judgement], model: nn.Module, pool: tuple[Tensor, Tensor, list[str]]
) -> None:
    given = Given(*pool)
    assert "larger than the record says" in verified(copied(_nearer), model, given).faults[0]
    assert "other pixels" in verified(copied(_closer_to_clean), model, given).faults[0]
    assert "other weights" in verified(copied(), made(lambda: conv(4), 5).eval(), given).faults[0]
    assert "outside" in verified(copied(bits=2**23), model, given).faults[0]
    with pytest.raises(InputError, match="none of the record's clips"):
        verified(copied(), model, _renamed(given))


def _renamed(given: Given) -> Given:
    given.videos = tuple(f"other {video}" for video in given.videos)
    return given


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"schema": "vidrobust.judgement/9"}', "of the schema"),
        ('{"schema": "vidrobust.judgement/1"}', "required property"),
        ('{"schema": NaN}', "no JSON"),
    ],
)
def test_a_damaged_record_is_refused_with_the_reason(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "judgement.json").write_text(text)
    with pytest.raises(RunError, match=told):
        read_judgement(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record["threats"][0]["worst_case"].update(correct=1), "clips stand"),
        (lambda record: record.update(verdict="do not trust"), "0 reasons"),
        (lambda record: record.update(verdict="maybe"), "is not one of"),
        (lambda record: record["checks"][0].update(name="batch", count=3, of=8), "the check 'batch' speaks against"),
        (lambda record: record["threats"][0]["checks"][0].update(name="noise", count=1, of=8), "the check 'noise'"),
        (lambda record: record["threats"][0]["worst_case"].update(low=0.0, high=0.001), "outside its interval"),
        (lambda record: record["clean"].update(low=0.9, high=0.1), "outside its interval"),
        (lambda record: record["clean"].update(sources=500), "500, but the clips are of 15"),
        (lambda record: record["clips"]["list"].__setitem__(1, record["clips"]["list"][0]), "a clip twice"),
        (lambda record: record["threats"].append(record["threats"][0]), "a threat twice"),
        (lambda record: record["threats"][0]["curve"][-1].__setitem__(1, 29), "29 clips stand at"),
        (lambda record: record["threats"][0].update(adversarial="../../x.npz"), "does not match"),
        (lambda record: record["threats"][0]["distance"].pop(), "distances of 30 clips"),
        (lambda record: record["clean"].update(right="1" * 29), "digits of 30 clips"),
        (lambda record: record["model"].update(weights="x" * 16), "does not match"),
        (lambda record: record["clips"].update(hash="0" * 16), "clips.hash is 0000000000000000, but the hash of"),
        (lambda record: record["clips"]["list"][0].update(sha256="0" * 64), "but the hash of clips.list is"),
        (lambda record: record["clips"]["list"][0].update(video="\ud800"), "clips.list is that of no text"),
        (lambda record: record["threats"][0].update(norm="L3"), "threats.0..norm is 'L3': there are Linf, L2, L1"),
        (lambda record: record["threats"][0].update(norm="L2("), "norm is 'L2.', which does not parse"),
        (lambda record: record["threats"][0].update(support="Border(0.1"), "'Border.0.1', which does not parse"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    change: Callable[[dict], None], told: str, copied: Callable[..., Judgement]
) -> None:
    with pytest.raises(RunError, match=told):
        copied(change)


class Killed(nn.Module):
    """Ends the process, as it were, at the given call."""

    def __init__(self, model: nn.Module, at: int) -> None:
        super().__init__()
        self.model, self.at, self.calls = model, at, 0

    def forward(self, clips: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.model(clips)


def test_a_killed_judgement_goes_on_and_says_the_same(
    model: nn.Module, pool: tuple[Tensor, Tensor, list[str]], tmp_path: Path
) -> None:
    def judged(subject: nn.Module, out: str) -> Judgement:
        return judge(subject, pool, clips=12, threats=["Linf(12)"], ensemble=QUICK, out=tmp_path / out)

    whole = Killed(model, -1)
    expected = judged(whole, "whole").record
    killed = Killed(model, whole.calls * 2 // 3)
    with pytest.raises(KeyboardInterrupt):
        judged(killed, "killed")
    killed.calls, killed.at = 0, -1
    found = judged(killed, "killed").record
    assert killed.calls < whole.calls * 2 // 3
    assert {**found, "seconds": 0} == {**expected, "seconds": 0}


class Failing(nn.Module):
    """Runs out of memory where many clips are asked for a gradient at once, and on clips that are too bright."""

    def __init__(self, model: nn.Module, brightest: float) -> None:
        super().__init__()
        self.model, self.brightest = model, brightest

    def forward(self, clips: Tensor) -> Tensor:
        if clips.mean((1, 2, 3, 4)).max() > self.brightest:
            raise RuntimeError("out of memory")
        return self.model(clips)


def test_what_was_measured_is_kept_and_the_page_says_what_is_missing(
    model: nn.Module, pool: tuple[Tensor, Tensor, list[str]], tmp_path: Path
) -> None:
    brightest = pool[0].mean((1, 2, 3, 4)).quantile(0.7).item()
    found = judge(Failing(model, brightest), pool, threats=["Linf(12)"], ensemble=QUICK, out=tmp_path)
    assert found.record["verdict"] == "do not trust"
    assert any("failed on" in reason and "out of memory" in reason for reason in found.record["reasons"])
    assert 0 < found.record["clean"]["correct"] < 30
    assert any(name not in ("", "clean") for name in found.record["threats"][0]["found_by"])
    assert "out of memory" in page(found).read_text()


def test_a_judgement_of_videos_has_whole_videos_and_where_clips_lie(
    trained: ResNet3d, small_data: VideoClips, tmp_path: Path
) -> None:
    record = judge(trained, small_data, clips=12, ensemble=QUICK, out=tmp_path).record
    assert record["videos"]["clips"] == 12
    clip = record["clips"]["list"][0]
    assert clip["frames"][1] - clip["frames"][0] == 7 and clip["crop"][2:] == [16, 16]
    assert record["clips"]["shape"] == [3, 8, 16, 16]


def test_minutes_buy_clips_and_sources_make_intervals() -> None:
    few, many = (affordable(minutes, 0.01, 2, QUICK, group_threats(["Linf(8)"])) for minutes in (1, 10))
    assert 9 * few <= many <= 11 * few + 11
    assert half_width(["a", "b"] * 50) > half_width(list(map(str, range(100))))


@pytest.mark.parametrize("text", ["Linf", "Linf()", "Linf(x)", "Linf(-8)", "Linf(0)", "8", "Linf(8", "Linf(inf)"])
def test_a_threat_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="units of 1/255") as error:
        parse_threat(text)
    assert "PGD" not in str(error.value)  # the example is a threat, no attack


def test_shared_clips_are_exact_bit_for_bit(judgement: Judgement, pool: tuple[Tensor, Tensor, list[str]]) -> None:
    with np.load(judgement.path.parent / "adversarial-0.npz") as stored:
        index, bits = stored["index"], stored["bits"]
    clean = pool[0][torch.from_numpy(index.astype(np.int64))].numpy()
    moved = (clean.view(np.int32) + bits).view(np.float32).astype(np.float64) - clean
    sizes = np.abs(moved).reshape(len(index), -1).max(1) * 255
    claimed = [judgement.record["threats"][0]["distance"][row] for row in index]
    assert np.allclose(sizes, claimed, rtol=1e-11)
