"""What cannot be carried through is refused before the work: by the dry run, and by the run before its first job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from helpers.studies import TINY

from vidrobust.errors import InputError, VidrobustError
from vidrobust.runs.directory import Run
from vidrobust.study.config import Gap, StudyConfig
from vidrobust.study.engines import Where
from vidrobust.study.engines.local import Local
from vidrobust.study.plan import study
from vidrobust.study.recipes import PROFILES

Command = Callable[..., tuple[int, str, str]]

STUDY = [
    ("--seeds", "0", "seeds must be at least 1"),
    ("--seed", "-1", "seed must be at least 0"),
    ("--seed", "99999999999", "seed must be at least 0 and at most"),
    ("--clips.seed", "5", "the data have the seed of the study"),
    ("--examples", "-1", "examples must be at least 0"),
    ("--policies", '["standard"]', "leave it out"),
    ("--policies", '["AT(ε=8,α=8,i=3)","AT(eps=8,alpha=8,i=3)"]', "names AT(ε=8,α=8,i=3) twice"),
    ("--policies", '["AT(ε=8)"]', "^"),
    ("--policies", '["AT(ε=8,α=8,i=3,support=Frames(count=99))"]', "support"),
    ("--policies", '["AT(ε=8,α=8,i=3,norm=L9)"]', "L9"),
    ("--sensitivity.eps", "[300]", "sensitivity.eps: ε must lie above 0 to 255"),
    ("--sensitivity.eps", "[0]", "sensitivity.eps: ε must lie above 0"),
    ("--sensitivity.eps", "[8,8]", "names 8.0 twice"),
    ("--sensitivity.steps", "0", "sensitivity.steps must be at least 1"),
    ("--sensitivity.clips", "0", "sensitivity.clips must be at least 1"),
    ("--step_sizes.eps", "[]", "step_sizes.eps is empty"),
    ("--step_sizes.eps", "[-1]", "step_sizes.eps: ε must lie above 0"),
    ("--step_sizes.steps", "[]", "step_sizes.steps is empty"),
    ("--step_sizes.steps", "[0]", "step_sizes.steps must be at least 1"),
    ("--step_sizes.clips", "0", "step_sizes.clips must be at least 1"),
    ("--robustness.eps", "[]", "robustness.eps is empty"),
    ("--robustness.eps", "[.nan]", "robustness.eps: ε must lie from 0 to 255"),
    ("--robustness.eps", "[4,4]", "names 4.0 twice"),
    ("--robustness.steps", "[]", "robustness.steps is empty"),
    ("--robustness.steps", "[2000]", "at most 1000"),
    ("--robustness.clips", "-3", "robustness.clips must be at least 1"),
    ("--gap.policy", "XX", "^"),
    ("--gap.epochs", "0", "gap.epochs must be at least 1"),
    ("--gap.train", "0", "gap.train must be at least 2"),
    ("--gap.every", "0", "gap.every must be at least 1"),
    ("--gap.eps", "[]", "gap.eps is empty"),
    ("--gap.steps", "0", "gap.steps must be at least 1"),
    ("--gap.clips", "0", "gap.clips must be at least 1"),
    ("--gap.seeds", "-1", "gap.seeds must be at least 0"),
    ("--difficulty.contrasts", "[[0.5,0.2]]", "contrast must be a range"),
    ("--difficulty.contrasts", "[[0.2,0.5],[0.2,0.5]]", "twice"),
    ("--difficulty.contrasts", "[[0.2,2.5]]", "contrast must be a range above 0 to 2"),
    ("--clips.contrast", "[0.2,.inf]", "contrast must be a range above 0 to 2"),
    ("--difficulty.policies", '["standard"]', "leave it out"),
    ("--difficulty.eps", "[]", "difficulty.eps is empty"),
    ("--difficulty.steps", "0", "difficulty.steps must be at least 1"),
    ("--difficulty.clips", "0", "difficulty.clips must be at least 1"),
    ("--difficulty.seeds", "0", "difficulty.seeds must be at least 1"),
    ("--standard.freeze", "layer9", "train standard, seed 0"),
    ("--adversarial.freeze", "nowhere", "the model has no module of that name"),
    ("--adversarial.batch", "1", "batch at least 2"),
    ("--clips.train", "1", "at least 2 are needed"),
    ("--clips.train", "-1", "train, val and test must be at least 0"),
    ("--clips.test", "-1", "train, val and test must be at least 0"),
    ("--clips.frames", "0", "at least 1"),
    ("--clips.contrast", "[0.7,0.2]", "contrast must be a range"),
    ("--clips.contrast", "[0.3,0.6]", "contrast is of motion alone"),
    ("--clips.split", "9", "trainlist09.txt"),
    ("--model", "nothing", "there is no model 'nothing'"),
    ("--weights", "nowhere.pth", "nowhere.pth"),
    ("--engine", "slurm", "no Slurm here"),
    ("--workers", "0", "workers must be at least 1"),
    ("--gpus", "-1", "gpus must be at least 0"),
    ("--gpus", "2", "A job uses one GPU"),
    ("--address", "auto", "--address auto is for another engine"),
]


def test_another_rendering_of_the_embedded_data_is_refused_by_the_dry_run_too(
    vidrobust: Command, tmp_path: Path
) -> None:
    code, _, err = vidrobust("study", "--out", tmp_path / "run", "--clips.version", 9, "--dry-run")
    assert (code, "this is of `motion` 9" in err) == (1, True), err


@pytest.mark.parametrize("dry", [True, False], ids=["dry", "real"])
@pytest.mark.parametrize(("option", "value", "says"), STUDY, ids=lambda text: str(text)[:40])
def test_an_impossible_study_is_refused_before_its_first_job(
    option: str, value: str, says: str, dry: bool, small_motion: Path, vidrobust: Command, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ("study", "--config", TINY, "--data", small_motion, "--out", out, option, value)
    code, printed, err = vidrobust(*command, *(["--dry-run"] if dry else []))
    assert (code, says in err) == (1, True), err
    assert not printed
    assert not out.exists()


def test_a_batch_that_the_clips_of_one_training_do_not_fill_is_cut_before_it(
    small_motion: Path, vidrobust: Command, tmp_path: Path
) -> None:
    """The study's own trainings have clips enough; the one that is watched has 6, which make no four parts."""
    split = ("--adversarial.batch", 16, "--adversarial.accumulate", 4, "--gap.train", 6)
    out = ("--out", tmp_path / "run", "--dry-run")
    code, _, err = vidrobust("study", "--config", TINY, "--data", small_motion, *split, *out)
    assert code == 1
    assert "by epoch" in err
    assert "a batch of 6 clips cannot be cut" in err


