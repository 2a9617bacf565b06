"""Rows of several attacks: how an attack is called for people, and each model's accuracy under each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vidrobust.results.numbers.accuracy import Point, evaluated_split, main_steps, pooled, strongest
from vidrobust.results.numbers.selection import (
    NO_SEARCH,
    PLAIN,
    attack_setting,
    derived,
    grouped,
    model_order,
    of_kind,
    plain,
)
from vidrobust.runs.rows import Row

CLEAN = "clean"


def attack_label(row: Row) -> str:
    """A short name of the attack behind a row of accuracy.

    What is as usual (L∞, the whole clip, cross-entropy, not targeted) is left out. An attack that was typed keeps its
    text, in which all of its fields stand.

    >>> attack_label({"eps": 8.0, "steps": 20})
    'PGD(ε=8,i=20)'
    >>> attack_label({"eps": 8.0, "steps": 0, "attack": "Square(threat=Threat(norm=L2(), eps=1.0, support=Border(2)))"})
    'Square(ε=8), L2, Border(2)'
    >>> attack_label({"eps": 8.0, "steps": 20, "attack": "PGD(ε=8,α=2,i=20,loss=margin)"})
    'PGD(ε=8,α=2,i=20,loss=margin)'
    """
    found, attack = attack_setting(row), row.get("attack")
    if row["eps"] == 0 and found.search in (*NO_SEARCH, PLAIN.search):
        return CLEAN
    if attack and attack not in NO_SEARCH and "threat=" not in attack and not plain(row):
        return attack
    steps = f",i={row['steps']}" if row["steps"] > 1 else ""
    names = ("norm", "support", "loss")
    apart = [value for name in names if (value := getattr(found, name)) != getattr(PLAIN, name)]
    apart += [word for word in ("targeted", "blind") if getattr(found, word)]
    return ", ".join([f"{found.search or 'unknown'}(ε={row['eps']:g}{steps})", *apart])


@derived
def attack_points(rows: Iterable[Row]) -> dict[str, dict[str, Point]]:
    """Accuracy of each model under each attack, seeds pooled: ``{model: {attack: point}}``.

    Empty unless something else than L∞ PGD on the whole clip was evaluated. PGD itself stands in at the ε that are
    nearest to those of the other attacks, with the iterations that most models were evaluated under. Of an attack that
    was evaluated more than once, the largest set of clips counts.
    """
    rows = of_kind(rows, "robustness")
    split = evaluated_split(rows)
    rows = [row for row in rows if row.get("split", "test") == split]
    others = {row["eps"] for row in rows if not plain(row)}
    if not others:
        return {}
    stand_in = _nearest({row["eps"] for row in rows if plain(row)} - {0}, others)
    steps = main_steps(rows)
    attacked = [
        row for row in rows if row["eps"] == 0 or not plain(row) or (row["steps"] == steps and row["eps"] in stand_in)
    ]
    labels = _labels(attacked)
    cells = grouped((row | {"": label} for row, label in zip(attacked, labels, strict=True)), "model", "")
    attacks = sorted(dict.fromkeys(labels), key=lambda label: label != CLEAN)  # otherwise in the order of the rows
    found = {
        model: {attack: point_of(cells[model, attack]) for attack in attacks if (model, attack) in cells}
        for model in model_order(row["model"] for row in attacked)
    }
    return {model: points for model, points in found.items() if points.keys() != {CLEAN}}


def _nearest(there: set[float], wanted: set[float]) -> set[float]:
    """Of the ε that are there, the nearest to each that is wanted; of two as near the larger."""
    return {min(there, key=lambda eps: (abs(eps - goal), -eps)) for goal in wanted if goal > 0} if there else set()


def _labels(rows: Sequence[Row]) -> list[str]:
    """A label for each row; attacks that differ in what the label leaves out are numbered."""
    met: dict[str, dict[object, int]] = {}
    labels = []
    for row in rows:
        label, full_text = attack_label(row), None if plain(row) else row.get("attack")
        same = met.setdefault(label, {})
        number = same.setdefault(full_text, len(same) + 1)
        labels.append(label if number == 1 else f"{label} #{number}")
    return labels


def point_of(rows: Sequence[Row]) -> Point:
    """One point of several seeds, of each the measurement that counts."""
    chosen = [strongest(some) for some in grouped(rows, "seed").values()]
    return pooled(chosen[0]["eps"], chosen)
