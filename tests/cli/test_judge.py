"""judge and verify, as a stranger types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.judgement_records import record, stored
from rich.console import Console

from vidrobust.cli.model_under_test import ModelUnderTest
from vidrobust.data.dataset import VideoClips
from vidrobust.evaluation.manifest import manifest
from vidrobust.models.checkpoints import save_model
from vidrobust.models.resnet3d import ResNet3d

Command = Callable[..., tuple[int, str, str]]

SUBJECT = {"run": "", "model": "r3d-small", "file": None, "convention": "auto", "data": None}
DATA = {"name": "motion", "frames": 8, "size": 16, "classes": None}

QUICK = [f"--ensemble.{name}={value}" for name, value in {"steps": 5, "targets": 1, "queries": 20, "noise": 5}.items()]


@pytest.fixture(scope="module")
def weights(trained: ResNet3d, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_model(file, trained, {"classes": [str(number) for number in range(10)], "policy": "standard"})
    return file


@pytest.fixture
def asked(weights: Path, small_motion: Path, small_data: VideoClips, tmp_path: Path) -> list[object]:
    model = ["r3d-small", "--weights", weights, "--data", small_motion, "--size", 16, "--frames", 8]
    return [*model, "--clips", 12, "--workers", 1, "--out", tmp_path / "judged", *QUICK]


def test_a_dry_run_tells_cost_and_interval_and_leaves_nothing(
    asked: list[object], vidrobust: Command, tmp_path: Path
) -> None:
    code, printed, said = vidrobust("judge", *asked, "--dry-run")
    assert (code, printed) == (0, "")
    assert "12 of 40 clips" in said and "gradients" in said and "interval of ±" in said
    assert not (tmp_path / "judged").exists()


OWN = """
from dataclasses import dataclass
from vidrobust.threats.supports import Masked

@dataclass(frozen=True)
class Left(Masked):
    share: float = 0.2

    def mask(self, clips):
        mask = clips.new_zeros(clips.shape, dtype=bool)
        mask[..., : int(self.share * clips.shape[-1])] = True
        return mask
"""


def test_a_judgement_is_verified_and_code_that_a_file_names_is_not_run(
    asked: list[object], vidrobust: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_threats.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    own = "Linf(255, own_threats.Left(share=0.5))"
    code, printed, said = vidrobust("judge", *asked, "--threat", "Linf(2)", "--threat", own)
    assert code == 0, said
    out = tmp_path / "judged"
    assert printed.strip() == str(out / "judgement.html")
    record = json.loads((out / "judgement.json").read_text())
    assert f"verdict on r3d-small model.safetensors: {record['verdict']}" in said
    assert record["threats"][0]["worst_case"]["clips"] == 12
    assert record["threats"][1]["support"] == "own_threats.Left(share=0.5)"
    code, _, said = vidrobust("verify", out)
    assert code == 1 and "files are data" in said and f'give it yourself, --threat "{own}"' in said
    code, _, said = vidrobust("verify", out, "--threat", own.replace("255", "8"))
    assert code == 1 and "is not that of" in said and own in said
    code, printed, said = vidrobust("verify", out, "--threat", own)
    assert code == 0, said
    broken = [sum(size is not None and size > 0 for size in threat["distance"]) for threat in record["threats"]]
    assert broken[1] and printed.startswith(f"{sum(broken)} of {sum(broken)} adversarial clips")
    config = json.loads((out / "config.json").read_text())
    config["subject"]["model"] = "os:getcwd"
    (out / "config.json").write_text(json.dumps(config))
    code, _, said = vidrobust("verify", out, "--threat", own)
    assert code == 1 and "names the function" in said and "what a file names is not run" in said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--minutes", 3], "give it or --clips"),
        (["--threat", "Linf[8]"], "is no threat"),
        (["--clips", -1], "at least 0"),
    ],
)
def test_bad_options_are_told_before_anything_is_loaded(
    options: list[object], told: str, asked: list[object], vidrobust: Command
) -> None:
    code, _, said = vidrobust("judge", *asked, *options)
    assert code in (1, 2) and told in said


def test_a_model_without_data_is_refused(vidrobust: Command) -> None:
    code, _, said = vidrobust("judge", "r3d-small")
    assert code == 1 and "--data" in said


def test_of_splits_that_are_not_judged_few_videos_are_decoded(
    weights: Path, small_motion: Path, small_data: VideoClips
) -> None:
    subject = ModelUnderTest(model="r3d-small", weights=str(weights), data=str(small_motion), size=16, frames=8)
    found = subject.found(Console(quiet=True), only="test").data
    assert (len(found.train), len(found.val), len(found.test)) == (10, 10, 40)
    assert manifest(found.test) == manifest(small_data.test)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "run of the model or of its data is missing"),
        ([1], "run of the model or of its data is missing"),
        ({"subject": "x"}, "run of the model or of its data is missing"),
        ({"subject": {**SUBJECT, "run": 7}}, "run of the model or of its data is 7"),
        ({"subject": {**SUBJECT, "model": None}}, "model of the model or of its data is None"),
        ({"subject": {**SUBJECT, "convention": "mine"}}, "convention of the model or of its data is 'mine'"),
        ({"subject": {**SUBJECT, "data": {"frames": 8}}}, "name of the model or of its data is missing"),
        ({"subject": {**SUBJECT, "data": {**DATA, "frames": True}}}, "frames of the model or of its data is True"),
        ({"subject": {**SUBJECT, "data": None}}, "does not say where its model is"),
    ],
)
def test_where_a_damaged_configuration_says_the_model_is_is_not_followed(
    config: object, told: str, vidrobust: Command, tmp_path: Path
) -> None:
    stored(tmp_path, record([1.0, None]))
    (tmp_path / "run.json").write_text('{"format": 1, "kind": "judge", "version": "0"}')
    (tmp_path / "config.json").write_text(json.dumps(config))
    code, _, said = vidrobust("verify", tmp_path)
    assert code == 1 and told in said and "--subject" in said


@pytest.mark.parametrize(("name", "value"), [("norm", "L4"), ("support", "Border(ratio=7)"), ("support", "Masks(")])
def test_a_threat_that_cannot_be_made_is_refused_by_the_record_that_names_it(
    name: str, value: str, vidrobust: Command, tmp_path: Path
) -> None:
    made = record([1.0, None])
    made["threats"][0][name] = value
    stored(tmp_path, made)
    code, _, said = vidrobust("verify", tmp_path)
    assert code == 1 and str(tmp_path / "judgement.json") in said and value in said
