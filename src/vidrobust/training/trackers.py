"""Trackers: a file of JSON lines, which is always written, TensorBoard, MLflow, Weights & Biases and trackio."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from vidrobust.errors import InputError, MissingExtraError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.rows import append_lines, read_json_lines

if TYPE_CHECKING:
    from vidrobust.runs.rows import Row

TrackerName: TypeAlias = Literal["tensorboard", "mlflow", "wandb", "trackio"]


class Tracker(Protocol):
    """Receives rows during training; a tracker of your own needs these two methods."""

    def log(self, rows: Sequence[Row]) -> None:
        """Log the rows of one epoch."""
        ...

    def close(self) -> None:
        """Finish the log."""
        ...


class JsonLines:
    """``training.jsonl`` in the run directory: every row of every epoch, once, also after a kill and a resume."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "training.jsonl"
        append_lines(self._file, [])  # cuts off a torn last line
        self._known = {_name(row) for row in read_json_lines(self._file)}

    @property
    def epochs(self) -> int:
        """Epochs whose rows are there."""
        return max((row.get("epoch", 0) for row in read_json_lines(self._file)), default=0)

    def new(self, rows: Sequence[Row]) -> list[Row]:
        """Those rows that are not there yet."""
        return [row for row in rows if _name(row) not in self._known]

    def log(self, rows: Sequence[Row]) -> None:
        new = self.new(rows)
        self._known |= {_name(row) for row in new}
        append_lines(self._file, new)

    def close(self) -> None:
        pass


def _name(row: Row) -> tuple[object, ...]:
    return row["kind"], row.get("epoch"), row.get("split")


def scalars(row: Row) -> dict[str, float]:
    """The numbers of a row by the names that curves get: accuracies as shares.

    >>> scalars({"kind": "watch", "split": "val", "epoch": 3, "clean": 8, "robust": 2, "single": 4, "clips": 16,
    ...          "loss": 0.5, "robust_loss": 2.0})
    {'val/clean': 0.5, 'val/single': 0.25, 'val/robust': 0.125, 'val/loss': 0.5, 'val/robust_loss': 2.0}
    """
    if row["kind"] == "epoch":
        named = {name: row[name] for name in ("loss", "gradient_norm", "eps", "alpha", "steps") if name in row}
        return {"train/attacked": row["correct"] / row["clips"], **{f"train/{n}": float(v) for n, v in named.items()}}
    if row["kind"] == "watch":
        shares = {name: row[name] / row["clips"] for name in ("clean", "single", "robust")}
        return {f"{row['split']}/{n}": v for n, v in {**shares, **{n: row[n] for n in ("loss", "robust_loss")}}.items()}
    return {}


