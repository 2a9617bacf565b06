"""The recipes, end to end in miniature, and the command line with other people's models."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers.reference_resnet3d import weights
from torch import nn

import vidrobust as vr
from vidrobust.cli.entry import main
from vidrobust.cli.train import Train
from vidrobust.data.dataset import DataConfig, VideoClips
from vidrobust.errors import InputError
from vidrobust.fast.blocks import blocks_of
from vidrobust.models.building import build
from vidrobust.models.estimate import count, gpu_named
from vidrobust.notation import STANDARD, parse_policy
from vidrobust.runs.directory import Run
from vidrobust.study.recipes import TRAININGS
from vidrobust.training.config import FitConfig
from vidrobust.training.dry_run import TrainingEstimate
from vidrobust.training.learner import frozen_before, recomputed
from vidrobust.training.rates import default_optimiser
from vidrobust.training.trainer import train

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SMALL = "resnext3d-101(layers=[1,1,1,1],width=32)"


def vidrobust(*arguments: object, cwd: Path | None = None) -> tuple[int, str, str]:
    """The command in this process, which saves starting one: exit code, output, errors."""
    printed, err, here, code = io.StringIO(), io.StringIO(), Path.cwd(), 0
    os.chdir(cwd or here)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(err):
            main([str(argument) for argument in arguments])
    except SystemExit as done:
        code = int(done.code or 0)
    finally:
        os.chdir(here)
    return code, printed.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network's file as the code of 2018 writes it, of 400 classes."""
    path = tmp_path_factory.mktemp("weights") / "resnext-101-64f-kinetics.pth"
    state = weights("resnext", (1, 1, 1, 1), 400, width=32)
    held = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"arch": "resnext-101", "epoch": 200, "state_dict": held, "optimizer": {"state": {}}}, path)
    return path


FEW = ("--clips.train", 16, "--clips.val", 10, "--clips.test", 10)
MINIATURE = ("--model", SMALL, "--clips.frames", 8, "--clips.size", 16, "--clips.max_frames", 10, "--batch", 8)
MINIATURE = (*MINIATURE, *FEW, "--fit.accumulate", 2, "--epochs", 1)


@pytest.fixture(scope="module")
def tuned(small_motion: Path, kinetics: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("tuned") / "run"
    recipe = ("train", "--recipe", "ucf101-resnext101-64f", "--data", small_motion, "--weights", kinetics)
    code, printed, err = vidrobust(*recipe, *MINIATURE, "--out", out)
    assert (code, printed.strip()) == (0, str(out)), err
    return out, err


def test_a_recipe_fine_tunes_a_published_checkpoint(tuned: tuple[Path, str], kinetics: Path) -> None:
    out, err = tuned
    assert "head of" in err and "400 classes" in err and "replaced" in err
    fit = Run.open(out).config["fit"]
    assert (fit["optimiser"], fit["momentum"], fit["weight_decay"], fit["freeze"]) == ("sgd", 0.9, 1e-5, "layer4")
    assert (fit["epochs"], fit["batch"], fit["accumulate"], fit["checkpointing"]) == (1, 8, 2, True)
    model, start = vr.load_model(out).state_dict(), weights("resnext", (1, 1, 1, 1), 400, width=32)
    assert torch.equal(model["layer3.0.conv2.weight"], start["layer3.0.conv2.weight"])  # frozen
    assert not torch.equal(model["layer4.0.conv2.weight"], start["layer4.0.conv2.weight"])
    assert model["fc.weight"].shape == (10, 512)


def test_what_was_fine_tuned_is_found_again(tuned: tuple[Path, str], tmp_path: Path) -> None:
    out, _ = tuned
    code, _, err = vidrobust("evaluate", out, "--attack", "PGD(ε=8,α=2,i=2)", "--clips", 5)
    assert (code, "of 5" in err) == (0, True), err
    code, _, err = vidrobust("sweep", out, "--eps", 8, "--alpha", "[2]", "--steps", "[2]", "--clips", 4)
    assert code == 0, err


def test_without_asking_the_head_stays(small_motion: Path, kinetics: Path, tmp_path: Path) -> None:
    asked = ("train", "--data", small_motion, "--weights", kinetics, *MINIATURE, "--out", tmp_path / "x")
    code, _, err = vidrobust(*asked)
    assert (code, "--new-head" in err) == (1, True), err
    assert not (tmp_path / "x").exists()


def test_a_dry_run_estimates_for_a_gpu_without_data() -> None:
    code, printed, err = vidrobust("train", "--recipe", "hmdb51-resnext101-64f", "--gpu", "rtx3090", "--dry-run")
    assert code == 0, err
    for part in ("47,625,715 parameters", "64×112×112", "GFLOPs", "3,570 clips", "GiB of 24", "hours", "an estimate"):
        assert part in printed, printed
    code, _, err = vidrobust("train", "--recipe", "hmdb51-resnext101-64f", "--gpu", "abacus", "--dry-run")
    assert (code, "A100" in err) == (1, True)
    assert vidrobust("train", "--recipe", "imagenet", "--out", "x")[0] == 2
    code, _, err = vidrobust("train", "--recipe", "hmdb51-resnext101-64f", "--out", "x")
    assert (code, "--data" in err) == (1, True)


def test_a_dry_run_counts_the_clips_that_there_are(small_motion: Path) -> None:
    asked = ("train", "--data", small_motion, "--clips.train", 5000, "--dry-run")
    code, printed, err = vidrobust(*asked)
    assert code == 0, err
    assert "100 clips" in printed and "5,000" not in printed


@pytest.mark.parametrize(
    ("method", "trained", "gradients"),
    [
        ("standard", 1, 0),
        ("AT(ε=8,α=2,i=5)", 1, 5),
        ("AT(ε=8,α=2,i=5,mix=0.5)", 2, 5),
        ("Free(ε=8,m=6)", 6, 0),
        ("TRADES(ε=8,α=2,i=5)+AWP", 4, 5),
        ("AVG(AT(ε=8,α=2,i=5),AT(ε=8,α=2,i=3,norm=L2))", 2, 8),
    ],
)
def test_a_dry_run_counts_what_the_method_does_with_each_clip(method: str, trained: int, gradients: int) -> None:
    train = Train(method=method, epochs=2, data="", recipe="hmdb51-resnext101-64f", model="r3d-small")
    estimate = train._estimate(parse_policy(method), FitConfig(epochs=2))
    assert estimate.epochs == [3570 * (trained * estimate.counted.step + gradients * estimate.counted.gradient)] * 2


def test_the_estimates_count_what_is_known_in_closed_form() -> None:
    model = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(4 * 2 * 6 * 6, 5))
    counted = count(model, 2, 6)
    conv, linear = 2 * 27 * 3 * 4 * 72, 2 * 288 * 5
    assert counted.forward == conv + linear
    assert counted.step == 3 * (conv + linear)
    assert counted.gradient == 2 * (conv + linear)
    assert (counted.parameters, counted.trained) == (3 * 4 * 27 + 288 * 5 + 5,) * 2
    assert counted.saved == 4 * (3 * 72 + 288)  # the inputs of both layers
    model[0].requires_grad_(False)
    assert count(model, 2, 6).step == conv + 3 * linear
    assert gpu_named("A100").half == 312


