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

from vidrobust.notation.parser import ATTACKS, EXAMPLES, METHODS, Parser
from vidrobust.notation.policies import AttackText, Policy


def parse(text: str) -> Policy | AttackText:
    """Read a policy or an attack; ``parse(str(p)) == p`` for each of them.

    Args:
        text: such as ``CAL(ε~U,α=α*,i=5)``, ``standard`` or ``PGD(eps=8,alpha=alpha*,i=20)``; at most 400 characters.

    Raises:
        ParseError: the text is neither; the message points at the character, ``position`` is its index.
    """
    parser = Parser(text, EXAMPLES["CAL"])
    word = parser.name(METHODS | ATTACKS)
    return parser.whole_policy(METHODS[word]) if word in METHODS else parser.attack(ATTACKS[word])


def parse_policy(text: str) -> Policy:
    """Read a training policy, as :func:`parse` does; anything else is a :class:`ParseError`.

    >>> from vidrobust.notation.policies import STANDARD
    >>> parse_policy("Clean") == STANDARD
    True
    """
    parser = Parser(text, EXAMPLES["CAL"])
    return parser.whole_policy(METHODS[parser.name(METHODS)])


def parse_attack(text: str) -> AttackText:
    """Read an attack, as :func:`parse` does; anything else is a :class:`ParseError`.

    >>> parse_attack("FGSM(eps=8)")
    AttackText(name='FGSM', eps=8.0, alpha=8.0, steps=1)
    """
    parser = Parser(text, EXAMPLES["PGD"])
    return parser.attack(ATTACKS[parser.name(ATTACKS)])
