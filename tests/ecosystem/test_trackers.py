"""The numbers of a training in MLflow, in Weights & Biases (offline) and in trackio (local), also after it went on."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from vidrobust.errors import InputError
from vidrobust.training.trackers import Trackers

pytestmark = pytest.mark.filterwarnings("default")  # others' warnings are theirs

EPOCHS: list[dict[str, Any]] = [
    {"kind": "epoch", "epoch": epoch, "correct": 3 * epoch, "clips": 10, "loss": 1 / epoch, "steps": 5}
    for epoch in (1, 2)
]


def log(folder: Path, kind: Any, count: int) -> None:
    """The first epochs, as a training that was begun anew would send them."""
    trackers = Trackers(folder, [kind], "AT(ε=8,α=2,i=5)", {"seed": 0})
    for row in EPOCHS[:count]:
        trackers.log([row])
    trackers.close()


def test_mlflow_holds_one_run_with_each_epoch_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    log(tmp_path, "mlflow", 1)
    log(tmp_path, "mlflow", 2)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path.resolve() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vidrobust")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "AT(ε=8,α=2,i=5)"
    history = client.get_metric_history(run.info.run_id, "train/attacked")
    assert [(point.step, point.value) for point in history] == [(1, 0.3), (2, 0.6)]
    assert not list((tmp_path / "elsewhere").iterdir()) and list(tmp_path.rglob("config.json"))


def test_wandb_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log(tmp_path, "wandb", 1)
    known = (tmp_path / "wandb_run.txt").read_text()
    log(tmp_path, "wandb", 2)
    assert (tmp_path / "wandb_run.txt").read_text() == known
    folders = list((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and all(folder.name.endswith(known) for folder in folders)
    assert all(list(folder.glob("*.wandb")) for folder in folders)


def test_wandb_without_a_key_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")

    def refused(**given: object) -> None:
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", refused)  # which offline runs before it in this process have set up
    with pytest.raises(InputError, match="wandb: .*login.*WANDB_MODE=offline"):
        log(tmp_path, "wandb", 1)


def test_trackio_holds_one_run_with_each_epoch_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trackio = pytest.importorskip("trackio")
    for module in ("trackio.utils", "trackio.sqlite_storage"):  # which take TRACKIO_DIR when they are imported
        monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "trackio")
    log(tmp_path, "trackio", 1)
    log(tmp_path, "trackio", 2)
    name = (tmp_path / "trackio_run.txt").read_text()
    assert name.startswith("AT(ε=8,α=2,i=5) ")
    (run,) = trackio.Api().runs("vidrobust")
    found = importlib.import_module("trackio.sqlite_storage").SQLiteStorage.get_logs("vidrobust", name)
    assert run.name == name
    assert [(row["step"], row["train/attacked"]) for row in found] == [(1, 0.3), (2, 0.6)]
    assert capsys.readouterr().out == ""