class Backend(ABC):
    """The base of trackers that other libraries provide: rows become numbers by epoch."""

    def log(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if numbers := scalars(row):
                self.send(numbers, row["epoch"])

    @abstractmethod
    def send(self, numbers: dict[str, float], epoch: int) -> None:
        """Log what an epoch measured, by the names of :func:`scalars`."""

    @abstractmethod
    def close(self) -> None:
        """Finish the log."""


class TensorBoard(Backend):
    """Event files in ``tensorboard/`` of the run directory; after a resume they go on behind ``epochs``."""

    def __init__(self, folder: Path, name: str, config: dict[str, Any], epochs: int = 0) -> None:
        writer = _library("tensorboard", "torch.utils.tensorboard").SummaryWriter
        self._writer = writer(folder / "tensorboard", purge_step=epochs + 1 if epochs else None)
        self._writer.add_text("config", str(config))

    def send(self, numbers: dict[str, float], epoch: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class MLflow(Backend):
    """A run of MLflow, at the tracking server of its environment variables, or else in ``mlflow.db`` beside the run.

    A resumed training goes on with the same run, whose id is in ``mlflow_run.txt``.
    """

    def __init__(self, folder: Path, name: str, config: dict[str, Any], epochs: int = 0) -> None:
        self._mlflow = mlflow = _library("mlflow")
        here = "MLFLOW_TRACKING_URI" not in os.environ
        if here:
            mlflow.set_tracking_uri(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        known = folder / "mlflow_run.txt"
        if found := _stored(known):
            mlflow.start_run(run_id=found)
            return
        if here:  # the default experiment would leave its files in the working directory
            if mlflow.get_experiment_by_name("vidrobust") is None:
                where = (folder.resolve() / "mlruns").as_uri()
                mlflow.create_experiment("vidrobust", artifact_location=where)
            mlflow.set_experiment("vidrobust")
        run = mlflow.start_run(run_name=name)
        mlflow.log_dict(config, "config.json")
        write_atomic(known, run.info.run_id.encode())

    def send(self, numbers: dict[str, float], epoch: int) -> None:
        self._mlflow.log_metrics(numbers, step=epoch)

    def close(self) -> None:
        self._mlflow.end_run()


class WandB(Backend):
    """A run of Weights & Biases; ``WANDB_MODE=offline`` keeps it on this machine.

    A resumed training goes on with the same run, whose id is in ``wandb_run.txt``.
    """

    def __init__(self, folder: Path, name: str, config: dict[str, Any], epochs: int = 0) -> None:
        wandb, known = _library("wandb"), folder / "wandb_run.txt"
        found = _stored(known)
        go_on = {"id": found, "resume": "allow" if found else None}
        try:
            self._run = wandb.init(project="vidrobust", name=name, dir=str(folder), config=config, **go_on)
        except wandb.errors.Error as error:
            raise InputError(f"wandb: {error} WANDB_MODE=offline keeps the numbers on this machine.") from error
        write_atomic(known, self._run.id.encode())

    def send(self, numbers: dict[str, float], epoch: int) -> None:
        self._run.log(numbers, step=epoch)

    def close(self) -> None:
        self._run.finish()


class Trackio(Backend):
    """A run of trackio, in its own folder (``TRACKIO_DIR``), or in the Space of ``TRACKIO_SPACE_ID``.

    A resumed training goes on with the same run, whose name is in ``trackio_run.txt``.
    """

    def __init__(self, folder: Path, name: str, config: dict[str, Any], epochs: int = 0) -> None:
        self._trackio, known = _library("trackio"), folder / "trackio_run.txt"
        title = _stored(known) or f"{name} {uuid.uuid4().hex[:8]}"
        quiet = {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        with contextlib.redirect_stdout(sys.stderr):  # what this program prints is its result
            self._run = self._trackio.init("vidrobust", name=title, config=config, resume="allow", **quiet)
        write_atomic(known, title.encode())

    def send(self, numbers: dict[str, float], epoch: int) -> None:
        self._run.log(numbers, step=epoch)

    def close(self) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            self._trackio.finish()


def _stored(file: Path) -> str | None:
    """The id or name of a run in a file of its directory; None if the run is new to the tracker."""
    return file.read_text(encoding="utf-8") if file.exists() else None


def _library(extra: str, module: str | None = None) -> Any:
    """The library that an extra of this package installs."""
    try:
        return importlib.import_module(module or extra)
    except ImportError as error:
        raise missing_tracker(extra) from error


def missing_tracker(extra: str) -> MissingExtraError:
    """The error of a tracker that is not installed."""
    return MissingExtraError(extra, extra, "the tracker")


TRACKERS: dict[str, Callable[[Path, str, dict[str, Any], int], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
    "trackio": Trackio,
}


class Trackers:
    """Several trackers as one.

    Args:
        folder: the run directory.
        names: of :data:`TRACKERS`; JSON lines are written in any case.
        title: of the run.
        config: what determines it.

    Raises:
        MissingExtraError: a tracker is not installed.
    """

    def __init__(self, folder: Path, names: Sequence[str], title: str, config: dict[str, Any]) -> None:
        self._lines = JsonLines(folder)
        opened = [TRACKERS[name](folder, title, config, self._lines.epochs) for name in names]
        self._trackers: list[Tracker] = [*opened, self._lines]  # what the file has, the others have got before

    def log(self, rows: Sequence[Row]) -> None:
        """Take the rows of one epoch; those of an epoch that was run again after a kill are known."""
        new = self._lines.new(rows)
        for tracker in self._trackers:
            tracker.log(new)

    def close(self) -> None:
        """Finish the log."""
        for tracker in self._trackers:
            tracker.close()
