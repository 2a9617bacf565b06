"""The examples of docs/training_loops.md inside the loops of Lightning and of transformers, as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import vidrobust as vr

pytestmark = pytest.mark.filterwarnings("default")  # others' warnings are theirs

PAGE = Path(__file__).parents[2] / "docs" / "training_loops.md"
POLICY, EPOCHS, STEPS, BATCH = "CAL(ε~U(2,12),α=2,i=3,by=step)", 2, 3, 4


class Attack:
    """A training attack that notes the steps it is called with and the clips that it gives, and that moves nothing."""

    def __init__(self) -> None:
        self.own = vr.TrainingAttack(POLICY, EPOCHS, STEPS, precision="exact")
        self.steps: list[int] = []
        self.sizes: list[float] = []
        self.modes: list[bool] = []
        self.at = self.own.at

    def __call__(self, model: nn.Module, clips: torch.Tensor, labels: torch.Tensor, step: int) -> torch.Tensor:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        attacked = self.own(model, clips, labels, step)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
        self.steps.append(step)
        self.sizes.append(float((attacked - clips).abs().max()) * 255)
        self.modes.append(model.training)
        return attacked


def example(name: str) -> dict[str, Any]:
    """The example of the page that imports a library."""
    code = re.findall(rf"```python\n(import {name}\n.*?)```", PAGE.read_text(), re.DOTALL)[0]
    exec(code, scope := {})
    return scope


def clips_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(BATCH * STEPS, 3, 4, 8, 8), torch.arange(BATCH * STEPS) % 5


def check(attack: Attack, repeats: int = 1) -> None:
    """Each step of the schedule was met, in training mode, at its own ε, which is reached."""
    assert attack.steps == [step for step in range(EPOCHS * STEPS) for _ in range(repeats)]
    assert all(attack.modes)
    eps = [attack.at(step).eps for step in attack.steps]
    assert eps[0] == 2 and eps[-1] == 12
    moved = [min(one, 6.0) for one in eps]  # three steps of 2
    assert attack.sizes == pytest.approx(moved, abs=0.01)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning(accumulate: int, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    clips, labels = clips_and_labels()
    data = torch.utils.data.TensorDataset(clips.repeat(accumulate, 1, 1, 1, 1), labels.repeat(accumulate))
    loader = torch.utils.data.DataLoader(data, BATCH)
    network = nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    network(clips[:2])
    attack = Attack()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accumulate_grad_batches=accumulate, accelerator="cpu", default_root_dir=tmp_path,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(example("lightning")["Hardened"](network, attack), loader)
    check(attack, accumulate)


def test_the_trainer_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    clips, labels = clips_and_labels()
    config = transformers.VideoMAEConfig(
        image_size=8, patch_size=4, num_frames=4, tubelet_size=2, hidden_size=8, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=16, num_labels=5,
    )  # fmt: skip
    data = [{"clips": clip, "labels": label} for clip, label in zip(clips, labels, strict=True)]
    model, attack = transformers.VideoMAEForVideoClassification(config), Attack()
    start = [weight.detach().clone() for weight in model.parameters()]
    told = transformers.TrainingArguments(
        output_dir=str(tmp_path), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, use_cpu=True,
        remove_unused_columns=False, label_names=["labels"], report_to=[], save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = example("transformers")["HardenedTrainer"](
        model, told, train_dataset=data, eval_dataset=data, attack=attack, mean=[0.5] * 3, std=[0.25] * 3
    )
    trainer.train()
    check(attack)
    assert any(not torch.equal(a, b) for a, b in zip(start, model.parameters(), strict=True))
    found = trainer.evaluate()["eval_loss"]
    assert len(attack.steps) == EPOCHS * STEPS  # evaluation is not attacked
    with torch.no_grad():
        logits = model.eval()(((clips - 0.5) / 0.25).transpose(1, 2)).logits
    assert found == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-4)
