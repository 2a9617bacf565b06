"""The command line, as a stranger types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vidrobust.cli.entry import VERBS
from vidrobust.data.dataset import VideoClips
from vidrobust.runs.directory import Run

Command = Callable[..., tuple[int, str, str]]

IN_PLACE = ("evaluate", "sweep", "data", "show", "runs", "verify", "cite", "compare", "doctor", "completion")
"""Verbs that write into a run that is there, or nothing."""


def started(*arguments: object) -> tuple[int, str, str]:
    """A command line in a process of its own, which takes seconds to import torch: once for each verb that needs it."""
    done = subprocess.run(
        [sys.executable, "-m", "vidrobust", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYTHONWARNINGS": "error", "NO_COLOR": "1", "COLUMNS": "200"},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


FEW = ("--clips.train", 32, "--watch.clips", 10)
SMALL = ("--clips.size", 16, "--clips.max_frames", 10, "--batch", 16)


@pytest.fixture(scope="module")
def at_run(small_motion: Path, small_data: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train") / "at"
    method = "AT(eps=8, alpha=8, i=3)"
    code, printed, err = started(
        "train", "--data", small_motion, "--method", method, "--epochs", 2, *SMALL, "--watch.clips", 10, "--out", out
    )
    assert code == 0, err
    assert printed.strip() == str(out)
    return out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\n"
        "from vidrobust.cli.entry import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "sys.exit(bool({'torch', 'numpy', 'jsonargparse', 'plotly', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "study" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, vidrobust: Command) -> None:
    code, printed, _ = vidrobust(verb, "--help")
    assert code == 0
    assert "--out" in printed or "OUT" in printed or verb in IN_PLACE


def test_the_configuration_is_printed_and_read_back(vidrobust: Command, tmp_path: Path) -> None:
    code, printed, _ = vidrobust("study", "--profile", "full", "--seeds", 4, "--print_config")
    assert code == 0
    assert "seeds: 4" in printed
    (tmp_path / "mine.yaml").write_text(printed)
    code, again, _ = vidrobust("study", "--config", tmp_path / "mine.yaml", "--print_config")
    assert code == 0
    assert again == printed


def test_train_leaves_a_run_with_rows_and_weights(at_run: Path) -> None:
    run = Run.open(at_run)
    epoch = ["epoch", "watch", "watch"]
    assert [row["kind"] for row in run.rows() if row["kind"] != "manifest"] == [
        "dataset", *epoch, *epoch, *["accuracy"] * 3
    ]  # fmt: skip
    listed = {row["clips_of"]: row["clips"] for row in run.rows("manifest")}
    about = [row for row in run.rows() if row["kind"] in ("watch", "accuracy")]
    assert {row["clips_of"]: row["clips"] for row in about} == listed
    assert {row["model"] for row in run.rows("epoch")} == {"AT(ε=8,α=8,i=3)"}
    assert (at_run / "model.safetensors").exists()
    assert run.provenance["versions"]["torch"]


def test_evaluate_adds_its_rows_once(at_run: Path, vidrobust: Command) -> None:
    attack = ("--attack", "PGD(ε=8,α=α*,i=4)", "--attack", "FGSM(ε=4)", "--clips", 20)
    code, _, err = started("evaluate", at_run, *attack)
    assert code == 0, err
    assert "of 20" in err
    rows = Run.open(at_run).rows("robustness")
    assert [row["eps"] for row in rows] == [0, 8, 4]
    assert rows[1]["alpha"] > 0
    assert vidrobust("evaluate", at_run, *attack)[0] == 0
    assert Run.open(at_run).rows("robustness") == rows


def test_clips_are_driven_to_a_class(at_run: Path, vidrobust: Command, tmp_path: Path) -> None:
    search, (first, *_) = "PGD(ε=255,α=32,i=20,targeted=true)", Run.open(at_run).rows("dataset")[0]["classes"]
    few = ("--clips", 2, "--split", "train")
    code, _, err = vidrobust("attack", at_run, "--attack", search, "--target", first, *few, "--out", tmp_path / "a")
    assert code == 0, err
    for row in Run.open(tmp_path / "a").rows("example"):
        assert row["label"] != first
        assert row["adversarial_top"][0][0] == first
    for options, says in (
        (("--attack", search, "--target", "Sleping"), "no such class. Near it:"),
        (("--attack", "FAB(ε=8,steps=3)", "--target", first), "needs an attack with targeted=true"),
        (("--attack", search), "is targeted"),
    ):
        code, _, err = vidrobust("attack", at_run, *options, *few, "--out", tmp_path / "b")
        assert (code, says in err) == (1, True), err


def test_a_model_is_judged_against_its_own_list_of_classes(
    small_motion: Path, small_data: VideoClips, vidrobust: Command, tmp_path: Path
) -> None:
    own = [*reversed(small_data.classes), "Standing"]  # one more than the data have, in an order of its own
    (tmp_path / "classes.txt").write_text("\n".join(own))
    model = ("--model", "r3d-small", "--data", small_motion, "--frames", 8, "--size", 16)
    asked = ("--classes", tmp_path / "classes.txt", "--attack", "FGSM(ε=4)", "--clips", 4, "--out", tmp_path / "run")
    code, _, err = vidrobust("evaluate", *model, *asked)
    assert code == 0, err
    assert Run.open(tmp_path / "run").rows("dataset")[0]["classes"] == own
    code, _, err = vidrobust("evaluate", tmp_path / "run", *asked)
    assert (code, "leave out --data, --classes" in err) == (1, True), err


def test_a_sweep_of_several_budgets_is_that_of_each(
    at_run: Path, vidrobust: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--steps", "[2]", "--alpha", "[1,2]", "--clips", 10, "--split", "test")
    known = len(Run.open(at_run).rows())
    code, printed, err = started("sweep", at_run, "--eps", "[4,8]", *few, "--workers", 2, "--out", tmp_path / "both")
    assert code == 0, err
    assert Path(printed.strip()).exists()
    assert "at ε=4" in err and "at ε=8" in err
    run = Run.open(tmp_path / "both")
    assert [(row["eps"], row["alpha"]) for row in run.rows("trajectory")] == [(4, 1), (4, 2), (8, 1), (8, 2)]
    assert len(run.rows("dataset")) == 1
    assert len(Run.open(at_run).rows()) == known  # with --out the model's own run stays as it is
    before = (run.path / "rows.jsonl").read_bytes()
    assert vidrobust("sweep", at_run, "--eps", "[4,8]", *few, "--out", tmp_path / "both")[0] == 0
    assert (run.path / "rows.jsonl").read_bytes() == before
    monkeypatch.setattr("tempfile.mkdtemp", lambda *asked: pytest.fail("a kill would leave a temporary folder"))
    for budgets in (8, "[4,8]"):  # in this process, and in two
        assert vidrobust("sweep", at_run, "--eps", budgets, *few, "--workers", 2)[0] == 0
        rows = [row for row in Run.open(at_run).rows("trajectory") if row["split"] == "test"]
        known = {(row["eps"], row["alpha"]): row["correct"] for row in run.rows("trajectory")}
        assert [row["correct"] for row in rows] == [known[row["eps"], row["alpha"]] for row in rows]
    assert len(rows) == len(known)
    code, _, err = vidrobust("sweep", at_run, "--eps", "[4,8]", "--engine", "slurm")
    assert (code, "needs --out" in err) == (1, True), err


def test_sweep_attack_report_and_export(at_run: Path, vidrobust: Command, tmp_path: Path) -> None:
    code, _, err = vidrobust("sweep", at_run, "--eps", 4, "--steps", "[2,3]", "--clips", 10)
    assert code == 0, err
    assert "α*(ε=4, i=3)" in err
    assert vidrobust("sweep", at_run, "--eps", 4, "--alpha", "[1,2]", "--steps", "[2]", "--clips", 10)[0] == 0
    known = ("--alpha-star", at_run)  # as just found, which saves looking for it
    code, printed, err = started("attack", at_run, *known, "--out", tmp_path / "a", "--clips", 2, "--split", "train")
    assert code == 0, err
    assert Path(printed.strip()).exists()
    assert len(Run.open(tmp_path / "a").rows("example")) == 2
    assert len(Run.open(tmp_path / "a").rows("dataset")) == 1
    code, printed, err = vidrobust("report", at_run, "--out", tmp_path / "page.html")
    assert code == 0, err
    assert (tmp_path / "page.html").exists()
    code, printed, err = vidrobust("report", at_run, "--tables", "csv", "--out", tmp_path / "tables")
    assert code == 0, err
    assert all(Path(line).exists() for line in printed.split())
    code, printed, err = vidrobust("deck", at_run, "--out", tmp_path / "deck.html", "--script", tmp_path / "talk.md")
    assert code == 0, err
    assert (tmp_path / "deck.html").exists()
    assert "# " in (tmp_path / "talk.md").read_text()
    code, printed, err = vidrobust("show", at_run)
    assert (code, "AT(ε=8,α=8,i=3)" in printed) == (0, True), err
    code, printed, err = vidrobust("runs", at_run.parent)
    assert (code, at_run.name in printed) == (0, True), err
    code, _, err = vidrobust("export", at_run, tmp_path / "rows.parquet")
    assert code == 0, err
    from pyarrow import parquet

    table = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    rows = Run.open(at_run).rows()
    assert len(table) == len(rows)
    assert [row["kind"] for row in table] == [row["kind"] for row in rows]
    assert json.loads(table[0]["classes"]) == rows[0]["classes"]


def test_policies_with_alpha_star_train_without_a_study(small_motion: Path, vidrobust: Command, tmp_path: Path) -> None:
    method = "CAL(eps~U(0,12),alpha=alpha*,i=2)"
    code, _, err = vidrobust(
        "train", "--data", small_motion, "--method", method, "--epochs", 2, *SMALL, *FEW, "--out", tmp_path / "run"
    )
    assert code == 0, err
    first, last = Run.open(tmp_path / "run").rows("epoch")
    assert first["eps"] == 0
    assert 0 < last["alpha"] <= 48


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["stduy"], 2, "no verb 'stduy'"),
        (["train", "--method", "AT(ε=8,α=8,i=)", "--out", "x"], 1, "^"),
        (["train", "--data", "nowhere", "--out", "x"], 1, "nowhere"),
        (["train", "--epochs", "0", "--out", "x"], 1, "epochs"),
        (["train", "--method", "fAT(ε=8,α=2,i=5)", "--out", "x"], 1, "--init"),
        (["train", "--model", "resnet", "--out", "x"], 1, "r3d-small"),
        (["train"], 2, "out"),
        (["train", "--fit.lr", "0.1", "--out", "x"], 2, "is given as"),
        (["train", "--clips.name", "y", "--out", "x"], 2, "is given as"),
        (["train", "--lr", "1e30", "--out", "x"], 1, "lr must lie above 0 and not above 1000"),
        (["train", "--batch", "40", "--fit.accumulate", "3", "--out", "x"], 1, "divide the batch of 40"),
        (["evaluate", "nowhere", "--attack", "PGD(ε=8,α=2,i=3)"], 1, "nowhere"),
        (["evaluate", "nowhere", "--attack", "PGD(ε=300,α=2,i=3)"], 1, "255"),
        (["report", "nowhere"], 1, "nowhere"),
        (["deck", "nowhere"], 1, "nowhere"),
        (["show", "nowhere"], 1, "nowhere"),
        (["runs", "nowhere"], 1, "nowhere"),
        (["export", "nowhere", "x.parquet"], 1, "nowhere"),
        (["study", "--workers", "0", "--out", "x"], 1, "workers"),
        (["study", "--profile", "huge", "--out", "x"], 2, "profile"),
        (["study", "--data", "nowhere", "--out", "x"], 1, "nowhere"),
    ],
)
def test_bad_command_lines_say_what_is_wrong(
    arguments: list[str],
    code: int,
    message: str,
    vidrobust: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _, err = vidrobust(*arguments)
    assert (found, message in err) == (code, True), err
    assert not (tmp_path / "x").exists()


@pytest.fixture
def own(small_motion: Path, tmp_path: Path) -> Path:
    """One's own videos: a folder a class, no lists."""
    root = tmp_path / "own"
    for name in ("PanLeft", "ZoomIn"):
        shutil.copytree(small_motion / name, root / name)
    return root


