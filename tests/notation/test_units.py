"""Whoever types an ε as a share of the pixels' range is told, wherever it is typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.attacks.text import from_text
from vidrobust.cli.options import parsed
from vidrobust.cli.study import Study
from vidrobust.cli.sweep import Sweep
from vidrobust.cli.train import Train
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


STEPS: dict[str, Callable[[str], Any]] = {
    "attack": lambda alpha: attack_text(from_text(f"PGD(ε=8,α={alpha},i=2)", None)),
    "legend": lambda alpha: parse(f"PGD(ε=8,α={alpha},i=2)"),
    "policy": lambda alpha: parse_policy(f"AT(ε=8,α={alpha},i=2)"),
    "schedule": lambda alpha: parse_policy(f"CAL(ε~U(0,8),α={alpha},i=2)"),
}


@pytest.mark.parametrize("entry", STEPS)
def test_a_step_that_may_be_a_share_beside_an_eps_that_is_none_is_told(entry: str) -> None:
    with pytest.warns(VidrobustWarning, match=r"800 steps go as far as ε=8.*write 2.55; if not, 0.01/255 says so"):
        told = STEPS[entry]("0.01")
    assert "α=0.01/255" in str(told) and str(STEPS[entry]("0.01/255")) == str(told)
    assert "α=0.1," in str(STEPS[entry]("0.1"))  # as a share it would be larger than three times ε


def test_an_alpha_written_as_a_number_does_not_make_an_eps_written_as_a_fraction_doubtful() -> None:
    assert str(parse_policy("AT(ε=0.1/255,α=0.1,i=2)")) == "AT(ε=0.1/255,α=0.1,i=2)"


@pytest.mark.parametrize("text", ["8/255", "8 / 255.0", "8", "8.", "0.8e1", "80e-1/2.55e2"])
def test_all_entries_read_numbers_alike(text: str) -> None:
    assert (
        parse_threat(f"Linf({text})") == parse_threat(f"linf(eps={text})") == from_text(f"FGSM(ε={text})", None).threat
    )
    assert parsed(Sweep, "sweep", ["--eps", text]).eps == 8
    assert parsed(Sweep, "sweep", ["--eps", f"[4/255,{text}]", "--alpha", f"[{text}]"]).eps == (4, 8)
    assert parsed(Train, "train", ["--watch.eps", text]).watch.eps == 8
    assert parsed(Study, "study", ["--out", "x", "--robustness.eps", f"[0,{text}]"]).config.robustness.eps == (0, 8)


@pytest.mark.parametrize("text", ["8/256", "0x8", "8_0", "٨", "8/255/255", "nan", "8%", "2*4"])
def test_what_one_entry_refuses_all_do(text: str) -> None:
    for ask in (
        lambda: parse_threat(f"Linf({text})"),
        lambda: from_text(f"FGSM(ε={text})", None),
        lambda: parsed(Sweep, "sweep", ["--eps", text]),
        lambda: parsed(Train, "train", ["--watch.eps", text]),
    ):
        with pytest.raises(VidrobustError, match=r"1/255|parentheses that match|a value"):
            ask()


def test_a_fraction_in_a_configuration_is_printed_so_that_it_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(Sweep, "sweep", ["--eps", "[0.1/255,8]", "--print_config"])
    (tmp_path / "sweep.yaml").write_text(capsys.readouterr().out)
    assert parsed(Sweep, "sweep", ["--config", str(tmp_path / "sweep.yaml")]).eps == (0.1, 8)  # warnings are errors


@pytest.mark.parametrize(
    "text", ["Linf(8,eps=3)", "Linf(8,α=2)", "Linf(8,PGD(ε=8))", "L3(8)", "os.system(8)", "Linf(8,0)"]
)
def test_what_is_no_threat_is_pointed_at(text: str) -> None:
    with pytest.raises(VidrobustError, match=r"is no threat(.|\n)*\^"):
        parse_threat(text)


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
