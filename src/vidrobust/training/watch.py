"""Watching a training: clean and robust accuracy by epoch, on the same footing for train and validation.

Both splits are seen in evaluation mode, on centre clips, under the same attack. Two things can go wrong on the way, and
each has a probe on the validation clips: *catastrophic overfitting* (Wong, Rice and Kolter, ICLR 2020), when a model
withstands one step of ε and falls to several small ones; and *robust overfitting* (Rice, Wong and Kolter, ICML 2020),
when robust accuracy on validation passes its best while training goes on. Test clips are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch

from vidrobust.attacks.base import undisturbed
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy
from vidrobust.notation.families import FAMILIES
from vidrobust.notation.policies import Policy
from vidrobust.notation.schedules import EqualsEps, Fixed
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row

AT_ONCE = 8
"""Clips looked at together: large clips would not fit into memory all at once."""

COLLAPSED = 0.25
"""Catastrophic overfitting: so much more of the clips withstand one step than several, and these fewer than half of the
best epoch's."""


@dataclass(frozen=True)
class Watch:
    """What is looked at while a model is trained, and what is done about it.

    Attributes:
        every: epochs between looks; 0 looks never.
        clips: clips of each split looked at, spread evenly over it.
        eps: the budget of the attack, in units of 1/255.
        steps: its iterations, of α = ε/4.
        patience: epochs without a better robust accuracy on validation after which training ends, and the best weights
            are kept; 0 goes on to the last epoch.
        collapse: what catastrophic overfitting leads to: training stops with the best weights, or falls back on them
            and goes on with an attack of several steps, or nothing.

    Raises:
        InputError: a value is out of range.
    """

    every: int = 0
    clips: int = 32
    eps: float = 8.0
    steps: int = 10
    patience: int = 0
    collapse: Literal["stop", "fall back", "ignore"] = "stop"

    def __post_init__(self) -> None:
        if self.patience and not self.every:
            raise InputError("patience needs something to look at: every must be at least 1.")
        if self.collapse not in ("stop", "fall back", "ignore"):
            raise InputError(f'collapse must be "stop", "fall back" or "ignore", but is {self.collapse!r}.')
        if self.every < 0 or self.clips < 1 or self.steps < 1 or self.patience < 0 or not 0 < self.eps <= 255:
            raise InputError(f"a watch needs every ≥ 0, clips ≥ 1, steps ≥ 1, patience ≥ 0 and 0 < eps ≤ 255: {self}.")


@dataclass(frozen=True)
class Watcher:
    """Looks at a model after an epoch.

    Attributes:
        watch: what to look at.
        splits: ``train`` and ``val``.
        policy: what the model is trained under.
        keep_best: called with the model when its robust accuracy on validation is the best so far.
        recall_best: puts the best weights back into the model.
    """

    watch: Watch
    splits: dict[str, Clips]
    policy: Policy
    keep_best: Callable[[nn.Module], None]
    recall_best: Callable[[nn.Module], None]

    def __call__(self, model: nn.Module, row: Row, earlier: Sequence[Row]) -> list[Row]:
        """``watch`` rows of both splits, and what follows from them.

        Args:
            model: in evaluation mode.
            row: the ``epoch`` row.
            earlier: all rows before it.
        """
        epoch = row["epoch"]
        if not self.watch.every or (epoch % self.watch.every and epoch not in (1, row["epochs"])):
            return []
        rows = [look(model, clips, self.watch, epoch, split) for split, clips in self.splits.items()]
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
    """Is the policy's threat the one that is looked at, L∞ on the whole clip?"""
    if policy.parts:
        return any(usual(part) for part in policy.parts)
    return (policy.option("norm"), policy.option("support")) == ("Linf", "WholeClip")


def collapsed(now: Row, best: Row) -> bool:
    """Catastrophic overfitting: one step is withstood, several are not, and once were by a fifth of the clips or more.

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


def look(model: nn.Module, clips: Clips, watch: Watch, epoch: int, split: str) -> Row:
    """The ``watch`` row of one split: clean, after one step of ε, and after several of ε/4."""
    device, threat = next(model.parameters()).device, Threat(Linf(), watch.eps * PIXEL)
    several, found = PGD(threat, watch.eps * PIXEL / 4, watch.steps, keep="last"), []
    for part in torch.arange(len(clips)).split(AT_ONCE):
        x, y = clips.centre(part).to(device), clips.labels[part].to(device)
        many, single = several(model, x, y), FGSM(threat)(model, x, y)
        with undisturbed(model), torch.no_grad():
            logits = model(x).float()
        clean, loss = logits.argmax(1) == y, cross_entropy(logits, y)
        found.append(torch.stack([clean, clean & ~single.success, clean & ~many.success, loss, many.loss], 1).cpu())
    clean, single, robust, loss, robust_loss = torch.cat(found).double().sum(0).tolist()
    return {
        "kind": "watch",
        "epoch": epoch,
        "split": split,
        "clean": int(clean),
        "single": int(single),
        "robust": int(robust),
        "clips": len(clips),
        "loss": round(loss / len(clips), 6),
        "robust_loss": round(robust_loss / len(clips), 6),
        "eps": watch.eps,
        "alpha": watch.eps / 4,
        "steps": watch.steps,
    }
