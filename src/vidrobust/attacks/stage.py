"""The bases of searches that can go on where another has stopped, as the stages of an ensemble do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.searching import SearchState, searching
from vidrobust.attacks.traits import Traits
from vidrobust.errors import InputError
from vidrobust.losses import margin

if TYPE_CHECKING:
    from vidrobust.attacks.base import AttackResult
    from vidrobust.fast.precision import Precision
    from vidrobust.threats import Threat
    from vidrobust.types import ClipTensor, Labels, Logits


class StageSearch(Traits, ABC):
    """A search whose whole work is done on a :class:`~vidrobust.attacks.searching.SearchState`.

    A subclass is a frozen dataclass with the fields ``threat`` and ``precision``, and ``targeted`` where it can reach
    classes. Its ``loss`` is that of the result; a search of predicted classes alone has none, and gives the margin.
    """

    if TYPE_CHECKING:  # fields of the subclasses, each in a place of its own among the others

        @property
        def threat(self) -> Threat: ...

        @property
        def precision(self) -> Precision: ...

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> AttackResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was."""
        loss, targeted = getattr(self, "loss", margin), getattr(self, "targeted", False)
        with searching(model, self.threat, clips, labels, loss, self.precision, targeted) as run:
            self.search(run)
            return run.result()

    @abstractmethod
    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""


class QuerySearch(StageSearch):
    """The base of black-box searches: a number of ``queries``, answers of the model that a clip may cost."""

    if TYPE_CHECKING:

        @property
        def queries(self) -> int: ...

    def __post_init__(self) -> None:
        at_least_one(queries=self.queries)
        if self.queries < 2:
            raise InputError("queries must be at least 2: one for a perturbation, one to confirm it.")

    @property
    def cost(self) -> int:
        return self.queries

    @property
    def needs_gradients(self) -> bool:
        return False
