"""The fields of rows that describe an attack, read from its attributes and never from its text."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.aimed import Aimed
from vidrobust.attacks.blind import Blind
from vidrobust.evaluation.defences import Defended
from vidrobust.notation.calls import Call, Star, read_call
from vidrobust.notation.units import spell, step_with_unit, with_unit
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidrobust.notation.calls import Value
    from vidrobust.runs.rows import Row


LEVELS = {"eps": "ε", "sigma": "σ"}
"""Fields of certificates that are in pixels, and how their text calls them, which counts them in units of 1/255."""


def layers(attack: Any) -> Iterator[Any]:
    """The attack, the search that it wraps, the search within that one, and so on.

    >>> from vidrobust import EOT, PGD, Linf, Threat
    >>> [type(layer).__name__ for layer in layers(EOT(PGD(Threat(Linf(), 8 / 255), 2 / 255, 20)))]
    ['EOT', 'PGD']
    """
    while attack is not None:
        yield attack
        attack = getattr(attack, "search", None) if "search" in _fields(attack) else None


def attack_budget(attack: Any) -> tuple[float, float, int]:
    """ε and α in units of 1/255, and the iterations, of an attack that has them, or of the search that it wraps.

    >>> from vidrobust import PGD, Linf, Threat
    >>> attack_budget(PGD(Threat(Linf(), 16 / 255), 4 / 255, 20))
    (16.0, 4.0, 20)
    """
    *_, search = layers(attack)
    eps = _largest(getattr(getattr(search, "threat", None), "eps", 0.0))
    alpha = getattr(search, "alpha", 0.0)
    plain = isinstance(alpha, (int, float)) and not getattr(search, "alpha_is_share", False)
    known = alpha if plain else 0.0  # "auto" is another for each batch
    return in_levels(eps), in_levels(known), int(getattr(search, "steps", 1))


def in_levels(pixels: float) -> float:
    """Pixels in [0, 1] in units of 1/255, as they were asked: 16, not 16.000000000000004.

    >>> [in_levels(eps / 255) for eps in (0.1, 8, 16, 255)] == [0.1, 8.0, 16.0, 255.0]
    True
    """
    return float(f"{pixels / PIXEL:.12g}")


def attack_text(attack: Any) -> str:
    """An attack for people, in the grammar of :func:`vidrobust.attacks.text.from_text`; defaults are left out.

    >>> from vidrobust import EOT, L2, PGD, Border, Threat
    >>> attack_text(EOT(PGD(Threat(L2(), 8 / 255, Border(0.1)), 2 / 255, 20), samples=5))
    'EOT(search=PGD(ε=8,α=2,i=20,norm=L2,support=Border(ratio=0.1)),samples=5)'
    """
    if not dataclasses.is_dataclass(attack) or isinstance(attack, type):
        return field_text(attack)
    terms, rest = [], []
    for field in (field for field in dataclasses.fields(attack) if field.init and field.repr):
        value, default = getattr(attack, field.name), field.default
        if field.name == "threat" and value is not None:
            rest += [f"{name}={field_text(part)}" for name, part in (("norm", value.norm), ("support", value.support))]
            terms.append(f"ε={with_unit(str(_levels(value.eps)), type(value.norm).__name__)}")
        elif field.name == "alpha":
            in_pixels = value != "auto" and not getattr(attack, "alpha_is_share", False)
            text = step_with_unit(_levels(value), str(attack_budget(attack)[0])) if in_pixels else value
            terms += [f"α={text}"] if not _same(value, default) else []
        elif field.name in LEVELS:
            terms.append(f"{LEVELS[field.name]}={_levels(value)}")
        elif field.name == "steps":
            terms += [f"i={value}"] if not _same(value, default) else []
        elif not _same(value, default):
            rest.append(f"{field.name}={attack_text(value)}")
    rest = [text for text in rest if text not in ("norm=Linf", "support=WholeClip")]
    return written_name(type(attack)) + (f"({','.join(terms + rest)})" if terms or rest else "")


def spelled(text: str, attack: Any) -> str:
    """An attack's text as rows have it, however it was typed; an α* that was typed stays one.

    Args:
        text: as it was typed.
        attack: what was made of it.

    >>> from vidrobust.attacks.text import from_text
    >>> for text in ("apgd( steps=50, eps=8/255 )", "PGD(i=5,alpha=alpha*,eps=8,norm=L2)"):
    ...     print(spelled(text, from_text(text, lambda eps, steps: 2.5)))
    APGD(ε=8,i=50)
    PGD(ε=8,α=α*,i=5,norm=L2)
    """
    star = any(isinstance(value, Star) for value in _values(read_call(text)))
    return re.sub(r"α=[^,()]+", "α=α*", attack_text(attack)) if star else attack_text(attack)


def _values(call: Call) -> Iterator[Value]:
    """The values of a call's fields, those of calls within it too."""
    for value in call.fields.values():
        yield value
        if isinstance(value, Call):
            yield from _values(value)


