"""V-BAD on linear classifiers, whose best weights of patches are known, and the directions it takes from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.linear_models import convolutional, distance, linear
from torch import Tensor, nn

from vidrobust.attacks.searching import searching
from vidrobust.attacks.text import from_text
from vidrobust.attacks.vbad import VBAD, Transferred, cells, weighted
from vidrobust.errors import InputError, NotationError
from vidrobust.losses import margin
from vidrobust.threats import L2, Flicker, Linf, Threat, Universal


def in_cells(seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """A linear model of two classes whose weights are constant in each quarter of each frame, and clips."""
    model, clips, _ = linear(2, shape=(3, 2, 6, 6))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2, 2, 2, 2, generator=generator).sign() * (0.5 + torch.rand(2, 2, 2, 2, generator=generator))
    weight = drawn.repeat_interleave(3, 2).repeat_interleave(3, 3)[:, None].expand(-1, 3, -1, -1, -1)
    with torch.no_grad():
        model[1].weight.copy_(weight.flatten(1))
        model[1].bias.copy_(-model[1].weight.sum(1) / 2)
        return model, clips, model(clips).argmax(1)


def scaled(sizes: Tensor, factor: float) -> Threat:
    return Threat(Linf(), eps=(sizes.double() * factor).tolist())


def test_static_directions_reach_the_optimum_where_patches_are_all_that_matters() -> None:
    model, clips, labels = in_cells()
    sizes = distance(model, clips, labels, Linf())
    make: dict[str, Any] = {"queries": 2000, "tentative": "static", "patches": 2, "samples": 64}
    assert VBAD(scaled(sizes, 1.05), **make)(model, clips, labels).success.all()
    assert not VBAD(scaled(sizes, 0.99), **make)(model, clips, labels).success.any()
    mixed = VBAD(scaled(sizes, 1.05), **make, partition="random")(model, clips, labels)
    assert not mixed.success.all()  # pixels that belong together are not what the model sees


def test_directions_of_the_model_itself_need_one_estimate() -> None:
    """Of two classes, the gradient of the margin and of cross-entropy have the same signs."""
    model, clips, labels = linear(2, shape=(3, 1, 6, 6))
    sizes = distance(model, clips, labels, Linf())
    make: dict[str, Any] = {"queries": 20, "tentative": Transferred(model), "patches": 1, "samples": 8, "alpha": 1.0}
    found = VBAD(scaled(sizes, 1.01), **make)(model, clips, labels)
    assert found.success.all() and (found.backwards == 0).all() and (found.queries <= 11).all()
    assert not VBAD(scaled(sizes, 0.99), **make)(model, clips, labels).success.any()


@pytest.mark.parametrize("norm", [Linf(), L2()], ids=str)
def test_the_weights_are_the_gradient_in_the_patches(norm: Any) -> None:
    """Of a linear loss, NES estimates the product of gradient and tentative perturbation, summed over each patch."""
    model, clips, labels = linear(2)
    attack = VBAD(Threat(norm, 0.05), queries=4000, patches=2, samples=2000)
    with searching(model, attack.threat, clips, labels, margin, "exact") as run:
        generators = run.generators(0)
        free = run.feasible.start
        patch, tentative = cells(run, generators, 2, "uniform"), run.normal(generators).sign()
        probe = run.elsewhere(Threat(Linf(), 1.0), margin)
        found = attack._weights(run, probe, generators, free, tentative, patch)
        assert (probe.forwards == 2000).all()
    slope = (model[1].weight[1 - labels] - model[1].weight[labels]).detach().view_as(clips)
    wanted = torch.zeros_like(found).scatter_add_(1, patch, (slope * tentative).sum(1).flatten(1))
    assert (torch.cosine_similarity(found, wanted) > 0.97).all()


def test_patches_cover_each_frame_and_random_ones_are_as_large() -> None:
    model, clips, labels = linear(2)
    with searching(model, Threat(Linf(), 0.1), clips, labels, margin, "exact") as run:
        uniform, drawn = (cells(run, run.generators(0), 3, kind) for kind in ("uniform", "random"))  # type: ignore[arg-type]
    assert uniform[0].view(2, 6, 6)[1, 2:4, 4:].unique().tolist() == [9 + 3 + 2]
    for found in (uniform, drawn):
        assert (found[0].bincount() == 4).all() and len(found[0].bincount()) == 18
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], uniform[0])
    marked = weighted(clips, torch.eye(18)[:8], uniform) / clips
    assert (marked[3, :, 0, 2:4, :2] == 1).all() and marked[3].sum() == 3 * 4


def test_every_query_is_counted() -> None:
    inner, clips, labels = linear(2)
    seen = 0

    def model(given: Tensor) -> Tensor:
        nonlocal seen
        seen += len(given)
        return inner(given)

    attack = VBAD(Threat(Linf(), 1e-4), queries=31, samples=6)
    attack(model, clips, labels)  # the first time, the memory that the model needs is measured as well
    seen = 0
    found = attack(model, clips, labels)
    assert not found.success.any() and (found.queries == 30).all()  # the last is kept for a confirmation
    assert seen == int(found.forwards.sum())


def test_a_target_is_reached() -> None:
    model, clips, labels = linear(4)
    targets = (labels + 1) % 4
    attack = VBAD(Threat(Linf(), 0.2), 2000, patches=3, samples=16, targeted=True)
    found = attack(model, clips, targets)
    assert found.success.all() and torch.equal(found.predicted, targets)


def test_an_image_model_is_shown_each_frame_and_left_as_it_was() -> None:
    images = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 7)).train()
    clips = torch.rand(2, 3, 5, 6, 6)
    before = {key: tensor.clone() for key, tensor in images.state_dict().items()}
    found = Transferred(images, images=True)(clips)
    assert images.training and all(torch.equal(before[key], tensor) for key, tensor in images.state_dict().items())
    frame = clips[1, :, 3][None].requires_grad_(True)
    images.eval()
    logits = images(frame)
    loss = nn.functional.cross_entropy(logits, logits.argmax(1))
    torch.testing.assert_close(found[1, :, 3], torch.autograd.grad(loss, frame)[0][0])


@pytest.mark.parametrize("support", [Flicker(), Universal()], ids=["flicker", "universal"])
def test_directions_of_clips_serve_other_free_variables(support: Any) -> None:
    model = convolutional()
    clips = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = model(clips).argmax(1)
    threat = Threat(Linf(), 0.5, support)
    attack = VBAD(threat, 200, Transferred(model), patches=2, samples=8)
    found = attack(model, clips, labels)
    assert found.success.any() and (threat.around(clips).size(found.clips) <= 0.5 * (1 + 1e-7)).all()


def test_bad_values_are_refused_in_words() -> None:
    threat = Threat(Linf(), 0.1)
    for field, value, words in (
        ("samples", 3, "even"),
        ("noise", 0.0, "share of ε"),
        ("alpha", float("nan"), "share of ε"),
        ("tentative", "motion", "Transferred"),
        ("partition", "rows", "uniform"),
        ("queries", 1, "at least 2"),
        ("patches", 0, "patches"),
    ):
        with pytest.raises(InputError, match=words):
            VBAD(threat, **{field: value})
    model, clips, labels = linear(2)
    with pytest.raises(InputError, match="directions of the shape"):
        VBAD(threat, tentative=lambda clips: clips[:, :1])(model, clips, labels)


def test_it_is_written_as_text() -> None:
    attack = from_text("VBAD(ε=8,queries=100,tentative=static,patches=4,alpha=0.5,targeted=true)", None)
    assert (attack.threat.eps, attack.tentative, attack.alpha, attack.targeted) == (8 / 255, "static", 0.5, True)
    with pytest.raises(NotationError, match="samples"):
        from_text("VBAD(ε=8,samples=5)", None)
