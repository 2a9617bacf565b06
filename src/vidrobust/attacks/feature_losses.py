"""Losses of the features inside a model, for perturbations that transfer: what layers see is more alike in two models
than what their classes are made of.

A feature loss is a loss like any other, as the field ``loss`` of a search. The search watches the layer by hooks while
it runs, on the model itself, since a fast copy has other layers.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass
class _Watched:
    """What the layers of a model gave: for each of its calls that is finished, one number per clip.

    Attributes:
        layers: how many modules are watched.
        call: in the present call, the values of each layer, one for each time that it ran.
        values: of the calls since the loss was asked for.
    """

    layers: int
    call: dict[int, list[Tensor]] = field(default_factory=dict)
    values: list[Tensor] = field(default_factory=list)


_watched: ContextVar[_Watched | None] = ContextVar("watched", default=None)


@dataclass(frozen=True)
class FeatureLoss(ABC):
    """The base of losses of features, which an attack maximises whatever the labels are.

    Args:
        layer: the module whose output is looked at, by its name in ``model.named_modules()`` or the end of it. The
            losses of several, such as those of an ensemble's models, are added; one that runs several times in a call
            counts with the mean.
    """

    layer: str

    @abstractmethod
    def of_features(self, features: Tensor) -> Tensor:
        """One number per clip, ``B``, from the layer's output, ``B …``."""

    def __call__(self, logits: Logits, labels: Labels) -> Tensor:
        """``B``: of the clips whose ``logits`` (``B K``) a search has just asked for.

        Raises:
            InputError: the layer did not run, or did not see these clips one by one.
        """
        watched = _watched.get()
        found: list[Tensor] = []
        while watched is not None and watched.values and sum(map(len, found)) < len(logits):
            found.insert(0, watched.values.pop())
        if watched is None or sum(map(len, found)) != len(logits):
            raise InputError(
                f"{type(self).__name__} has no features of {len(logits)} clips: it is the loss of an attack that is "
                f"called, on a model whose layer {self.layer!r} runs with every call."
            )
        watched.values.clear()
        return torch.cat(found)

    @contextlib.contextmanager
    def watching(self, model: Callable[[ClipTensor], Logits]) -> Iterator[None]:
        """Have the layer's outputs looked at; afterwards the model has no hooks of this.

        Raises:
            InputError: the model is no module, or has no such layer.
        """
        parts = self._layers(model)
        watched = _Watched(len(parts))
        hooks = [part.register_forward_hook(self._looks(watched, number)) for number, part in enumerate(parts)]
        assert isinstance(model, nn.Module)
        hooks += [
            model.register_forward_pre_hook(lambda *_: watched.call.clear()),
            model.register_forward_hook(lambda *_: _finish(watched)),
        ]
        before = _watched.set(watched)
        try:
            yield
        finally:
            _watched.reset(before)
            for hook in hooks:
                hook.remove()

    def _layers(self, model: Callable[[ClipTensor], Logits]) -> list[nn.Module]:
        if not isinstance(model, nn.Module):
            raise InputError(f"{type(self).__name__} looks into a torch.nn.Module, but the model is a function.")
        named = dict(model.named_modules())
        ends = [name for name in named if name == self.layer or name.endswith(f".{self.layer}")]
        names = [self.layer] if self.layer in ends else ends
        inner = [name for name in names if not any(other.startswith(f"{name}.") for other in names)]
        if not inner or not self.layer:
            known = ", ".join(name for name, _ in model.named_children())
            raise InputError(f"the model has no layer {self.layer!r}; it has {known}, and what is within these.")
        return [named[name] for name in inner]

    def _looks(self, watched: _Watched, number: int) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if not torch.is_tensor(output) or output.ndim < 2:
                raise InputError(f"the layer {self.layer!r} gives no features B …, but {type(output).__name__}.")
            watched.call.setdefault(number, []).append(self.of_features(output.float()))

        return look


def _finish(watched: _Watched) -> None:
    """Add up what the layers gave in a call of the model."""
    if len(watched.call) == watched.layers:
        watched.values.append(torch.stack([torch.stack(each).mean(0) for each in watched.call.values()]).sum(0))


def watching(loss: object, model: Callable[[ClipTensor], Logits]) -> contextlib.AbstractContextManager[None]:
    """A context in which ``loss`` may be asked for: that of a feature loss, or of a method of a goal that has one."""
    loss = getattr(getattr(loss, "__self__", None), "loss", loss)
    return loss.watching(model) if isinstance(loss, FeatureLoss) else contextlib.nullcontext()


@dataclass(frozen=True)
class Dispersion(FeatureLoss):
    """Dispersion reduction (Lu et al., CVPR 2020, section 3): minus the standard deviation of the feature map.

    A map without contrast holds nothing for the layers that follow, of this model or of another.

    >>> from vidrobust import MIFGSM, Linf, Threat
    >>> model = torch.nn.Sequential(torch.nn.Conv3d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 2 * 6 * 6, 5))
    >>> clips, labels = torch.rand(2, 3, 4, 8, 8), torch.tensor([0, 1])
    >>> attack = MIFGSM(Threat(Linf(), 8 / 255), steps=5, alpha=2 / 255, loss=Dispersion("0"))
    >>> found = attack(model, clips, labels)
    >>> bool((model[0](found.clips).flatten(1).std(1) < model[0](clips).flatten(1).std(1)).all())
    True
    """

    def of_features(self, features: Tensor) -> Tensor:
        """``B``, at most 0."""
        return -features.flatten(1).std(1)


@dataclass(frozen=True)
class FeatureDisruption(FeatureLoss):
    """Feature disruptive attack (FDA; Ganeshan et al., ICCV 2019, section 4), of one layer.

    The logarithm of the norm of the features below their mean over channels, less that of the features above it. The
    paper divides them at the means of the clean clip; here they are those of the perturbed clip, step by step.

    >>> FeatureDisruption("0").of_features(torch.tensor([[[1.0], [4.0]]])).item()  # log 1 - log 4
    -1.3862943649291992
    """

    def of_features(self, features: Tensor) -> Tensor:
        """``B``, below 0 where the features are not negative."""
        lower = features < features.detach().mean(1, keepdim=True)
        sizes = (features.masked_fill(part, 0).flatten(1).norm(dim=1) for part in (~lower, lower))
        below, above = (size.clamp(min=1e-12).log() for size in sizes)
        return below - above
