"""Citations of a run or a judgement, as BibTeX: its methods, attacks, supports and data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vidrobust.attacks import ATTACKS
from vidrobust.data.layouts.opening import WORKS as DATA
from vidrobust.data.layouts.opening import known_data
from vidrobust.errors import NotationError, RunError
from vidrobust.notation import parse_policy
from vidrobust.notation.bibliography import FOUNDATION, WORKS
from vidrobust.notation.families import FAMILIES, MODIFIERS
from vidrobust.notation.policies import Policy
from vidrobust.results.judgements.record import NAME, read_judgement
from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row

BY_PGD = ("trajectory", "step_size", "watch", "masking")
"""Kinds of rows that PGD makes and that name no attack."""

Use = tuple[str, tuple[str, ...]]
"""A method, an attack, a support or a data set, and the keys of its works."""


def cite(path: str | Path) -> str:
    """The BibTeX of what a run directory holds, each entry once, below a line that says what it is cited for.

    Args:
        path: a run directory, or the folder of a judgement.

    Raises:
        RunError: it is neither, or damaged.
    """
    folder = Path(path)
    if (folder / NAME).is_file():
        return entries(uses_of_record(read_judgement(folder).record))
    run = Run.open(folder)
    if run.kind == "judge":
        raise RunError(f"{folder} has no {NAME} yet: run the same `vidrobust judge` again, it goes on from there.")
    return entries(uses_of_rows(run.rows()))


def entries(uses: Iterable[Use]) -> str:
    """The works of uses as BibTeX, after those of this library."""
    cited: dict[str, list[str]] = {key: ["vidrobust"] for key in FOUNDATION}
    for name, keys in uses:
        for key in keys:
            cited.setdefault(key, [])
            cited[key] += [name] if name not in cited[key] else []
    return "\n\n".join(f"% {', '.join(names)}\n{WORKS[key]}" for key, names in cited.items()) + "\n"


def uses_of_rows(rows: Iterable[Row]) -> Iterator[Use]:
    """The data, the training methods, the attacks and their supports that occur in rows."""
    for row in rows:
        if row["kind"] == "dataset":
            yield from _of_data(row["name"], row.get("layout", ""))
        yield from uses_of_model(str(row.get("model", "")))
        searched = f"{row.get('search', '')} {row.get('attack', '')}"
        yield from _of_attack("PGD" if row["kind"] in BY_PGD and not searched.strip() else searched)
        yield from _of_support(str(row.get("support", "")))


def uses_of_record(record: dict[str, Any]) -> Iterator[Use]:
    """Those that occur in the record of a judgement."""
    yield from _of_data(record["data"]["name"])
    yield from uses_of_model(record["model"]["name"])
    for threat in record["threats"]:
        yield from _of_attack(" ".join(f"{name} {text}" for name, text in threat.get("attacks", {}).items()))
        yield from _of_attack(" ".join(threat["found_by"]))
        yield from _of_support(threat["support"])


def _of_data(name: str, layout: str = "") -> Iterator[Use]:
    found = known_data(name, layout)
    if found:
        yield found, DATA[found]


def uses_of_model(name: str) -> Iterator[Use]:
    """The methods of a model that is called by its policy; nothing of any other name."""
    try:
        policy = parse_policy(name)
    except NotationError:
        return
    yield from _of_policy(policy)


def _of_policy(policy: Policy) -> Iterator[Use]:
    yield policy.family, FAMILIES[policy.family].works
    for modifier in policy.modifiers:
        yield modifier.name, MODIFIERS[modifier.name].works
    if policy.about.attacks and not policy.about.mixes:
        yield from _of_support(str(policy.option("support")))
    for part in policy.parts:
        yield from _of_policy(part)


def _of_attack(text: str) -> Iterator[Use]:
    """The attacks that a text names, those within wrappers too."""
    for word in dict.fromkeys(re.findall(r"[A-Za-z]+", text)):
        if word in ATTACKS:
            yield word, ATTACKS[word].works
    for name in re.findall(r"support=(\w+)", text):
        yield from _of_support(name)


def _of_support(text: str) -> Iterator[Use]:
    """The support that a text begins with; only for another than the whole clip is torch imported."""
    name = text.partition("(")[0]
    if name in ("", "WholeClip"):
        return
    from vidrobust import threats

    works = getattr(getattr(threats, name, None), "works", ())
    if works and name in threats.__all__:
        yield name, works
