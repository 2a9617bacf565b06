"""Golden tests against independent implementations, on trained models: images as clips of one frame, and clips."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.gradient import PGD
from vidrobust.attacks.square import Square
from vidrobust.data.dataset import VideoClips
from vidrobust.losses import cross_entropy, dlr
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.threats import L1, L2, Linf, Norm, Threat

warnings.simplefilter("ignore")
import foolbox  # noqa: E402
import torchattacks  # noqa: E402
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted  # noqa: E402
from pyautoattack.fab_pt import FABAttack_PT  # noqa: E402
from pyautoattack.square import SquareAttack  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

CLASSES = 6
SLACK = 0.005
"""By how much our robust accuracy may lie above theirs: half a point."""


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of striped patterns of six orientations in noise, ``N 3 16 16``; pixels are multiples of 1/256."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    angle = labels * torch.pi / CLASSES
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    phase = torch.rand(count, generator=generator) * 6.28
    wave = (angle.cos()[:, None, None] * rows + angle.sin()[:, None, None] * columns) * 0.9 + phase[:, None, None]
    images = 0.5 + 0.2 * wave.sin()[:, None] + 0.1 * torch.randn(count, 3, 16, 16, generator=generator)
    return (images.clamp(0, 1) * 256).floor() / 256, labels


@pytest.fixture(scope="module")
def images() -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network and 200 images it gets right."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, CLASSES),
    )  # fmt: skip
    pictures, labels = gratings(1500, 1)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(300):
        part = torch.randint(len(pictures), (64,))
        loss = F.cross_entropy(model(pictures[part]), labels[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    pictures, labels = gratings(400, 2)
    with torch.no_grad():
        right = model(pictures).argmax(1) == labels
    assert right.float().mean() > 0.9
    return model, pictures[right][:200], labels[right][:200]


@pytest.fixture(scope="module")
def clips(trained: ResNet3d, small_data: VideoClips) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained video network and clips it gets right, with pixels of multiples of 1/256."""
    model = trained.to(memory_format=torch.contiguous_format).eval()
    found = (small_data.train.centre(torch.arange(len(small_data.train))) * 256).floor() / 256
    labels = small_data.train.labels
    with torch.no_grad():
        right = model(found).argmax(1) == labels
    return model, found[right][:64], labels[right][:64]


class Frame(nn.Module):
    """An image model for clips of one frame."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.squeeze(2))


EXACT = {"alpha": 1 / 128, "steps": 10, "keep": "last", "precision": "exact"}


def test_pgd_is_that_of_torchattacks_bit_by_bit(
    images: tuple[nn.Module, Tensor, Tensor], clips: tuple[nn.Module, Tensor, Tensor]
) -> None:
    """ε, α and pixels are multiples of powers of 2, and so is the batch whose loss they average: nothing is rounded."""
    for model, x, y in ((images[0], images[1][:64], images[2][:64]), (clips[0], clips[1][:32], clips[2][:32])):
        theirs = torchattacks.PGD(model, eps=1 / 32, alpha=1 / 128, steps=10, random_start=False)(x, y)
        whole = x if x.ndim == 5 else x[:, :, None]
        ours = PGD(Threat(Linf(), 1 / 32), **EXACT)(model if x.ndim == 5 else Frame(model), whole, y).clips
        assert torch.equal(ours.view_as(theirs), theirs)


def test_pgd_is_that_of_foolbox_bit_by_bit(clips: tuple[nn.Module, Tensor, Tensor]) -> None:
    model, x, y = clips[0], clips[1][:32], clips[2][:32]
    attack = foolbox.attacks.LinfPGD(abs_stepsize=1 / 128, steps=10, random_start=False)
    theirs = attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, y, epsilon=1 / 32)
    ours = PGD(Threat(Linf(), 1 / 32), **EXACT)(model, x, y).clips
    assert torch.equal(ours, theirs)


BUDGETS: list[tuple[Norm, float, float]] = [(Linf(), 6 / 255, 1.5 / 255), (L2(), 0.5, 0.15), (L1(), 8.0, 2.0)]
PEER = {Linf: "Linf", L2: "L2", L1: "L1"}


def theirs(name: str, model: nn.Module, norm: str, eps: float) -> Any:
    """The peer's attack with the same steps, targets and queries."""
    common = {"norm": norm, "eps": eps, "n_restarts": 1, "seed": 0, "device": "cpu"}
    if name == "apgd-t":
        return APGDAttack_targeted(model, n_iter=30, n_target_classes=4, **common)
    if name == "fab":
        return FABAttack_PT(model, n_iter=30, targeted=True, n_target_classes=4, **common)
    if name == "square":
        return SquareAttack(model, n_queries=500, resc_schedule=True, **common)
    attack = APGDAttack(model, n_iter=30, loss="ce" if name == "apgd-ce" else "dlr", **common)
    attack.use_largereps = norm == "L1"
    return attack


OURS: dict[str, Callable[[Threat], Any]] = {
    "apgd-ce": lambda threat: APGD(threat, 30, cross_entropy, precision="exact"),
    "apgd-dlr": lambda threat: APGD(threat, 30, dlr, precision="exact"),
    "apgd-t": lambda threat: TargetedAPGD(threat, 30, 4, precision="exact"),
    "fab": lambda threat: FAB(threat, 30, 4, precision="exact"),
    "square": lambda threat: Square(threat, 501, precision="exact"),  # theirs counts the start apart
}


def compare(name: str, norm: Norm, eps: float, model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """The robust accuracies: ours, theirs."""
    whole, clip_model = (x, model) if x.ndim == 5 else (x[:, :, None], Frame(model))
    ours = OURS[name](Threat(norm, eps))(clip_model, whole, y)
    moved = theirs(name, model, PEER[type(norm)], eps).perturb(x, y)
    moved = moved[1] if isinstance(moved, tuple) else moved
    with torch.no_grad():
        held = model(moved).argmax(1) == y
    too_large = norm.size((moved - x).flatten(1)) > eps * (1 + 1e-4)
    found = 1 - ours.success.float().mean().item(), (held | too_large).float().mean().item()
    print(f"{name} {norm} {tuple(x.shape)}: ours {found[0]:.3f}, theirs {found[1]:.3f}")  # noqa: T201
    return found


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(("norm", "eps"), [(norm, eps) for norm, eps, _ in BUDGETS], ids=lambda value: str(value))
def test_no_weaker_on_images(name: str, norm: Norm, eps: float, images: tuple[nn.Module, Tensor, Tensor]) -> None:
    ours, peers = compare(name, norm, eps, *images)
    assert ours <= peers + SLACK
    assert peers < 0.97  # the budget matters


@pytest.mark.parametrize("name", [name for name in OURS if name != "square"])  # theirs knows images only
@pytest.mark.parametrize(("norm", "eps"), [(norm, eps) for norm, _, eps in BUDGETS], ids=lambda value: str(value))
def test_no_weaker_on_clips(name: str, norm: Norm, eps: float, clips: tuple[nn.Module, Tensor, Tensor]) -> None:
    ours, peers = compare(name, norm, eps, *clips)
    assert ours <= peers + SLACK
