"""A row belongs to what it measures: changed weights and other step sizes; two processes at one run directory."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.studies import TINY, start

from vidrobust.errors import RunError
from vidrobust.models import build, save_model
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import read_json_lines
from vidrobust.study.jobs import Place

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(vidrobust: Command, small_motion: Path, trained: ResNet3d, tmp_path: Path) -> Callable[..., list[object]]:
    """`vidrobust evaluate --weights F --out R`: the rows of R as they count."""
    save_model(tmp_path / "F.safetensors", trained, {})

    def run(*options: object) -> list[object]:
        model = ("--model", "r3d-small", "--weights", tmp_path / "F.safetensors", "--data", small_motion)
        code, _, err = vidrobust("evaluate", *model, "--clips", 8, "--size", 16, "--out", tmp_path / "R", *options)
        assert code == 0, err
        return [(row["attack"], row["alpha"], row["weights"]) for row in Run(tmp_path / "R").rows("robustness")]

    return run


def test_rows_of_weights_that_have_changed_take_the_place_of_the_old(
    evaluate: Callable[..., list[object]], tmp_path: Path
) -> None:
    one, two = "PGD(ε=8,α=4,i=2)", "PGD(ε=4,α=2,i=2)"
    before = evaluate("--attack", one)
    assert evaluate("--attack", one) == before
    save_model(tmp_path / "F.safetensors", build("r3d-small", 10, seed=3), {})
    after = evaluate("--attack", two)
    assert [(attack, alpha) for attack, alpha, _ in after] == [("none", 0), (two, 2)]  # type: ignore[misc]
    assert {weights for _, _, weights in before}.isdisjoint({weights for _, _, weights in after})  # type: ignore[misc]
    rows = list(read_json_lines(tmp_path / "R" / "rows.jsonl"))
    assert len(rows) == 2 + 3 + 3  # data set and manifest; a self-test and two accuracies of each weights


SPELLINGS = [
    ["APGD(ε=8,steps=2)", "apgd( i=2, eps=8/255 )", "APGD(ε=8,steps=2,loss=cross_entropy,norm=Linf)"],
    ["PGD(ε=8,α=2,i=2)", "pgd(steps=2,alpha=eps/4,epsilon=8.0)", "PGD(ε=8/255,α=2/255,i=2,restarts=1,momentum=0)"],
]


@pytest.mark.parametrize("texts", SPELLINGS, ids=["APGD", "PGD"])
def test_an_attack_is_one_however_it_is_typed(evaluate: Callable[..., list[object]], texts: list[str]) -> None:
    first = evaluate("--attack", texts[0])
    assert len(first) == 2
    for text in texts[1:]:
        assert evaluate("--attack", text) == first


def test_another_step_size_is_another_attack(evaluate: Callable[..., list[object]], tmp_path: Path) -> None:
    for name, alpha in (("one", 4.0), ("two", 3.0)):
        row = {"kind": "step_size", "model": "m", "seed": 0, "eps": 8.0, "steps": 2, "alpha": alpha, "clips": 9}
        other = Run.start(tmp_path / name, "sweep", {}, 0)
        other.append([{**row, "low": 1.0, "high": 8.0, "interior": True}])
        found = evaluate("--attack", "PGD(ε=8,α=α*,i=2)", "--alpha_star", other.path)
    assert [alpha for _, alpha, _ in found] == [0, 4, 3]  # type: ignore[misc]


def test_a_second_study_is_told_who_works_there(small_motion: Path, vidrobust: Command, tmp_path: Path) -> None:
    first = start(small_motion, tmp_path / "run", "--workers", "1")
    try:
        while not (tmp_path / "run" / ".work.holder").exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGSTOP)  # it holds the run however long the second one takes
        study = ("study", "--config", TINY, "--data", small_motion, "--out", tmp_path / "run")
        code, _, err = vidrobust(*study)
    finally:
        first.kill()
        first.communicate()
    assert code == 1
    assert f"in use by process {first.pid} on " in err
    assert "study --config" in err
    assert "Traceback" not in err


def test_a_second_training_is_told_who_works_there(small_motion: Path, vidrobust: Command, tmp_path: Path) -> None:
    train = ("train", "--data", small_motion, "--epochs", 1, "--clips.size", 16, "--out", tmp_path / "run")
    code, _, err = vidrobust(*train)
    assert code == 0, err
    (tmp_path / "run" / "model.safetensors").unlink()  # as if it were still at it
    rows = (tmp_path / "run" / "rows.jsonl").read_bytes()
    with Run(tmp_path / "run").working():
        code, _, err = vidrobust(*train)
        assert code == 1
        assert f"in use by process {os.getpid()} on " in err
    code, _, err = vidrobust(*train)
    assert code == 0, err
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows


def test_damaged_weights_of_a_job_are_told_with_the_folder_to_delete(trained: ResNet3d, tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "key"
    folder.mkdir(parents=True)
    save_model(folder / "model.safetensors", trained, {})
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-9])
    with pytest.raises(RunError, match=f"delete {folder}, and run the same command again"):
        Place(tmp_path / "jobs", tmp_path, lambda gradients: None).model("key")
