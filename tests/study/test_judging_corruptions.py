"""Corruptions in a judgement: in its record, on its page, and gone on with after a kill."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from helpers.judged import QUICK, robust_model, sourced_clips
from torch import Tensor, nn

from vidrobust.data.given import Given
from vidrobust.errors import NotationError, RunError
from vidrobust.evaluation.corruptions.measuring import evaluate_corruptions
from vidrobust.results.judgements.record import Judgement, read_judgement
from vidrobust.results.pages.judgement import lines, page
from vidrobust.study.judgement import judge

ASKED = ("frames(kinds=(occlusion,freeze),severity=(1,5))", "ucf101-p(kinds=(gaussian_noise,jpeg))")


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return robust_model()


@pytest.fixture(scope="module")
def pool() -> tuple[Tensor, Tensor, list[str]]:
    return sourced_clips(24)


@pytest.fixture(scope="module")
def judgement(model: nn.Module, pool: tuple, tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    out = tmp_path_factory.mktemp("judged") / "run"
    return judge(model, pool, threats=["Linf(6)"], ensemble=QUICK, corruptions=ASKED, out=out)


def test_the_record_has_what_the_rows_say(model: nn.Module, pool: tuple, judgement: Judgement) -> None:
    record = read_judgement(judgement.path.parent).record
    assert record == judgement.record
    rows = evaluate_corruptions(model, Given(*pool), ASKED)
    counts = {(row["convention"], row["corruption"], row["severity"]): row["correct"] for row in rows}
    told = {
        (one["convention"], kind["kind"], cell["severity"]): cell["correct"]
        for one in record["corruptions"]
        for kind in one["kinds"]
        for cell in kind["severities"]
    }
    assert told == {key: count for key, count in counts.items() if key[2]}
    frames, published = record["corruptions"]
    assert frames["clean"]["correct"] == published["clean"]["correct"] == record["clean"]["correct"]
    own = [count for (convention, _, level), count in counts.items() if convention == "frames" and level]
    assert frames["mpc"]["value"] == pytest.approx(sum(own) / len(own) / 24, abs=1e-5)
    assert frames["kinds"][0]["severities"][0]["sources"] == 12


def test_page_and_terminal_tell_them(judgement: Judgement, tmp_path: Path) -> None:
    html = page(judgement, tmp_path / "page.html").read_text()
    assert "Under corruptions: frames" in html
    assert "gaussian noise" in html
    assert any(line.startswith("ucf101-p: over 2 kinds mPC") for line in lines(judgement))


def test_a_judgement_without_them_is_as_before(model: nn.Module, pool: tuple, tmp_path: Path) -> None:
    found = judge(model, pool, threats=["Linf(6)"], ensemble=QUICK, clips=8, out=tmp_path)
    assert "corruptions" not in found.record
    assert "corruptions" not in json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda cell: cell.update(correct=99), "24 are listed"),
        (lambda cell: cell.update(low=0.99, high=1.0, correct=1), "outside its interval"),
        (lambda cell: cell.update(severity=6), "less than or equal to the maximum|6 is greater than"),
    ],
    ids=["count", "interval", "severity"],
)
def test_a_record_whose_corruptions_cannot_be_is_refused(
    judgement: Judgement, tmp_path: Path, change: object, said: str
) -> None:
    record = copy.deepcopy(judgement.record)
    change(record["corruptions"][0]["kinds"][0]["severities"][0])  # type: ignore[operator]
    (tmp_path / "judgement.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=said):
        read_judgement(tmp_path)


def test_what_is_no_corruption_is_refused_before_anything_is_measured(
    model: nn.Module, pool: tuple, tmp_path: Path
) -> None:
    with pytest.raises(NotationError, match="no kind 'rain'"):
        judge(model, pool, ensemble=QUICK, corruptions=["frames(kinds=rain)"], out=tmp_path)
    assert not (tmp_path / "judgement.json").exists()


def test_a_model_that_fails_on_corrupted_clips_has_none(pool: tuple, tmp_path: Path, model: nn.Module) -> None:
    class OnlyClean(nn.Module):
        """Fails on clips of whole levels, as corrupted ones are."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, shown: Tensor) -> Tensor:
            levels = shown.detach() * 255
            if bool(((levels - levels.round()).abs() < 1e-4).all()):
                raise ValueError("too whole")
            return self.inner(shown)

    torch.manual_seed(0)
    found = judge(OnlyClean(), pool, threats=["Linf(6)"], ensemble=QUICK, clips=8, corruptions=ASKED, out=tmp_path)
    assert "corruptions" not in found.record
