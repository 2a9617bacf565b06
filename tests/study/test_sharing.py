"""Pushing a model: what lies in its repository, what its card says, and that it comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.hub_server import Hub
from helpers.judgement_records import record, stored
from huggingface_hub import ModelCard
from torch import nn

from vidrobust.errors import InputError
from vidrobust.models.adapters import adapt
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_model, save_model
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.judgements.record import Judgement
from vidrobust.study.sharing import repository, upload, write_folder

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of the client's own transport

Command = Callable[..., tuple[int, str, str]]

NAME = "me/at-motion"
DISTANCES = [None] * 6 + [9.0, 3.0, 2.0, 0.0]
OLD = Path(__file__).parents[1] / "runs" / "run-0.1.0"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    data = {"name": str(tmp_path / "secret place" / "UCF101"), "frames": 8, "size": 16, "classes": "/etc/classes.txt"}
    about = {"classes": ["<b>run</b>", "walk|stand"], "data": data, "policy": "AT(ε=8,α=2,i=5)"}
    save_model(tmp_path / "model.safetensors", build("r3d-small", 2, seed=0), about)
    return tmp_path / "model.safetensors"


def judged(folder: Path, weights: Path, **changed: Any) -> Judgement:
    """A judgement of these weights."""
    made = record(DISTANCES, **changed)
    made["model"]["weights"] = fingerprint(load_model(weights))
    return stored(folder, made)


def test_what_is_pushed_comes_back_bit_for_bit(hub: Hub, weights: Path, tmp_path: Path) -> None:
    write_folder(weights, tmp_path / "hub", NAME, judged(tmp_path / "judged", weights))
    (tmp_path / "hub" / "notes.txt").write_text("not ours")
    text = upload(tmp_path / "hub", NAME)
    assert set(hub.files(NAME)) == {
        ".gitattributes",
        "README.md",
        "judgement.json",
        "model.safetensors",
        "vidrobust.json",
    }
    assert text == f"hf:{NAME}(revision={hub.repositories[NAME].commits[-1][0]})"
    clips = torch.rand(2, 3, 8, 16, 16)
    assert torch.equal(load_model(text)(clips), load_model(weights)(clips))
    assert not any(b"secret place" in content or b"/etc/" in content for content in hub.files(NAME).values())


def test_the_card_has_the_numbers_of_the_judgement_in_the_hubs_format(weights: Path, tmp_path: Path) -> None:
    judgement = judged(tmp_path / "judged", weights)
    write_folder(weights, tmp_path / "hub", NAME, judgement)
    card = ModelCard.load(tmp_path / "hub" / "README.md")
    clean, robust = card.data.eval_results
    assert (clean.task_type, clean.dataset_name, clean.dataset_split) == ("video-classification", "given", "test")
    assert (clean.metric_name, clean.metric_value) == ("accuracy", 0.9)
    assert (robust.metric_name, robust.metric_value) == ("accuracy under Linf(8), worst case", 0.7)
    worst = judgement.record["threats"][0]["worst_case"]
    assert robust.metric_args == {
        "norm": "Linf", "eps_255": 8.0, "support": "WholeClip", "verdict": "trust",
        "clips_sha256": judgement.record["clips"]["hash"],
        "clips": 10, "sources": 10, "low_95": worst["low"], "high_95": worst["high"],
    }  # fmt: skip
    assert (card.data.model_name, card.data.library_name) == ("at-motion", "vidrobust")
    assert "trust.**" in card.text and "70.0 % [" in card.text and "of 10 clips of 10 sources" in card.text
    assert "\\<b\\>run\\</b\\>, walk\\|stand" in card.text and "<b>" not in card.text
    assert "data: UCF101" in card.text and "AT(ε=8,α=2,i=5)" in card.text


def test_the_card_of_a_doubtful_judgement_says_so_before_its_numbers(weights: Path, tmp_path: Path) -> None:
    doubted = judged(tmp_path / "j", weights, verdict="do not trust", reasons=["the gradient of 4 clips is zero"])
    write_folder(weights, tmp_path / "hub", NAME, doubted)
    card = ModelCard.load(tmp_path / "hub" / "README.md")
    said, numbers = card.text.index("do not trust"), card.text.index("70.0 %")
    assert said < card.text.index("the gradient of 4 clips is zero") < numbers
    assert card.data.eval_results[1].metric_args["verdict"] == "do not trust"


def test_a_judgement_of_other_weights_is_refused(weights: Path, tmp_path: Path) -> None:
    other = stored(tmp_path / "judged", record(DISTANCES))
    with pytest.raises(InputError, match="aaaaaaaaaaaaaaaa.*judge this model"):
        write_folder(weights, tmp_path / "hub", NAME, other)
    assert not (tmp_path / "hub").exists()


def test_a_judgement_does_not_stay_beside_new_weights(hub: Hub, weights: Path, tmp_path: Path) -> None:
    write_folder(weights, tmp_path / "hub", NAME, judged(tmp_path / "judged", weights))
    upload(tmp_path / "hub", NAME)
    write_folder(weights, tmp_path / "hub", NAME, None)
    upload(tmp_path / "hub", NAME)
    assert "judgement.json" not in hub.files(NAME) and not (tmp_path / "hub" / "judgement.json").exists()
    assert "was not judged" in hub.files(NAME)["README.md"].decode()


@pytest.mark.parametrize("spec", [None, "mypkg.module:factory", "hf:./folder"])
def test_a_model_that_nobody_else_can_build_is_refused(spec: str | None, tmp_path: Path) -> None:
    model = adapt(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)))
    model.spec = spec
    save_model(tmp_path / "model.safetensors", model, {})
    with pytest.raises(InputError, match=r"Python object|names code|\[|a repository does not hold"):
        write_folder(tmp_path / "model.safetensors", tmp_path / "hub", NAME, None)
    assert not (tmp_path / "hub").exists()


def test_a_hub_that_refuses_or_is_not_there_is_told(
    hub: Hub, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidrobust.errors import RunError

    write_folder(weights, tmp_path / "hub", NAME, None)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(InputError, match=r"hf auth login.*HF_TOKEN"):
        upload(tmp_path / "hub", NAME)
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", _unreachable)
    with pytest.raises(RunError, match=r"no route.*try again"):
        upload(tmp_path / "hub", NAME)


def _unreachable(*given: object, **named: object) -> None:
    raise ConnectionError("no route to host")


@pytest.mark.parametrize(
    "text", ["me/at-motion", "hf:at-motion", "hf:a/b/c", "hf:./here", "hf:", "hf:" + "a" * 60 + "/" + "b" * 60]
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="hf:ORG/NAME"):
        repository(text)


def test_the_command_pushes_a_model_of_a_study(hub: Hub, vidrobust: Command, tmp_path: Path) -> None:
    pushed = ["push", OLD, f"hf:{NAME}", "--out", tmp_path / "hub"]
    code, printed, said = vidrobust(*pushed, "--dry-run")
    assert code == 0 and "was not judged" in said and not hub.asked
    listed = [Path(line).name for line in printed.splitlines()]
    assert listed == ["model.safetensors", "vidrobust.json", "README.md"]
    table = json.loads((tmp_path / "hub" / "vidrobust.json").read_text())
    assert (table["policy"], table["frames"], table["size"]) == ("standard", 8, 16)
    code, printed, said = vidrobust(*pushed, "--model", "AT(ε=8,α=8,i=3)", "--private")
    assert code == 0, said
    assert hub.repositories[NAME].private
    assert load_model(printed.strip()).classes == 10


@pytest.mark.long
def test_a_model_of_the_hub_is_judged_at_the_commit_it_is_at(
    hub: Hub, vidrobust: Command, tmp_path: Path, small_motion: Path
) -> None:
    vidrobust("push", OLD, f"hf:{NAME}", "--out", tmp_path / "hub")
    commit = hub.repositories[NAME].commits[-1][0]
    quick = [
        f"--ensemble.{name}={value}" for name, value in {"steps": 3, "targets": 1, "queries": 5, "noise": 2}.items()
    ]
    asked = ["judge", f"hf:{NAME}", "--data", small_motion, "--clips", 4, "--workers", 1, "--out", tmp_path / "judged"]
    code, _, said = vidrobust(*asked, *quick)
    assert code == 0, said
    model = json.loads((tmp_path / "judged" / "judgement.json").read_text())["model"]
    assert model["name"] == f"hf:{NAME}(revision={commit})"
    code, printed, said = vidrobust(
        "push", OLD, f"hf:{NAME}", "--out", tmp_path / "hub", "--judgement", tmp_path / "judged"
    )
    assert code == 0, said
    assert "judgement.json" in hub.files(NAME) and "revision=" in printed
