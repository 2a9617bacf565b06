"""Early stopping: a training that overfits, and one that receives SIGTERM.

Overfitting shows on the validation clips: *catastrophic overfitting* (Wong, Rice and
Kolter, ICLR 2020), when a model withstands one step of ε and falls to several small ones; and *robust overfitting*
(Rice, Wong and Kolter, ICML 2020), when robust accuracy passes its best while training goes on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vidrobust.notation.families import FAMILIES
from vidrobust.notation.policies import Policy
from vidrobust.notation.schedules import EqualsEps, Fixed
from vidrobust.training.watch import Watch, Watcher

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.runs.rows import Row

COLLAPSED = 0.25
"""Catastrophic overfitting: so much more of the clips withstand one step than several, and these fewer than half of the
best epoch's."""


@dataclass(frozen=True)
class EarlyStopping:
    """Evaluates a model after an epoch, keeps the best weights, and stops or changes the training on overfitting.

    Attributes:
        watch: what leads to what.
        watcher: looks.
        policy: what the model is trained under.
        keep_best: called with the model when its robust accuracy on validation is the best so far.
        recall_best: puts the best weights back into the model.
    """

    watch: Watch
    watcher: Watcher
    policy: Policy
    keep_best: Callable[[nn.Module], None]
    recall_best: Callable[[nn.Module], None]

    def __call__(self, model: nn.Module, row: Row, earlier: Sequence[Row]) -> list[Row]:
        """The watcher's ``watch`` rows, and what follows from them.

        Args:
            model: in evaluation mode.
            row: the ``epoch`` row.
            earlier: all rows before it.
        """
        rows = self.watcher(model, row, earlier)
        if not rows:
            return []
        seen = [old for old in earlier if old["kind"] == "watch" and old["split"] == "val"]
        now = rows[-1]
        if not seen or now["robust"] > max(old["robust"] for old in seen):
            self.keep_best(model)
            return rows
        return rows + self._consequence(model, now, seen, row, earlier)

    def _consequence(
        self, model: nn.Module, now: Row, seen: Sequence[Row], row: Row, earlier: Sequence[Row]
    ) -> list[Row]:
        best = max(seen, key=lambda old: old["robust"])
        about = {"epoch": row["epoch"], "best_epoch": best["epoch"]}
        if self.watch.collapse != "ignore" and row["eps"] and usual(self.policy) and collapsed(now, best):
            text = (
                f"catastrophic overfitting: {now['single']} of {now['clips']} validation clips withstand one step of "
                f"ε={now['eps']:g}, {now['robust']} several small ones ({best['robust']} in epoch {best['epoch']})"
            )
            fallen = any(old["kind"] == "fallback" for old in earlier)
            if self.watch.collapse == "fall back" and not fallen:
                self.recall_best(model)
                return [{"kind": "fallback", **about, "reason": text, "policy": str(multi_step(self.policy))}]
            return [{"kind": "stopped", **about, "reason": text, "stop": True}]
        if self.watch.patience and row["epoch"] - best["epoch"] >= self.watch.patience:
            text = f"robust overfitting: no better robust validation accuracy since epoch {best['epoch']}"
            return [{"kind": "stopped", **about, "reason": text, "stop": True}]
        return []


def usual(policy: Policy) -> bool:
    """Whether the policy's threat is the evaluated one, L∞ on the whole clip."""
    if policy.parts:
        return any(usual(part) for part in policy.parts)
    return (policy.option("norm"), policy.option("support")) == ("Linf", "WholeClip")


def collapsed(now: Row, best: Row) -> bool:
    """Whether overfitting is catastrophic: one step is withstood, several are not, and once were.

    At the best epoch, at least a fifth of the clips must have withstood several steps.

    >>> best = {"robust": 16, "clips": 32}
    >>> collapsed({"single": 24, "robust": 2, "clips": 32}, best)
    True
    >>> collapsed({"single": 17, "robust": 14, "clips": 32}, best)
    False
    """
    once = 5 * best["robust"] >= best["clips"] and 2 * now["robust"] < best["robust"]
    return once and now["single"] - now["robust"] > COLLAPSED * now["clips"]


def multi_step(policy: Policy) -> Policy:
    """The same policy under an attack of five steps: its threat, its other options and its modifiers stay.

    >>> from vidrobust.notation import parse_policy
    >>> print(multi_step(parse_policy("FGSM-RS(ε=8)")))
    AT(ε=8,α=ε/4,i=5)
    """
    if policy.parts:
        return replace(policy, parts=tuple(multi_step(part) for part in policy.parts))
    family, several = policy.family, {"alpha": EqualsEps(1 / 4), "steps": Fixed(5)}
    if "i" not in FAMILIES[family].terms:
        family = "CAL" if policy.eps.moves else "AT"
    taken = {option.symbol for option in FAMILIES[family].options}
    options = tuple((symbol, value) for symbol, value in policy.options if symbol in taken)
    return replace(policy, family=family, options=options, **several)


class terminating:  # noqa: N801 - a context manager
    """A context in which SIGTERM requests a save and a stop instead of ending the process.

    Schedulers send it some seconds before they take a machine away. Only a main thread can listen.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Callable[[], bool]:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return lambda: self._asked

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True

    def __exit__(self, *error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
