"""Bounds hold: no clip that an attack or chance finds lies outside them, and a wrong sign is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from helpers.linear_models import distance, linear
from helpers.names import name_of
from torch import Tensor, nn
from torch.nn import functional as F

from vidrobust.errors import InputError
from vidrobust.evaluation.certificates import backward, interval
from vidrobust.evaluation.certificates.bounds import CROWN, IBP, others
from vidrobust.evaluation.certificates.network import network_of
from vidrobust.models.adapters import adapt
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig
from vidrobust.threats import Linf

SHAPE = (3, 2, 8, 8)
PROBES = 12_500
"""For each of 8 pairs of a model and an ε: 10⁵ together."""


def drawn(build: Callable[[], nn.Module]) -> nn.Module:
    """A model of fixed weights whose BatchNorm layers have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = build().train()
        for _ in range(3):
            model(torch.rand(8, *SHAPE) * 0.5)
        for norm in (part for part in model.modules() if isinstance(part, nn.BatchNorm3d)):
            nn.init.uniform_(norm.weight, -1.0, 1.5)
            nn.init.normal_(norm.bias)
    return model.eval()


def plain() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(3, 4, 3, stride=(1, 2, 2), padding=1),
        nn.BatchNorm3d(4),
        nn.ReLU(),
        nn.AvgPool3d((1, 2, 2)),
        nn.Conv3d(4, 4, (1, 2, 2)),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


def small(**changed: object) -> nn.Module:
    """A residual network of the house, as narrow as can be."""
    shape = {"layers": (1, 1), "widths": (4, 6), "strides": ((1, 1, 1), (2, 2, 2)), "stem_width": 4}
    return ResNet3d(ResNet3dConfig(4, **{**shape, **changed}))  # type: ignore[arg-type]


def residual() -> nn.Module:
    return small()


def pooled() -> nn.Module:
    return small(pool=True, shortcut="A")


def adapted() -> nn.Module:
    return adapt(nn.Sequential(nn.AvgPool3d(2), plain()[:1], nn.ReLU(), nn.AdaptiveAvgPool3d((1, 1, 2)), nn.Flatten(),
                               nn.Linear(8, 4)), mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.4], scale=2.0)  # fmt: skip


MODELS = [plain, residual, pooled, adapted]


def clips(count: int = 4) -> Tensor:
    draw = torch.Generator().manual_seed(11)
    return torch.rand(count, *SHAPE, generator=draw) * 0.9 + 0.05


def margins(model: nn.Module, shown: Tensor, label: int) -> Tensor:
    logits = model(shown).double()
    return logits @ others(torch.tensor([label]), logits)[:, 0].T


