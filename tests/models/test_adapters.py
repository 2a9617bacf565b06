"""Anybody's model behind one face: pixels as it wants them, differentiably; text that names it; a test that knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vidrobust as vr
from vidrobust.errors import InputError
from vidrobust.fast.inference import InferenceCopy
from vidrobust.fast.view import inference_view
from vidrobust.models import adapt, build, load_model, save_model, self_test
from vidrobust.models.adapters import resized, sampled
from vidrobust.models.spec import parse_spec

AXES = "BCTHW"


def clips(frames: int = 8, size: int = 24, count: int = 2) -> Tensor:
    return torch.rand(count, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def network(classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, (1, 2, 2), 1), nn.BatchNorm3d(4), nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten(),
        nn.Linear(32, classes),
    ).eval()  # fmt: skip


class Wanting(nn.Module):
    """A model that takes clips in some layout and scale."""

    def __init__(self, layout: str = AXES, answer: Callable[[Tensor], Any] = lambda logits: logits) -> None:
        super().__init__()
        self.net, self.layout, self.answer = network(), layout, answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(self.net(x.permute(*(self.layout.index(axis) for axis in AXES))))


@pytest.mark.parametrize("layout", ["BCTHW", "BTCHW", "BTHWC"])
def test_the_model_is_shown_what_it_wants(layout: str) -> None:
    x = clips()
    model = adapt(Wanting(layout), layout=layout, mean=[100, 110, 120], std=[50, 60, 70], scale=255)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1, 1) for v in ([100.0, 110, 120], [50.0, 60, 70]))
    wanted = (x * 255 - mean) / std
    assert torch.allclose(model(x), network()(wanted), atol=1e-5)
    assert torch.allclose(model.preprocess(x), wanted.permute(*(AXES.index(axis) for axis in layout)), atol=1e-5)
    assert self_test(model) == []


def test_frames_are_taken_evenly_and_pixels_resized_smoothly() -> None:
    x = torch.arange(9.0).view(1, 1, 9, 1, 1)
    assert sampled(x, 5).flatten().tolist() == [0, 2, 4, 6, 8]
    assert sampled(x, 1).flatten().tolist() == [4]
    assert sampled(x, 12).flatten().tolist() == [0, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8]
    assert sampled(x, 9) is x
    ramp = torch.linspace(0, 1, 32).view(1, 1, 1, 1, 32).expand(1, 1, 2, 32, 32)
    small = resized(ramp, 16, 8)
    assert small.shape == (1, 1, 2, 16, 8)
    assert torch.allclose(small[0, 0, 0, 0], resized(ramp, 32, 8)[0, 0, 1, 5], atol=1e-6)
    assert (small.diff(dim=4) > 0).all()


def test_every_pixel_of_a_resized_and_sampled_clip_has_a_gradient() -> None:
    model, x = adapt(network(), size=12, frames=4), clips(4, 24).requires_grad_(True)
    model(x).logsumexp(1).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax((1, 3, 4)) > 0).all()


class Answer:
    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


@pytest.mark.parametrize("answer", [Answer, lambda y: {"logits": y}, lambda y: (y, None), lambda y: y.double()])
def test_logits_are_found_in_what_it_answers(answer: Any) -> None:
    model = adapt(Wanting(answer=answer))
    assert torch.allclose(model(clips()), network()(clips()))
    assert model(clips()).dtype == torch.float32
    with pytest.raises(InputError, match="without logits"):
        adapt(Wanting(answer=lambda y: {"scores": y}))(clips())


@pytest.mark.parametrize(
    "settings",
    [{"layout": "BCTH"}, {"layout": "CBTHW"}, {"mean": [0, 0], "std": [1, 1]}, {"std": 0.0}, {"scale": 0}, {"size": 0},
     {"size": [1, 2, 3]}, {"frames": 0}],
)  # fmt: skip
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        adapt(network(), **settings)


def test_an_adapted_model_is_attacked_through_the_fast_copy() -> None:
    model, x = adapt(network(), mean=0.5, std=0.25, size=16, frames=4), clips()
    assert isinstance(inference_view(model, x)._call, InferenceCopy)
    result = vr.PGD(vr.Threat(vr.Linf(), 8 / 255), 2 / 255, 3)(model, x, model(x).argmax(1))
    assert 0 < (result.clips - x).abs().max() <= 8 / 255


# ── the self-test


class Before(nn.Module):
    """A network behind some function of its pixels."""

    def __init__(self, before: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.before = network(), before

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.before(x))


def normalised(x: Tensor) -> Tensor:
    return (x - 0.45) / 0.225


class Branches(nn.Module):
    """Two networks, of which the second gets detached pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = build("r3d-small", 5, 0), build("r3d-small", 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two(x.detach())


class Scaled(nn.Module):
    """Logits of another scale."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * self.model(x)


HALF_DETACHED = Before(lambda x: torch.cat([x[:, :, :4], x[:, :, 4:].detach()], 2))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("layout", adapt(network(), layout="BTCHW")),
        ("layout", adapt(Wanting("BTHWC"))),
        ("layout", adapt(network(), layout="BTHWC", frames=4)),
        ("double normalisation", adapt(Before(normalised), mean=[0.45] * 3, std=[0.225] * 3)),
        ("double normalisation", Before(lambda x: normalised(normalised(x)))),
        ("scale", adapt(network(), mean=[0.45] * 3, std=[0.225] * 3, scale=255)),
        ("probabilities", adapt(nn.Sequential(network(), nn.Softmax(1)))),
        ("probabilities", adapt(nn.Sequential(network(), nn.Sigmoid()))),
        ("gradient mode", Before(lambda x: x.flip(2) if x.requires_grad else x)),
        ("gradient mode", adapt(Before(lambda x: x * (1 + torch.is_grad_enabled())))),
        ("random", Scaled(Before(lambda x: x + torch.randn_like(x)), 1e-6)),
        ("batch", Scaled(Before(lambda x: x + x.mean(0)), 1e-6)),
        ("dead gradient", Before(lambda x: x.detach())),
        ("dead gradient", Before(lambda x: (x * 255).round() / 255)),
        ("dead gradient", Before(lambda x: (x * 255).byte().float() / 255)),
        ("dead gradient", HALF_DETACHED),
        ("wrong gradient", Branches()),
        ("not finite", Before(lambda x: x / 0)),
        ("random", Before(lambda x: x + torch.randn_like(x))),
        ("batch", Before(lambda x: x * (1 + x.mean((1, 2, 3, 4)).argsort().view(-1, 1, 1, 1, 1)))),
        ("batch", Before(lambda x: x + torch.zeros(()) / (len(x) - 1))),  # NaN alone
        ("output", nn.Flatten(2)),
    ],
)
def test_each_mistake_has_its_name(name: str, model: nn.Module) -> None:
    assert name in [finding.name for finding in self_test(model)]


@pytest.mark.parametrize(
    "model", [network(), adapt(Before(normalised)), adapt(network(), mean=0.45, std=0.225), build("r3d-18(width=8)", 5)]
)
def test_what_is_right_has_no_findings_and_is_left_as_it_was(model: nn.Module) -> None:
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    assert self_test(model, frames=8, size=32, classes=5) == []
    assert [finding.name for finding in self_test(model, classes=6)] == ["output"]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


class Bounded(nn.Module):
    """A head behind layer norm, as transformers have: its logits stay small whatever it is shown."""

    def __init__(self, last: nn.Module) -> None:
        super().__init__()
        self.norm, self.head, self.last = nn.LayerNorm(3 * 4 * 6 * 6), nn.Linear(3 * 4 * 6 * 6, 3), last
        with torch.no_grad():
            self.head.weight.mul_(0.02)
            self.head.bias.copy_(torch.tensor([0.4, 0.5, 0.6]))

    def forward(self, clips: Tensor) -> Tensor:
        return self.last(self.head(self.norm(clips.flatten(1))))


def test_logits_that_cannot_grow_are_not_taken_for_probabilities() -> None:
    for last, names in ((nn.Identity(), []), (nn.Sigmoid(), ["probabilities"]), (nn.Softmax(1), ["probabilities"])):
        assert [finding.name for finding in self_test(adapt(Bounded(last)), frames=4, size=6)] == names


def test_small_logits_are_not_taken_for_probabilities() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
    nn.init.constant_(model[3].bias, 0.4)  # type: ignore[arg-type]
    logits = model(clips())
    assert logits.min() >= 0 and logits.max() <= 1
    assert self_test(model, frames=8, size=32) == []


# ── models as text


@pytest.mark.parametrize(
    ("text", "kind", "name", "options"),
    [
        ("r3d-18", "own", "r3d-18", {}),
        ("resnext3d-101(layers=[1,1,1,1], no_max_pool=true)", "own", "resnext3d-101",
         {"layers": (1, 1, 1, 1), "no_max_pool": True}),
        ("torchvision:r3d_18", "torchvision", "r3d_18", {}),
        ("hf:MCG-NJU/videomae-base", "hf", "MCG-NJU/videomae-base", {}),
        ("hf:./a folder", "hf", "./a folder", {}),
        ("mypkg.models:make(layout=BTCHW,mean=[0.5,0.5,0.5])", "factory", "mypkg.models:make",
         {"layout": "BTCHW", "mean": (0.5, 0.5, 0.5)}),
        ("some/model.onnx(scale=255)", "onnx", "some/model.onnx", {"scale": 255}),
        ("model.pt2", "pt2", "model.pt2", {}),
    ],
)  # fmt: skip
def test_a_model_as_text(text: str, kind: str, name: str, options: dict[str, Any]) -> None:
    spec = parse_spec(text)
    assert (spec.kind, spec.name, spec.options) == (kind, name, options)


@pytest.mark.parametrize("text", ["", "resnet", "torchvision:", "my pkg:make", "r3d-18(width=[)", "a/b/c"])
def test_what_is_no_model_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_spec(text)


def test_options_that_a_network_has_not_are_refused() -> None:
    with pytest.raises(InputError, match="depth_of_field"):
        build("r3d-18(depth_of_field=3)", 5)
    with pytest.raises(InputError, match="classes=N"):
        build("r3d-18")


FACTORIES = """
from torch import nn
import vidrobust as vr

def make(num_classes=5, width=4):
    return nn.Sequential(nn.Conv3d(3, width, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(width, num_classes))

def adapted():
    return vr.adapt(make(7), mean=0.5, std=0.25, size=16, frames=4)

def nothing():
    return 3
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's own, in the current folder; its name is new for each test."""
    name = f"own_models_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    return name


def test_a_users_own_function_makes_the_model(factories: str) -> None:
    model = build(f"{factories}:make(width=6,mean=[0.5,0.5,0.5],std=[0.5,0.5,0.5])", 3)
    assert model(clips()).shape == (2, 3)
    assert next(model.parameters()).shape == (6, 3, 3, 3, 3)
    model = build(f"{factories}:adapted(size=20)")
    assert (model.pixels.size, model.pixels.frames, model.pixels.mean) == ((20, 20), 4, (0.5,))
    with pytest.raises(InputError, match="not a torch.nn.Module"):
        build(f"{factories}:nothing")
    with pytest.raises(InputError, match="no function 'missing'"):
        build(f"{factories}:missing")
    with pytest.raises(InputError, match="no module 'no_such_package'"):
        build("no_such_package.models:make")
    with pytest.raises(InputError, match="height"):
        build(f"{factories}:make(height=3)")


def test_own_weights_go_into_a_users_own_model_and_come_back(factories: str, tmp_path: Path) -> None:
    spec, x = f"{factories}:make(mean=[0.5,0.5,0.5],std=[0.25,0.25,0.25])", clips()
    trained = build(spec, 3, seed=5).eval()
    torch.save({"state_dict": trained.model.state_dict()}, tmp_path / "own.pth")
    assert torch.equal(load_model(spec, weights=tmp_path / "own.pth", classes=3)(x), trained(x))
    save_model(tmp_path / "model.safetensors", trained, {})
    with pytest.raises(InputError, match="files are data") as told:  # it says itself what it is, but that is code
        load_model(tmp_path / "model.safetensors")
    assert f"vr.load_model({spec!r}, weights=…)" in str(told.value)
    assert torch.equal(load_model(spec, weights=tmp_path / "model.safetensors")(x), trained(x))
    assert torch.equal(load_model(spec, weights=tmp_path / "model.safetensors", classes=3)(x), trained(x))


def test_a_model_without_a_text_is_saved_but_needs_its_code(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", adapt(network()), {})
    with pytest.raises(InputError, match="Python object"):
        load_model(tmp_path / "model.safetensors")


def test_libraries_that_are_missing_are_named_with_their_extra() -> None:
    import importlib.util

    missing = {"torchvision:r3d_18": "torchvision", "hf:a/b": "transformers", "pytorchvideo:slow_r50": "pytorchvideo"}
    for spec, name in missing.items():
        if importlib.util.find_spec(name) is None:
            with pytest.raises(InputError, match=rf"vidrobust\[{name}\]"):
                build(spec, 5)


# ── exported programs


@pytest.mark.parametrize("free", [False, True])
def test_an_exported_program_is_attacked_as_the_model_it_came_from(free: bool, tmp_path: Path) -> None:
    model, x = build("r3d-small", 5).eval(), clips(count=3)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if free else None
    torch.export.save(torch.export.export(model, (x[:2],), dynamic_shapes=shapes), tmp_path / "m.pt2")
    program = load_model(tmp_path / "m.pt2")
    assert (program.classes, program.expects) == (5, (8, 24))
    assert torch.allclose(program(x), model(x), atol=1e-6)
    assert program(clips(20, 30, 1)).shape == (1, 5)
    assert self_test(program) == []
    attack = vr.PGD(vr.Threat(vr.Linf(), 8 / 255), 2 / 255, 3, precision="exact")
    labels = model(x).argmax(1)
    assert torch.allclose(attack(program, x, labels).clips, attack(model, x, labels).clips, atol=1e-6)
    with pytest.raises(InputError, match="gives 5 classes, the data has 3"):
        load_model(tmp_path / "m.pt2", classes=3)
    with pytest.raises(InputError, match="its own weights"):
        load_model(tmp_path / "m.pt2", weights=tmp_path / "m.pt2")


def test_layouts_of_exported_programs_are_read_off_their_shape(tmp_path: Path) -> None:
    x = clips(4, 16)
    torch.export.save(torch.export.export(Wanting("BTCHW"), (x.transpose(1, 2),)), tmp_path / "m.pt2")
    program = load_model(tmp_path / "m.pt2")
    assert program.pixels.layout == "BTCHW"
    assert torch.allclose(program(x), network()(x), atol=1e-6)


def test_pickled_parts_of_a_program_are_refused(tmp_path: Path) -> None:
    import pickle
    import zipfile

    torch.export.save(torch.export.export(network(), (clips(),)), tmp_path / "m.pt2")
    with zipfile.ZipFile(tmp_path / "m.pt2") as old, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, pickle.dumps(print) if name.endswith("sample_inputs/model.pt") else content)
    with pytest.raises(InputError, match="pickled"):
        load_model(tmp_path / "bad.pt2")
    (tmp_path / "none.pt2").write_bytes(b"no archive")
    with pytest.raises(InputError, match="no whole program"):
        load_model(tmp_path / "none.pt2")
    with pytest.raises(InputError, match="does not exist"):
        load_model("nowhere.onnx")
