"""What is looked at while a model is trained, what follows from it, and where the numbers go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.linear_models import distance, linear
from helpers.row_fields import unknown

from vidrobust.data.dataset import VideoClips
from vidrobust.data.given import Given
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import digits
from vidrobust.evaluation.manifest import clips_of
from vidrobust.models.building import build
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.notation import parse_policy
from vidrobust.study.progress import Display, sparkline
from vidrobust.threats import Linf
from vidrobust.training import fitting
from vidrobust.training.fitting import fit
from vidrobust.training.stopping import multi_step
from vidrobust.training.trackers import JsonLines, Trackers
from vidrobust.training.watch import Watch, Watcher, watch_rows

WATCH = Watch(every=1, clips=10, steps=2)


def verdicts(*counts: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """What a look would find: (clips that withstand one step, several), of 10, epoch by epoch."""
    for epoch, (single, robust) in enumerate(counts, 1):
        for split in ("train", "val"):
            yield {"kind": "watch", "epoch": epoch, "split": split, "clean": 9, "single": single, "robust": robust,
                   "clips": 10, "loss": 1.0, "robust_loss": 2.0, "eps": 8.0, "alpha": 2.0, "steps": 2}  # fmt: skip


def run(data: VideoClips, monkeypatch: pytest.MonkeyPatch, watch: Watch, *counts: tuple[int, int], **how: Any) -> Any:
    found = verdicts(*counts)
    monkeypatch.setattr(fitting, "watch_rows", lambda *given, watch: [next(found)])
    small = VideoClips(data.folder, data.config, data.train.subset(range(32)), data.val, data.test.subset(range(8)))
    return fit(build("r3d-small", 10), small, "FGSM-RS(ε=8)", epochs=len(counts), batch=16, watch=watch, **how)


def test_a_look_counts_what_withstands_the_attacks(trained: ResNet3d, small_data: VideoClips) -> None:
    clips = small_data.val.subset(range(20))
    (row,) = watch_rows(trained, clips, "val", 3, Watch(every=1, eps=8, steps=5))
    assert row["robust"] <= row["single"] <= row["clean"] <= row["clips"] == 20
    assert row["robust_loss"] > row["loss"]
    assert (row["epoch"], row["split"], row["alpha"]) == (3, "val", 2.0)
    assert row["clips_of"] == clips_of(clips)


def test_a_look_keeps_the_outcome_of_each_clip() -> None:
    """Against the distance to a linear model's boundary, which one step of ε covers as well as several do."""
    model, clips, labels = linear()
    far = distance(model, clips, labels, Linf())
    labels[0] = 1 - labels[0]  # wrong without an attack
    eps = 255 * far.median().item() * 1.01
    (row,) = watch_rows(model, Given(clips, labels.tolist()), "val", 1, Watch(every=1, eps=eps, steps=5))
    clean = torch.arange(8) > 0
    stands = digits(clean & (far > eps / 255))
    assert row["survived"] == {"clean": digits(clean), "single": stands, "robust": stands}
    assert 0 < row["robust"] == stands.count("1") < row["clean"] == 7
    assert unknown([{**row, "model": "m", "seed": 0}]) == set()


