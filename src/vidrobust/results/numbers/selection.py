"""Which rows a number is made of: of which kind, of which model, and under which attack they were measured."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, wraps
from typing import Any, TypeVar

from vidrobust.errors import VidrobustError
from vidrobust.runs.rows import Row

Derive = TypeVar("Derive", bound=Callable[..., Any])

CONTROLS = ("standard", "single frame")
"""Models that are not a defence; listed before the defences."""


class MissingRowsError(VidrobustError):
    """A figure or a statistic needs rows that the run does not (yet) have."""


class Rows(Sequence[Row]):
    """Rows that do not change, so that what is derived from them (:func:`derived`) is derived once."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)
        self.known: dict[Any, Any] = {}
        """What was derived, by function and arguments."""

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Rows:
        """Some rows as such ones; those that are already stay."""
        return rows if isinstance(rows, Rows) else cls(rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)


def derived(function: Derive) -> Derive:
    """Have a function of rows remember its result where it is given :class:`Rows`; who gets it must not change it."""

    @wraps(function)
    def remembered(rows: Iterable[Row], *arguments: Any, **named: Any) -> Any:
        if not isinstance(rows, Rows):
            return function(rows, *arguments, **named)
        key = (function, arguments, *named.items())
        if key not in rows.known:
            rows.known[key] = function(rows, *arguments, **named)
        return rows.known[key]

    return remembered  # type: ignore[return-value]


CLIP_SOURCES = "clip_sources"
"""What a row knows in memory, and never in a file: the source of each of its clips, where their manifest is there."""


@derived
def of_kind(rows: Iterable[Row], kind: str) -> list[Row]:
    """Rows of one kind, without those that no clip stands behind.

    Those whose ``manifest`` is among the rows get the sources of their clips, under :data:`CLIP_SOURCES`.
    """
    by_kind = _by_kind(rows)
    known = {row["clips_of"]: tuple(clip["source"] for clip in row["list"]) for row in by_kind.get("manifest", ())}
    found = (row for row in by_kind.get(kind, ()) if row.get("clips", 1))
    return [_with_sources(row, known.get(row.get("clips_of"))) for row in found]


@derived
def _by_kind(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return grouped(rows, "kind")


def _with_sources(row: Row, sources: tuple[str, ...] | None) -> Row:
    return row if sources is None or len(sources) != row.get("clips") else {**row, CLIP_SOURCES: sources}


def model_order(models: Iterable[str]) -> list[str]:
    """Each model once: the controls first, then in the order in which they were met."""
    met = dict.fromkeys(models)
    return [name for name in CONTROLS if name in met] + [name for name in met if name not in CONTROLS]


def grouped(rows: Iterable[Row], *fields: str) -> dict[Any, list[Row]]:
    """Rows by the value of a field (or the tuple of several), in the order in which the values were met.

    >>> grouped([{"eps": 8, "seed": 0}, {"eps": 4, "seed": 0}], "eps", "seed")
    {(8, 0): [{'eps': 8, 'seed': 0}], (4, 0): [{'eps': 4, 'seed': 0}]}
    """
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.get(fields[0]) if len(fields) == 1 else tuple(map(row.get, fields))].append(row)
    return dict(found)


# -------------------------------------------------------------------------------------------------------- attacks


@dataclass(frozen=True)
class AttackSetting:
    """Under which attack a row of accuracy was measured.

    Attributes:
        search: the attack's class, such as ``PGD``; empty where there was none.
        norm, support: of the threat, without empty parentheses: ``Linf``, ``Border(ratio=0.1)``.
        loss: what the attack maximised.
        targeted: did it aim at other classes.
        defence: the transform before the model, as text; empty where there was none.
        blind: did the attack not know of what stands before the classifier.
    """

    search: str = "PGD"
    norm: str = "Linf"
    support: str = "WholeClip"
    loss: str = "cross_entropy"
    targeted: bool = False
    defence: str = ""
    blind: bool = False


PLAIN = AttackSetting()
"""L∞ PGD on the whole clip: the attack whose rows make curves over ε."""

NO_SEARCH = ("", "none")

WORST_CASE = "worst case"
"""The ``search`` of rows under all attacks of a judgement, of which the most successful counts on each clip."""


def attack_setting(row: Row) -> AttackSetting:
    """The attack behind a row of accuracy: from its fields, where a row lacks them from its ``attack`` text.

    >>> attack_setting({"eps": 8.0, "steps": 20}) == PLAIN
    True
    >>> attack_setting({"eps": 16.0, "steps": 20, "attack": "PGD(ε=16,α=4,i=20,support=Flicker)"}).support
    'Flicker'
    >>> attack_setting({"eps": 8.0, "norm": "L2", "attack": "PGD(ε=8,α=2,i=20)"}).norm
    'L2'
    """
    model = row.get("model")
    behind = model.partition(" behind ")[2] if isinstance(model, str) else ""
    return _setting(row.get("attack"), behind, *map(row.get, _SETTING))


_SETTING = ("search", "norm", "support", "loss", "targeted", "defence", "blind")


@lru_cache(maxsize=4096)
def _setting(attack: str | None, behind: str, *given: Any) -> AttackSetting:
    parsed = replace(_of_text(attack), defence=behind)
    fields = {name: value for name, value in zip(_SETTING, given, strict=True) if value is not None}
    for name in ("norm", "support"):
        if name in fields:
            fields[name] = str(fields[name]).removesuffix("()")
    return replace(parsed, **fields)


def _of_text(attack: str | None) -> AttackSetting:
    """What the text of an attack says, be it as typed or as Python prints it; what it does not say is as usual."""
    if attack is None:
        return PLAIN
    if attack in NO_SEARCH:
        return replace(PLAIN, search="")
    found = {"search": re.match(r"[^(,\s]*", attack)}
    found |= {name: re.search(rf"\b{name}=([\w.]+(?:\([^()]*\))?)", attack) for name in ("norm", "support")}
    words = {name: match[match.lastindex or 0].removesuffix("()") for name, match in found.items() if match}
    loss = re.search(r"\bloss=(?:<function )?([\w.]+)", attack)
    return replace(
        PLAIN,
        **words,
        loss=loss[1] if loss else PLAIN.loss,
        targeted=bool(re.search(r"\btargeted=[Tt]rue", attack)),
        blind=attack.endswith(", blind") or attack.startswith("Blind("),
    )


def plain(row: Row) -> bool:
    """Is a row of accuracy a point of the curve over ε: clean, or under L∞ PGD on the whole clip, with no defence?"""
    found = attack_setting(row)
    if row["eps"] == 0 and found.search in (*NO_SEARCH, PLAIN.search):
        return not found.defence and not found.blind
    return found == PLAIN


def same_clips(first: Row, second: Row) -> bool:
    """Were two rows measured on the same clips, so that their ``survived`` can be compared clip by clip?

    Rows of earlier versions do not say which clips they are of: there the number of clips decides.
    """
    if "survived" not in first or "survived" not in second or first["clips"] != second["clips"]:
        return False
    return first.get("clips_of") is None or second.get("clips_of") in (None, first["clips_of"])
