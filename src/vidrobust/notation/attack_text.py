"""PGD and FGSM as values without torch, read by the grammar of all attacks (:mod:`vidrobust.notation.calls`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vidrobust.errors import NotationError
from vidrobust.notation.calls import EXAMPLE, Call, Multiple, Number, Star, levels, read_call, step_levels
from vidrobust.notation.policies import check_range
from vidrobust.notation.scanner import ParseError
from vidrobust.notation.units import spell, step_with_unit, with_unit

AttackName: TypeAlias = Literal["PGD", "FGSM"]
ATTACK_NAMES: dict[str, AttackName] = {"pgd": "PGD", "fgsm": "FGSM"}
TERMS: dict[AttackName, tuple[str, ...]] = {"PGD": ("ε", "α", "i"), "FGSM": ("ε",)}


@dataclass(frozen=True)
class AttackText:
    """An attack as it is written.

    Args:
        name: ``PGD``, or ``FGSM``, which is one step of α = ε.
        eps: ε in units of 1/255, 0 to 255.
        alpha: α in units of 1/255, above 0 and up to 255, or ``"α*"``.
        steps: the number of iterations, 1 to 1000.

    Raises:
        NotationError: a value is out of range.
    """

    name: AttackName
    eps: float
    alpha: float | Literal["α*"]
    steps: int

    def __post_init__(self) -> None:
        check_range("ε", self.eps)
        check_range("i", self.steps)
        if self.name == "FGSM":
            if (self.alpha, self.steps) != (self.eps, 1):
                raise NotationError("FGSM is one step of α = ε. For other values use PGD(ε=8,α=2,i=10).")
        elif not isinstance(self.alpha, str):
            check_range("α", self.alpha)

    def __str__(self) -> str:
        if self.name == "FGSM":
            return f"FGSM(ε={with_unit(spell(self.eps))})"
        eps = spell(self.eps)
        alpha = self.alpha if isinstance(self.alpha, str) else step_with_unit(spell(self.alpha), eps)
        return f"PGD(ε={with_unit(eps)},α={alpha},i={self.steps})"


def attack_from(text: str) -> AttackText:
    """Read ``PGD(ε,α,i)`` or ``FGSM(ε)``.

    Raises:
        ParseError: the text is neither, or a value is out of range; the message points at the character.
    """
    call = read_call(text)
    name = ATTACK_NAMES[call.path.lower()]
    _check_terms(call, name, text)
    eps = _number(call, "ε", text)
    levels(call.fields["ε"], "ε", text)
    if name == "FGSM":
        return AttackText(name, eps, eps, 1)
    steps, alpha = _number(call, "i", text), call.fields["α"]
    if isinstance(alpha, Star) and alpha.name.lower() in ("α", "alpha"):
        return AttackText(name, eps, "α*", int(steps))
    size = alpha.factor * eps if isinstance(alpha, Multiple) else step_levels(_one(call, "α", text), eps, text)
    _check(size, "α", call, text)
    return AttackText(name, eps, size, int(steps))


def _check_terms(call: Call, name: AttackName, text: str) -> None:
    for term, place in call.places.items():
        if term not in TERMS[name]:
            raise ParseError(text, place, f"Expected one of {', '.join(TERMS[name])}: {name} takes no other.", EXAMPLE)
    if missing := [term for term in TERMS[name] if term not in call.fields]:
        needs = f"{name} needs {', '.join(TERMS[name])}; missing: {', '.join(missing)}."
        raise ParseError(text, len(text.rstrip()) - bool(call.fields), needs, EXAMPLE)


def _one(call: Call, term: str, text: str) -> Any:
    """The value of a term, unless it is a schedule, as only a policy has."""
    node = call.fields[term]
    if not isinstance(node, Number):
        raise ParseError(text, node.at, f"Expected a number: an attack has one {term}.", EXAMPLE)
    return node


def _number(call: Call, term: str, text: str) -> float:
    node = _one(call, term, text)
    if term == "i" and node.over_255:
        raise ParseError(text, node.at, "Expected a whole number: i counts iterations.", EXAMPLE)
    _check(node.value, term, call, text)
    return float(node.value)


def _check(number: float, term: str, call: Call, text: str) -> None:
    try:
        check_range(term, number)
    except NotationError as error:
        raise ParseError(text, call.fields[term].at, str(error), EXAMPLE) from None
