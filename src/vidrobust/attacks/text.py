"""Attacks written as text, for the command line and configuration files: ``APGD(ε=8,steps=50,norm=L2)``.

The text is a call: the name of an attack, then its fields by name. ε and α are in units of 1/255; ``norm`` and
``support`` make the threat; everything else is a field of the attack. A dotted name is imported, so that a user's own
attack, norm or support needs no registration:

>>> from_text("PGD(ε=8,α=2,i=10)", alpha_star=None).steps
10
>>> from_text("PGD(eps=8, alpha=eps/4, steps=10, norm=L2, support=Border(ratio=0.1))", alpha_star=None).threat.support
Border(ratio=0.1)
>>> from_text("APGD(ε=8,steps=20,targeted=true,loss=margin)", alpha_star=None).targeted
True

What wraps a search takes it as a field, with an ε of its own:

>>> from_text("FrameSaliency(search=PGD(ε=8,α=2,i=10),frames=2)", alpha_star=None).search.steps
10
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import vidrobust
from vidrobust import losses
from vidrobust.errors import NotationError
from vidrobust.notation.scanner import ParseError
from vidrobust.threats import Linf, Threat, WholeClip, norms, supports
from vidrobust.types import PIXEL

EXAMPLE = "PGD(ε=8,α=α*,i=20)"

_STAR = re.compile(r"(?<=α)\*(?=\s*[,)])|(?<=alpha)\*(?=\s*[,)])")
"""The star of ``α*``, which Python's own grammar would take for a product; an underscore keeps all positions."""

_ALIASES = {"ε": "eps", "epsilon": "eps", "α": "alpha", "i": "steps"}


def _is_attack(kind: object) -> bool:
    """Is it a class of objects to call with a model?"""
    return any("__call__" in vars(base) for base in getattr(kind, "__mro__", ()))


def _needed(function: Callable[..., object]) -> int:
    """How many arguments have no default."""
    return sum(part.default is part.empty for part in inspect.signature(function).parameters.values())


AlphaStar = Callable[[float, int], float]


def from_text(text: str, alpha_star: AlphaStar | None) -> Any:
    """An attack from its text.

    Args:
        text: such as ``PGD(ε=8,α=α*,i=20)``, ``AutoAttack(ε=8)`` or ``mypackage.attacks.Mine(ε=8,strength=3)``.
        alpha_star: α*(ε, i) in units of 1/255, for ``α=α*``.

    Raises:
        NotationError: the text does not parse, or there is no such attack or field; the message points at the place.
    """
    call = _parse(text)
    return _Builder(text, alpha_star).attack(call)


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
    size = _Builder(norm, None).region(_parse(norm), norms)
    return Threat(size, eps * PIXEL, _Builder(support, None).region(_parse(support), supports))


def object_from_text(text: str) -> Any:
    """A norm, a support, a transform or any other dataclass from its text, such as ``Recompress(quality=20)``.

    Raises:
        NotationError: there is none of that name, or it does not take these fields.
    """
    return _Builder(text, None).part(_parse(text))


