"""Which models can be trained; checked before anything is written."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch.nn.parameter import is_lazy

from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.errors import InputError, VidrobustError
from vidrobust.fast.inference import are_probabilities

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips

TRAINABLE = (torch.float32, torch.complex64)
"""The types of weights that optimisers step here; lower precision is for the passes alone, higher for none."""


def check_model(model: nn.Module, clips: Clips, seed: int = 0) -> int:
    """Refuse a model that cannot be trained on these clips; parameters of lazy modules get their shapes.

    The model is asked once, in evaluation mode, for one clip.

    Args:
        model: from clips ``B C T H W`` to logits ``B K``.
        clips: the training split.
        seed: of the weights of lazy modules.

    Returns:
        K, the number of its classes.

    Raises:
        InputError: it has no weights, or weights that cannot be trained by their type, device or mode; it fails on such
            clips; or what it gives for one is no row of logits for these labels.
    """
    check_weights(model)
    logits = first_answer(model, clips, seed)
    check_weights(model)  # lazy ones exist now
    if not torch.is_tensor(logits) or logits.ndim != 2 or len(logits) != 1:
        found = tuple(logits.shape) if torch.is_tensor(logits) else f"a {type(logits).__name__}"
        raise InputError(
            f"for one clip the model must give logits of shape (1, classes), but gives {found}: wrap it so that it "
            "returns them (vr.adapt takes the logits out of what models of other libraries return)."
        )
    if are_probabilities(logits.float()):
        raise InputError("the model gives probabilities (they sum to 1): train it on the logits before its softmax.")
    highest = int(clips.labels.max())
    if highest >= logits.shape[1]:
        raise InputError(f"labels go up to {highest}, but the model has {logits.shape[1]} classes (0…).")
    return logits.shape[1]


def check_trained(model: nn.Module) -> None:
    """Refuse a model without trainable weights, once a method has added its own parts around the classifier.

    Raises:
        InputError: every weight is frozen.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise InputError("every weight of the model is frozen: set requires_grad_(True) on what should be trained.")


def check_weights(model: nn.Module) -> None:
    """Refuse weights that no optimiser can step.

    Raises:
        InputError: see :func:`check_model`.
    """
    weights = dict(model.named_parameters())
    if not weights:
        raise InputError("the model has no weights to train.")
    places = sorted({str(weight.device) for weight in weights.values()})
    if len(places) > 1:
        raise InputError(f"the model's weights lie on {', '.join(places)}: bring them to one device, by model.to(…).")
    if places == ["meta"]:
        raise InputError("the model's weights have shapes but no values (device meta): load or draw them first.")
    for name, weight in weights.items():
        if not is_lazy(weight) and weight.is_inference():
            raise InputError(f"{name} was made under torch.inference_mode and cannot be trained: build it outside.")
        if weight.requires_grad and weight.dtype not in TRAINABLE:
            raise InputError(
                f"{name} is {weight.dtype}, but training steps float32 weights: call model.float(). Passes in "
                "bfloat16 are a matter of the precision (FitConfig.precision), not of the weights."
            )


def first_answer(model: nn.Module, clips: Clips, seed: int) -> Tensor:
    """What the model gives for one clip in evaluation mode; lazy modules draw their weights from the seed.

    Raises:
        InputError: it fails on it.
    """
    clip = clips.centre([0]).to(next(model.parameters()).device)
    try:
        if any(is_lazy(tensor) for tensor in chain(model.parameters(), model.buffers())):
            materialise(model, clip, seed)
        with undisturbed(model), torch.no_grad():
            return model(clip)
    except (VidrobustError, torch.cuda.OutOfMemoryError):
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shape = "×".join(map(str, clip.shape[1:]))
        raise InputError(
            f"the model fails on a clip of {shape} (channels × frames × height × width): {error} Give clips of the "
            "frames and size that it takes, or wrap it by vr.adapt(model, frames=…, size=…)."
        ) from error


def materialise(model: nn.Module, clip: Tensor, seed: int) -> None:
    """Have lazy modules draw their weights, by one pass in evaluation mode."""
    modes = [(part, part.training) for part in model.modules()]
    with torch.random.fork_rng([clip.device] if clip.is_cuda else []), torch.no_grad():
        torch.manual_seed(seed)
        model.eval()(clip)
    for part, training in modes:
        part.training = training
