"""Training: policies are followed, the attack leaves no trace in it, a kill loses nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError, RunError
from vidrobust.evaluation.clips import clip_ranks
from vidrobust.models.building import build
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.notation import STANDARD, Setting, parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.threats import Linf, Threat
from vidrobust.training import precision
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import training_clips
from vidrobust.training.methods import adversarial as methods
from vidrobust.training.precision import shallowest, training_dtype
from vidrobust.training.trainer import train

RISING = parse_policy("CAL(ε~U(0,12),α=ε,i=i*)")
BALL = Threat(Linf(), 8 / 255)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


def test_standard_training_learns_motion(trained: ResNet3d, small_data: VideoClips) -> None:
    right = int((clip_ranks(trained, small_data.train) == 0).sum())
    assert right / len(small_data.train) > 0.5  # chance: 0.1


def test_the_rows_tell_the_setting_in_force(small_data: VideoClips) -> None:
    rows = train(build("r3d-small", 10), small_data.train, RISING, FitConfig(epochs=3, batch=32))
    settings = [RISING.at(Clock(epoch, 3), lambda eps, steps: 0.0) for epoch in range(3)]
    assert [(row["eps"], row["alpha"], row["steps"]) for row in rows] == [tuple(setting) for setting in settings]
    assert [row["eps"] for row in rows] == [0, 6, 12]
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_every_batch_of_an_epoch_is_attacked_as_the_epoch_says(
    small_data: VideoClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch's value never meets a batch index."""
    seen: list[Setting] = []

    def spy(
        model: nn.Module, clips: torch.Tensor, labels: torch.Tensor, setting: Setting, *rest: object
    ) -> torch.Tensor:
        seen.append(setting)
        return clips

    monkeypatch.setattr(methods, "training_clips", spy)
    train(build("r3d-small", 10), small_data.train, RISING, FitConfig(epochs=3, batch=32))
    batches = len(small_data.train) // 32
    assert batches > 1
    assert [setting.eps for setting in seen] == [0] * batches + [6] * batches + [12] * batches


