"""Checkpoints of 3D-ResNets load with the logits of the code that wrote them, or are refused with what differs."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.reference_resnet3d import LAYERS, logits, weights
from torch import Tensor, nn

import vidrobust as vr
from vidrobust.errors import InputError, VidrobustWarning
from vidrobust.models.conventions import PIXELS
from vidrobust.models.foreign import read_checkpoint
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import configured

ACTIVITYNET = torch.tensor([114.7748, 107.7354, 99.4750]).view(1, 3, 1, 1, 1)
KINETICS = [torch.tensor(v).view(1, 3, 1, 1, 1) for v in ([0.4345, 0.4051, 0.3775], [0.2768, 0.2713, 0.2737])]

NORMALISED = {
    "2018": lambda x: x * 255 - ACTIVITYNET,
    "2020": lambda x: (x - KINETICS[0]) / KINETICS[1],
    "slides": lambda x: x,
}

SHORT = (1, 1, 1, 1)


def clips(frames: int, size: int) -> Tensor:
    return torch.rand(2, 3, frames, size, size, generator=torch.Generator().manual_seed(3))


def wrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return collections.OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


def saved(path: Path, state: dict[str, Tensor], **entries: Any) -> Path:
    torch.save({"epoch": 200, "arch": "resnext-101", "state_dict": state, **entries} if entries else state, path)
    return path


def of_2018(path: Path, state: dict[str, Tensor]) -> Path:
    """As the code of 2018 saves: under DataParallel, with the optimiser."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9)
    return saved(path, wrapped(state), optimizer=optimiser.state_dict())