def test_a_folder_of_own_videos_trains(own: Path, vidrobust: Command, tmp_path: Path) -> None:
    code, _, err = vidrobust("train", "--data", own, "--epochs", 1, *SMALL, "--out", tmp_path / "run")
    assert code == 0, err
    assert Run.open(tmp_path / "run").rows("dataset")[0]["classes"] == ["PanLeft", "ZoomIn"]
    assert Run.open(tmp_path / "run").rows("accuracy")[0]["k"] == 2


def test_a_truncated_video_stops_the_run_unless_skipped(own: Path, vidrobust: Command, tmp_path: Path) -> None:
    video = next((own / "ZoomIn").iterdir())
    video.write_bytes(video.read_bytes()[:2000])
    code, _, err = vidrobust("train", "--data", own, "--epochs", 1, *SMALL, "--out", tmp_path / "run")
    assert code == 1
    assert video.name in err
    assert "--skip-bad" in err
    code, _, err = vidrobust("train", "--data", own, "--epochs", 1, *SMALL, "--skip-bad", "--out", tmp_path / "run")
    assert code == 0, err
    (skipped,) = Run.open(tmp_path / "run").rows("dataset")[0]["skipped"]
    assert video.name in skipped["file"]


def test_a_missing_test_list_is_named(small_motion: Path, vidrobust: Command, tmp_path: Path) -> None:
    root = tmp_path / "motion"
    shutil.copytree(small_motion, root)
    (root / "ucfTrainTestlist" / "testlist01.txt").unlink()
    code, _, err = vidrobust("train", "--data", root, "--epochs", 1, *SMALL, "--out", tmp_path / "run")
    assert code == 1
    assert "testlist01.txt" in err


def test_sigterm_ends_a_command_as_ctrl_c_does_and_is_as_it_was_afterwards(
    vidrobust: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that workers are stopped, and no semaphore of theirs is left to the resource tracker."""
    left: list[str] = []

    def works(arguments: list[str]) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # a second one while it ends
            left.append("stopped its workers")

    monkeypatch.setattr("vidrobust.cli.doctor.main", works)
    before = signal.getsignal(signal.SIGTERM)
    code, printed, said = vidrobust("doctor")
    assert (code, printed, left) == (143, "", ["stopped its workers"])
    assert "stopped. What was finished is kept." in said
    assert signal.getsignal(signal.SIGTERM) == before
