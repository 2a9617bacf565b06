"""The rules of a verdict: the reasons to distrust a number, their thresholds in clips, and remedies.

Rules about the search ask whether a better attack would find less robustness. They do not apply where no clip is left
standing. docs/judge.md shows this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Scope: TypeAlias = Literal["model", "search", "note"]
"""What a rule is about: the model and its data, the search of one threat, or something to know without consequence."""


@dataclass(frozen=True)
class Measured:
    """So many clips of so many show something.

    Attributes:
        name: of the rule that looks at it.
        count, of: clips (or draws, or sources, as the rule says).
        told: what was seen, in words, if there is more to say.
    """

    name: str
    count: int
    of: int
    told: str = ""


@dataclass(frozen=True)
class Rule:
    """When a count is a reason to distrust the number.

    Attributes:
        name: what is counted.
        scope: where it matters.
        limit: the share above which it speaks.
        least: the count from which on it speaks.
        because: what it means, with ``{count}`` and ``{of}``.
        remedy: what would raise the trust.
    """

    name: str
    scope: Scope
    limit: float
    least: int
    because: str
    remedy: str

    @property
    def counted(self) -> bool:
        """Whether it counts clips, which add up over parts of them; otherwise it is true of the model or not."""
        return "{count}" in self.because

    def speaks(self, measured: Measured) -> bool:
        """Whether the count exceeds the rule's threshold."""
        return measured.count >= self.least and measured.count > self.limit * measured.of


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        # the model and its data
        Rule(
            "few sources",
            "note",
            0.0,
            1,
            "the clips come from so few sources that their intervals cannot be trusted; sources that are lacking: "
            "{count}",
            "take clips of more source videos (--clips)",
        ),
        Rule(
            "smaller batches",
            "note",
            0.0,
            1,
            "the model cannot be run on a whole batch at once, and was run on parts of it; the numbers are the same",
            "give it more memory, which makes it faster",
        ),
        Rule(
            "leaks",
            "model",
            0.0,
            1,
            "videos that lie in two splits with the same content: {count}; the model may know them",
            "delete them from one split",
        ),
        Rule(
            "class order",
            "model",
            0.2,
            3,
            "{count} more of {of} clips would be right if the classes were in another order: the labels are not those "
            "that the model was trained with",
            "give the classes in the model's order",
        ),
        Rule(
            "chance",
            "model",
            0.0,
            1,
            "clean accuracy is no better than chance: robustness of what is not learnt says nothing",
            "check weights, normalisation and classes",
        ),
        Rule(
            "unanswered",
            "model",
            0.0,
            1,
            "the model failed on {count} of {of} clips, which are left out",
            "mend what fails, and judge again: what is finished is kept",
        ),
        Rule(
            "not finite",
            "model",
            0.0,
            1,
            "the model gives NaN or infinite logits for {count} of {of} clips: that is no class, and counts as wrong",
            "look for a division by 0, or numbers too large for their type",
        ),
        Rule(
            "set-up",
            "model",
            0.0,
            1,
            "the self-test says that the model is set up wrongly",
            "do as the self-test says",
        ),
        Rule(
            "probabilities",
            "model",
            0.0,
            1,
            "the model gives probabilities, which round to 0 and 1 where logits still differ",
            "return what comes before the softmax",
        ),
        Rule(
            "gradient mode",
            "model",
            0.0,
            1,
            "{count} of {of} clips get other logits when a gradient is asked for: attacks see another model than users",
            "let the model answer alike with and without gradients",
        ),
        Rule(
            "batch",
            "model",
            0.0,
            1,
            "the logits of {count} of {of} clips depend on the other clips of their batch",
            "let the model answer each clip by itself (in evaluation mode)",
        ),
        Rule(
            "drift",
            "model",
            0.0,
            1,
            "{count} of {of} clips got other logits after other questions: the model changes as it is asked",
            "let the model keep no state",
        ),
        Rule(
            "remembered clips",
            "model",
            0.25,
            3,
            "{count} of {of} right answers are lost to random noise of ±2/255: the clean clips are special to the "
            "model, and its clean accuracy says nothing about clips like them",
            "judge on clips that the model has not seen, compressed anew",
        ),
        # the search
        Rule(
            "missing",
            "search",
            0.0,
            1,
            "attacks on a clip that could not be run: {count}",
            "mend what fails, or give it more memory, and judge again: what is finished is kept",
        ),
        Rule(
            "dead gradient",
            "search",
            0.0,
            1,
            "the self-test finds that the gradient is zero, wrong, or not there",
            "differentiate through what is rounded, detached or replaced (BPDA)",
        ),
        Rule(
            "no gradient",
            "search",
            0.0,
            1,
            "the model has no gradient at all: only attacks that need none were made",
            "give the model in a form that can be differentiated",
        ),
        Rule(
            "masked gradient",
            "search",
            0.0,
            1,
            "the model's own gradient leads less far uphill than one that skips what comes before its first layers: "
            "it is masked, and attacks follow the other one",
            "attack the model without what masks its gradient",
        ),
        Rule(
            "unavailable gradients",
            "search",
            0.01,
            1,
            "the gradient of {count} of {of} clips is zero or not finite, at the clip and around it: attacks cannot "
            "move them",
            "look for saturated, rounded or detached parts; attack around them (BPDA)",
        ),
        Rule(
            "misleading gradients",
            "search",
            0.2,
            2,
            "for {count} of {of} clips, a small step along the gradient raises the loss less than random steps, or by "
            "under 5 % of what the gradient promises",
            "look for tiny oscillations, rounding or a gradient of one's own; attack a smoothed model",
        ),
        Rule(
            "unstable predictions",
            "search",
            0.1,
            2,
            "the loss of {count} of {of} clips still moves by over 10 % from one mean over draws to the next",
            "more draws for a gradient (--ensemble.samples)",
        ),
        Rule(
            "silent success",
            "note",
            0.0,
            1,
            "{count} of {of} clips were misclassified on the way and not at the end of plain PGD: attacks here keep "
            "the best point of their way, so nothing is lost",
            "where attacks are run by hand, keep the best iterate",
        ),
        Rule(
            "incomplete optimisation",
            "note",
            0.1,
            1,
            "the loss of {count} of {of} standing clips still rises at the end of plain PGD: whether more steps break "
            "more is what doubling tells",
            "more steps (--ensemble.steps)",
        ),
        Rule(
            "transfer failure",
            "search",
            0.1,
            2,
            "{count} of {of} points that misled what the attack differentiates do not mislead the model itself",
            "attack the model as it answers, without copies and stand-ins",
        ),
        Rule(
            "unconstrained failure",
            "search",
            0.05,
            1,
            "{count} of {of} clips withstand attacks without any bound, which no classifier can: the attacks fail",
            "look for what stops the attacks: gradients, or answers that do not depend on the clip",
        ),
        Rule(
            "doubling",
            "search",
            0.02,
            2,
            "twice the steps and restarts broke {count} more of {of} clips",
            "more steps and restarts (--ensemble.steps)",
        ),
        Rule(
            "black box",
            "search",
            0.02,
            1,
            "{count} of {of} clips fell to attacks without gradients, and to none with gradients: these are masked",
            "attack what masks the gradients adaptively",
        ),
        Rule(
            "noise",
            "search",
            0.0,
            1,
            "random noise broke {count} of {of} clips that all attacks had left standing",
            "look for what stops the attacks",
        ),
        Rule(
            "active test",
            "search",
            0.05,
            1,
            "with a last layer for which an adversarial clip exists by construction, the attacks missed {count} of "
            "{of}",
            "stronger attacks (--ensemble.steps), or gradients that are not masked",
        ),
        Rule(
            "no active test",
            "note",
            0.0,
            1,
            "the active test could not be made",
            "give the model with its last linear layer as a module",
        ),
        Rule(
            "not monotone",
            "search",
            0.0,
            1,
            "{count} of {of} clips are broken at a budget and not at a larger one",
            "judge again: this cannot be",
        ),
    )
}
"""Every rule by name."""
