"""The unit of ε and α as people write them, 1/255, and what to say to who writes a share of the pixels' range."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, TypeAlias

from vidrobust.errors import InputError, VidrobustWarning

if TYPE_CHECKING:
    Levels: TypeAlias = float
else:

    class Levels(float):
        """The type of an option that is an ε or an α in units of 1/255, and may be written as a fraction of 255."""


class Over255(float):
    """A number of levels that was written as a fraction of 255, and need not be doubted."""


UNIT = "ε and α are in units of 1/255: write 8, or 8/255, for 8/255"

SMALLEST = 0.01
"""Of an ε or an α in levels: who writes less means a share of the pixels' range."""

DOUBTFUL, DOUBTFUL_SUM = 0.2, 5.0
"""Below this a warning is given, for the largest change of a pixel and for a sum over pixels: ε may be 8/255 worked
out, as 0.031, or an L2 distance of pixels in [0, 1], as 0.5."""

LEAST_STEPS = 85
"""An α below ``DOUBTFUL`` gets a warning if it needs so many steps to go as far as ε: as a share of the pixels' range
it would need three or fewer."""

_NUMBER = r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"


def too_small(value: float) -> bool:
    """Is it a share of the pixels' range rather than a number of levels?"""
    return 0 < value < SMALLEST


def too_small_text(symbol: str, value: float) -> str:
    """What to say of a value that is :func:`too_small`."""
    smaller = " For a smaller α write a share of ε, such as ε/100." if symbol == "α" else ""
    return (
        f"{symbol}={value:g} is less than a hundredth of a grey level. ε and α are in units of 1/255, not of the range "
        f"of the pixels: write {max(value * 255, SMALLEST):.3g} for {value:g} of that range.{smaller}"
    )


def doubtful(eps: float, norm: str = "Linf") -> bool:
    """May this ε be a share of the pixels' range, though it can be a number of levels?

    >>> doubtful(8 / 255), doubtful(0.5), doubtful(0.5, "L2"), doubtful(0)
    (True, False, True, False)
    """
    return 0 < eps < (DOUBTFUL if norm.lower() == "linf" else DOUBTFUL_SUM)


def doubtful_step(alpha: float, eps: float) -> bool:
    """May this α be a share of the pixels' range, beside an ε that is none?

    >>> doubtful_step(2 / 255, 8), doubtful_step(0.01, 8), doubtful_step(0.1, 1)
    (True, True, False)
    """
    return 0 < alpha < DOUBTFUL and alpha * LEAST_STEPS <= eps


def warn_of_step(alpha: float, eps: float) -> None:
    """Say of an α that is :func:`doubtful_step`, and was not written as a fraction of 255, how it is read."""
    warnings.warn(
        f"α={alpha:g} is {alpha:g}/255, of which {eps / alpha:.0f} steps go as far as ε={eps:g}. If that share of the "
        f"range of the pixels is meant, write {alpha * 255:.3g}; if not, {alpha:g}/255 says so.",
        VidrobustWarning,
        stacklevel=3,
    )


def warn_of(eps: float, norm: str = "Linf") -> None:
    """Say of an ε that is :func:`doubtful`, and was not written as a fraction of 255, how it is read."""
    little = "less than a fifth of a grey level" if norm.lower() == "linf" else f"next to nothing under {norm}"
    warnings.warn(
        f"ε={eps:g} is {eps:g}/255, {little}. If that share of the range of the pixels is meant, write "
        f"{eps * 255:.3g}; if not, {eps:g}/255 says so.",
        VidrobustWarning,
        stacklevel=3,
    )


def check_eps(name: str, eps: float, norm: str = "Linf") -> None:
    """Hold a number for ε, which is to be in units of 1/255, against the two above.

    Args:
        name: of what has it, for the message.
        eps: a number, or what was written as a fraction.
        norm: under which it is measured.

    Raises:
        InputError: it must be a share of the pixels' range.
    """
    if too_small(eps):
        raise InputError(f"{name}: {too_small_text('ε', eps)}")
    if doubtful(eps, norm) and not isinstance(eps, Over255):
        warn_of(eps, norm)


def spell(number: float) -> str:
    """The shortest text that reads back as the same number.

    >>> spell(8.0), spell(0.5)
    ('8', '0.5')
    """
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def with_unit(text: str, norm: str = "Linf") -> str:
    """What is written for ε, as fractions of 255 if the largest of its numbers is :func:`doubtful`.

    >>> with_unit("U(0,0.1)"), with_unit("U(0,12)")
    ('U(0/255,0.1/255)', 'U(0,12)')
    """
    return _over_255(text) if doubtful(largest_in(text), norm) else text


def step_with_unit(text: str, eps: str) -> str:
    """What is written for α beside what is written for ε, as a fraction of 255 if it is :func:`doubtful_step`.

    >>> step_with_unit("0.03", "U(0,8)"), step_with_unit("0.03", "1"), step_with_unit("ε/4", "8")
    ('0.03/255', '0.03', 'ε/4')
    """
    plain = re.fullmatch(_NUMBER, text) is not None
    return _over_255(text) if plain and doubtful_step(float(text), largest_in(eps)) else text


def largest_in(text: str) -> float:
    """The largest number that is written in a text, 0 if there is none."""
    return max(map(float, re.findall(_NUMBER, text)), default=0.0)


def _over_255(text: str) -> str:
    return re.sub(_NUMBER, r"\g<0>/255", text)
