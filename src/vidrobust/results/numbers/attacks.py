"""Rows of several attacks: how an attack is called for people, and each model's accuracy under each of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from vidrobust.results.numbers.accuracy import Point, evaluated_split, pooled
from vidrobust.results.numbers.selection import model_order, of_kind, plain_pgd
from vidrobust.runs.rows import Row

CLEAN = "clean"


def attack_label(row: Row) -> str:
    """A short name of the attack behind a ``robustness`` row.

    The norm and the support stand there where they are not L∞ on the whole clip.

    >>> attack_label({"eps": 8.0, "steps": 20})
    'PGD(ε=8,i=20)'
    >>> attack_label({"eps": 8.0, "steps": 0, "attack": "Square(threat=Threat(norm=L2(), eps=1.0, support=Border(2)))"})
    'Square(ε=8), L2, Border'
    """
    if row["eps"] == 0 and row.get("attack", "none") == "none":
        return CLEAN
    attack = row.get("attack", "PGD(threat=")
    if "threat=" not in attack:
        return attack
    steps = f",i={row['steps']}" if row["steps"] > 1 else ""
    norm, support = (re.search(rf"{what}=(\w+)\(", attack) for what in ("norm", "support"))
    apart = [found[1] for found, usual in ((norm, "Linf"), (support, "WholeClip")) if found and found[1] != usual]
    return ", ".join([f"{attack.partition('(')[0]}(ε={row['eps']:g}{steps})", *apart])


def attack_points(rows: Iterable[Row]) -> dict[str, dict[str, Point]]:
    """Accuracy of each model under each attack, seeds pooled: ``{model: {attack: point}}``.

    Empty unless something else than PGD was evaluated. PGD itself stands in at the ε of the other attacks, with the
    most iterations; of an attack that was evaluated more than once, the largest set of clips counts.
    """
    rows = of_kind(rows, "robustness")
    split = evaluated_split(rows)
    rows = [row for row in rows if row.get("split", "test") == split]
    others = {row["eps"] for row in rows if not plain_pgd(row)}
    if not others:
        return {}
    most = max((row["steps"] for row in rows if plain_pgd(row)), default=0)
    cells: dict[str, dict[str, dict[int, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if plain_pgd(row) and row["eps"] > 0 and not (row["eps"] in others and row["steps"] == most):
            continue
        by_seed = cells[row["model"]][attack_label(row)]
        if row["seed"] not in by_seed or row["clips"] > by_seed[row["seed"]]["clips"]:
            by_seed[row["seed"]] = row
    met = dict.fromkeys(label for by_attack in cells.values() for label in by_attack)
    attacks = sorted(met, key=lambda label: label != CLEAN)  # otherwise in the order of the rows
    return {
        model: {a: pooled(found["eps"], list(by_seed.values())) for a in attacks if (by_seed := cells[model].get(a))
                for found in [next(iter(by_seed.values()))]}
        for model in model_order(cells)
        if len(cells[model]) > 1
    }  # fmt: skip