def probes(model: nn.Module, clip: Tensor, label: int, eps: float, count: int) -> Tensor:
    """Clips within ε of one: at random inside, at random corners, and where margins are least along their gradient."""
    draw = torch.Generator().manual_seed(3)
    noise = torch.rand(count // 2, *SHAPE, generator=draw) * 2 - 1
    corners = torch.rand(count // 4, *SHAPE, generator=draw).sub(0.5).sign()
    moved = torch.rand(count - count // 2 - count // 4, *SHAPE, generator=draw) * 2 - 1
    kinds = torch.arange(len(moved))
    for size in (2.0, 0.5, 0.25):
        at = (clip + eps * moved).clamp(0, 1).requires_grad_()
        least = margins(model, at, label)[kinds, kinds % 3].sum()
        moved = (moved - size * torch.autograd.grad(least, at)[0].sign()).clamp(-1, 1)
    shifts = torch.cat([noise, corners, moved])
    found = (clip + eps * shifts).clamp(0, 1)
    return torch.minimum(torch.maximum(found, clip - eps), clip + eps)


def beaten(certificates: Sequence[IBP], model: nn.Module, count: int = PROBES) -> int:
    """Probes with a margin below what one of the certificates says to be its least."""
    shown, eps = clips(), certificates[0].eps
    labels = model(shown).argmax(1)
    with torch.no_grad():
        network = network_of(model, lambda numbers: numbers.detach().double())
        low = torch.stack([certificate.margins(network, shown, labels) for certificate in certificates]).amax(0)
    wrong = 0
    for row, clip in enumerate(shown):
        tried = probes(model, clip, int(labels[row]), eps, count // len(shown))
        with torch.no_grad():
            wrong += int((margins(model, tried, int(labels[row])) < low[:, row]).any(1).sum())
    return wrong


@pytest.mark.parametrize("eps", [1 / 255, 16 / 255], ids=["eps1", "eps16"])
@pytest.mark.parametrize("build", MODELS, ids=name_of)
def test_no_probe_beats_a_bound(build: Callable[[], nn.Module], eps: float) -> None:
    model = drawn(build)
    assert beaten([IBP(eps), CROWN(eps)], model) == 0


@pytest.mark.parametrize("build", [plain, pooled], ids=name_of)
def test_no_probe_beats_bounds_of_which_each_layer_is_carried_back(build: Callable[[], nn.Module]) -> None:
    assert beaten([CROWN(2 / 255, refine=True)], drawn(build), 2000) == 0


def flipped_intercept(between: interval.IntervalBounds) -> tuple[Tensor, Tensor, Tensor]:
    above, intercept, below = backward_lines(between)
    return above, -intercept, below


def flipped_slope(between: interval.IntervalBounds) -> tuple[Tensor, Tensor, Tensor]:
    above, intercept, below = backward_lines(between)
    return -above, intercept, below


backward_lines = backward.rectifier_lines


@pytest.mark.parametrize("lines", [flipped_intercept, flipped_slope], ids=name_of)
def test_a_wrong_sign_in_a_line_is_noticed(lines: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backward, "rectifier_lines", lines)
    assert beaten([CROWN(16 / 255)], drawn(plain), 2000) > 0


@pytest.mark.parametrize("certificate", [IBP(16 / 255), CROWN(16 / 255)], ids=name_of)
def test_a_wrong_sign_in_the_reach_of_a_layer_is_noticed(certificate: IBP, monkeypatch: pytest.MonkeyPatch) -> None:
    right = interval._after_affine

    def signed(operation: object, x: interval.IntervalBounds, rounding: bool) -> interval.IntervalBounds:
        return right(dataclasses.replace(operation, size=operation.linear), x, rounding)  # type: ignore[attr-defined]

    monkeypatch.setattr(interval, "_after_affine", signed)
    assert beaten([certificate], drawn(plain), 2000) > 0


@pytest.mark.parametrize("kind", [IBP, CROWN])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_linear_model_is_certified_up_to_its_boundary(kind: type[IBP], classes: int) -> None:
    """Up to what float32 may round the logits by: 217 terms of about 0.5, 3e-5 of ε."""
    model, shown, labels = linear(classes)
    nearest = distance(model, shown, labels, Linf()).tolist()
    for clip, label, radius in zip(shown.split(1), labels.split(1), nearest, strict=True):
        assert kind(radius - 3e-5)(model, clip, label).radius.item() == radius - 3e-5
        assert kind(radius + 1e-6)(model, clip, label).radius.item() == 0


@pytest.mark.parametrize("build", MODELS, ids=name_of)
def test_bounds_at_nothing_hold_whatever_the_order_of_addition(build: Callable[[], nn.Module]) -> None:
    """float32 differs from exact arithmetic: bounds that allow for rounding hold both."""
    model, shown = drawn(build), clips()
    with torch.no_grad():
        network = network_of(model, lambda numbers: numbers.detach().double())
        allowed = interval.intervals(network, interval.around(shown, 0.0))[-1]
        exact = interval.intervals(network, interval.around(shown.double(), 0.0, rounding=False), rounding=False)
        assert (exact[-1].upper - exact[-1].lower).abs().max() < 1e-3
        for logits in (model(shown), torch.cat([model(clip) for clip in shown.split(1)])):
            assert ((allowed.lower <= logits) & (logits <= allowed.upper)).all()
        truth = model.double()(shown.double())
        assert ((allowed.lower <= truth) & (truth <= allowed.upper)).all()


def test_intervals_are_those_of_two_affine_maps_by_hand() -> None:
    weight, bias = torch.tensor([[1.0, -2.0], [3.0, 0.5]]), torch.tensor([0.1, -0.2])
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": weight, "bias": bias})
    model = nn.Sequential(layer, nn.ReLU(), nn.Linear(2, 2))
    network = network_of(model, lambda numbers: numbers.detach().double())
    between = interval.IntervalBounds(torch.tensor([[0.0, 0.2]]).double(), torch.tensor([[0.5, 0.4]]).double())
    found = interval.intervals(network, between)[1]
    assert torch.allclose(found.lower, torch.tensor([[-0.7, -0.1]]).double(), atol=1e-6)
    assert torch.allclose(found.upper, torch.tensor([[0.2, 1.5]]).double(), atol=1e-6)


def test_crown_is_tighter_than_intervals_and_refined_bounds_than_both() -> None:
    model, shown = drawn(residual), clips()
    network = network_of(model, lambda numbers: numbers.detach().double())
    labels = model(shown).argmax(1)
    with torch.no_grad():
        by_interval, by_lines, by_both = (
            kind.margins(network, shown, labels) for kind in (IBP(0.1), CROWN(0.1), CROWN(0.1, refine=True))
        )
    assert (by_lines >= by_interval).all() and (by_lines > by_interval).any()
    assert (by_both >= by_lines - 1e-9).all() and (by_both > by_lines).any()


def test_a_model_is_left_as_it_was() -> None:
    model, shown = drawn(residual).train(), clips()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    CROWN(1 / 255)(model, shown, torch.zeros(4, dtype=torch.int64))
    assert model.training and all(part.requires_grad for part in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class Computed(nn.Module):
    """A head of what some function makes of a convolution's output."""

    def __init__(self, function: Callable[[Tensor], Tensor], head: bool = True) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv3d(3, 2, 1), function
        self.head = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(2, 3)) if head else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.conv(x)))


def overwritten(y: Tensor) -> Tensor:
    return F.relu(y, inplace=True) + y


def overwritten_through_a_view(y: Tensor) -> Tensor:
    return F.relu(y[:, :1], inplace=True) + y


def returned_after_it(y: Tensor) -> Tensor:
    F.relu(y, inplace=True)
    return y


def weighted(y: Tensor) -> Tensor:
    return torch.add(y, F.relu(y), alpha=-2)


def weighted_method(y: Tensor) -> Tensor:
    return y.add(F.relu(y), alpha=-2)


def rounded(y: Tensor) -> Tensor:
    return torch.div(y, 2.0, rounding_mode="floor")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (nn.Sequential(nn.Conv3d(3, 2, 1), nn.Sigmoid(), nn.Flatten(), nn.Linear(256, 2)), "Sigmoid"),
        (Computed(overwritten), "in place"),
        (Computed(overwritten_through_a_view), "in place"),
        (Computed(returned_after_it, head=False), "in place"),
        (Computed(weighted), "add with alpha"),
        (Computed(weighted_method), "add with alpha"),
        (Computed(rounded), "div with rounding_mode"),
        (plain().bfloat16(), "bfloat16"),
        (nn.Sequential(nn.Conv3d(3, 2, 3, padding=1, padding_mode="circular"), nn.Flatten()), "circular"),
    ],
    ids=["sigmoid", "in place", "view", "output", "alpha", "alpha of a method", "rounding", "bfloat16", "padding"],
)
def test_what_has_no_bound_is_refused_by_name(model: nn.Module, says: str) -> None:
    with pytest.raises(InputError, match=says):
        network_of(model.eval(), lambda numbers: numbers.detach().double())


def test_no_probe_beats_a_bound_of_an_average_of_negative_weights() -> None:
    model = drawn(lambda: nn.Sequential(nn.AvgPool3d(2, divisor_override=-3), nn.Flatten(), nn.Linear(48, 4)))
    assert beaten([IBP(16 / 255)], model, 200) == 0


def test_another_function_than_that_of_its_layers_is_refused() -> None:
    model = drawn(plain)
    model.register_forward_hook(lambda module, inputs, logits: logits + F.one_hot(torch.tensor(1), 4) * 9.0)
    with pytest.raises(InputError, match="outside their bounds"):
        IBP(1e-4)(model, clips(), torch.zeros(4, dtype=torch.int64))
