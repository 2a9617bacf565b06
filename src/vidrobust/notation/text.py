"""The slides' own language, ``CAL(ε~U(0,12),α=α*,i=5)``, to and from training policies and attacks.

ε and α are in units of 1/255 here. The grammar stands in ``docs/notation.md``; ASCII does as well as Greek:

>>> from vidrobust.notation.schedules import Clock
>>> policy = parse("CAL (eps~U, alpha=alpha*, i=5)")
>>> print(policy)
CAL(ε~U(0,12),α=α*,i=5)
>>> policy.at(Clock(epoch=2, epochs=5), alpha_star=lambda eps, steps: eps / 5)
Setting(eps=6.0, alpha=1.2, steps=5)
>>> print(parse("trades(eps=8, alpha=auto, i=7) + awp(gamma=0.01)"))
TRADES(ε=8,α=auto,i=7)+AWP(γ=0.01)
>>> print(parse("PGD(ε=8,α=ε/4,i=20)"))
PGD(ε=8,α=2,i=20)
"""

from __future__ import annotations

from collections.abc import Mapping

from vidrobust.notation.attack_text import ATTACK_NAMES, AttackText, attack_from
from vidrobust.notation.calls import EXAMPLE, LONGEST
from vidrobust.notation.parser import DRAWN, EXAMPLES, LEGEND, METHOD_NAMES, Parser
from vidrobust.notation.policies import Policy
from vidrobust.notation.scanner import Scanner
from vidrobust.notation.schedules import AlphaRule, EpsRule, StepsRule


def parse(text: str) -> Policy | AttackText | EpsRule | AlphaRule | StepsRule:
    """Read a policy, an attack, or a line of the slides' legend; ``parse(str(p)) == p`` for policies and attacks.

    Args:
        text: such as ``CAL(ε~U,α=α*,i=5)``, ``standard``, ``PGD(eps=8,alpha=alpha*,i=20)`` or ``U:=U(0,12)``, which is
            the schedule that is defined; at most 400 characters (an attack: 4000).

    Raises:
        ParseError: the text is none of these; the message points at the character, ``position`` is its index.

    >>> print(parse("rU:=U(12,0)"), parse("αU:=U(2ε,α*)"), parse("iU:=lU(1,15)"))
    rU(12,0) αU iU
    >>> print(parse("ε~U(0,12)"), parse("α~U(2ε,α*)"), parse("i~lU(1,15)"))
    U(0,12) αU iU
    """
    if _begins_with(text, ATTACK_NAMES):
        return attack_from(text)
    parser = Parser(text, EXAMPLES["CAL"])
    if _begins_with(text, {**LEGEND, **DRAWN}):
        return parser.definition()
    return parser.whole_policy(METHOD_NAMES[parser.name(METHOD_NAMES, ATTACK_NAMES.values())])


def parse_policy(text: str) -> Policy:
    """Read a training policy, as :func:`parse` does; anything else is a :class:`ParseError`.

    >>> print(parse_policy("Clean"))
    standard
    """
    parser = Parser(text, EXAMPLES["CAL"])
    return parser.whole_policy(METHOD_NAMES[parser.name(METHOD_NAMES)])


def parse_attack(text: str) -> AttackText:
    """Read PGD or FGSM, as :func:`parse` does; anything else is a :class:`ParseError`.

    Other attacks, and further fields of these, are read by :func:`vidrobust.attacks.text.from_text`, in one grammar.

    >>> parse_attack("FGSM(eps=8)")
    AttackText(name='FGSM', eps=8.0, alpha=8.0, steps=1)
    """
    if _begins_with(text, ATTACK_NAMES):
        return attack_from(text)
    parser = Parser(text, EXAMPLE)
    parser.name(ATTACK_NAMES)
    raise parser.error(0, f"Expected one of {', '.join(ATTACK_NAMES.values())}.")


def _begins_with(text: str, names: Mapping[str, object]) -> bool:
    if len(text) > LONGEST:
        return False
    scanner = Scanner(text, EXAMPLE, LONGEST)
    return scanner.word() in names and not scanner.accept("-")  # FGSM-RS is a method of training
