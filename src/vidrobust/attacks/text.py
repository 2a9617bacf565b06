"""Attacks written as text, for the command line and configuration files: ``APGD(ε=8,steps=50,norm=L2)``.

The text is a call (:mod:`vidrobust.notation.calls`): the name of an attack, then its fields by name. ε and α are in
units of 1/255, of which 8/255 is written so or as 8; ``norm`` and ``support`` make the threat; everything else is a
field of the attack. A dotted name is imported, so that a user's own attack, norm or support needs no registration:

>>> from_text("PGD(ε=8,α=2,i=10)", alpha_star=None).steps
10
>>> from_text("PGD(eps=8/255, alpha=eps/4, steps=10, norm=L2, support=Border(ratio=0.1))", None).threat.support
Border(ratio=0.1)
>>> from_text("APGD(ε=8,steps=20,targeted=true,loss=margin)", alpha_star=None).targeted
True

What wraps a search takes it as a field, with an ε of its own:

>>> from_text("FrameSaliency(search=PGD(ε=8,α=2,i=10),frames=2)", alpha_star=None).search.steps
10
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from vidrobust import attacks, losses, threats
from vidrobust.attacks import feature_losses
from vidrobust.errors import NotationError, VidrobustError
from vidrobust.notation.calls import (
    EXAMPLE,
    Call,
    Items,
    Multiple,
    Number,
    Quoted,
    Star,
    Value,
    Word,
    levels,
    read_call,
    step_levels,
)
from vidrobust.notation.policies import AlphaStar
from vidrobust.notation.scanner import ParseError
from vidrobust.runs.code import refuse_code
from vidrobust.threats import Linf, Threat, WholeClip, norms, supports
from vidrobust.types import PIXEL

THREAT_EXAMPLE = "Linf(8, Border(ratio=0.1))"

_FIELDS = {"ε": "eps", "α": "alpha", "i": "steps", "σ": "sigma"}
"""The names that Python knows the terms of the notation by."""

_SYMBOLS = {name: symbol for symbol, name in _FIELDS.items()}

_CONSTANTS = {"true": True, "false": False, "none": None}


def from_text(text: str, alpha_star: AlphaStar | None, names: Mapping[str, Any] | None = None) -> Any:
    """An attack from its text.

    Args:
        text: such as ``PGD(ε=8,α=α*,i=20)``, ``AutoAttack(ε=8)`` or ``mypackage.attacks.Mine(ε=8,strength=3)``.
        alpha_star: α*(ε, i) in units of 1/255, for ``α=α*``.
        names: what further names mean within it, such as those of input transforms.

    Raises:
        NotationError: the text does not parse, there is no such attack or field, or a value is out of its range; the
            message points at the place.
    """
    return _Builder(text, alpha_star, names or {}).attack(read_call(text))


def threat_from_text(eps: float, norm: str = "Linf", support: str = "WholeClip") -> Threat:
    """A threat from the words for its norm and support.

    Args:
        eps: in units of 1/255.
        norm, support: a name, or a call such as ``Border(ratio=0.1)``; a dotted path is a user's own.

    Raises:
        NotationError: there is no such norm or support, or it does not take these fields.

    >>> threat_from_text(8, "L2", "Border(ratio=0.1)").support
    Border(ratio=0.1)
    """
    size = _Builder(norm, None, {}).region(read_call(norm), norms)
    return Threat(size, eps * PIXEL, _Builder(support, None, {}).region(read_call(support), supports))


def threat_from_call(text: str) -> Threat:
    """A threat from its text, such as ``Linf(8)``, ``L2(eps=128)`` or ``Linf(8/255, Border(ratio=0.1))``.

    Raises:
        NotationError: it does not parse, has no ε above 0, or there is no such norm or support.
    """
    call = read_call(text, THREAT_EXAMPLE, ("ε", "support"))
    builder, norm = _Builder(text, None, {}, THREAT_EXAMPLE), Word(call.at, call.path)
    if unknown := [name for name in call.fields if name not in ("ε", "support")]:
        raise builder._error(call.places[unknown[0]], "a threat has ε and a support")
    eps = builder._eps(call.fields.get("ε"), norm)
    if not eps:
        raise builder._error(getattr(call.fields.get("ε"), "at", call.at), "ε must be given, and above 0")
    return builder._threat(call, {"threat": None}, eps, {**call.fields, "norm": norm})["threat"]


def object_from_text(text: str, names: Mapping[str, Any] | None = None) -> Any:
    """A norm, a support, a transform or any other dataclass from its text, such as ``Recompress(quality=20)``.

    Args:
        text: a name, or a call; a dotted path is a user's own.
        names: what names mean, besides those of attacks, norms and supports.

    Raises:
        NotationError: there is none of that name, or it does not take these fields.
    """
    return _Builder(text, None, names or {}).part(read_call(text))


def classes_in(home: ModuleType) -> dict[str, Any]:
    """The norms or the supports there are, by name, of the module that holds them."""
    public = ((name, getattr(threats, name)) for name in sorted(threats.__all__))
    return {name: kind for name, kind in public if inspect.getmodule(kind) is home and dataclasses.is_dataclass(kind)}


def _is_attack(kind: object) -> bool:
    """Is it a class of objects to call with a model?"""
    return any("__call__" in vars(base) for base in getattr(kind, "__mro__", ()))


def _needed(function: Callable[..., object]) -> int:
    """How many arguments have no default."""
    return sum(part.default is part.empty for part in inspect.signature(function).parameters.values())


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Makes objects of a parsed text, and errors that point into it."""

    text: str
    alpha_star: AlphaStar | None
    names: Mapping[str, Any]
    example: str = EXAMPLE

    def attack(self, call: Call) -> Any:
        """The attack, its threat made of ε, the norm and the support."""
        kind = self._kind(call)
        if not _is_attack(kind):
            raise self._error(call.at, f"{call.path} is no attack, a class of objects to call with a model")
        given = {_FIELDS.get(name, name): node for name, node in call.fields.items()}
        takes = inspect.signature(kind).parameters
        eps = self._eps(given.pop("eps", None), given.get("norm"))
        arguments = self._threat(call, takes, eps, given)
        alpha = None if getattr(kind, "alpha_is_share", False) else given.pop("alpha", None)
        arguments |= {"sigma": self._sigma(given.pop("sigma"))} if "sigma" in given and "sigma" in takes else {}
        arguments |= {
            name: self._loss(node) if name == "loss" else self._value(node, eps) for name, node in given.items()
        }
        if alpha is not None:
            arguments["alpha"] = self._alpha(alpha, eps or 0.0, arguments.get("steps", 1))
        self._refuse_unknown(call, kind, takes, arguments, given)
        for name, node in given.items():
            arguments[name] = self._suitable(name, arguments[name], takes[name].default, node)
        return self._instance(kind, arguments, call)

    def _eps(self, node: Value | None, norm: Value | None) -> float | None:
        if node is None:
            return None
        measure = getattr(norm, "path", "Linf")
        eps = levels(node, "ε", self.text, self.example, measure)
        wide = measure.lower() != "linf"  # may exceed the pixels' range
        if not 0 <= eps <= (1e9 if wide else 255):
            raise self._error(node.at, f"ε must lie in 0…{1e9 if wide else 255:g}, but is {eps:g}")
        return eps

    def _sigma(self, node: Value) -> float:
        """A standard deviation of noise in levels, of which less than one is a share of the pixels' range instead."""
        if not isinstance(node, Number) or not 1 <= node.value <= 1e6:
            given = getattr(node, "value", 0.25)
            hint = f": write {255 * given:g} for {given:g} of the pixels' range" if 0 < given < 1 else ""
            raise self._error(node.at, f"σ is a number from 1, in units of 1/255{hint}")
        return node.value * PIXEL

    def _threat(
        self, call: Call, takes: Mapping[str, Any], eps: float | None, given: dict[str, Value]
    ) -> dict[str, Any]:
        if "threat" not in takes:
            return {} if eps is None else {"eps": eps * PIXEL}
        if eps is None:
            raise self._error(call.at, "ε is missing")
        norm, support = given.pop("norm", None), given.pop("support", None)
        parts = {
            "norm": self.region(norm, norms) if norm is not None else Linf(),
            "eps": eps * PIXEL,
            "support": self.region(support, supports) if support is not None else WholeClip(),
        }
        return {"threat": self._instance(Threat, parts, call)}

    def _refuse_unknown(
        self, call: Call, kind: Any, takes: Mapping[str, Any], arguments: Mapping[str, Any], given: Mapping[str, Value]
    ) -> None:
        unknown = [name for name in arguments if name not in takes or (name == "threat" and name in given)]
        if unknown:
            known = ", ".join(name for name in takes if name != "threat")
            made_of = "ε, norm, support, " if "threat" in takes else ""
            place = self._place(call, unknown[0], call.places)
            raise self._error(place, f"{kind.__name__} has no field {unknown[0]!r}; it has: {made_of}{known}")

    def _suitable(self, name: str, value: Any, default: object, node: Value) -> Any:
        """A field's value, if it is of the kind the field takes: a loss by its name or path, a yes or no, a search."""
        if name == "loss":
            found = getattr(losses, value, None) if isinstance(value, str) else value
            if not callable(found):
                raise self._error(
                    node.at, f"there is no loss {value!r}: name one of vidrobust.losses, or the path of your own"
                )
            if callable(default) and _needed(found) != _needed(default):
                wanted = ", ".join(inspect.signature(default).parameters)
                name = getattr(found, "__name__", type(found).__name__)
                raise self._error(node.at, f"the loss here is a function of {wanted}, unlike {name}")
            return found
        if isinstance(default, bool) and not isinstance(value, bool):
            raise self._error(node.at, f"{name} is true or false, not {value!r}")
        if name == "search" and not _is_attack(type(value)):
            raise self._error(node.at, f"a search is an attack of its own, such as PGD(ε=8,α=2,i=20), not {value!r}")
        return value

    def _loss(self, node: Value) -> Any:
        """A loss of features such as ``Dispersion(layer=layer2)``, or the name or path of a function."""
        kinds = {name: kind for name, kind in vars(feature_losses).items() if inspect.isclass(kind)}
        named = _named(node.path, kinds) if isinstance(node, Call) else None
        if not isinstance(node, Call) or named is None:
            return self._value(node, None)
        takes = inspect.signature(kinds[named]).parameters
        self._refuse_unknown(node, kinds[named], takes, node.fields, {})
        return self._instance(kinds[named], {name: self._value(part, None) for name, part in node.fields.items()}, node)

    def region(self, node: Value, home: ModuleType) -> Any:
        """A norm or a support, of this module or a user's own."""
        known, path = classes_in(home), getattr(node, "path", "")
        if "." not in path and _named(path, known) is None:
            word, given = home.__name__.rpartition(".")[2][:-1], path or "of this kind"
            raise self._error(
                node.at, f"there is no {word} {given}; it is one of {', '.join(known)}, or the path of your own"
            )
        return self.part(Call(node.at, path) if isinstance(node, Word) else node)  # type: ignore[arg-type]

    def part(self, call: Call) -> Any:
        """A norm or a support, or an attack within another."""
        kind = self._kind(call)
        if _is_attack(kind) and not {"threat", "search"}.isdisjoint(inspect.signature(kind).parameters):
            return self.attack(call)
        fields = {_FIELDS.get(name, name): self._value(node, None) for name, node in call.fields.items()}
        return self._instance(kind, fields, call)

    def _alpha(self, node: Value, eps: float, steps: int) -> Any:
        if isinstance(node, Star) and node.name.lower() in ("α", "alpha"):
            if self.alpha_star is None:
                raise self._error(node.at, "α* needs a study or a model to be looked for on")
            return self.alpha_star(eps, steps) * PIXEL
        if isinstance(node, (Word, Quoted)) and getattr(node, "path", getattr(node, "text", "")).lower() == "auto":
            return "auto"
        if isinstance(node, Multiple):
            return node.factor * eps * PIXEL
        return step_levels(node, eps, self.text) * PIXEL

    def _value(self, node: Value, eps: float | None) -> Any:
        """A number, a word, a list, or an object such as ``Border(ratio=0.1)`` or ``L2``."""
        if isinstance(node, Items):
            return tuple(self._value(item, eps) for item in node.items)
        if isinstance(node, Quoted):
            return node.text
        if isinstance(node, Number):
            return node.value / 255 if node.over_255 else node.value
        if isinstance(node, Multiple) and eps is not None:
            return node.factor * eps
        if isinstance(node, Call):
            return self.part(node)
        if isinstance(node, Word):
            return self._meant(node)
        raise self._error(node.at, "a number is expected here")

    def _meant(self, word: Word) -> Any:
        """What a name stands for: true or false, a norm, a function; or, as in keep=last, nothing but itself."""
        if word.path.lower() in _CONSTANTS:
            return _CONSTANTS[word.path.lower()]
        if "." not in word.path and getattr(self._known(word.path), "__name__", None) != word.path:
            return word.path
        kind = self._kind(Call(word.at, word.path))
        return self._instance(kind, {}, Call(word.at, word.path)) if inspect.isclass(kind) else kind

    def _kind(self, call: Call) -> Any:
        """What a name means here, or any name by its dotted path."""
        found = self._known(call.path)
        if found is not None:
            return found
        module, _, name = call.path.rpartition(".")
        if not module:
            known = ", ".join((*attacks.ATTACKS, *classes_in(norms), *classes_in(supports), *self.names))
            raise self._error(call.at, f"there is no {name!r}; use a dotted path for your own, or one of: {known}")
        refuse_code(call.path, "Write it on the command line, or in your own call.", called=True)
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise self._error(call.at, f"{call.path} cannot be imported ({error})") from error

    def _known(self, path: str) -> Any | None:
        if (name := _named(path, attacks.ATTACKS)) is not None:
            return getattr(attacks, name)
        known = {**classes_in(norms), **classes_in(supports), **self.names}
        return None if (name := _named(path, known)) is None else known[name]

    def _instance(self, kind: Any, fields: Mapping[str, Any], call: Call) -> Any:
        if not dataclasses.is_dataclass(kind):
            raise self._error(call.at, f"{call.path} is no dataclass")
        if missing := [_SYMBOLS.get(name, name) for name in _required(kind) if name not in fields]:
            raise self._error(call.at, f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
        try:
            return kind(**fields)  # type: ignore[operator]
        except TypeError as error:
            raise self._error(call.at, str(error)) from error
        except ParseError:
            raise
        except VidrobustError as error:
            raise self._error(self._blamed(call, str(error)), str(error)) from error

    def _blamed(self, call: Call, message: str) -> int:
        """Where the value stands of the field that a message names first; else the call."""
        named = {name: re.search(rf"\b{_FIELDS.get(name, name)}\b", message) for name in call.fields}
        found = {name: match.start() for name, match in named.items() if match is not None}
        return call.fields[min(found, key=found.__getitem__)].at if found else call.at

    def _place(self, call: Call, name: str, places: Mapping[str, int]) -> int:
        """Where a field's name stands."""
        return next((at for given, at in places.items() if _FIELDS.get(given, given) == name), call.at)

    def _error(self, position: int, reason: str) -> NotationError:
        return ParseError(self.text, position, reason, self.example)


def _required(kind: Any) -> list[str]:
    """The fields of a dataclass that have no default."""
    none = dataclasses.MISSING
    return [
        field.name
        for field in dataclasses.fields(kind)
        if field.init and field.default is none and field.default_factory is none
    ]


def _named(path: str, known: Mapping[str, Any]) -> str | None:
    """The name that a word means, in whatever case it is typed."""
    if path in known:
        return path
    return next((name for name in known if name.lower() == path.lower()), None)
