"""Attacks as people write them, and errors that point at the place."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.attacks import ATTACKS
from vidrobust.attacks.base import AttackResult
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.text import from_text, threat_from_text
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.errors import NotationError, VidrobustError, VidrobustWarning
from vidrobust.evaluation.defences import TRANSFORMS, Recompress
from vidrobust.losses import margin
from vidrobust.notation import parse_attack, parse_policy
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
        ("vidrobust.attacks.pgd.PGD(ε=8,α=2,i=20,norm=vidrobust.threats.Linf)", pgd(2)),
        ("PGD(eps=8/255,alpha=2/255,steps=20)", pgd(2)),
        ("PGD(ε=8 / 255.0,α=0.25ε,i=20)", pgd(2)),
        ("pgd(EPS=8,α=ε*0.25,Steps=20,norm=LINF)", pgd(2)),
        ("PGD(𝜖=8,𝛼=2,i=20)", pgd(2)),
        ("PGD(ε:=8,α~2,i=20)", pgd(2)),
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
    ("text", "at", "reason"),
    [
        ("PGD(ε=8,α=2,i=)", ")", "a call in parentheses"),
        ("PGX(ε=8)", "PGX", "no 'PGX'"),
        ("PGD(ε=8,α=2,i=10,foo=3)", "foo", "no field 'foo'"),
        ("PGD(ε=8,ε=4,α=2,i=3)", "ε=4", "given twice"),
        ("PGD(ε=8,α=two,i=3)", "two", "Expected a number"),
        ("PGD(ε=8,α=1/0,i=3)", "1/0", "units of 1/255"),
        ("PGD(ε=8/256,α=2,i=3)", "8/256", "units of 1/255"),
        ("PGD(ε=8/255/2,α=2,i=3)", "8/255/2", "units of 1/255"),
        ("PGD(ε=4*2,α=2,i=3)", "4*2", "units of 1/255"),
        ("PGD(ε=8+1,α=2,i=3)", "8+1", "units of 1/255"),
        ("PGD(ε=8-1,α=2,i=3)", "8-1", "units of 1/255"),
        ("PGD(ε=2**3,α=2,i=3)", "2**3", "units of 1/255"),
        ("PGD(ε=8,α=2*1,i=3)", "2*1", "units of 1/255"),
        ("PGD(ε=8,α=ε/4*2,i=3)", "ε/4*2", "units of 1/255"),
        ("PGD(ε=0.0039,α=2,i=3)", "0.0039", "write 0.994 for 0.0039"),
        ("PGD(ε=1/255/255,α=2,i=3)", "1/255/255", "units of 1/255"),
        ("PGD(ε=8,α=0.0078,i=3)", "0.0078", "hundredth of a grey level"),
        ("PGD(ε=0.005/255,α=2,i=3)", "0.005/255", "hundredth of a grey level"),
        ("AutoAttack(ε=1e-3,norm=L2)", "1e-3", "hundredth of a grey level"),
        ("EOT(search=PGD(ε=0.001,α=2,i=3))", "0.001", "hundredth of a grey level"),
        ("PGD(α=2,i=3)", "PGD", "ε is missing"),
        ("PGD(ε=8,α=2)", "PGD", "i is missing"),
        ("PGD(ε=8)", "PGD", "α, i are missing"),
        ("PGD(ε=256,α=2,i=3)", "256", "0…255"),
        ("PGD(ε=-8,α=2,i=3)", "-8", "0…255"),
        ("PGD(ε=8,α=0,i=3)", "0,i", "alpha, the step size, must be above 0"),
        ("PGD(ε=8,α=2,i=0)", "0)", "steps must be a whole number of at least 1"),
        ("PGD(ε=8,α=2,i=2.5)", "2.5", "steps must be a whole number"),
        ("PGD(ε=8,α=2,i=8/255)", "8/255", "steps must be a whole number"),
        ("PGD(ε=8,α=2,i=3,restarts=0)", "0)", "restarts must be a whole number"),
        ("PGD(ε=8,α=2,i=3,momentum=-1)", "-1", "momentum must be a finite number"),
        ("PGD(ε=8,α=2,i=3,keep=worst)", "worst", "keep must be"),
        ("Square(ε=8,queries=1)", "1)", "queries must be at least 2"),
        ("Square(ε=8,share=2,queries=5)", "2,q", "share, of a clip's volume"),
        ("MIFGSM(ε=8,α=2,blur=2)", "2)", "blur, the side of a kernel"),
        ("FrameSaliency(search=PGD(ε=8,α=2,i=3),frames=0)", "0)", "frames must be a whole number"),
        ("FrameSaliency(search=PGD(ε=8,α=2,i=0),frames=2)", "0),", "steps must be a whole number"),
        ("PGD(ε=8,α=2,i=3,support=Border(ratio=9))", "9", "ratio, the share"),
        ("PGD(ε=8,α=2,i=3,support=Border)", "Border", "ratio"),
        ("PGD(8)", "8", "by name"),
        ("PGD(ε=8,α=2,i=3,norm=Linf(3))", "3))", "by name"),
        ("PGD(**x)", "**x", "by name"),
        ("PGD(ε=8,α=2,i=3", "", "parentheses"),
        ("PGD(ε=8,α=2,i=3))", ")", "end of the text"),
        ("PGD ε=8", "ε=8", "end of the text"),
        ("PGD(ε=8;α=2)", ";", "Expected , or )"),
        ("nope.mod.X(ε=8)", "nope", "cannot be imported"),
        ("os.system(command='true')", "os", "no attack"),
        ("subprocess.Popen(args='true')", "subprocess", "no attack"),
        ("PGD(ε=8,α=2,i=3,norm=subprocess.Popen(args='true'))", "subprocess", "no dataclass"),
        ("", "", "name"),
        ("PGD" + "(a=PGD" * 30, None, "brackets within each other"),
        ("PGD(ε=8," + " " * 5000 + "α=2,i=3)", None, "at most 4000 characters"),
    ],
)
def test_errors_point_at_the_place(text: str, at: str | None, reason: str) -> None:
    with pytest.raises(NotationError) as caught:
        from_text(text, quarter)
    if at is not None:
        assert caught.value.position == (text.rindex(at) if at else len(text))  # type: ignore[attr-defined]
    assert reason in str(caught.value)


@pytest.mark.parametrize("eps", [0.5, 1, 8, 12.25, 16, 100])
@pytest.mark.parametrize("steps", [1, 10])
def test_one_grammar_with_the_notation_of_policies(eps: float, steps: int) -> None:
    """What PGD and FGSM mean without torch is what they mean with it, however ε is written."""
    for number in (f"{eps:g}", f"{eps:g}/255"):
        for alpha in ("ε/4", "2ε", "α*", "2", "2/255"):
            text = f"PGD(ε={number},α={alpha},i={steps})"
            plain, built = parse_attack(text), from_text(text, quarter)
            wanted = quarter(eps, steps) if plain.alpha == "α*" else plain.alpha
            assert (plain.eps, plain.steps) == (eps, built.steps)
            assert (built.threat.eps * 255, built.alpha * 255) == (pytest.approx(eps), pytest.approx(wanted))
            assert from_text(str(plain), quarter) == built
            assert parse_policy(f"AT(ε={number},α=2,i={steps})").eps.value == eps


def test_a_share_of_the_range_worked_out_is_told_of() -> None:
    """0.031 is what a calculator makes of 8/255; who means 0.031/255 can say so."""
    with pytest.warns(VidrobustWarning, match="write 7.9"):
        assert from_text("PGD(ε=0.031,α=2,i=10)", None).threat.eps * 255 == pytest.approx(0.031)
    assert from_text("PGD(ε=0.031/255,α=2,i=10)", None).threat.eps * 255 == pytest.approx(0.031)


def test_names_from_elsewhere_are_given_by_the_caller() -> None:
    text = "BPDA(search=PGD(ε=8,α=2,i=20),transform=Recompress(quality=20))"
    assert from_text(text, None, TRANSFORMS) == BPDA(pgd(2), Recompress(20))
    with pytest.raises(NotationError, match="no 'Recompress'"):
        from_text(text, None)


def test_a_share_of_a_radius_is_no_step_size() -> None:
    assert from_text("FMN(ε=8,alpha=0.5)", None).alpha == 0.5
    assert from_text("PGD(ε=8,alpha=0.5,i=3)", None).alpha == 0.5 / 255


def test_every_attack_there_is_can_be_written() -> None:
    import vidrobust

    for name in ATTACKS:
        assert inspect.isclass(getattr(vidrobust.attacks, name))
    public = {name: getattr(vidrobust, name) for name in vidrobust.__all__}
    called = {name for name, one in public.items() if inspect.isclass(one) and "__call__" in vars(one)}
    assert "PGD" in called
    assert {name for name in called if public[name].__module__.startswith("vidrobust.attacks")} <= set(ATTACKS)


def test_without_a_table_alpha_star_is_an_error() -> None:
    with pytest.raises(NotationError, match="looked for"):
        from_text("PGD(ε=8,α=α*,i=3)", None)


@pytest.mark.filterwarnings("ignore:ε=:vidrobust.errors.VidrobustWarning")
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
        ("PGD(ε=8,α=2,i=20,norm=math.pi)", "math.pi is no dataclass"),
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


@pytest.mark.parametrize("text", ["PGD(ε=8,α=2,steps=true)", "APGD(ε=8,steps=5,restarts=true)"])
def test_a_yes_is_no_count(text: str) -> None:
    with pytest.raises(NotationError, match="whole number"):
        from_text(text, None)
