"""Golden tests against independent implementations, on trained models: images as clips of one frame, and clips."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.square import Square
from vidrobust.data.dataset import VideoClips
from vidrobust.losses import cross_entropy, dlr
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.threats import L1, L2, Linf, Norm, Threat

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.gratings import Frame, trained_on_gratings

warnings.simplefilter("ignore")
import foolbox  # noqa: E402
import torchattacks  # noqa: E402
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted  # noqa: E402
from pyautoattack.fab_pt import FABAttack_PT  # noqa: E402
from pyautoattack.square import SquareAttack  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

SLACK = 0.005
"""By how much our robust accuracy may lie above theirs: half a point, and twice the standard error."""


@pytest.fixture(scope="module")
def images() -> tuple[nn.Module, Tensor, Tensor]:
    """A trained network and 200 images it gets right."""
    return trained_on_gratings(200)


@pytest.fixture(scope="module")
def clips(trained: ResNet3d, small_data: VideoClips) -> tuple[nn.Module, Tensor, Tensor]:
    """A trained video network and clips it gets right, with pixels of multiples of 1/256."""
    model = trained.to(memory_format=torch.contiguous_format).eval()
    found = (small_data.train.centre(torch.arange(len(small_data.train))) * 256).floor() / 256
    labels = small_data.train.labels
    with torch.no_grad():
        right = model(found).argmax(1) == labels
    return model, found[right][:40], labels[right][:40]


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


IMAGES = [
    *((name, norm, eps) for name in ("apgd-ce", "apgd-dlr", "apgd-t", "fab") for norm, eps in
      ((Linf(), 15 / 255), (L2(), 1.15), (L1(), 10.5))),
    ("square", Linf(), 26 / 255), ("square", L2(), 2.8), ("square", L1(), 25.0),
]  # fmt: skip
CLIPS = [
    (name, norm, eps) for name in ("apgd-ce", "apgd-t", "fab") for norm, eps in
    ((Linf(), 2 / 255), (L2(), 0.2), (L1(), 3.0))
]  # fmt: skip
STEPS, TARGETS, QUERIES = 20, 4, 300


def theirs(name: str, model: nn.Module, norm: Norm, eps: float, seed: int) -> Any:
    """The peer's attack."""
    common = {"norm": type(norm).__name__, "eps": eps, "n_restarts": 1, "seed": seed, "device": "cpu"}
    if name == "apgd-t":
        attack = APGDAttack_targeted(model, n_iter=STEPS, n_target_classes=TARGETS, **common)
    elif name == "fab":
        return FABAttack_PT(model, n_iter=STEPS, targeted=True, n_target_classes=TARGETS, **common)
    elif name == "square":
        return SquareAttack(model, n_queries=QUERIES, resc_schedule=True, **common)
    else:
        attack = APGDAttack(model, n_iter=STEPS, loss="ce" if name == "apgd-ce" else "dlr", **common)
    attack.use_largereps = isinstance(norm, L1)  # as its AutoAttack does
    return attack


def ours(name: str, threat: Threat, seed: int) -> Any:
    """Ours, with the same steps, targets and queries."""
    made: dict[str, Any] = {
        "apgd-ce": APGD(threat, STEPS, cross_entropy, seed=seed, precision="exact"),
        "apgd-dlr": APGD(threat, STEPS, dlr, seed=seed, precision="exact"),
        "apgd-t": TargetedAPGD(threat, STEPS, TARGETS, seed=seed, precision="exact"),
        "fab": FAB(threat, STEPS, TARGETS, precision="exact"),
        "square": Square(threat, QUERIES + 1, seed=seed, precision="exact"),  # theirs counts the start apart
    }
    return made[name]


def compare(
    name: str, norm: Norm, eps: float, model: nn.Module, x: Tensor, y: Tensor, seeds: int
) -> tuple[float, float]:
    """How much larger our mean robust accuracy is, with its standard error over the inputs, paired.

    What leaves the budget does not count as broken.
    """
    whole, clip_model = (x, model) if x.ndim == 5 else (x[:, :, None], Frame(model))
    ours_held, theirs_held = [], []
    for seed in range(1 if name == "fab" else seeds):  # FAB starts at the clip: no seed
        ours_held.append(~ours(name, Threat(norm, eps), seed)(clip_model, whole, y).success)
        moved = theirs(name, model, norm, eps, seed).perturb(x, y)
        with torch.no_grad():
            held = model(moved).argmax(1) == y
        theirs_held.append(held | (norm.size((moved - x).flatten(1)) > eps * (1 + 1e-4)))
    mine, peers = (torch.stack(each).double().mean(0) for each in (ours_held, theirs_held))
    more, error = (mine - peers).mean().item(), (mine - peers).std().item() / len(y) ** 0.5
    print(f"{name} {norm} ε={eps:.3g} {tuple(x.shape)}: ours {mine.mean():.4f}, more by {more:.4f} ± {error:.4f}")  # noqa: T201
    assert 0 < peers.mean() < 0.97  # the budget matters
    return more, error


@pytest.mark.parametrize(("name", "norm", "eps"), IMAGES, ids=str)
def test_no_weaker_on_images(name: str, norm: Norm, eps: float, images: tuple[nn.Module, Tensor, Tensor]) -> None:
    more, error = compare(name, norm, eps, *images, seeds=2 if name == "square" else 4)
    assert more <= SLACK + 2 * error


@pytest.mark.parametrize(("name", "norm", "eps"), CLIPS, ids=str)
def test_no_weaker_on_clips(name: str, norm: Norm, eps: float, clips: tuple[nn.Module, Tensor, Tensor]) -> None:
    """Without Square, whose peer knows images only."""
    more, error = compare(name, norm, eps, *clips, seeds=2)
    assert more <= SLACK + 2 * error