def _parse(text: str) -> ast.Call:
    plain = _STAR.sub("_", text.replace("∗", "*"))
    indent = len(plain) - len(plain.lstrip())
    try:
        found = ast.parse("(" * indent + plain.strip() + ")" * indent, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        position = min(len(text), max(0, (getattr(error, "offset", None) or 1) - 1))  # in characters, unlike col_offset
        raise ParseError(text, position, "an attack is its name and its fields in parentheses", EXAMPLE) from error
    if isinstance(found, (ast.Name, ast.Attribute)):
        found = ast.copy_location(ast.Call(found, [], []), found)
    if not isinstance(found, ast.Call) or found.args:
        raise ParseError(text, 0, "an attack is written as its name and its fields by name", EXAMPLE)
    return found


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Makes objects of a parsed text, and errors that point into it."""

    text: str
    alpha_star: AlphaStar | None

    def attack(self, call: ast.Call) -> Any:
        """The attack, its threat made of ε, the norm and the support."""
        kind = self._kind(call.func)
        if not _is_attack(kind):
            raise self._error(call, f"{ast.unparse(call.func)} is no attack, a class of objects to call with a model")
        given = self._given(call)
        fields = inspect.signature(kind).parameters
        eps = self._number(given.pop("eps"), {}) if "eps" in given else None
        wide = "norm" in given and ast.unparse(given["norm"]) not in ("Linf", "Linf()")  # may exceed the pixels' range
        if eps is not None and not 0 <= eps <= (1e9 if wide else 255):
            raise self._error(call, f"ε must lie in 0…{1e9 if wide else 255:g}, but is {eps:g}")
        made: dict[str, Any] = {}
        if "threat" in fields:
            if eps is None:
                raise self._error(call, "ε is missing")
            norm, support = given.pop("norm", None), given.pop("support", None)
            made["threat"] = Threat(
                self.region(norm, norms) if norm is not None else Linf(),
                eps * PIXEL,
                self.region(support, supports) if support is not None else WholeClip(),
            )
        elif eps is not None:
            made["eps"] = eps * PIXEL
        alpha = given.pop("alpha", None)
        made |= {name: self._value(node, {"eps": eps}) for name, node in given.items()}
        if alpha is not None:
            made["alpha"] = self._alpha(alpha, eps or 0.0, made.get("steps", 1))
        unknown = [name for name in made if name not in fields or (name == "threat" and name in given)]
        if unknown:
            known = ", ".join(name for name in fields if name != "threat")
            made_of = "ε, norm, support, " if "threat" in fields else ""
            raise self._error(call, f"{kind.__name__} has no field {unknown[0]!r}; it has: {made_of}{known}")
        for name, node in given.items():
            made[name] = self._suitable(name, made[name], fields[name].default, node)
        return self._made(kind, made, call)

    def _suitable(self, name: str, value: Any, default: object, node: ast.expr) -> Any:
        """A field's value, if it is of the kind the field takes: a loss by its name or path, a yes or no, a search."""
        if name == "loss":
            found = getattr(losses, value, None) if isinstance(value, str) else value
            if not callable(found):
                raise self._error(
                    node, f"there is no loss {value!r}: name one of vidrobust.losses, or the path of your own"
                )
            if callable(default) and _needed(found) != _needed(default):
                wanted = ", ".join(inspect.signature(default).parameters)
                raise self._error(node, f"the loss here is a function of {wanted}, unlike {found.__name__}")
            return found
        if isinstance(default, bool) and not isinstance(value, bool):
            raise self._error(node, f"{name} is true or false, not {value!r}")
        if name == "search" and not _is_attack(type(value)):
            raise self._error(node, f"a search is an attack of its own, such as PGD(ε=8,α=2,i=20), not {value!r}")
        return value

    def region(self, node: ast.expr, home: ModuleType) -> Any:
        """A norm or a support, of this module or a user's own."""
        kind = node.func if isinstance(node, ast.Call) else node
        known = [name for name in vidrobust.__all__ if inspect.getmodule(getattr(vidrobust, name)) is home]
        if not isinstance(kind, ast.Attribute) and ast.unparse(kind) not in known:
            word = home.__name__.rpartition(".")[2][:-1]
            reason = f"there is no {word} {ast.unparse(kind)}; it is one of {', '.join(known)}, or the path of your own"
            raise self._error(node, reason)
        return self._value(node, {})

    def part(self, call: ast.Call) -> Any:
        """A norm or a support, or an attack within another."""
        kind = self._kind(call.func)
        if _is_attack(kind) and not {"threat", "search"}.isdisjoint(inspect.signature(kind).parameters):
            return self.attack(call)
        fields = {name: self._value(node, {}) for name, node in self._given(call).items()}
        return self._made(kind, fields, call)

    def _given(self, call: ast.Call) -> dict[str, ast.expr]:
        given: dict[str, ast.expr] = {}
        for keyword in call.keywords:
            if keyword.arg is None:
                raise self._error(keyword.value, "a field has a name")
            name = _ALIASES.get(keyword.arg, keyword.arg)
            if name in given:
                raise self._error(keyword.value, f"{keyword.arg} is given twice")
            given[name] = keyword.value
        return given

    def _alpha(self, node: ast.expr, eps: float, steps: int) -> Any:
        if isinstance(node, ast.Name) and node.id in ("α_", "alpha_"):
            if self.alpha_star is None:
                raise self._error(node, "α* needs a study or a model to be looked for on")
            return self.alpha_star(eps, steps) * PIXEL
        if ast.unparse(node).strip("'") == "auto":
            return "auto"
        return self._number(node, {"eps": eps}) * PIXEL

    def _value(self, node: ast.expr, names: Mapping[str, float | None]) -> Any:
        """A number, a word, a list, or an object such as ``Border(ratio=0.1)`` or ``L2``."""
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(self._value(item, names) for item in node.elts)
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bool, int, float, type(None))):
            return node.value
        if isinstance(node, ast.Call):
            if node.args:
                raise self._error(node, "fields are given by name")
            return self.part(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            if isinstance(node, ast.Name) and not hasattr(vidrobust, node.id):
                return {"true": True, "false": False}.get(node.id, node.id)  # a word, such as keep=last
            kind = self._kind(node)
            return self._made(kind, {}, node) if inspect.isclass(kind) else kind  # a norm, or a loss function
        return self._number(node, names)

    def _number(self, node: ast.expr, names: Mapping[str, float | None]) -> float:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            return node.value
        if isinstance(node, ast.Name) and (value := names.get(_ALIASES.get(node.id, node.id))) is not None:
            return value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._number(node.operand, names)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
            left, right = self._number(node.left, names), self._number(node.right, names)
            if isinstance(node.op, ast.Mult):
                return left * right
            if right:
                return left / right
        raise self._error(node, "a number is expected here")

    def _kind(self, node: ast.expr) -> Any:
        """A public name of vidrobust, or any name by its dotted path."""
        path = ast.unparse(node)
        if isinstance(node, ast.Name):
            found = getattr(vidrobust, path, None)
            if found is None or not callable(found):
                names = ", ".join(name for name in vidrobust.__all__ if name[0].isupper())
                raise self._error(node, f"there is no {path!r}; use a dotted path for your own, or one of: {names}")
            return found
        module, _, name = path.rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise self._error(node, f"{path} cannot be imported ({error})") from error

    def _made(self, kind: Any, fields: Mapping[str, Any], node: ast.expr) -> Any:
        if not dataclasses.is_dataclass(kind):
            raise self._error(node, f"{ast.unparse(node)} is no dataclass")
        try:
            return kind(**fields)
        except TypeError as error:
            raise self._error(node, str(error)) from error

    def _error(self, node: ast.expr, reason: str) -> NotationError:
        position = len(self.text.encode()[: node.col_offset].decode(errors="ignore"))  # col_offset counts bytes
        return ParseError(self.text, min(position, len(self.text)), reason, EXAMPLE)
