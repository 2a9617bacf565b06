"""Key frames and regions, where it is known which they are, and rays whose blocks stand still."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.linear_models import distance, linear
from torch import Tensor, nn

from vidrobust.attacks.key_regions import KeyRegions, key_parts, regions
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.searching import searching
from vidrobust.attacks.square import Square
from vidrobust.attacks.text import from_text
from vidrobust.errors import InputError
from vidrobust.losses import margin
from vidrobust.threats import Border, Linf, Threat


def one_corner() -> tuple[nn.Module, Tensor, Tensor]:
    """A linear model that sees nothing but a corner of frames 1 and 3, bright where the class is 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 8 * 8, 2))
    weight = torch.zeros(2, 3, 4, 8, 8)
    weight[0, :, 1, 4:, :4], weight[0, :, 3, 4:, :4] = 0.02, 0.01
    with torch.no_grad():
        model[1].weight.copy_(weight.flatten(1))
        model[1].bias.copy_(torch.tensor([-0.5 * weight[0].sum(), 0.0]))
    clips = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(2)) * 0.2
    clips[:, :, :, 4:, :4] += 0.75
    return model.eval(), clips, torch.zeros(4, dtype=torch.int64)


def test_the_frames_and_the_corner_that_matter_are_found() -> None:
    model, clips, labels = one_corner()
    with searching(model, Threat(Linf(), 1.0), clips, labels, margin, "exact") as run:
        run.exploring = True
        time = torch.eye(4, dtype=torch.bool).view(4, 4, 1, 1)
        frames = key_parts(run, time, 2)
        corner = key_parts(run, regions(8, 8, 2, 2), 1)
        assert (run.forwards == 8).all()
        assert key_parts(run, time, 4).all() and (run.forwards == 8).all()  # nothing to rank
    assert (frames[:, :, 0, 0] == torch.tensor([False, True, False, True])).all()
    assert corner[:, 0, 4:, :4].all() and int(corner[0, 0].sum()) == 16


@pytest.mark.parametrize(("make", "factor"), [(Square, 1.4), (RayS, 1.01)])
def test_the_attack_is_as_strong_where_nothing_else_matters(make: Any, factor: float) -> None:
    """Its perturbation is a sixteenth as wide, and needs no larger ε, as the rest of the clip is of no use."""
    model, clips, labels = one_corner()
    sizes = distance(model, clips, labels, Linf())
    attack = KeyRegions(make(Threat(Linf(), (sizes.double() * factor).tolist()), queries=300), 2, 0.25, grid=2)
    found = attack(model, clips, labels)
    moved = (found.clips != clips).any(1)
    assert found.success.all() and (found.queries <= 300).all() and (found.backwards == 0).all()
    assert not moved[:, [0, 2]].any() and not moved[:, :, :4].any() and not moved[:, :, :, 4:].any()
    small = make(Threat(Linf(), (sizes.double() * 0.99).tolist()), queries=60)
    assert not KeyRegions(small, 2, 0.25, grid=2)(model, clips, labels).success.any()


def test_ranking_is_paid_from_the_queries_of_the_search() -> None:
    inner, clips, labels = one_corner()
    seen = 0

    def model(given: Tensor) -> Tensor:
        nonlocal seen
        seen += len(given)
        return inner(given)

    attack = KeyRegions(Square(Threat(Linf(), 1e-3), queries=30), frames=2, grid=3)
    attack(model, clips, labels)  # the first time, the memory that the model needs is measured as well
    seen = 0
    found = attack(model, clips, labels)
    assert (found.queries == 29).all() and seen == int(found.forwards.sum())


def test_what_cannot_be_ranked_is_refused() -> None:
    threat = Threat(Linf(), 0.1)
    model, clips, labels = one_corner()
    for make, words in (
        (lambda: KeyRegions(PGD(threat, 0.1, 2), 1), "such as Square"),
        (lambda: KeyRegions(Square(Threat(Linf(), 0.1, Border(0.2))), 1), "already has"),
        (lambda: KeyRegions(Square(threat), 1, share=0.0), "share"),
        (lambda: KeyRegions(Square(threat), 0), "frames"),
        (lambda: KeyRegions(Square(threat), 5)(model, clips, labels), "there are 4 frames"),
        (lambda: KeyRegions(Square(threat, queries=21), 2)(model, clips, labels), "at least 22"),
    ):
        with pytest.raises(InputError, match=words):
            make()
    written = from_text("KeyRegions(search=Square(ε=8,queries=100),frames=4,share=0.25)", None)
    assert written == KeyRegions(Square(Threat(Linf(), 8 / 255), 100), 4, 0.25)


def test_a_prior_that_stands_still_needs_fewer_decisions_where_it_holds() -> None:
    """The weights of each pixel are the same in all frames, so that the best signs are, too."""
    model, clips, _ = linear(2, shape=(1, 16, 3, 3))
    with torch.no_grad():
        still = model[1].weight.view(2, 1, 16, 3, 3)[:, :, :1].expand(-1, -1, 16, -1, -1)
        model[1].weight.copy_(still.flatten(1))
        model[1].bias.copy_(-model[1].weight.sum(1) / 2)
        labels = model(clips).argmax(1)
    threat = Threat(Linf(), (distance(model, clips, labels, Linf()).double() * 1.05).tolist())
    space, time = (RayS(threat, 400, blocks=blocks)(model, clips, labels) for blocks in ("space", "time"))
    assert space.success.all() and not time.success.all()
    assert (space.queries <= 400).all() and (space.clips[:, :, 0] - clips[:, :, 0]).abs().max() > 0
    with pytest.raises(InputError, match='"space"'):
        RayS(threat, blocks="frames")  # type: ignore[arg-type]
