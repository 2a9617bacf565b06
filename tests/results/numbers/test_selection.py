"""Rows are told apart by their fields, whatever their text; rows of earlier versions by their text."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.results.numbers.accuracy import evaluation_steps, robustness_curves
from vidrobust.results.numbers.attacks import attack_points
from vidrobust.results.numbers.claims import claims
from vidrobust.results.numbers.masking import masking_flags
from vidrobust.results.numbers.selection import PLAIN, AttackSetting, attack_setting, model_order, plain

NORMS = ("Linf", "L2", "L1")
SUPPORTS = ("WholeClip", "Flicker", "Border(ratio=0.1)", "Frames(count=2)")
LOSSES = ("cross_entropy", "margin")
DEFENCES = ("", "Recompress(quality=20)")
KINDS = [
    AttackSetting("PGD", *rest) for rest in product(NORMS, SUPPORTS, LOSSES, (False, True), DEFENCES, (False, True))
]
KINDS += [AttackSetting(search=search) for search in ("APGD", "Square", "EOT", "FGSM", "mypkg.attacks.PGD")]
MODEL = "AT(ε=8,α=8,i=3)"


def row(kind: AttackSetting, **more):
    fields = {
        name: getattr(kind, name) for name in ("search", "norm", "support", "loss", "targeted", "defence", "blind")
    }
    model = f"{MODEL} behind {kind.defence}" if kind.defence else MODEL
    return {
        "kind": "robustness", "model": model, "seed": 0, "split": "test", "eps": 16.0, "alpha": 4.0, "steps": 20,
        "clips": 120, "correct": 119, "survived": "1" * 119 + "0",
    } | fields | more  # fmt: skip


def typed(kind: AttackSetting, **more):
    """As earlier versions wrote it: what was typed stands in ``attack``, and nowhere else."""
    options = ["ε=16", "α=4", "i=20"]
    options += [
        f"{name}={value}"
        for name in ("norm", "support", "loss")
        if (value := getattr(kind, name)) != getattr(PLAIN, name)
    ]
    options += ["targeted=true"] if kind.targeted else []
    attack = f"{kind.search}({','.join(options)})" + (", blind" if kind.blind else "")
    return {name: value for name, value in row(kind).items() if not hasattr(kind, name)} | {"attack": attack} | more


def printed(kind: AttackSetting, **more):
    """As `vr.evaluate` of earlier versions wrote it: as Python prints the attack."""
    support = kind.support if "(" in kind.support else f"{kind.support}()"
    fields = f"threat=Threat(norm={kind.norm}(), eps=0.0627, support={support}), alpha=0.01, steps=20"
    attack = f"{kind.search}({fields}, loss=<function {kind.loss} at 0x7f>, targeted={kind.targeted})"
    return typed(kind) | {"attack": f"Blind(search={attack})" if kind.blind else attack} | more


@pytest.mark.parametrize("write", [row, typed, printed])
def test_only_plain_pgd_is_a_point_of_the_curve(write):
    assert [kind for kind in KINDS if plain(write(kind))] == [PLAIN]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_fields_decide_against_any_text(kind):
    assert attack_setting(row(kind, attack="PGD(ε=16,α=4,i=20)")) == kind
    assert plain(row(PLAIN, attack="PGD(ε=16,α=4,i=20,support=Flicker)"))


def test_rows_of_earlier_versions_are_plain_where_they_say_nothing():
    old = {"eps": 8.0, "steps": 20, "model": MODEL}
    assert plain(old) and plain(old | {"eps": 0, "attack": "none"}) and plain(old | {"eps": 0.0, "search": ""})
    assert not plain(old | {"attack": "none"})  # no attack at an ε is damage, no point


@given(st.text(max_size=40), st.booleans())
def test_any_text_of_an_attack_is_read(text, clean):
    found = {"eps": 0.0 if clean else 8.0, "steps": 3, "model": "m", "attack": text}
    plain(found), attack_setting(found)


@pytest.fixture(scope="module")
def study(synthetic):
    return synthetic.rows(seeds=1)


@pytest.mark.parametrize("write", [row, typed])
def test_no_other_attack_changes_curves_claims_or_checks(study, write):
    others = [write(kind, steps=steps) for kind in KINDS if kind != PLAIN for steps in (20, 50)]
    assert robustness_curves(study + others) == robustness_curves(study)
    assert evaluation_steps(study + others) == [5, 20]
    assert claims(study + others) == claims(study)
    assert masking_flags(study + others) == masking_flags(study)
    assert attack_points(study) == {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != PLAIN], ids=str)
def test_every_other_attack_stands_beside_pgd(study, kind):
    found = attack_points([*study, row(kind, clips=20, correct=9, survived="1" * 9 + "0" * 11)])
    model = row(kind)["model"]
    points = {label: point for label, point in found[model].items() if point.clips == 20}
    assert [(point.correct, point.clips) for point in points.values()] == [(9, 20)]
    assert {"clean", "PGD(ε=15,i=20)"} <= found[MODEL].keys()  # PGD was not run at 16: the nearest ε stands in


def test_attacks_that_differ_in_what_a_label_leaves_out_are_both_there():
    texts = [f"Square(threat=Threat(norm=Linf(), eps=0.0314, support=WholeClip()), queries={n})" for n in (100, 1000)]
    rows = [row(AttackSetting("Square"), attack=text, eps=8.0, correct=n) for n, text in enumerate(texts)]
    assert list(attack_points(rows)[MODEL]) == ["Square(ε=8,i=20)", "Square(ε=8,i=20) #2"]


def test_pgd_at_a_further_eps_or_longer_decides_no_claim(study):
    further = [row(PLAIN, eps=16.0), row(PLAIN, eps=8.0, steps=100)]
    assert [claim.verdict for claim in claims(study + further)] == [claim.verdict for claim in claims(study)]
    assert not any("ended early" in claim.reason for claim in claims(study + further))


def test_controls_come_first():
    assert model_order(["b", "standard", "a", "b"]) == ["standard", "b", "a"]