def test_the_shares_of_an_h100_give_back_the_two_times_that_they_are_of() -> None:
    """Both of one revision; no other time was compared with the estimate."""
    counted, config = count(build("resnext3d-101", 101), 64, 112), FitConfig(epochs=1, batch=8, checkpointing=True)
    data, h100 = DataConfig(frames=64, size=112, max_frames=64), "nvidia-h100-80gb-hbm3--before"
    for file, contestant, spent in (
        (f"attacks--{h100}-fused-convolutions.json", "ours, search alone", (0, 10)),
        (f"training--{h100}-merged-groups-in-training.json", "ours", (1, 5)),
    ):
        times = [row for row in json.loads((RESULTS / file).read_text())["rows"] if row["kind"] == "time"]
        (taken,) = [row["seconds"] for row in times if "3D-ResNeXt" in row["row"] and row["contestant"] == contestant]
        told = TrainingEstimate("resnext3d-101", counted, config, data, 8, (spent,), gpu_named("H100"))
        assert told.seconds == pytest.approx(taken["median"], rel=0.05)


def test_the_study_recipes_are_the_training_recipes() -> None:
    assert set(TRAININGS) == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    for name, training in TRAININGS.items():
        held = yaml.safe_load((ROOT / "recipes" / f"{name}.yaml").read_text())
        fit = training().fit
        assert {key: getattr(fit, key) for key in held["standard"]} == held["standard"]
        assert held["model"] == training().model


def test_the_study_recipe_runs_in_miniature(small_motion: Path, kinetics: Path, tmp_path: Path) -> None:
    tiny = yaml.safe_load((ROOT / "tests" / "helpers" / "tiny.yaml").read_text())
    options: list[Any] = ["--policies", '["AT(ε=8,α=8,i=1)"]', "--examples", 2, "--gap.policy", "AT(ε=8,α=8,i=1)"]
    for part in ("sensitivity", "step_sizes", "robustness", "gap"):
        for key, value in tiny.get(part, {}).items():
            options += [f"--{part}.{key}", value if not isinstance(value, list) else str(value)]
    for part in ("standard", "adversarial"):
        options += [f"--{part}.epochs", 1, f"--{part}.batch", 8, f"--{part}.accumulate", 2]
    small = ("--clips.frames", 4, "--clips.size", 16, "--clips.max_frames", 10, *FEW, "--model", SMALL)
    recipe = ("study", "--config", ROOT / "recipes" / "ucf101-resnext101-64f.yaml", "--data", small_motion)
    code, printed, err = vidrobust(
        *recipe, "--weights", kinetics, *small, *options, "--workers", 1, "--out", tmp_path / "study"
    )
    assert code == 0, err
    assert Path(printed.strip()).exists()


# ── the engine's part


