"""Properties that attacks declare about themselves: what they need, which threats they support and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from vidrobust.threats import Threat


class Traits:
    """The base class of the searches here; your own searches need not derive from it.

    Attributes:
        norms: the supported norms; empty means all.
        budgets_a_frame: does it take a threat with a budget per frame?
        one_for_all: does it look for one perturbation that all clips share, where the threat asks for it?
        alpha_is_share: is its ``alpha`` a share of something, and not a step size in pixels?
    """

    norms: ClassVar[tuple[type, ...]] = ()
    budgets_a_frame: ClassVar[bool] = True
    one_for_all: ClassVar[bool] = True
    alpha_is_share: ClassVar[bool] = False

    @property
    def needs_gradients(self) -> bool:
        """Does it differentiate the model?"""
        return True

    @property
    def cost(self) -> int:
        """The most gradients that a clip costs; of a search without gradients, the most queries."""
        return int(getattr(self, "steps", 1))

    def check_threat(self, threat: Threat) -> None:
        """Refuse a threat whose norm or budgets the search does not support.

        Raises:
            InputError: it has one.
        """
        name = type(self).__name__
        if self.norms and not isinstance(threat.norm, self.norms):
            known = ", ".join(norm.__name__ for norm in self.norms)
            raise InputError(f"{name} supports the norm {known}, but the threat has {threat.norm}. Take PGD or APGD.")
        if not self.budgets_a_frame and isinstance(threat.eps, tuple) and isinstance(threat.eps[0], tuple):
            raise InputError(
                f"{name} looks for one size of the whole clip, but the threat has a budget per frame. Take APGD or "
                "Square, or one budget per clip."
            )


class Wrapper(Traits):
    """The base of what wraps a search: what it needs and costs is what the search does."""

    @property
    def needs_gradients(self) -> bool:
        return needs_gradients(getattr(self, "search", None))

    @property
    def cost(self) -> int:
        return attack_cost(getattr(self, "search", None))


def needs_gradients(attack: Any) -> bool:
    """Whether an attack declares that it differentiates the model; False if it declares nothing.

    >>> from vidrobust import EOT, PGD, Linf, Square, Threat
    >>> threat = Threat(Linf(), 8 / 255)
    >>> needs_gradients(EOT(PGD(threat, 2 / 255, 20))), needs_gradients(EOT(Square(threat)))
    (True, False)
    """
    return bool(getattr(attack, "needs_gradients", False))


def attack_cost(attack: Any) -> int:
    """The largest number of gradients, or of queries, per clip; the ``steps`` of an attack that does not declare it.

    >>> from vidrobust import EOT, PGD, Linf, Threat
    >>> attack_cost(EOT(PGD(Threat(Linf(), 8 / 255), 2 / 255, 20, restarts=2), samples=10))
    400
    """
    return int(getattr(attack, "cost", getattr(attack, "steps", 1)))