def test_train_and_validation_are_watched_and_test_never_is(
    small_data: VideoClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    true = fitting.watch_rows

    def spy(model: Any, clips: Any, *rest: Any, **how: Any) -> Any:
        seen.append(set(clips.videos))
        return true(model, clips, *rest, **how)

    monkeypatch.setattr(fitting, "watch_rows", spy)
    small = VideoClips(small_data.folder, small_data.config, small_data.train.subset(range(32)), *rest_of(small_data))
    rows = fit(build("r3d-small", 10), small, epochs=2, batch=16, watch=WATCH).rows
    looks = [row for row in rows if row["kind"] == "watch"]
    assert [(row["epoch"], row["split"]) for row in looks] == [(1, "train"), (1, "val"), (2, "train"), (2, "val")]
    assert all(videos.isdisjoint(small_data.test.videos) for videos in seen)


def rest_of(data: VideoClips) -> tuple[Any, Any]:
    return data.val, data.test.subset(range(8))


def test_catastrophic_overfitting_stops_training_with_the_best_weights(
    small_data: VideoClips, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = run(small_data, monkeypatch, WATCH, (7, 6), (8, 7), (9, 1), (9, 9), out=tmp_path / "run")
    stopped = [row for row in done.rows if row["kind"] == "stopped"]
    assert [(row["epoch"], row["best_epoch"]) for row in stopped] == [(3, 2)]
    assert unknown(done.rows) == set()
    assert "catastrophic overfitting" in stopped[0]["reason"]
    assert max(row["epoch"] for row in done.rows if row["kind"] == "epoch") == 3
    assert [file.name for file in (tmp_path / "run" / "checkpoints").iterdir()] == ["last.safetensors"]
    epochs = [json.loads(line) for line in (tmp_path / "run" / "training.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in epochs if row["kind"] == "epoch"] == [1, 2, 3]


def test_it_falls_back_to_several_steps_and_goes_on(small_data: VideoClips, monkeypatch: pytest.MonkeyPatch) -> None:
    how = Watch(every=1, clips=10, steps=2, collapse="fall back")
    done = run(small_data, monkeypatch, how, (8, 7), (9, 1), (8, 8))
    assert [row["policy"] for row in done.rows if row["kind"] == "fallback"] == ["AT(ε=8,α=ε/4,i=5)"]
    assert unknown(done.rows) == set()
    assert [row["steps"] for row in done.rows if row["kind"] == "epoch"] == [1, 1, 5]


@pytest.mark.parametrize(
    ("policy", "several"),
    [
        ("FGSM-RS(ε=128,norm=L2)+AWP", "AT(ε=128,α=ε/4,i=5,norm=L2)+AWP(γ=0.005)"),
        ("CAL(ε~U(0,12),α=ε,i=1,support=Border(ratio=0.1))", "CAL(ε~U(0,12),α=ε/4,i=5,support=Border(ratio=0.1))"),
        ("MAX(AT(ε=8,α=8,i=1),N-FGSM(ε=4,smooth=0.1))", "MAX(AT(ε=8,α=ε/4,i=5),AT(ε=4,α=ε/4,i=5,smooth=0.1))"),
        ("GAT(ε=8,α=8,i=1,width=8)", "GAT(ε=8,α=ε/4,i=5,width=8)"),
    ],
)
def test_a_fallback_keeps_the_threat_and_what_goes_on_top(policy: str, several: str) -> None:
    assert str(multi_step(parse_policy(policy))) == several


def test_the_average_is_what_is_looked_at_and_kept(small_data: VideoClips, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for method in ("AT(ε=8,α=8,i=1)", "AT(ε=8,α=8,i=1)+EMA(τ=0.9)"):
        found = verdicts((5, 5), (6, 6), (6, 6))
        monkeypatch.setattr(fitting, "watch_rows", lambda *given, watch, found=found: [next(found)])
        small = VideoClips(
            small_data.folder, small_data.config, small_data.train.subset(range(32)), *rest_of(small_data)
        )
        how = Watch(every=1, clips=10, patience=2)
        ends.append(fit(build("r3d-small", 10), small, method, epochs=3, batch=16, watch=how).model.fc.weight)
    assert not torch.equal(*ends)


def test_robust_overfitting_ends_training_early_with_the_best_weights(
    small_data: VideoClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(small_data, monkeypatch, Watch(every=1, clips=10, patience=2), (5, 5), (6, 6), (6, 6), (5, 5), (9, 9))
    assert [row["epoch"] for row in done.rows if row["kind"] == "stopped"] == [4]
    whole = run(small_data, monkeypatch, Watch(every=1, clips=10), (5, 5), (6, 6), (6, 6), (5, 5), (9, 9))
    assert not [row for row in whole.rows if row["kind"] == "stopped"]
    assert not torch.equal(done.model.fc.weight, whole.model.fc.weight)


def test_nothing_is_looked_at_unless_asked(small_data: VideoClips) -> None:
    watcher = Watcher(0, {}, watch_rows)
    assert watcher(build("r3d-small", 10), {"kind": "epoch", "epoch": 1, "epochs": 1}, []) == []
    with pytest.raises(InputError, match="patience"):
        Watch(patience=-1)


def test_json_lines_hold_each_row_once(tmp_path: Path) -> None:
    rows = list(verdicts((5, 4)))
    JsonLines(tmp_path).log(rows)
    again = JsonLines(tmp_path)  # after a kill
    again.log(rows)
    again.log(list(verdicts((5, 4), (6, 5)))[2:])
    held = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["split"]) for row in held] == [(1, "train"), (1, "val"), (2, "train"), (2, "val")]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_gets_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trackers = Trackers(tmp_path, ["tensorboard"], "standard", {"seed": 0})
    trackers.log(list(verdicts((5, 4))))
    trackers.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.value for point in events.Scalars("val/robust")] == pytest.approx([0.4])


@pytest.mark.filterwarnings("ignore")
def test_after_a_kill_tensorboard_shows_each_epoch_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first, second, third = list(verdicts((5, 4), (6, 5), (7, 6)))[::2]
    before = Trackers(tmp_path, ["tensorboard"], "standard", {})
    before.log([first])
    before._trackers[0].log([second])  # killed before the epoch's rows were in the file
    before.close()
    after = Trackers(tmp_path, ["tensorboard"], "standard", {})
    after.log([first])  # the checkpoint may be older than the file
    after.log([second])
    after.log([third])
    after.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [point.step for point in events.Scalars("train/robust")] == [1, 2, 3]
    assert [json.loads(line)["epoch"] for line in (tmp_path / "training.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_a_tracker_that_is_missing_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "wandb", "trackio"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
        with pytest.raises(InputError, match=f"vidrobust\\[{name}\\]"):
            Trackers(tmp_path, [name], "standard", {})  # type: ignore[list-item]


def test_curves_are_drawn_in_the_terminal() -> None:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Display(10, console) as display:
        for loss in (2.0, 1.5, 1.0):
            display.curves({"train/loss": loss, "val/robust": 0.25})
    assert isinstance(console.file, io.StringIO)
    assert sparkline([2.0, 1.5, 1.0]) in console.file.getvalue()
    assert "val/robust" in console.file.getvalue()
