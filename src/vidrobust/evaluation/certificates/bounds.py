"""Certificates under L∞ by bounds of what each layer can give: IBP and CROWN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError
from vidrobust.evaluation.certificates.backward import lower_bounds
from vidrobust.evaluation.certificates.certified import Certified
from vidrobust.evaluation.certificates.interval import IntervalBounds, around, bounds_after, intervals
from vidrobust.evaluation.certificates.network import Network, ReluLayer, network_of
from vidrobust.threats import Linf, WholeClip

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.types import ClipTensor, Labels, Logits

CHUNK = 256
"""Numbers of a layer whose bounds are carried back at once."""


@dataclass(frozen=True)
class IBP:
    """Interval bound propagation (Gowal et al. 2018, section 3), the last affine layers taken together with the margin.

    Cheap, and tight only for networks that were trained for it (``vidrobust train --method "IBP(ε~U(0,8),by=step)"``).
    The bounds hold for the network as float32 computes it (:mod:`vidrobust.evaluation.certificates.interval`), on
    hardware that neither rounds to fewer bits (TF32, bfloat16) nor convolves otherwise than by sums of products.

    Args:
        eps: ε under L∞, in pixels of [0, 1].

    Raises:
        InputError: ε is not in [0, 1].

    >>> from vidrobust.models.building import build
    >>> model, clips = build("r3d-small", 3).eval(), torch.rand(2, 3, 8, 16, 16)
    >>> IBP(eps=0.0)(model, clips, model(clips).argmax(1)).predicted.shape
    torch.Size([2])
    """

    norm: ClassVar[Linf] = Linf()
    support: ClassVar[WholeClip] = WholeClip()
    eps: float

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= 1:
            raise InputError(f"ε must lie in 0 … 255/255, but is {self.eps * 255:g}/255.")

    def __call__(self, model: nn.Module, clips: ClipTensor, labels: Labels) -> Certified:
        """Which clips no perturbation of ε changes the class of."""
        with undisturbed(model), torch.no_grad():
            logits = model(clips)
            network = network_of(model, lambda numbers: numbers.detach().double())
            predicted = logits.argmax(1)
            refuse_another_function(network, clips, logits)
            margins = self.margins(network, clips, predicted)
        held = (margins > 0).all(0).cpu()
        return Certified(predicted.cpu(), held.double() * self.eps, torch.zeros(len(held)).long())

    def margins(self, network: Network, clips: ClipTensor, labels: Labels) -> Tensor:
        """``K-1 B`` float64: at least by how much the logit of each clip's class exceeds each other one."""
        found = intervals(network, around(clips, self.eps))
        return lower_bounds(network, found, others(labels, found[-1].lower), network.output, relax=False)


@dataclass(frozen=True)
class CROWN(IBP):
    """Bounds carried back from the logits to the clips through lines around each ReLU (Zhang et al. 2018), never looser
    than IBP.

    Args:
        eps: ε under L∞, in pixels of [0, 1].
        refine: carry the bounds of each layer back as well, in place of intervals. Much tighter for networks that were
            not trained for intervals, at the cost of as many backward passes as there are numbers whose sign is open:
            for small networks.
    """

    refine: bool = False

    def margins(self, network: Network, clips: ClipTensor, labels: Labels) -> Tensor:
        """``K-1 B`` float64: at least by how much the logit of each clip's class exceeds each other one."""
        parts = zip(clips.split(1), labels.split(1), strict=True) if self.refine else [(clips, labels)]
        return torch.cat([self._of(network, *part) for part in parts], 1)

    def _of(self, network: Network, clips: ClipTensor, labels: Labels) -> Tensor:
        between = around(clips, self.eps)
        found = refined(network, between) if self.refine else intervals(network, between)
        wanted = others(labels, found[-1].lower)
        ways = [lower_bounds(network, found, wanted, network.output, relax=relax) for relax in (True, False)]
        return torch.maximum(*ways)


def refined(network: Network, clip: IntervalBounds) -> list[IntervalBounds]:
    """The bounds of every value for one clip, those of what a rectifier is shown carried back to the clip."""
    found = [clip]
    for operation in network.operations:
        if isinstance(operation, ReluLayer):
            found[operation.source] = _tightened(network, found, operation.source)
        found.append(bounds_after(operation, found))
    return found


def _tightened(network: Network, found: Sequence[IntervalBounds], value: int) -> IntervalBounds:
    known = found[value]
    lower, upper = known.lower, known.upper
    low, high = lower.flatten().clone(), upper.flatten().clone()
    for rows in ((low < 0) & (high > 0)).nonzero().flatten().split(CHUNK):
        chosen = torch.zeros(len(rows), low.numel(), dtype=low.dtype, device=low.device)
        chosen.scatter_(1, rows[:, None], 1.0)
        chosen = chosen.view(len(rows), *lower.shape)
        below, above = (
            lower_bounds(network, found, sign * chosen, value, relax=True).flatten() * sign for sign in (1, -1)
        )
        low[rows], high[rows] = torch.maximum(low[rows], below), torch.minimum(high[rows], above)
    return IntervalBounds(low.view_as(lower), high.view_as(upper), known.error)


def others(labels: Labels, like: Tensor) -> Tensor:
    """``K-1 B K``: the coefficients of each margin, the logit of the class minus that of another one."""
    classes = like.shape[1]
    unit = torch.eye(classes, dtype=like.dtype, device=like.device)
    known = labels.to(like.device)
    rest = torch.stack([torch.cat([unit[:label], unit[label + 1 :]]) for label in known.tolist()], 1)
    return unit[known] - rest


def refuse_another_function(network: Network, clips: ClipTensor, logits: Logits) -> None:
    """Refuse a model whose logits of the clips themselves (``B K``) lie outside the bounds of its traced layers.

    Raises:
        InputError: they do: a hook, or a branch that tracing did not take.
    """
    found = intervals(network, around(clips, 0.0))[-1]
    if not ((found.lower <= logits) & (logits <= found.upper)).all():
        raise InputError("the model's logits lie outside their bounds: it computes something else than its layers.")
