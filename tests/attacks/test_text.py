"""Attacks as people write them, and errors that point at the place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.attacks.base import AttackResult
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.text import from_text, threat_from_text
from vidrobust.attacks.wrappers import EOT
from vidrobust.errors import NotationError, VidrobustError
from vidrobust.losses import margin
from vidrobust.threats import Linf, Threat


def quarter(eps: float, steps: int) -> float:
    return eps / 4


def pgd(alpha: float, **fields: object) -> PGD:
    return PGD(Threat(Linf(), 8 / 255), alpha=alpha / 255, steps=20, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "attack"),
    [
        ("PGD(ε=8,α=2,i=20)", pgd(2)),
        (" PGD( eps = 8, alpha = 2, steps = 20 ) ", pgd(2)),
        ("PGD(i=20,α=ε/4,ε=8)", pgd(2)),
        ("PGD(ε=8,α=α*,i=20)", pgd(2)),
        ("PGD(eps=8,alpha=alpha*,i=20)", pgd(2)),
        (
            "PGD(eps=8,alpha=alpha* ,i=20,keep=last,random_start=True,seed=3)",
            pgd(2, keep="last", random_start=True, seed=3),
        ),
        ("vidrobust.attacks.pgd.PGD(ε=8,α=2*1,i=20,norm=vidrobust.threats.Linf)", pgd(2)),
        ("FGSM(ε=8)", FGSM(Threat(Linf(), 8 / 255))),
        ("PGD(ε=8,α=2,i=20,loss=margin)", pgd(2, loss=margin)),
        ('PGD(ε=8,α="auto",i=20)', replace(pgd(2), alpha="auto")),
        ("FrameSaliency(search=PGD(ε=8,α=α*,i=20),frames=2)", FrameSaliency(pgd(2), 2)),
        ("EOT(search=FrameSaliency(search=PGD(ε=8,α=2,i=20),frames=2))", EOT(FrameSaliency(pgd(2), 2))),
    ],
)
def test_texts_become_attacks(text: str, attack: object) -> None:
    assert from_text(text, quarter) == attack


@dataclass(frozen=True)
class Mine:
    """A user's own attack."""

    threat: Threat
    strength: int = 1
    tags: tuple[str, ...] = ()

    def __call__(self, model: object, clips: object, labels: object) -> AttackResult:
        raise AssertionError


def test_own_attacks_plug_in_by_their_path(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("own_attacks")
    module.Mine = Mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_attacks", module)
    assert from_text("own_attacks.Mine(ε=4, strength=3, tags=[a, 'b'])", None) == Mine(
        Threat(Linf(), 4 / 255), 3, ("a", "b")
    )


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("PGD(ε=8,α=2,i=)", 14, "parentheses"),
        ("PGX(ε=8)", 0, "no 'PGX'"),
        ("PGD(ε=8,α=2,i=10,foo=3)", 0, "no field 'foo'"),
        ("PGD(ε=8,ε=4,α=2,i=3)", 10, "given twice"),
        ("PGD(ε=8,α=two,i=3)", 10, "a number"),
        ("PGD(ε=8,α=1/0,i=3)", 10, "a number"),
        ("PGD(α=2,i=3)", 0, "ε is missing"),
        ("PGD(ε=256,α=2,i=3)", 0, "0…255"),
        ("PGD(8)", 0, "by name"),
        ("PGD(ε=8,α=2,i=3,norm=Linf(3))", 21, "by name"),
        ("PGD(**x)", 6, "a name"),
        ("nope.mod.X(ε=8)", 0, "cannot be imported"),
        ("os.system(command='true')", 0, "no attack"),
        ("subprocess.Popen(args='true')", 0, "no attack"),
        ("PGD(ε=8,α=2,i=3,norm=subprocess.Popen(args='true'))", 21, "no dataclass"),
        ("", 0, "name"),
    ],
)
def test_errors_point_at_the_place(text: str, position: int, reason: str) -> None:
    with pytest.raises(NotationError) as caught:
        from_text(text, quarter)
    assert caught.value.position == position  # type: ignore[attr-defined]
    assert reason in str(caught.value)


def test_without_a_table_alpha_star_is_an_error() -> None:
    with pytest.raises(NotationError, match="looked for"):
        from_text("PGD(ε=8,α=α*,i=3)", None)


@given(st.text(max_size=40) | st.text("PGD(ε=8,α*i.)[]'\"/", max_size=30))
def test_no_text_does_anything_but_parse_or_fail_clearly(text: str) -> None:
    try:
        from_text(text, quarter)
    except VidrobustError as error:
        assert str(error)


def test_budgets_of_other_norms_may_exceed_the_range_of_a_pixel() -> None:
    assert from_text("PGD(ε=510,α=ε/4,i=3,norm=L2)", None).threat.eps == pytest.approx(2.0)
    assert from_text("APGD(ε=5100,steps=5,norm=L1)", None).threat.eps == pytest.approx(20.0)
    for text in ("PGD(ε=510,α=2,i=3)", "PGD(ε=510,α=2,i=3,norm=Linf)", "PGD(ε=-1,α=2,i=3,norm=L2)"):
        with pytest.raises(NotationError, match="ε must lie in"):
            from_text(text, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PGD(ε=8,α=2,i=20,loss=dlrr)", "there is no loss 'dlrr'"),
        ("PGD(ε=8,α=2,i=20,loss=targeted_dlr)", "a function of logits, labels, unlike targeted_dlr"),
        ("TargetedAPGD(ε=8,loss=dlr)", "a function of logits, labels, targets, unlike dlr"),
        ("PGD(ε=8,α=2,i=20,random_start=maybe)", "random_start is true or false"),
        ("PGD(ε=8,α=2,i=20,threat=3)", "no field 'threat'"),
        ("PGD(ε=8,α=2,i=20,norm=L7)", "there is no norm L7; it is one of L1, L2, Linf, or the path"),
        ("PGD(ε=8,α=2,i=20,norm=math.pi)", "norm must be an object"),
        ("PGD(ε=8,α=2,i=20,support=Borde(ratio=0.1))", "there is no support Borde; it is one of Area, Border,"),
        ("PGD(ε=8,α=2,i=20,support=L2)", "there is no support L2"),
        ("PGD(ε=8,α=2,i=20,support=Frames(indices=3))", "indices of at least one frame"),
        ("PGD(ε=8,α=2,i=20,support=Patch(top=0.5,left=0,height=3,width=2))", "whole pixels"),
        ("FrameSaliency(ε=8,search=PGD(ε=8,α=2,i=20),frames=2)", "no field 'eps'; it has: search"),
        ("FrameSaliency(search=PGD(α=2,i=20),frames=2)", "ε is missing"),
        ("FrameSaliency(search=3,frames=2)", "a search is an attack of its own"),
        ("FrameSaliency(search=EOT(search=PGD(ε=8,α=2,i=20)),frames=2)", "goes around"),
        ("BPDA(search=PGD(ε=8,α=2,i=20),transform=3)", "must be a function"),
    ],
)
def test_fields_of_the_wrong_kind_are_named(text: str, words: str) -> None:
    with pytest.raises(VidrobustError, match=words):
        from_text(text, quarter)


@pytest.mark.parametrize(
    ("norm", "support", "words"), [("L3", "WholeClip", "no norm L3"), ("L2", "Linf", "no support")]
)
def test_the_words_of_a_threat_are_norms_and_supports(norm: str, support: str, words: str) -> None:
    with pytest.raises(NotationError, match=words):
        threat_from_text(8, norm, support)