def test_alpha_follows_its_schedule_onto_the_clips(small_data: VideoClips, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of α moves pixels by α, and not beyond ε: α goes from 24 over 14 to α* = 4."""
    true, moved = methods.training_clips, []

    def spy(model: nn.Module, clips: torch.Tensor, *given: object) -> torch.Tensor:
        attacked = true(model, clips, *given)  # type: ignore[arg-type]
        moved.append(round(float((attacked - clips).abs().max()) * 255, 3))
        return attacked

    monkeypatch.setattr(methods, "training_clips", spy)
    few, policy = small_data.train.subset(range(32)), parse_policy("CAL(ε=12,α~αU,i=1)")
    train(build("r3d-small", 10), few, policy, FitConfig(epochs=3, batch=16), alpha_star=lambda eps, steps: 4.0)
    assert moved == [12, 12, 12, 12, 4, 4]
    moved.clear()
    by_step = parse_policy("CAL(ε=12,α~αU,i=1,by=step)")
    train(build("r3d-small", 10), few, by_step, FitConfig(epochs=2, batch=16), alpha_star=lambda eps, steps: 4.0)
    assert moved == [12, 12, 10.667, 4]


def test_the_attack_in_training_leaves_the_model_as_it_was(small_data: VideoClips) -> None:
    model = build("r3d-small", 10).train()
    model.bn1.eval()  # a frozen layer must stay frozen
    before = copy.deepcopy(model.state_dict())
    clips, labels = small_data.train.centre([0, 1]), small_data.train.labels[:2]
    attacked = training_clips(model, clips, labels, Setting(8.0, 2.0, 3), BALL)
    assert 0 < (attacked - clips).abs().max() <= 8 / 255
    assert model.training
    assert not model.bn1.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert training_clips(model, clips, labels, Setting(0.0, 0.0, 3), BALL) is clips


def test_training_clips_are_attacked_in_evaluation_mode(small_data: VideoClips) -> None:
    """The same perturbation, whatever the mode the model was in."""
    model = build("r3d-small", 10, seed=5)
    clips, labels = small_data.train.centre([0, 1, 2]), small_data.train.labels[:3]
    setting = Setting(8.0, 2.0, 3)
    assert torch.equal(
        training_clips(model.train(), clips, labels, setting, BALL),
        training_clips(model.eval(), clips, labels, setting, BALL),
    )


@pytest.mark.parametrize("policy", ["standard", "CAL(ε~U(0,12),α=α*,i=2)"])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_training_ends_with_the_same_weights(
    policy: str, killed_after: int, small_data: VideoClips, tmp_path: Path
) -> None:
    config, few = FitConfig(epochs=3, batch=16), small_data.train.subset(range(48))

    def alpha_star(eps: float, steps: int) -> float:
        return eps / 4

    def run(checkpoint: Path | None, after: Callable[..., list]) -> tuple[list, torch.Tensor]:
        model = build("r3d-small", 10, seed=1)
        rows = train(
            model,
            few,
            parse_policy(policy),
            config,
            seed=4,
            alpha_star=alpha_star,
            checkpoints=checkpoint,
            after_epoch=after,
        )
        return rows, weights(model)

    def note(model: nn.Module, row: dict, earlier: list) -> list:
        return [{"kind": "note", "epoch": row["epoch"]}]

    def killed(model: nn.Module, row: dict, earlier: list) -> list:
        if row["epoch"] == killed_after + 1:
            raise KeyboardInterrupt
        return note(model, row, earlier)

    undisturbed_rows, undisturbed = run(None, note)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "checkpoints", killed)
    rows, resumed = run(tmp_path / "checkpoints", note)
    assert torch.equal(resumed, undisturbed)
    assert rows == undisturbed_rows


def test_a_checkpoint_of_another_training_is_refused(small_data: VideoClips, tmp_path: Path) -> None:
    folder, few = tmp_path / "checkpoints", small_data.train.subset(range(32))
    train(build("r3d-small", 10), few, STANDARD, FitConfig(epochs=1, batch=16), checkpoints=folder)
    with pytest.raises(RunError, match="another training"):
        train(build("r3d-small", 10), few, STANDARD, FitConfig(epochs=2, batch=16), checkpoints=folder)
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RunError, match="damaged"):
        train(build("r3d-small", 10), few, STANDARD, FitConfig(epochs=1, batch=16), checkpoints=folder)


def test_a_loss_that_is_no_number_stops_training(small_data: VideoClips) -> None:
    model = build("r3d-small", 10)
    with torch.no_grad():
        model.fc.weight[0, 0] = torch.nan
    with pytest.raises(RunError, match="loss became nan in epoch 1, step 1 of standard"):
        train(model, small_data.train.subset(range(32)), STANDARD, FitConfig(epochs=1, batch=16))


def test_a_gradient_that_is_no_number_stops_training(small_data: VideoClips, tmp_path: Path) -> None:
    few = small_data.train.subset(range(32))
    steep = build("r3d-small", 10)
    steep.fc.weight.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(RunError, match="norm of the gradient became (inf|nan) in epoch 1, step 1"):
        train(steep, few, STANDARD, FitConfig(epochs=1, batch=32), checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_half_written_goes(small_data: VideoClips, tmp_path: Path) -> None:
    (tmp_path / ".epoch-00001-000000.safetensors.123.tmp").write_bytes(b"half")
    train(build("r3d-small", 10), small_data.train.subset(range(4)), STANDARD, FitConfig(1, 4), checkpoints=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["epoch-00001-000000.safetensors"]


def test_impossible_settings_are_refused(small_data: VideoClips) -> None:
    with pytest.raises(InputError, match="epochs"):
        FitConfig(epochs=0)
    with pytest.raises(InputError, match="lr"):
        FitConfig(lr=float("nan"))
    with pytest.raises(InputError, match="layer_decay"):
        FitConfig(layer_decay=1e9)
    with pytest.raises(InputError, match="at least 2"):
        train(build("r3d-small", 10), small_data.train.subset([0]), STANDARD, FitConfig())
    with pytest.raises(InputError, match="α\\*"):
        train(build("r3d-small", 10), small_data.train, parse_policy("CAL(ε~U(1,2),α=α*,i=1)"), FitConfig(epochs=1))


def test_the_depth_that_convolutions_meet_is_found() -> None:
    model = build("r3d-small", 10)
    assert shallowest(model, torch.rand(1, 3, 8, 16, 16)) == 4
    assert shallowest(model, torch.rand(1, 3, 4, 16, 16)) == 2


def test_shallow_clips_train_in_float32_and_deep_ones_in_a_trustworthy_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard for torch 2.13's wrong bfloat16 weight gradients at a temporal depth of 2."""
    monkeypatch.setattr(precision, "has_bf16", lambda device: True)  # without it in hardware torch emulates it
    model = build("r3d-small", 10)
    assert training_dtype(model, torch.rand(1, 3, 4, 16, 16)) == torch.float32
    deep = torch.rand(4, 3, 8, 16, 16)
    assert training_dtype(model, deep) == torch.bfloat16
    model.train().to(memory_format=torch.channels_last_3d)
    gradients = []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = model(deep.contiguous(memory_format=torch.channels_last_3d))
        nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1, 2, 3])).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.ndim == 5])
    for exact, low in zip(*gradients, strict=True):
        cosine = nn.functional.cosine_similarity(exact.flatten(), low.flatten(), dim=0)
        assert cosine > 0.9