def of_2020(path: Path, state: dict[str, Tensor], **more: Any) -> Path:
    """As the code of 2020 saves: bare names, optimiser and scheduler."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimiser, [50, 100, 150])
    return saved(path, state, optimizer=optimiser.state_dict(), scheduler=scheduler.state_dict(), **more)


def assert_equal(model: nn.Module, wanted: Tensor, x: Tensor) -> None:
    with torch.no_grad():
        found = model(x)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


def test_the_resnext_of_2018_at_full_size(tmp_path: Path) -> None:
    state = weights("resnext", LAYERS[101], 101, width=128, counts=False)
    path = of_2018(tmp_path / "resnext-101-64f-kinetics-ucf101_split1.pth", state)
    model = vr.load_model("resnext3d-101", weights=path)
    assert sum(parameter.numel() for parameter in model.parameters()) == 47_728_165
    assert model.expects == (64, 112)
    assert not model.training
    for frames, size in ((16, 48), (64, 17)):
        x = clips(frames, size)[:1]
        assert_equal(model, logits(state, NORMALISED["2018"](x)), x)


@pytest.mark.parametrize(
    ("kind", "layers", "options"),
    [
        ("resnext", SHORT, {"width": 128, "cardinality": 32}),
        ("resnext", (1, 2, 1, 1), {"width": 64, "cardinality": 8, "shortcut": "A"}),
        ("basic", LAYERS[18], {"width": 16, "stem": 16, "shortcut": "A"}),
        ("basic", (2, 1, 1, 1), {"width": 16, "stem": 16}),
        ("bottleneck", SHORT, {"width": 16, "stem": 16, "t_size": 3}),
        ("bottleneck", (1, 1, 2, 1), {"width": 16, "stem": 16, "shortcut": "A"}),
    ],
)
@pytest.mark.parametrize(("frames", "size"), [(16, 32), (64, 21), (7, 112)])
def test_logits_are_those_of_the_original(
    kind: str, layers: tuple[int, ...], options: dict[str, Any], frames: int, size: int, tmp_path: Path
) -> None:
    state = weights(kind, layers, 11, **options)
    model = vr.load_model(of_2018(tmp_path / "some.pth", state))
    x = clips(frames, size)
    assert_equal(model, logits(state, NORMALISED["2018"](x)), x)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("r3d-10", "basic", {}),
        ("r3d-18", "basic", {"shortcut": "A"}),
        ("r3d-34", "basic", {"shortcut": "A"}),
        ("r3d-50", "bottleneck", {}),
        ("r3d-101", "bottleneck", {}),
        ("r3d-152", "bottleneck", {}),
        ("r3d-200", "bottleneck", {}),
        ("resnext3d-50", "resnext", {"width": 128}),
        ("resnext3d-152", "resnext", {"width": 128, "stem": 128}),
    ],
)
def test_every_depth_has_the_names_and_shapes_of_its_files(name: str, kind: str, options: dict[str, Any]) -> None:
    own = {name: value for name, value in options.items() if name == "shortcut"}
    own |= {"stem_width": options["stem"]} if "stem" in options else {}
    with torch.device("meta"):
        wanted = weights(kind, LAYERS[int(name.rpartition("-")[2])], 400, **options)
        found = ResNet3d(configured(name, 400, own)).state_dict()
    assert {key: tensor.shape for key, tensor in found.items()} == {key: tensor.shape for key, tensor in wanted.items()}


def tiny(**options: Any) -> dict[str, Tensor]:
    return weights("resnext", SHORT, options.pop("classes", 5), width=64, cardinality=8, **options)


def r3d(classes: int = 5, **options: Any) -> dict[str, Tensor]:
    return weights("bottleneck", SHORT, classes, width=8, stem=8, **options)


@pytest.mark.parametrize(
    ("convention", "save"),
    [
        ("2018", lambda path: of_2018(path, tiny())),
        ("2018", lambda path: of_2018(path, r3d(shortcut="A"))),
        ("2018", lambda path: saved(path, tiny(counts=False))),  # the prefix taken off by hand
        ("2020", lambda path: of_2020(path, r3d())),
        ("2020", lambda path: saved(path, r3d(classes=700))),
        ("2020", lambda path: saved(path, wrapped(r3d(classes=1139)))),
        ("2020", lambda path: saved(path, tiny(stem=128))),
        ("slides", lambda path: of_2020(path, tiny(), generator=None, discriminator=None)),
        ("slides", lambda path: of_2020(path, tiny(counts=False))),  # fine-tuned from a file of 2018
    ],
)
def test_the_convention_is_recognised_and_inside_the_model(convention: str, save: Any, tmp_path: Path) -> None:
    path = save(tmp_path / "some.pth")
    model, state, x = vr.load_model(path), read_checkpoint(path).tensors, clips(8, 24)
    assert_equal(model, logits(state, NORMALISED[convention](x)), x)


def test_a_bare_dictionary_is_a_guess_that_says_so(tmp_path: Path) -> None:
    path, x = saved(tmp_path / "bare.pth", tiny()), clips(8, 24)
    with pytest.warns(VidrobustWarning, match="convention"):
        model = vr.load_model(path)
    assert_equal(model, logits(tiny(), NORMALISED["2018"](x)), x)
    model = vr.load_model(path, convention="slides")  # told, no warning
    assert_equal(model, logits(tiny(), x), x)
    with pytest.raises(InputError, match="2018"):
        vr.load_model(path, convention="2019")  # type: ignore[arg-type]


def test_strides_and_the_pool_are_options(tmp_path: Path) -> None:
    path, x = of_2020(tmp_path / "some.pth", r3d()), clips(8, 24)
    text = "r3d-50(layers=[1,1,1,1],width=8,conv1_t_stride=2,no_max_pool=true)"
    wanted = logits(r3d(), NORMALISED["2020"](x), t_stride=2, max_pool=False)
    assert_equal(vr.load_model(text, weights=path), wanted, x)


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "_orig_mod.", "_orig_mod.module."])
def test_leftovers_of_wrappers_are_taken_off(prefix: str, tmp_path: Path) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in r3d().items()}
    assert set(read_checkpoint(saved(tmp_path / "some.pth", state)).tensors) == set(r3d())


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    state = r3d()
    with pytest.raises(InputError, match="conv1.weight twice"):
        read_checkpoint(saved(tmp_path / "some.pth", {**state, "module.conv1.weight": state["conv1.weight"]}))


def test_safetensors_and_half_precision_load(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state, x = r3d(classes=700), clips(8, 24)
    save_file(state, tmp_path / "some.safetensors")
    assert_equal(vr.load_model(tmp_path / "some.safetensors"), logits(state, NORMALISED["2020"](x)), x)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    model = vr.load_model(saved(tmp_path / "half.pth", half))
    assert model(x).dtype == torch.float32


def test_a_head_of_another_size_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path, x = of_2018(tmp_path / "some.pth", tiny(classes=400)), clips(8, 24)
    text = "resnext3d-101(layers=[1,1,1,1],width=64,cardinality=8)"
    assert vr.load_model(text, weights=path).classes == 400
    with pytest.raises(InputError, match=r"400 classes .* one of 7 .*--classes FILE.*new_head=True"):
        vr.load_model(text, weights=path, classes=7)
    with pytest.warns(VidrobustWarning, match=r"head .* replaced"):
        model = vr.load_model(text, weights=path, classes=7, new_head=True)
    assert model(x).shape == (2, 7)
    assert torch.equal(model.get_parameter("conv1.weight"), tiny(classes=400)["conv1.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer3.0.conv2.weight"), r"layer3\.0\.conv2\.weight .*64×8×3×3×3.* is missing"),
        (lambda s: s.update({"layer2.0.bn1.bias": torch.zeros(3)}), r"layer2\.0\.bn1\.bias is 3 in the file, 16 in"),
        (lambda s: s.update({"layer5.0.conv1.weight": torch.zeros(2, 2)}), r"layer5\.0\.conv1\.weight 2×2"),
        (lambda s: s.update({"fc.weight": torch.zeros(5, 9)}), r"fc\.weight is 5×9 in the file, 5×256 in the model"),
    ],
)
def test_the_first_difference_is_named_with_its_shapes(change: Any, message: str, tmp_path: Path) -> None:
    state = r3d()
    if "64×8" in message:
        state = tiny()
    change(state)
    with pytest.raises(InputError, match=message):
        vr.load_model(of_2018(tmp_path / "some.pth", state))


def test_another_depth_than_the_file_has_is_refused(tmp_path: Path) -> None:
    path = of_2018(tmp_path / "some.pth", weights("basic", LAYERS[18], 5, width=8, stem=8))
    assert vr.load_model("r3d-18(width=8)", weights=path).classes == 5
    with pytest.raises(InputError, match=r"layer1\.2\.conv1\.weight .* is missing"):
        vr.load_model("r3d-34(width=8)", weights=path)
    with pytest.raises(InputError, match=r"conv1\.weight is 8×3×7×7×7 in the file, 64×3×7×7×7"):
        vr.load_model("r3d-18", weights=path)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("code from a checkpoint ran",))


def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": r3d(), "extra": Evil()}, tmp_path / "evil.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pth")
    for name in ("evil.pth", "whole.pth"):
        with pytest.raises(InputError, match=r"more than tensors and plain containers.*state_dict"):
            vr.load_model("r3d-18", weights=tmp_path / name)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_damaged_files_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pth"):
        vr.load_model("r3d-18", weights=tmp_path / "bad.pth")


def test_what_is_no_state_dictionary_is_told(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "best": [1, 2]}, tmp_path / "none.pth")
    with pytest.raises(InputError, match="epoch, best"):
        vr.load_model("r3d-18", weights=tmp_path / "none.pth")
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="--model"):
        vr.load_model(tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not exist"):
        vr.load_model("r3d-18", weights=tmp_path / "nowhere.pth")


def test_the_means_are_those_of_the_codes() -> None:
    x = torch.rand(1, 3, 2, 4, 4)
    for name, normalise in NORMALISED.items():
        mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in (PIXELS[name].mean, PIXELS[name].std))
        assert torch.allclose((x - mean) / std, normalise(x), rtol=1e-5, atol=1e-4)
