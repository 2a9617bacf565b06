"""A run of 10⁵ rows opens in seconds: the cost of a page grows with its rows, not with their square.

What is counted is function calls, not seconds, which would depend on how busy the machine is.
"""

from __future__ import annotations

import cProfile
import io
import pstats

import pytest

from vidrobust.results.pages.console import SafeConsole
from vidrobust.results.pages.report import report
from vidrobust.results.pages.show import show
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import append_lines

pytestmark = pytest.mark.long


def accuracy_row(**more):
    return {
        "kind": "robustness", "model": "m", "seed": 0, "split": "test", "eps": 8.0, "alpha": 1.0, "steps": 20,
        "clips": 20, "correct": 5, "survived": "1" * 5 + "0" * 15,
    } | more  # fmt: skip


def rows(synthetic, kind, count):
    """So many rows that differ in what the name says."""
    every = {
        "models": lambda n: accuracy_row(model=f"m{n}"),
        "seeds": lambda n: accuracy_row(seed=n),
        "eps": lambda n: accuracy_row(eps=n / 100),
        "steps": lambda n: accuracy_row(steps=n + 1),
        "attacks": lambda n: accuracy_row(attack=f"Square(ε=8,queries={n})"),
        "epochs": lambda n: synthetic.epoch("AT(ε=8,α=8,i=3)", 0, n + 1),
        "trainings": lambda n: synthetic.epoch(f"AT(ε=8,α=8,i={n + 1})", 0, 1),
        "masking": lambda n: synthetic.masking([accuracy_row()], "m", 0, 20) | {"model": f"m{n}"},
        "damaged": lambda n: {"kind": "gap", "model": n},
        "doubled": lambda n: accuracy_row(),
        "examples": lambda n: {
            "kind": "example", "file": f"examples/{n}.npz", "video": "v", "label": "x", "model": "m", "eps": 8.0,
            "alpha": 1.0, "steps": 5, "clean_top": [["x", 0.5]], "adversarial_top": [["x", 0.5]],
        },
    }  # fmt: skip
    return [every[kind](n) for n in range(count)]


def calls(run):
    profile = cProfile.Profile()
    profile.enable()
    report(run)
    show(run, SafeConsole(file=io.StringIO()))
    profile.disable()
    return pstats.Stats(profile).total_calls  # type: ignore[attr-defined]


KINDS = (
    "models",
    "seeds",
    "eps",
    "steps",
    "attacks",
    "epochs",
    "trainings",
    "masking",
    "damaged",
    "doubled",
    "examples",
)


@pytest.mark.parametrize("kind", KINDS)
def test_eight_times_the_rows_cost_about_eight_times(synthetic, tmp_path, kind):
    spent = {}
    for count in (200, 1600):
        run = synthetic.write(tmp_path / str(count), [synthetic.dataset()], examples=0)
        append_lines(run / "rows.jsonl", rows(synthetic, kind, count))
        assert Run.open(run).rows("dataset")
        spent[count] = calls(run)
    assert spent[1600] < 10 * spent[200], spent