def test_in_python_too(small_motion: Path, tmp_path: Path) -> None:
    config = StudyConfig(gap=Gap(train=5))
    config = replace(config, adversarial=replace(config.adversarial, batch=16, accumulate=4))
    with pytest.raises(InputError, match="by epoch"):
        study(config, tmp_path / "run", Where(workers=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dry", [True, False], ids=["dry", "real"])
def test_where_a_run_cannot_be_is_refused_before_it_begins(
    dry: bool, small_motion: Path, vidrobust: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    Run.start(tmp_path / "other", "train", {}, 0)
    Run.start(tmp_path / "unlike", "study", asdict(PROFILES["quick"]()), 0)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    flag = ["--dry-run"] if dry else []
    for name, says in {
        "file": "is a file",
        "file/run": "no folder",
        "other": "of kind 'train'",
        "unlike": "another configuration",
        "full": "not empty",
    }.items():
        study = ("study", "--config", TINY, "--data", small_motion, "--out", tmp_path / name)
        code, _, err = vidrobust(*study, *flag)
        assert (code, says in err) == (1, True), err
        assert not (tmp_path / name / "jobs").exists()


@pytest.mark.parametrize("dry", [True, False], ids=["dry", "real"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--alpha-star", "nowhere"), "nowhere does not exist"),
        (("--init", "nowhere"), "nowhere does not exist"),
        (("--init", "file", "--weights", "file"), "leave one out"),
        (("--watch.patience", "2"), "leave it at 0"),
        (("--fit.freeze", "nowhere"), "no module of that name"),
        (("--batch", "32", "--fit.accumulate", "4", "--clips.train", "6"), "a batch of 6 clips cannot be cut"),
        (("--method", "AT(ε=8,α=8,i=3,norm=L9)"), "L9"),
        (("--clips.train", "1"), "at least 2 are needed"),
        (("--out", "file/run"), "no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_impossible_training_is_refused_before_it_begins(
    options: tuple[str, ...],
    says: str,
    dry: bool,
    small_motion: Path,
    small_data: object,
    vidrobust: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    small = ("--clips.size", 16, "--clips.max_frames", 10)
    code, _, err = vidrobust(
        "train", "--data", small_motion, *small, "--out", "run", *options, *(["--dry-run"] if dry else [])
    )
    assert (code, says in err) == (1, True), err
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("evaluate", "--attack", "FGSM(ε=4)", "--clips", "-1"), "--clips must be at least 0"),
        (("evaluate", "--attack", "FGSM(ε=4)", "--views", "0"), "--views must be at least 1"),
        (("evaluate", "--attack", "FGSM(ε=4)", "--frames", "0"), "--frames must be at least 1"),
        (("evaluate", "--attack", "FGSM(ε=4)", "--alpha-star", "nowhere"), "nowhere does not exist"),
        (("evaluate", "--attack", "FGSM(ε=4)", "--defence", "Blur(3)"), "Blur"),
        (("evaluate", "--attack", "FGSM(ε=4)", "--out", "file/run"), "no folder"),
        (("attack", "--clips", "0", "--out", "run"), "--clips must be at least 1"),
        (("attack", "--alpha-star", "nowhere", "--out", "run"), "nowhere does not exist"),
        (("attack", "--out", "file/run"), "no folder"),
        (("sweep", "--eps", "[0]"), "--eps: ε must lie above 0"),
        (("sweep", "--eps", "[4,4]"), "twice"),
        (("sweep", "--eps", "[]"), "--eps is empty"),
        (("sweep", "--steps", "[]"), "--steps is empty"),
        (("sweep", "--steps", "[0]"), "--steps must be at least 1"),
        (("sweep", "--alpha", "[0]"), "α must lie above 0"),
        (("sweep", "--alpha", "[.inf]"), "α must lie above 0"),
        (("sweep", "--alpha", "[2,2]"), "twice"),
        (("sweep", "--clips", "-1"), "--clips must be at least 0"),
        (("sweep", "--engine", "slurm"), "needs --out"),
        (("sweep", "--gpus", "0.5"), "needs --out"),
        (("sweep", "--engine", "slurm", "--out", "run"), "no Slurm here"),
        (("sweep", "--out", "file/run"), "no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_impossible_measurement_is_refused_before_its_model_is_looked_for(
    command: tuple[str, ...], says: str, vidrobust: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    verb, *options = command
    code, _, err = vidrobust(verb, "no_such_run", *options)
    assert (code, says in err) == (1, True), err


def test_profiles_are_possible() -> None:
    """Every profile passes the checks of its values; that its trainings can be begun, its dry run shows."""
    for name, make in PROFILES.items():
        assert make().profile == name
    with pytest.raises(VidrobustError, match="profile must be one of"):
        replace(PROFILES["quick"](), profile="huge")  # type: ignore[arg-type]


def test_a_refused_study_ends_the_worker_that_started_early(
    vidrobust: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(Local, "start_one", lambda engine: seen.append("started"))
    monkeypatch.setattr(Local, "close", lambda engine, at_once: seen.append(at_once))
    code, _, _ = vidrobust("study", "--data", tmp_path / "nowhere", "--out", tmp_path / "x")
    assert (code, seen) == (1, ["started", True])
    code, _, _ = vidrobust("study", "--data", tmp_path / "nowhere", "--out", tmp_path / "x", "--dry-run")
    assert (code, len(seen)) == (1, 2)


@pytest.mark.parametrize(
    ("engine", "gpus", "says"),
    [
        ("slurm", 0.25, "Slurm deals out whole GPUs"),
        ("slurm", 1.5, "whole number"),
        ("ray", 1.5, "Ray deals out whole"),
    ],
)
def test_a_share_of_a_gpu_that_an_engine_does_not_deal_out_is_refused(engine: str, gpus: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Where(engine=engine, gpus=gpus)  # type: ignore[arg-type]
    assert Where(engine="ray", gpus=0.25).gpus == 0.25
    assert Where(engine=engine, gpus=2).gpus == 2  # type: ignore[arg-type]


def test_workers_of_this_machine_fit_on_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("vidrobust.study.engines.cores", lambda: 16)
    assert Where().processes == 16
    assert Where(gpus=0.25).processes == 8
    assert Where(gpus=0.4).processes == 4
    Where(gpus=0.25, workers=8).check()
    with pytest.raises(InputError, match=r"3 workers with 1 of a GPU each .* at most 2"):
        Where(gpus=1, workers=3).check()


def test_shares_of_a_gpu_that_is_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert Where(gpus=0.25).processes == 1
    with pytest.raises(InputError, match="gpus is 0.25, but PyTorch finds no GPU here"):
        Where(gpus=0.25, workers=4).check()
