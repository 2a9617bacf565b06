"""What attacks say of themselves is what they do."""

from __future__ import annotations

import pytest
from helpers.linear_models import linear
from helpers.searches import ATTACKS

from vidrobust import attacks
from vidrobust.attacks.aimed import Aimed
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.square import Square
from vidrobust.attacks.traits import attack_cost, needs_gradients
from vidrobust.attacks.wrappers import EOT
from vidrobust.errors import InputError
from vidrobust.threats import L1, L2, Linf, Threat, Universal

MODEL, CLIPS, LABELS = linear(classes=4, clips=3)
TINY = Threat(L2(), 1e-4)


def test_every_attack_is_here() -> None:
    assert {*ATTACKS, "Blind"} == {*attacks.ATTACKS}  # which needs a model with something before its classifier


@pytest.mark.parametrize("name", ATTACKS)
def test_the_cost_is_an_upper_bound_that_is_nearly_met(name: str) -> None:
    attack = ATTACKS[name](TINY)
    found = attack(MODEL, CLIPS, LABELS)
    assert not found.success.any()  # nobody left early
    gradients, queries = int(found.backwards.max()), int(found.queries.max())
    spent = gradients if needs_gradients(attack) else queries
    assert needs_gradients(attack) == bool(gradients)
    assert spent <= attack_cost(attack) <= (4 if name == "AutoAttack" else 1.5) * spent


@pytest.mark.parametrize("name", ATTACKS)
def test_what_a_search_takes_it_takes_and_what_not_it_refuses(name: str) -> None:
    make = ATTACKS[name]
    kind = type(make(TINY)) if name not in ("FrameSaliency", "KeyRegions", "EOT", "BPDA") else PGD
    asked = {
        "norm L1": (Threat(L1(), 1e-3), not kind.norms or L1 in kind.norms),
        "norm Linf": (Threat(Linf(), 1e-5), not kind.norms or Linf in kind.norms),
        "budget per frame": (Threat(L2(), ((1e-4,) * CLIPS.shape[2],)), kind.budgets_a_frame),
        "shares one": (
            Threat(L2(), 1e-4, Universal()),
            kind.one_for_all and name not in ("FrameSaliency", "KeyRegions"),
        ),
    }
    for words, (threat, taken) in asked.items():
        if taken:
            assert make(threat)(MODEL, CLIPS, LABELS).clips.shape == CLIPS.shape
        else:
            with pytest.raises(InputError, match="norm L|budget per frame|shares one|already has"):
                make(threat)(MODEL, CLIPS, LABELS), words


def test_an_attack_of_ones_own_need_say_nothing() -> None:
    class Mine:
        steps = 7

    assert attack_cost(Mine()) == 7 and not needs_gradients(Mine())
    assert attack_cost(EOT(Mine(), 2)) == 14 and not needs_gradients(EOT(Mine(), 2))  # type: ignore[arg-type]


def test_wrappers_say_what_their_search_says() -> None:
    square = Square(TINY, queries=6)
    assert not needs_gradients(EOT(square)) and not needs_gradients(Aimed(square, 1))
    assert needs_gradients(FrameSaliency(Square(Threat(Linf(), 0.1)), 1))
    assert attack_cost(Aimed(PGD(TINY, 0.1, 5, targeted=True), 1)) == 5
