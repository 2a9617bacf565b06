"""The model in training: how training steps run its forward pass. Attacks call the bare model instead."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils.checkpoint import checkpoint

from vidrobust.errors import InputError, VidrobustWarning
from vidrobust.fast.blocks import blocks_of, patched
from vidrobust.fast.onednn import RightConvolutions, lowered
from vidrobust.models.adapters import innermost, logits_of
from vidrobust.models.multibn import MultiBN
from vidrobust.models.purifier import Purified
from vidrobust.training.batchnorm import synced
from vidrobust.training.distributed import World

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.fast.precision import Precision
    from vidrobust.types import ClipTensor, Logits


@dataclass
class Learner:
    """A model in training.

    Attributes:
        model: the bare module, which attacks differentiate and which is stored.
        world: the processes that train it together.
        dtype: in which training steps run.
        precision: of attacks on it.
        checkpointing: whether activations within blocks are recomputed in the backward pass.
        frozen: modules that stay in evaluation mode.
        extras: further modules that a method trains, by name.
        carried: tensors that a method takes from one batch to the next; they are part of a checkpoint.
        wrapped: each module as the gradient reduction over processes wants it called.
        classes: number of logits, if known.
    """

    model: nn.Module
    world: World = field(default_factory=World)
    dtype: torch.dtype = torch.float32
    precision: Precision = "auto"
    checkpointing: bool = False
    frozen: tuple[nn.Module, ...] = ()
    extras: dict[str, nn.Module] = field(default_factory=dict)
    carried: dict[str, Tensor] = field(default_factory=dict)
    wrapped: dict[nn.Module, nn.Module] = field(default_factory=dict)
    classes: int | None = None

    @property
    def device(self) -> torch.device:
        """The device of the model's parameters."""
        return next(self.model.parameters()).device

    @property
    def blocks(self) -> list[nn.Module]:
        """The parts of its outermost sequences and lists: of a ResNet the residual blocks."""
        return blocks_of(self.model)

    @property
    def trained(self) -> list[Tensor]:
        """What training changes: parameters that require a gradient, and the running statistics of normalisation.

        Other buffers and frozen parameters are constants, and may be infinite as a causal mask is.
        """
        found: list[Tensor] = []
        for part in (self.model, *self.extras.values()):
            found += [parameter for parameter in part.parameters() if parameter.requires_grad]
            found += statistics_of(part)
        return found

    def train(self) -> None:
        """Set training mode, except for frozen modules."""
        for module in (self.model, *self.extras.values()):
            module.train()
        for module in self.frozen:
            module.eval()

    def eval(self) -> None:
        """Set evaluation mode."""
        for module in (self.model, *self.extras.values()):
            module.eval()

    def logits(self, clips: ClipTensor, classifier: nn.Module | None = None) -> Logits:
        """The logits of a training step, float32, differentiable in the weights.

        Args:
            clips: ``B C T H W``.
            classifier: the part of the model that gives them; by default all of it.

        Raises:
            InputError: in training mode it gives something else than in evaluation mode.
        """
        found = self.run(classifier or self.model, clips)
        if found.ndim != 2 or len(found) != len(clips) or self.classes not in (None, found.shape[1]):
            raise InputError(
                f"in training mode the model gives {tuple(found.shape)} for {len(clips)} clips, in evaluation mode "
                f"{self.classes} logits per clip: let both give the logits, first where there are several outputs."
            )
        return found

    def run(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """The float32 output of a module of the model or of an extra one, as training steps run it.

        Of several outputs, as networks with auxiliary heads have them in training, the logits.
        """
        inputs = inputs.contiguous(memory_format=torch.channels_last_3d)
        with contextlib.ExitStack() as stack:
            stack.enter_context(shared_statistics(module, self.world))
            if self.checkpointing:
                stack.enter_context(recomputed(module, self.world))
            stack.enter_context(lowered(inputs.device, self.dtype == torch.bfloat16))
            output = self.wrapped.get(module, module)(inputs)
        if not torch.is_tensor(output):
            warnings.warn(
                f"in training mode the model gives a {type(output).__name__} of several outputs: its logits are "
                "trained on, the others (auxiliary heads, features) are not.",
                VidrobustWarning,
                stacklevel=2,
            )
        return logits_of(output)


def statistics_of(module: nn.Module) -> list[Tensor]:
    """The running means and variances of its normalisation layers, and how many batches they saw."""
    norms = [part for part in module.modules() if isinstance(part, _NormBase)]
    kept = [(norm.running_mean, norm.running_var, norm.num_batches_tracked) for norm in norms]
    return [tensor for tensors in kept for tensor in tensors if tensor is not None]


def shared_statistics(module: nn.Module, world: World) -> contextlib.AbstractContextManager[None]:
    """A context in which BatchNorm computes its statistics over the batches of all processes."""
    if world.size == 1:
        return contextlib.nullcontext()
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    return patched(norms, lambda norm: partial(synced, norm, world))


@contextlib.contextmanager
def again(part: nn.Module, world: World) -> Iterator[None]:
    """The context of recomputation: BatchNorm over all processes, without a second update of running statistics."""
    with statistics_frozen(part), shared_statistics(part, world), RightConvolutions():
        yield


def recomputed(module: nn.Module, world: World | None = None) -> contextlib.AbstractContextManager[None]:
    """A context with activation checkpointing of blocks; recomputation does not update BatchNorm's statistics again."""

    def kept(part: nn.Module) -> Callable[..., Tensor]:
        context = lambda: (contextlib.nullcontext(), again(part, world or World()))  # noqa: E731
        return partial(checkpoint, type(part).forward.__get__(part), use_reentrant=False, context_fn=context)

    return patched(blocks_of(module), kept)


@contextlib.contextmanager
def statistics_frozen(module: nn.Module) -> Iterator[None]:
    """A context in which BatchNorm normalises by its batch, as in training, without updating running statistics."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    saved = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
            norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone()
        yield
    finally:
        for norm, (momentum, tracked) in zip(norms, saved, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked


def frozen_before(model: nn.Module, name: str) -> tuple[nn.Module, ...]:
    """Freeze the modules before the one called ``name`` and return them; none if the name is empty.

    Raises:
        InputError: the model has no such module.
    """
    if not name:
        return ()
    model = innermost(model.classifier if isinstance(model, Purified | MultiBN) else model)
    if name not in dict(model.named_modules()):
        known = ", ".join(child for child, _ in model.named_children())
        raise InputError(f"freeze={name!r}: the model has no module of that name. It has: {known}.")
    still = []
    for part_name, part in model.named_modules():
        if part_name == name:
            break
        if part_name and not name.startswith(f"{part_name}."):
            part.requires_grad_(False)
            still.append(part)
    return tuple(still)
