"""Whoever types an ε as a share of the pixels' range is told, wherever it is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.attacks.text import from_text
from vidrobust.cli.sweep import Sweep
from vidrobust.data.given import Given
from vidrobust.errors import VidrobustError, VidrobustWarning
from vidrobust.evaluation.fields import attack_text
from vidrobust.evaluation.sweeps import step_sizes, sweep
from vidrobust.notation import parse, parse_policy
from vidrobust.study.config import Difficulty, Gap, Robustness, Sensitivity, StepSizeSearch
from vidrobust.study.judgement_plan import parse_threat
from vidrobust.training.watch import Watch

MODEL = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(96, 2))
CLIPS: Any = Given(torch.rand(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0)), [0, 1])
ENTRIES: dict[str, Callable[[float], Any]] = {
    "attack": lambda eps: from_text(f"APGD(ε={eps},steps=2)", None),
    "legend": lambda eps: parse(f"PGD(ε={eps},α=ε,i=2)"),
    "policy": lambda eps: parse_policy(f"AT(ε={eps},α=ε,i=2)"),
    "schedule": lambda eps: parse_policy(f"CAL(ε~U(0,{eps}),α=ε,i=2)"),
    "threat": lambda eps: parse_threat(f"Linf({eps})"),
    "watch": lambda eps: Watch(every=1, eps=eps),
    "--eps": lambda eps: Sweep(eps=eps),
    "sensitivity": lambda eps: Sensitivity(eps=(eps,)),
    "step_sizes": lambda eps: StepSizeSearch(eps=(4.0, eps)),
    "robustness": lambda eps: Robustness(eps=(0.0, eps)),
    "gap": lambda eps: Gap(eps=(0.0, eps)),
    "difficulty": lambda eps: Difficulty(eps=(eps,)),
    "vr.sweep": lambda eps: sweep(MODEL, CLIPS, eps, [0.1], 1),
    "vr.step_sizes": lambda eps: step_sizes(MODEL, CLIPS, eps, [1]),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_must_be_a_share_is_refused_and_what_may_be_is_told(entry: str) -> None:
    with pytest.raises(VidrobustError, match=r"hundredth of a grey level.*write 2.04"):
        ENTRIES[entry](0.008)
    with pytest.warns(VidrobustWarning, match=r"write 8; if not, 0.0313\d*/255 says so"):
        ENTRIES[entry](round(8 / 255, 6))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("AT(ε=8/255,α=2/255,i=2)", "AT(ε=8,α=2,i=2)"),
        ("AT(ε=0.1/255,α=ε,i=2)", "AT(ε=0.1/255,α=ε,i=2)"),
        ("CAL(ε~U(0/255,0.1/255),α=ε,i=2)", "CAL(ε~U(0/255,0.1/255),α=ε,i=2)"),
        ("CAL(ε~U(0.1,12),α=ε,i=2)", "CAL(ε~U(0.1,12),α=ε,i=2)"),
        ("AT(ε=3/255,α=ε,i=2,norm=L2)", "AT(ε=3/255,α=ε,i=2,norm=L2)"),
    ],
)
def test_a_fraction_of_255_says_what_is_meant_also_when_it_is_printed(text: str, read: str) -> None:
    assert str(parse_policy(text)) == read
    assert str(parse_policy(read)) == read


def test_threats_are_read_as_fractions_of_255() -> None:
    assert parse_threat("Linf(8/255)") == parse_threat("Linf(8)")
    assert parse_threat("L2(0.5/255)").eps == pytest.approx(0.5 / 255)


@pytest.mark.parametrize("text", ["APGD(ε=0.5,steps=2,norm=L2)", "AT(ε=0.5,α=ε,i=2,norm=L2)"])
def test_an_l2_distance_of_pixels_in_0_to_1_is_told(text: str) -> None:
    with pytest.warns(VidrobustWarning, match="next to nothing under L2.*write 128"):
        parse_policy(text) if text.startswith("AT") else from_text(text, None)
    with pytest.warns(VidrobustWarning, match="write 128"):
        parse_threat("L2(0.5)")


@given(st.floats(0.01, 300, allow_nan=False), st.sampled_from(["Linf", "L2"]))
def test_what_is_printed_of_an_attack_is_read_as_what_it_was(eps: float, norm: str) -> None:
    if norm == "Linf":
        eps = min(eps, 255)
    said = from_text(f"APGD(ε={eps!r}/255,steps=2,norm={norm})", None)
    again = from_text(attack_text(said), None)  # warnings are errors here
    assert again.threat.eps == pytest.approx(said.threat.eps, rel=1e-9)
