"""Where even one clip saves more than fits into memory, its gradient is the same, needs less, and leaves no trace."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vidrobust.attacks.base import RobustnessWarning
from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.fast import view as viewing
from vidrobust.fast.inference import InferenceCopy
from vidrobust.fast.precision import Precision
from vidrobust.fast.segments import Probe, Segmented, lean
from vidrobust.fast.view import inference_view
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig
from vidrobust.threats import Linf, Threat


class Skipping(nn.Module):
    """A network in which tensors cross many layers, and some are changed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv3d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(6))
        self.norm, self.head = nn.BatchNorm3d(8), nn.Linear(8, 5)

    def forward(self, clips: Tensor) -> Tensor:
        early = here = F.relu(self.down[0](clips), inplace=True)
        for conv in self.down[1:]:
            fresh = conv(here)
            fresh.add_(here)
            here = F.relu_(fresh)
        return self.head(self.norm(here + early).mean((2, 3, 4)))


def deep() -> nn.Module:
    """Many blocks of one size."""
    strides = ((1, 1, 1), (1, 2, 2))
    return ResNet3d(ResNet3dConfig(classes=5, widths=(8, 16), layers=(5, 2), strides=strides, stem_width=4))


class Branching(nn.Module):
    """A model that torch.fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = deep()

    def forward(self, clips: Tensor) -> Tensor:
        return self.inner(clips) if clips.mean() > 0.1 else self.inner(1 - clips)


class Random(nn.Module):
    """A model that draws inside what is run again."""

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.conv = nn.Conv3d(channels, 8, 3, padding=1)

        def forward(self, features: Tensor) -> Tensor:
            return self.conv(F.dropout(features, 0.5, training=True)).relu()

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(self.Block(3), self.Block(8), self.Block(8))

    def forward(self, clips: Tensor) -> Tensor:
        return self.blocks(clips).mean((2, 3, 4))[:, :5]


class Changing(nn.Module):
    """A model whose block changes what it is given: it cannot be run again."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(4, 4, 3, padding=1)

        def forward(self, features: Tensor) -> Tensor:
            return self.conv(features.relu_())

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv3d(3, 4, 1), nn.Sequential(self.Block(), self.Block())

    def forward(self, clips: Tensor) -> Tensor:
        found = self.blocks(self.stem(clips)).mean((2, 3, 4))
        return found if clips.mean() > 0 else -found


MODELS = {
    "resnet": deep,
    "skipping": Skipping,
    "branching": Branching,
    "random": Random,
    "changing": Changing,
    "flat": lambda: nn.Sequential(
        *(nn.Conv3d(3, 8, 3), nn.ReLU(inplace=True), nn.Conv3d(8, 8, 1), nn.ReLU(inplace=True)),
        *(nn.Conv3d(8, 8, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 5)),
    ),
    "half": lambda: deep().to(torch.bfloat16),
}


def made(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MODELS[name]().eval()


def clips(count: int = 1, frames: int = 4) -> Tensor:
    return torch.rand(count, 3, frames, 16, 16, generator=torch.Generator().manual_seed(1))


def nothing_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "free_memory", lambda device: 0)
    monkeypatch.setattr(viewing, "_rooms", weakref.WeakKeyDictionary())


