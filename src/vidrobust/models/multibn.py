"""BatchNorm branches, one for each kind of clip, and a small detector that weighs them.

Source: S.-Y. Lo and V. M. Patel, *Defending Against Multiple and Unforeseen Adversarial Videos*, IEEE TIP 2021: clean
clips and those of each attack have different statistics, so each gets BatchNorm layers of its own, and a detector
chooses. Here it chooses softly, branches being weighted by its probabilities, so that gradients flow through the choice
and an attack on the whole model is a full one.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Logits


class BranchedNorm(nn.Module):
    """As many BatchNorm layers as there are kinds of clips, all starting as copies of one.

    Attributes:
        weights: ``B K`` shares of the branches for each clip, or None.
        branch: the only branch in force where there are no weights.
    """

    def __init__(self, norm: nn.Module, branches: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(copy.deepcopy(norm) for _ in range(branches))
        self.weights: Tensor | None = None
        self.branch = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.weights is None:
            return self.norms[self.branch](x)
        shares = self.weights.to(x.dtype).view(*self.weights.shape, *[1] * (x.ndim - 1))
        return sum(norm(x) * shares[:, index] for index, norm in enumerate(self.norms))  # type: ignore[return-value]


class Detector(nn.Module):
    """A small 3D CNN from clips to logits of their kind."""

    def __init__(self, kinds: int, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(3, width, 3, (1, 2, 2), 1),
            nn.ReLU(),
            nn.Conv3d(width, 2 * width, 3, (2, 2, 2), 1),
            nn.ReLU(),
        )
        self.fc = nn.Linear(2 * width, kinds)

    def forward(self, clips: ClipTensor) -> Tensor:
        return self.fc(self.body((clips - 0.5) * 4).mean((2, 3, 4)))


class MultiBN(nn.Module):
    """A classifier with BatchNorm branches: in use, each clip's branches are weighed by the detector.

    >>> from vidrobust.models.building import build
    >>> model = branched(build("r3d-small", 10), branches=3).eval()
    >>> model(torch.rand(2, 3, 8, 24, 24)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classifier: nn.Module, branches: int) -> None:
        super().__init__()
        self.classifier, self.branches = classifier, branches
        self.detector = Detector(branches)

    @property
    def described(self) -> dict[str, Any]:
        """What is to be known to build it again."""
        return {"around": "multibn", "branches": self.branches, "of": self.classifier.described}

    def use(self, branch: int) -> nn.Module:
        """The classifier with one branch alone, for clips whose kind is known."""
        self._choose(None, branch)
        return self.classifier

    def forward(self, clips: ClipTensor) -> Logits:
        """Logits ``B K``."""
        self._choose(self.detector(clips).float().softmax(1), 0)
        try:
            return self.classifier(clips)
        finally:
            self._choose(None, 0)  # the shares belong to these clips, and would hold on to their graph

    def _choose(self, weights: Tensor | None, branch: int) -> None:
        for part in self.classifier.modules():
            if isinstance(part, BranchedNorm):
                part.weights, part.branch = weights, branch


def branched(model: nn.Module, branches: int, seed: int = 0) -> MultiBN:
    """A model with each BatchNorm layer made into as many branches; the weights of the rest are shared with ``model``.

    Args:
        model: a classifier with BatchNorm layers.
        branches: at least 2: clean clips and one kind of attacked ones.
        seed: of the detector's weights; the global random state is left as it was.

    Raises:
        InputError: the model has no BatchNorm layer, or there are fewer than two branches.
    """
    if branches < 2:
        raise InputError(f"MultiBN needs at least 2 branches, not {branches}.")
    if not any(isinstance(part, _BatchNorm) for part in model.modules()):
        raise InputError(f"MultiBN needs BatchNorm layers, and this {type(model).__name__} has none.")
    for name, part in list(model.named_modules()):
        if isinstance(part, _BatchNorm):
            owner, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(owner), leaf, BranchedNorm(part, branches))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MultiBN(model, branches)
