"""The models that come with the package."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vidrobust as vr
from vidrobust.cli.judge import Judge
from vidrobust.data.config import DataConfig
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError, RunError
from vidrobust.models import zoo
from vidrobust.models.checkpoints import load_described
from vidrobust.models.fingerprint import fingerprint
from vidrobust.notation import parse_policy
from vidrobust.runs.directory import Run
from vidrobust.study.judging import JudgementSubject
from vidrobust.study.trained import Trained

Command = Callable[..., tuple[int, str, str]]

NAMES = ["motion-at", "motion-rising", "motion-standard"]


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_and_is_small(name: str) -> None:
    model = zoo.zoo_models()[name]
    assert model.file.stat().st_size <= 1_000_000
    loaded = vr.load_model(f"zoo:{name}")
    assert not loaded.training
    assert loaded(torch.rand(2, 3, 8, 24, 24)).shape == (2, 10)


@pytest.mark.parametrize("name", NAMES)
def test_each_was_trained_by_its_command(name: str) -> None:
    model = zoo.zoo_models()[name]
    about = load_described(model.file)[1]
    options = dict(zip(model.command[1::2], model.command[2::2], strict=True))
    assert about["policy"] == str(parse_policy(options["--method"]))
    assert about["data"]["name"] == "motion"
    assert about["data"]["train"] == int(options["--clips.train"])
    assert list(about["data"]["contrast"]) == json.loads(options["--clips.contrast"])


@pytest.mark.parametrize("name", NAMES)
def test_the_self_test_finds_nothing_wrong(name: str) -> None:
    assert vr.models.self_test(vr.load_model(f"zoo:{name}"), frames=8, size=24, classes=10) == []


def test_the_listing_and_the_folder_agree() -> None:
    assert sorted(file.stem for file in zoo.FOLDER.glob("*.safetensors")) == sorted(zoo.zoo_models()) == NAMES


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(zoo.FOLDER, tmp_path / "zoo")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    assert vr.load_model("zoo:motion-at")
    file = tmp_path / "zoo" / "motion-at.safetensors"
    held = bytearray(file.read_bytes())
    held[-1] ^= 1
    file.write_bytes(held)
    with pytest.raises(RunError, match="not the file that vidrobust came with"):
        vr.load_model("zoo:motion-at")
    file.unlink()
    with pytest.raises(RunError, match="Install vidrobust again"):
        vr.load_model("zoo:motion-at")


def test_names_that_there_are_not() -> None:
    with pytest.raises(InputError, match="The zoo has: zoo:motion-standard"):
        vr.load_model("zoo:resnet")
    with pytest.raises(InputError, match="The zoo has"):
        Trained.find(Path("zoo:../motion-at"))
    with pytest.raises(InputError, match="load_model"):
        vr.models.build("zoo:motion-at")


def test_its_weights_are_taken_by_another_model() -> None:
    mine = vr.load_model("r3d-small", weights="zoo:motion-at")
    theirs = vr.load_model("zoo:motion-at")
    assert all(torch.equal(mine.state_dict()[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.fixture
def on_small_data(small_data: VideoClips, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[DataConfig]:
    """The zoo's models on few small clips, as their own data takes half a minute to make; what was asked for."""
    asked: list[DataConfig] = []

    def load(config: DataConfig, *_: object) -> VideoClips:
        asked.append(config)
        return small_data

    def load_spread(config: DataConfig, split: str, count: int, *_: object) -> VideoClips:
        return load(replace(config.mainly(split), **{split: count}))

    monkeypatch.setattr("vidrobust.study.trained.load", load)
    monkeypatch.setattr("vidrobust.study.trained.load_spread", load_spread)
    monkeypatch.chdir(tmp_path)
    return asked


@pytest.mark.usefixtures("on_small_data")
def test_attack_needs_a_name_alone(vidrobust: Command) -> None:
    code, printed, err = vidrobust("attack", "zoo:motion-standard", "--attack", "FGSM(ε=8)", "--clips", 2)
    assert code == 0, err
    assert Path(printed.strip()).is_file()
    run = Run.open("runs/attacked")
    assert run.config["of"] == "zoo:motion-standard"
    assert len(run.rows("example")) == 2


def test_judge_takes_few_clips_of_it(on_small_data: list[DataConfig], vidrobust: Command) -> None:
    code, _, err = vidrobust("judge", "zoo:motion-at", "--dry-run")
    assert code == 0, err
    assert "10 of 40 clips" in err
    assert [(config.train, config.val, config.test) for config in on_small_data] == [(10, 10, 10)]


def test_any_process_opens_it_by_its_name(on_small_data: list[DataConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    found = Trained.find(Path("zoo:motion-at"))
    subject = Judge(subject="zoo:motion-at")._subject(found)
    assert subject == {"split": "test", "run": "zoo:motion-at", "model": "standard"}
    monkeypatch.setattr("vidrobust.study.judging.HELD", {})
    opened = JudgementSubject(fingerprint(found.model), "", count=3, **subject).open()
    assert len(opened.clips) == 3
    assert on_small_data[-1] == replace(on_small_data[0].mainly("test"), test=3)