@pytest.mark.parametrize("precision", ["auto", "exact"])
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_the_same_bit_by_bit(name: str, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 1 if name == "half" else 2
    model, labels = made(name), torch.arange(count)
    found = []
    for leanly in (False, True):
        if leanly:
            nothing_fits(monkeypatch)
        else:
            monkeypatch.setattr(viewing, "SAVED", 0)  # clip by clip, as the lean pass has it
            monkeypatch.setattr(viewing, "SAVED_BY_FEW", 0)
        with undisturbed(model):
            view = inference_view(model, clips(count), precision)
            view(clips(count).requires_grad_(True))  # measured, and cut
            torch.manual_seed(5)
            found.append(input_gradient(view, clips(count), labels))
    for whole, part in zip(*found, strict=True):
        assert torch.equal(whole, part)
    assert found[0][2].abs().max() > 0


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside have held at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if torch.is_tensor(tensor) and (key := tensor.untyped_storage()._cdata) not in self.seen:
                self.seen.add(key)
                self.now += tensor.untyped_storage().nbytes()
                weakref.finalize(tensor.untyped_storage(), self.gone, key, tensor.untyped_storage().nbytes())
        self.most = max(self.most, self.now)
        return result

    def gone(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def peak(model: nn.Module, precision: Precision) -> int:
    """Bytes at once of one gradient."""
    with undisturbed(model):
        view = inference_view(model, clips(), precision)
        view(clips().requires_grad_(True))
        with Peak() as measured:
            input_gradient(view, clips(), torch.tensor([0]))
    return measured.most


@pytest.mark.parametrize("precision", ["auto", "exact"])
@pytest.mark.parametrize("name", ["resnet", "branching", "half"])
def test_it_needs_clearly_less_memory(name: str, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(name)
    whole = peak(model, precision)
    nothing_fits(monkeypatch)
    assert peak(model, precision) < 0.7 * whole


def test_a_deep_model_needs_far_less() -> None:
    layers = [layer for _ in range(24) for layer in (nn.Conv3d(8, 8, 1), nn.ReLU())]
    model = nn.Sequential(nn.Conv3d(3, 8, 1), *layers).requires_grad_(False)
    call, used = lean(model, clips()), []
    assert isinstance(call, Segmented) and len(call.parts) >= 4
    for run in (model, call):
        with Peak() as measured:
            point = clips().requires_grad_(True)
            torch.autograd.grad(run(point).sum(), point)
        used.append(measured.most)
    assert used[1] < 0.45 * used[0]


@pytest.mark.parametrize("attack", [PGD, MIFGSM])
@pytest.mark.parametrize("name", ["resnet", "branching"])
def test_attacks_find_the_same(attack: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, labels = made(name), clips(2), torch.tensor([0, 1])
    more = {"shifts": 1} if attack is MIFGSM else {"keep": "last"}
    search = attack(Threat(Linf(), 8 / 255), alpha=2 / 255, steps=2, **more)
    monkeypatch.setattr(viewing, "SAVED", 0)
    monkeypatch.setattr(viewing, "SAVED_BY_FEW", 0)
    monkeypatch.setattr(viewing, "_rooms", weakref.WeakKeyDictionary())
    whole = search(model, x, labels)
    nothing_fits(monkeypatch)
    ran: list[int] = []
    monkeypatch.setattr(InferenceCopy, "lean", counted(InferenceCopy.lean, ran))
    found = search(model, x, labels)
    assert torch.equal(found.clips, whole.clips) and torch.equal(found.backwards, whole.backwards)
    assert bool(ran) == (name == "resnet")


def counted(original: Any, calls: list[int]) -> Any:
    def call(*given: Any) -> Any:
        calls.append(1)
        return original(*given)

    return call


@pytest.mark.parametrize("fails", [RuntimeError("out of order"), KeyboardInterrupt()])
def test_no_trace_is_left_also_after_a_failure(fails: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_fits(monkeypatch)
    model, calls = made("branching").train(), []
    block = model.inner.layer2[0]
    own = block.conv2.forward

    def forward(features: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 12:
            raise fails
        return own(features)

    block.conv2.forward = forward
    before, random = {name: set(part.__dict__) for name, part in model.named_modules()}, torch.get_rng_state()
    with pytest.raises(type(fails)):
        PGD(Threat(Linf(), 8 / 255), 2 / 255, 9, precision="exact", keep="last")(model, clips(), torch.tensor([0]))
    assert before == {name: set(part.__dict__) for name, part in model.named_modules()}
    assert block.conv2.forward is forward and torch.equal(random, torch.get_rng_state())
    assert all(part.training for part in model.modules())


def test_nothing_is_cut_where_a_tensor_is_changed_in_place_behind_the_cut() -> None:
    class Late(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            first = clips * 2
            second = first.exp()
            view = second[:, :1]
            third = first.sin()
            view.add_(1)
            return (second * third).flatten(1)

    graph = fx.symbolic_trace(Late())
    probe = Probe(graph)
    with torch.enable_grad():
        probe.run(clips().requires_grad_(True))
    names = [node.name for node in graph.graph.nodes]
    allowed = {names[index] for index in probe.cuts()}
    assert {"exp", "mul_1", "flatten"} <= allowed
    assert not allowed & {"getitem", "sin", "add_"}  # `exp` waits there for its change


def test_hooks_run_and_the_model_decides_not_a_stale_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing_fits(monkeypatch)
    model, calls = made("resnet"), []
    handle = model.layer1.register_forward_hook(lambda *_: calls.append(1))
    with undisturbed(model):
        view = inference_view(model, clips(), "exact")
        view(clips().requires_grad_(True))
        before = len(calls)
        input_gradient(view, clips(), torch.tensor([0]))
    handle.remove()
    assert len(calls) == before + 1
    attack = PGD(Threat(Linf(), 8 / 255), 2 / 255, 2, precision="exact", keep="last")
    assert not torch.equal(attack(model, clips(), torch.tensor([0])).clips, clips())
    model.fc = nn.Linear(model.fc.in_features, 5)
    torch.nn.init.zeros_(model.fc.weight)
    torch.nn.init.zeros_(model.fc.bias)  # equal logits are class 0: the clip is right, and stands
    with pytest.warns(RobustnessWarning, match="zero"):  # no gradient: nothing moves
        assert torch.equal(attack(model, clips(), torch.tensor([0])).clips, clips())
