"""The result of a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.types import ClipTensor, Labels

ABSTAINED = -1
"""The class of a clip for which a certificate names none."""


@dataclass(frozen=True, eq=False)
class Certified:
    """The class of each clip, and the radius within which it cannot change.

    Attributes:
        predicted: ``B`` int64, :data:`ABSTAINED` where no class is certain enough.
        radius: ``B`` float64: every perturbation within the certificate's threat up to this size, this size included,
            leaves the class. In the units of ε, pixels of [0, 1], or a count of frames or columns; 0 where nothing is
            certified beyond the clip itself.
        draws: ``B`` int64, how often the model was asked; 0 of a certificate that draws nothing.
    """

    predicted: Tensor
    radius: Tensor
    draws: Tensor

    def right(self, labels: Labels) -> Tensor:
        """``B`` float64: the radius where the class is the true one, 0 elsewhere."""
        return torch.where(self.predicted == labels.cpu(), self.radius, 0.0)


class Certificate(Protocol):
    """A value that is called with a model and clips, and that declares the norm and support of its radius."""

    @property
    def norm(self) -> Any:
        """The norm of the perturbations, or its name."""
        ...

    @property
    def support(self) -> Any:
        """Where they live, or its name."""
        ...

    def __call__(self, model: nn.Module, clips: ClipTensor, labels: Labels, /) -> Certified:
        """Certify clips ``B C T H W`` in [0, 1] of classes ``labels`` (``B``); the model is left as it was."""
        ...
