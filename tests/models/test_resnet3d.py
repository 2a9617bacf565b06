"""The R3D and ResNeXt-3D builder, and weights on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vidrobust.errors import InputError, RunError
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_described, load_model, load_tensors, save_model
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig, r3d, resnext3d


def test_the_resnext_of_the_slides_has_its_published_size() -> None:
    with torch.device("meta"):
        model = ResNet3d(resnext3d(101, classes=101))
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 47.7
    names = model.state_dict()
    assert names["layer3.22.conv2.weight"].shape == (512, 512 // 32, 3, 3, 3)
    assert names["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1, 1)
    assert names["fc.weight"].shape == (101, 2048)


def test_r3d_18_has_the_size_of_the_paper() -> None:
    with torch.device("meta"):
        model = ResNet3d(r3d(18, classes=400))
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1) == 33.4


def test_a_model_without_memory_draws_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal draw on the meta device would import PyTorch's compiler, a second of each command that loads a model."""
    drawn: list[str] = []
    monkeypatch.setattr(torch.nn.init, "kaiming_normal_", lambda weight, mode: drawn.append(weight.device.type))
    with torch.device("meta"):
        ResNet3d(ResNet3dConfig(3))
    assert drawn == []
    ResNet3d(ResNet3dConfig(3))
    assert set(drawn) == {"cpu"}


@pytest.mark.parametrize(
    "config",
    [
        ResNet3dConfig(3),
        ResNet3dConfig(3, block="bottleneck", layers=(1, 2), widths=(8, 8), strides=((1, 1, 1), (2, 2, 2))),
        ResNet3dConfig(3, block="resnext", layers=(1,), widths=(32,), strides=((1, 1, 1),), cardinality=8, pool=True),
    ],
)
@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (8, 24, 20), (5, 17, 31)])
def test_any_shape_and_size_gives_logits(config: ResNet3dConfig, frames: int, height: int, width: int) -> None:
    model = ResNet3d(config).eval()
    assert model(torch.rand(2, 3, frames, height, width)).shape == (2, 3)


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = build("r3d-small", 4, 1), build("r3d-small", 4, 1), build("r3d-small", 4, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2 classes"):
        ResNet3dConfig(1)
    with pytest.raises(InputError, match="same stages"):
        ResNet3dConfig(3, layers=(1, 1))
    with pytest.raises(InputError, match="multiples of 32"):
        ResNet3dConfig(3, block="resnext")
    with pytest.raises(InputError, match="r3d-small"):
        build("resnet", 3)


def test_weights_come_back_with_what_is_known_about_them(tmp_path: Path) -> None:
    model = build("r3d-small", 5, seed=3).eval()
    save_model(tmp_path / "model.safetensors", model, {"classes": ["a", "<b>"]})
    again, about = load_described(tmp_path)
    clips = torch.rand(2, 3, 4, 16, 16)
    assert torch.equal(model(clips), again(clips))
    assert about["classes"] == ["a", "<b>"]
    assert not again.training


@pytest.mark.parametrize("keep", [0, 5, 100, -10])
def test_a_truncated_file_is_named(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_model(file, build("r3d-small", 5), {})
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"model\.safetensors"):
        load_model(file)


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(RunError, match="not written by vidrobust"):
        load_tensors(tmp_path / "other.safetensors")
    with pytest.raises(RunError, match="does not exist"):
        load_model(tmp_path / "none.safetensors")
    torch.save({"x": torch.zeros(2)}, tmp_path / "pickle.safetensors")
    with pytest.raises(RunError, match="damaged"):
        load_model(tmp_path / "pickle.safetensors")