def test_layers_learn_at_rates_that_fall_towards_the_stem() -> None:
    model = build("r3d-18(width=4)", 5)
    frozen_before(model, "layer2")
    optimiser = default_optimiser(model, FitConfig(optimiser="sgd", layer_decay=0.5, head_lr=10))
    scales = [group["scale"] for group in optimiser.param_groups]
    assert scales == [0.125, 0.25, 0.5, 10]  # layer2, layer3, layer4, fc
    trained = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"layer2", "layer3", "layer4", "fc"}
    with pytest.raises(InputError, match="layer4"):
        frozen_before(model, "layer9")


@pytest.mark.parametrize("policy", [STANDARD, parse_policy("AT(ε=8,α=8,i=1)")])
def test_parts_and_checkpoints_change_nothing_but_memory(policy: Any, small_data: VideoClips) -> None:
    clips = small_data.train.subset(range(8))
    plain = FitConfig(epochs=1, batch=8, lr=1e-2, optimiser="sgd", precision="float32")
    models = []
    for config in (plain, FitConfig(**{**vars(plain), "checkpointing": True})):
        model = build("r3d-18(width=4)", 10)
        train(model, clips, policy, config)
        models.append(model.state_dict())
    for name, tensor in models[0].items():
        assert torch.allclose(tensor.float(), models[1][name].float(), atol=1e-5), name


def test_checkpointed_blocks_save_less_and_keep_their_statistics() -> None:
    model, x = build("r3d-18(width=4)", 10).train(), torch.rand(2, 3, 4, 16, 16)
    assert len(blocks_of(model)) == 8

    def saved(wanted: bool) -> int:
        sizes: list[int] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.nbytes), t)[1], lambda t: t)
        with hooks, recomputed(model) if wanted else contextlib.nullcontext():
            model(x).sum().backward()
        return sum(sizes)

    before = saved(False)
    counts = {name: int(t) for name, t in model.named_buffers() if name.endswith("num_batches_tracked")}
    assert saved(True) < before
    after = {name: int(t) for name, t in model.named_buffers() if name.endswith("num_batches_tracked")}
    assert after == {name: value + 1 for name, value in counts.items()}


# ── a user's own model on the command line

OWN = """
from torch import nn

def make(classes):
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, classes))
"""


def test_a_users_own_model_is_trained_judged_and_found_again(small_motion: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    spec = "mine:make(mean=[0.5,0.5,0.5],std=[0.25,0.25,0.25])"
    own = ("train", "--model", spec, "--data", small_motion, "--epochs", 1, "--batch", 8, *FEW, "--out", "run")
    code, _, err = vidrobust(*own, cwd=tmp_path)
    assert code == 0, err
    again = ("evaluate", "run", "--attack", "PGD(ε=8,α=2,i=2)", "--clips", 5)
    code, _, err = vidrobust(*again, cwd=tmp_path)
    assert (code, "names code" in err, f"--model '{spec}'" in err) == (1, True, True), err  # a file starts no code
    code, _, err = vidrobust(*again, "--model", spec, cwd=tmp_path)
    assert (code, "of 5" in err) == (0, True), err
    judged = ("--model", spec, "--weights", "run", "--data", small_motion, "--clips", 5)
    code, printed, err = vidrobust("evaluate", *judged, "--attack", "FGSM(ε=4)", "--out", "judged", cwd=tmp_path)
    assert (code, "of 5" in err) == (0, True), err
    assert (tmp_path / printed.strip()).exists()
    rows = Run.open(tmp_path / "judged").rows("robustness")
    assert [row["eps"] for row in rows] == [0, 4]


def test_a_published_checkpoint_is_judged_without_a_run(small_motion: Path, tmp_path: Path) -> None:
    path = tmp_path / "resnext-101-64f-own.pth"
    state = weights("resnext", (1, 1, 1, 1), 10, width=32)
    torch.save({"arch": "resnext-101", "state_dict": {f"module.{key}": tensor for key, tensor in state.items()}}, path)
    judged = ("evaluate", "--model", path, "--data", small_motion, "--clips", 4, "--attack", "FGSM(ε=4)")
    code, _, err = vidrobust(*judged, "--frames", 8, "--size", 24)  # asked for, though these are the defaults
    assert (code, "clips of 8×24×24" in err, "of 4" in err) == (0, True, True), err
    code, _, err = vidrobust(*judged, "--size", 16)
    assert (code, "clips of 64×16×16" in err) == (0, True), err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--attack", "FGSM(ε=4)"], "--model SPEC"),
        (["--model", "r3d-small", "--attack", "FGSM(ε=4)"], "--data PATH"),
        (["run", "--data", "motion", "--attack", "FGSM(ε=4)"], "--model run --data motion"),
        (["--model", "nothing", "--data", "DATA", "--attack", "FGSM(ε=4)"], "torchvision:NAME"),
        (["--model", "r3d-18", "--weights", "no.pth", "--data", "DATA", "--attack", "FGSM(ε=4)"], "no.pth"),
    ],
)
def test_bad_subjects_say_what_is_wrong(arguments: list[str], message: str, small_motion: Path, tmp_path: Path) -> None:
    asked = [str(small_motion) if argument == "DATA" else argument for argument in arguments]
    code, _, err = vidrobust("evaluate", *asked, cwd=tmp_path)
    assert (code, message in err) == (1, True), err