def _levels(pixels: Any) -> str:
    """A budget or step size in units of 1/255; one per clip or per frame as a list."""
    if isinstance(pixels, tuple):
        return f"({','.join(map(_levels, pixels))})"
    return f"{in_levels(pixels):.12g}"


def attack_fields(attack: Any, model: Any = None) -> Row:
    """The fields by which readers of rows choose among attacks.

    Args:
        attack: the attack, or None for the clean clips.
        model: what it attacks; an input transform before a classifier is its defence.

    Returns:
        ``search`` (its class, within the classes of what wraps it; ``none`` for clean clips), ``norm``, ``support``,
        ``loss`` (the function's name; empty where there is none, or more than one), ``targeted``, ``defence`` (empty
        where there is none) and ``blind`` (made on the classifier alone).

    >>> from vidrobust import EOT, L2, PGD, Border, Threat
    >>> list(attack_fields(EOT(PGD(Threat(L2(), 0.5, Border(0.1)), 0.1, 5))).values())
    ['EOT(PGD)', 'L2', 'Border(ratio=0.1)', 'cross_entropy', False, '', False]
    """
    defence: Any = model.transform if isinstance(model, Defended) else None
    found = list(layers(attack))
    search = found[-1] if found else None
    threat, loss = getattr(search, "threat", None), getattr(search, "loss", None)
    for layer in found:
        defence = getattr(layer, "transform", defence)
    return {
        "search": _nested(layer for layer in found if not isinstance(layer, (Blind, Aimed))) or "none",
        "norm": field_text(threat.norm) if threat is not None else "Linf",
        "support": field_text(threat.support) if threat is not None else "WholeClip",
        "loss": "cross_entropy" if not found else "" if loss is None else field_text(loss),
        "targeted": any(getattr(layer, "targeted", False) for layer in found),
        "defence": "" if defence is None else field_text(defence),
        "blind": any(isinstance(layer, Blind) for layer in found),
    }


def _nested(found: Iterator[Any]) -> str:
    names = [written_name(type(layer)) for layer in found]
    return "(".join(names) + ")" * (len(names) - 1)


def field_text(part: Any) -> str:
    """A norm, a support or a transform as it is written: its fields but for those that have their default."""
    if torch.is_tensor(part):
        return f"{int(part.sum())} of {part.numel()}" if part.dtype == torch.bool else f"tensor{tuple(part.shape)}"
    if _is_number(part):
        return spell(part)
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return written_name(part) if hasattr(part, "__name__") else repr(part)
    values = ((field, getattr(part, field.name)) for field in dataclasses.fields(part) if field.repr)
    given = [f"{field.name}={field_text(value)}" for field, value in values if not _same(value, field.default)]
    return written_name(type(part)) + (f"({', '.join(given)})" if given else "")


def written_name(named: Any) -> str:
    """What a class or a function is called in a text: its name, or the dotted path of somebody's own.

    >>> from fractions import Fraction
    >>> from vidrobust import Border
    >>> written_name(Border), written_name(Fraction)
    ('Border', 'fractions.Fraction')
    """
    module, path = getattr(named, "__module__", None) or "", getattr(named, "__qualname__", named.__name__)
    own = module.partition(".")[0] not in ("", "vidrobust", "builtins") and path.isidentifier()
    return f"{module}.{path}" if own else named.__name__


def _same(value: object, default: object) -> bool:
    if _is_number(value) and _is_number(default):
        return value == default  # a field that takes 0.0 may be given 0
    return type(value) is type(default) and not torch.is_tensor(value) and bool(value == default)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _largest(eps: Any) -> float:
    """Of budgets per clip or per frame, the largest."""
    return max((_largest(part) for part in eps), default=0.0) if isinstance(eps, tuple) else float(eps)


def _fields(attack: Any) -> Any:
    return getattr(attack, "__dataclass_fields__", ())
