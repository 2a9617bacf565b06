"""BibTeX of what a run rests on: every method, attack and data set has its works, and a run names those it used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from helpers.judgement_records import record, stored

from vidrobust import attacks, threats
from vidrobust.attacks import ATTACKS
from vidrobust.data.layouts import opening
from vidrobust.notation.bibliography import FOUNDATION, WORKS
from vidrobust.notation.families import FAMILIES, MODIFIERS
from vidrobust.runs.directory import Run
from vidrobust.study.citing import cite

Command = Callable[..., tuple[int, str, str]]
DECLARED = {
    **{f"method {name}": family.works for name, family in FAMILIES.items() if name != "standard"},
    **{f"modifier {name}": option.works for name, option in MODIFIERS.items()},
    **{f"attack {name}": declared.works for name, declared in ATTACKS.items()},
    **{f"data {name}": works for name, works in opening.WORKS.items()},
    **{f"support {name}": kind.works for name in threats.__all__ if hasattr(kind := getattr(threats, name), "works")},
}


@pytest.mark.parametrize("name", DECLARED)
def test_each_method_attack_and_data_set_has_its_works(name: str) -> None:
    assert DECLARED[name] and set(DECLARED[name]) <= set(WORKS)


def test_each_work_is_of_something_and_each_attack_exists() -> None:
    named = {key for works in DECLARED.values() for key in works} | set(FOUNDATION)
    assert named == set(WORKS)
    assert all(hasattr(attacks, name) for name in ATTACKS)
    supports = {"Patch", "Border", "Frames", "Flicker", "OneFrame", "Universal", "Multiplicative"}
    assert {name.removeprefix("support ") for name in DECLARED if name.startswith("support")} >= supports


@pytest.mark.parametrize("key", WORKS)
def test_an_entry_is_bibtex_that_says_where_the_work_is(key: str) -> None:
    first, *lines, last = WORKS[key].splitlines()
    kind = re.fullmatch(rf"@(inproceedings|article|misc)\{{{key},", first)
    assert kind and last == "}" and WORKS[key].count("{") == WORKS[key].count("}")
    fields = dict(re.fullmatch(r"  (\w+) = \{(.+)\},", line).groups() for line in lines)  # type: ignore[union-attr]
    assert {"title", "author"} <= set(fields) and re.fullmatch(r"\d{4}", fields.get("year", "2022"))
    where = {"inproceedings": "booktitle", "article": "journal"}.get(kind[1])
    assert where is None or {where, "year"} <= set(fields)
    assert where or "howpublished" in fields or re.fullmatch(r"\d{4}\.\d{4,5}", fields["eprint"])


def test_each_entry_of_the_file_is_read() -> None:
    text = (resources.files("vidrobust.notation") / "bibliography.bib").read_text(encoding="utf-8")
    assert list(WORKS) == re.findall(r"^@\w+\{(.+),$", text, re.MULTILINE)


def run_of(folder: Path, *rows: dict[str, object]) -> Path:
    run = Run.start(folder, "study", {}, 0)
    with open(run.path / "rows.jsonl", "w") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in rows)
    return folder


COUNTED = {"split": "test", "eps": 8, "alpha": 2, "steps": 5, "clips": 10, "correct": 5, "seed": 0}


def keys(text: str) -> dict[str, str]:
    """The entries of a text with what each is cited for."""
    return {key: why for why, key in re.findall(r"^% (.*)\n@\w+\{(\w+),", text, re.MULTILINE)}


def test_a_run_cites_what_its_rows_used_and_nothing_else(tmp_path: Path) -> None:
    data = {"kind": "dataset", "name": "my copy", "layout": "HMDB-51", "classes": [], "clips": {"test": 10}}
    policy = "TRADES(ε=8,α=2,i=7,support=Border(ratio=0.1))+AWP(γ=0.005)"
    attacked = {"kind": "robustness", "model": policy, **COUNTED, "attack": "EOT(CW(ε=8,α=2,steps=5,support=Flicker))"}
    folder = run_of(tmp_path / "run", {**data, "frames": 8, "size": 16, "contrast": None}, attacked)
    found = keys(cite(folder))
    assert found == {
        "vidrobust": "vidrobust", "kinfu2022": "vidrobust", "kuehne2011": "HMDB-51", "zhang2019": "TRADES",
        "wu2020": "AWP", "zajac2019": "Border", "athalye2018eot": "EOT", "carlini2017": "CW", "pony2021": "Flicker",
    }  # fmt: skip


def test_a_mixture_cites_its_parts_once(tmp_path: Path) -> None:
    policy = "AVG(AT(ε=8,α=2,i=5),AT(ε=64,α=16,i=5,norm=L2),CAL(ε~U(0,8),α=2,i=5))"
    found = keys(cite(run_of(tmp_path / "run", {"kind": "robustness", "model": policy, **COUNTED, "search": "none"})))
    assert found["tramer2019"] == "AVG" and found["madry2018"] == "AT, CAL" and found["kinfu_slides"] == "CAL"


def test_a_study_of_an_earlier_version_cites_pgd_and_the_slides() -> None:
    found = keys(cite(Path(__file__).parents[2] / "docs" / "example-run"))
    assert set(found) == {*FOUNDATION, "madry2018", "kinfu_slides"}
    assert "PGD" in found["madry2018"]


def test_a_judgement_cites_its_ensemble(tmp_path: Path, vidrobust: Command) -> None:
    made = record([None, 3.0], data={"name": "UCF101", "split": "test"})
    made["threats"][0]["attacks"] = {"APGD-CE": "APGD(ε=8,steps=100)", "RayS": "RayS(ε=8,queries=500)"}
    stored(tmp_path / "judged", made)
    code, printed, said = vidrobust("cite", tmp_path / "judged")
    assert code == 0, said
    assert set(keys(printed)) == {*FOUNDATION, "soomro2012", "croce2020apgd", "chen2020", "madry2018"}


def test_what_is_no_run_is_refused(tmp_path: Path, vidrobust: Command) -> None:
    code, _, said = vidrobust("cite", tmp_path / "nothing")
    assert code == 1 and "does not exist" in said
    Run.start(tmp_path / "judged", "judge", {}, 0)
    code, _, said = vidrobust("cite", tmp_path / "judged")
    assert code == 1 and "vidrobust judge" in said
