"""Is a model what the attacks take it for? A self-test with a name for each thing that can be wrong.

An adapter that is set up wrongly rarely fails: it answers, and the numbers are wrong. These are the ways in which that
happens, each found by running the model on a few random clips.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.errors import InputError
from vidrobust.fast.memory import as_fits
from vidrobust.fast.turns import PROCESS, turns
from vidrobust.fast.weights import constant_weights
from vidrobust.models.adapters import Adapted, innermost, logits_of
from vidrobust.models.pixels import AXES

if TYPE_CHECKING:
    from torch import Tensor

WIDEST = 8.0
"""The largest standard deviation that pixels drawn from [0, 1] plausibly have after normalisation (single: about 1.3,
twice: from about 4.5 for a deviation of 0.25) unless they are counted from 0 to 255."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or that one should know.

    Attributes:
        name: ``layout``, ``double normalisation``, ``scale``, ``probabilities``, ``gradient mode``, ``dead gradient``,
            ``wrong gradient``, ``black box``, ``not finite``, ``random``, ``batch``, ``fails`` or ``output``.
        message: what was seen, and what to do.
        error: are numbers measured with this model wrong?
    """

    name: str
    message: str
    error: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


def self_test(
    model: nn.Module, *, frames: int | None = None, size: int | None = None, classes: int | None = None, seed: int = 0
) -> list[Finding]:
    """Run a model on random clips and name what is wrong with it.

    Args:
        model: from clips ``B C T H W`` in [0, 1] to logits, as :func:`vidrobust.adapt` gives it; left as it was.
        frames, size: of the clips, if the model does not say what it expects (8 and 32).
        classes: number of classes that it should have.
        seed: of the clips.

    Returns:
        What was found; nothing if all is well.

    >>> from vidrobust.models import adapt
    >>> class Probable(nn.Sequential):
    ...     pass
    >>> model = Probable(nn.Flatten(), nn.Linear(3 * 4 * 6 * 6, 5), nn.Softmax(1))
    >>> [finding.name for finding in self_test(adapt(model), frames=4, size=6)]
    ['probabilities']
    """
    known = getattr(model, "expects", None) or (8, 32)
    length = frames or known[0]
    if length == 3 and not (isinstance(model, Adapted) and model.pixels.frames):
        length = 4  # three frames and three channels could not be distinguished
    shape = (2, 3, length, size or known[1], size or known[1])
    where = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    clips = torch.rand(shape, generator=torch.Generator().manual_seed(seed)).to(where)
    with _still(model, seed):
        try:
            with torch.no_grad():
                logits = as_fits(model, clips)
        except Exception as error:  # noqa: BLE001 - any error of a model is a result to report
            return [_refused(model, clips, error)]
        found = _output(logits, clips, classes)
        if found:
            return found
        try:
            return _looked_at(model, clips, logits)
        except Exception as error:  # noqa: BLE001 - it answered these clips a moment ago
            message = f"the model fails on clips that it answered before, or on one of them alone ({_why(error)})."
            return [Finding("fails", message)]


def _looked_at(model: nn.Module, clips: Tensor, logits: Tensor) -> list[Finding]:
    """What is found on a model that gives logits."""
    found = [*_answers(model, clips, logits), *_normalisation(model, clips)]
    if any(finding.name in ("random", "batch") for finding in found):
        return found  # the slope of a loss that is drawn anew, or that is another one for a clip alone, says nothing
    return [*found, *_gradients(model, clips[:1], logits[:1])]


def _why(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]


@contextlib.contextmanager
def _still(model: nn.Module, seed: int) -> Iterator[None]:
    """Evaluation mode and no gradients of parameters inside; all as it was afterwards."""
    with turns.at([*model.modules(), PROCESS]), constant_weights(), torch.random.fork_rng(devices=[]):
        modes = [(part, part.training) for part in model.modules()]
        try:
            model.eval()
            torch.manual_seed(seed)
            yield
        finally:
            for part, training in modes:
                part.training = training


def _refused(model: nn.Module, clips: Tensor, error: Exception) -> Finding:
    """The model fails on the clips: is it the layout?"""
    why = _why(error)
    works = [layout for layout in _layouts(model) if _runs_in(model, clips, layout)]
    if works:
        now = model.pixels.layout if isinstance(model, Adapted) else AXES
        message = f"the model fails on clips laid out {now} ({why}); it takes {works[0]}: layout={works[0]!r}."
        return Finding("layout", message)
    shape = "×".join(map(str, clips.shape[1:]))
    return Finding(
        "output", f"the model fails on clips of {shape} in every layout ({why}): give its size= and frames=."
    )


def _layouts(model: nn.Module) -> list[str]:
    """The likely orders of the axes first, without the one that has been tried."""
    now = model.pixels.layout if isinstance(model, Adapted) else AXES
    likely = ["BCTHW", "BTCHW", "BTHWC", "BCHWT", "BHWTC"]
    rest = ["B" + "".join(order) for order in permutations("CTHW")]
    return [layout for layout in dict.fromkeys([*likely, *rest]) if layout != now and "HW" in layout]


def _runs_in(model: nn.Module, clips: Tensor, layout: str) -> bool:
    """Does what is inside the adapter take clips in this layout?"""
    inner, adapted = innermost(model), clips
    if isinstance(model, Adapted):
        adapted = model.preprocess(clips)
        adapted = adapted.permute(*(model.pixels.layout.index(axis) for axis in AXES))
    try:
        with torch.no_grad():
            logits = logits_of(inner(adapted.permute(*(AXES.index(axis) for axis in layout))))
    except Exception:  # noqa: BLE001
        return False
    return logits.ndim == 2 and len(logits) == len(clips)


def _output(logits: Any, clips: Tensor, classes: int | None) -> list[Finding]:
    """What cannot be logits at all."""
    if not torch.is_tensor(logits) or logits.ndim != 2 or len(logits) != len(clips):
        got = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
        return [Finding("output", f"the model gives {got} for {len(clips)} clips, not logits ({len(clips)}, classes).")]
    if classes is not None and logits.shape[1] != classes:
        return [Finding("output", f"the model has {logits.shape[1]} classes, not {classes}.")]
    if not torch.isfinite(logits).all():
        return [
            Finding(
                "not finite", "the model gives NaN or infinite logits: its weights or its normalisation are broken."
            )
        ]
    return []


def _answers(model: nn.Module, clips: Tensor, logits: Tensor) -> list[Finding]:
    """Probabilities, answers that change, answers that depend on the other clips of the batch."""
    found = []
    sums = logits.sum(1)
    one = torch.allclose(sums, torch.ones_like(sums), atol=1e-3)
    bounded = one or (not _ends_affine(model, clips) and _stays_in_unit(model, clips))
    if logits.shape[1] > 1 and _in_unit(logits) and bounded:
        how = "they sum to 1" if one else "all lie in [0, 1]"
        message = (
            f"the model gives probabilities ({how}), whose gradients vanish: return what comes before the softmax."
        )
        found.append(Finding("probabilities", message))
    with torch.no_grad():
        again, alone = as_fits(model, clips), model(clips[:1])
    if _differ(again, logits):
        message = "the same clips get other logits each time: attack it through EOT, which averages over its draws."
        return [*found, Finding("random", message, error=False)]
    if _differ(alone, logits[:1]):
        found.append(
            Finding("batch", "a clip's logits depend on the other clips of its batch (statistics of the batch?).")
        )
    return found


def _differ(found: Tensor, logits: Tensor) -> bool:
    """Do logits differ by more than rounding would make them, whatever their scale? NaN differs from all numbers."""
    return not float((found - logits).abs().max()) <= 1e-3 * float(logits.abs().max())


def _in_unit(logits: Tensor) -> bool:
    return bool((logits >= 0).all()) and bool((logits <= 1).all())


def _ends_affine(model: nn.Module, clips: Tensor) -> bool:
    """Is a sum the last thing it computes? Then its answers lie in [0, 1] by chance, as small logits do."""
    with torch.enable_grad():
        try:
            node = model(clips[:1].detach().requires_grad_(True)).grad_fn
        except RuntimeError:
            return False
    return node is not None and node.name().startswith(("Addmm", "Mm", "Bmm", "Add", "Mean", "Convolution"))


def _stays_in_unit(model: nn.Module, clips: Tensor) -> bool:
    """Do answers lie in [0, 1] also for glaring clips? Small logits do so by chance, those of a sigmoid always."""
    try:
        with torch.no_grad():
            return all(_in_unit(as_fits(model, strength * (clips - 0.5))) for strength in (100.0, -100.0, 10_000.0))
    except Exception:  # noqa: BLE001 - a model that takes pixels only cannot be asked
        return True


def _normalisation(model: nn.Module, clips: Tensor) -> list[Finding]:
    """Compare what the adapter shows with what the first layer sees."""
    seen = _first_input(model, clips)
    if seen is None:
        return []
    spread = float(seen.float().std())
    if isinstance(model, Adapted):
        adapted = model.preprocess(clips).float()
        ratio = spread / max(1e-12, float(adapted.std()))
        if _normalises(model) and seen.numel() == adapted.numel() and not 0.9 < ratio < 1.1:
            return [
                Finding(
                    "double normalisation",
                    f"the adapter normalises pixels (to a deviation of {float(adapted.std()):.3g}), and so does the "
                    f"model (its first layer sees {spread:.3g}): leave out mean, std and scale.",
                )
            ]
    if WIDEST / 2 < spread < 20 or spread > 90:
        return [
            Finding(
                "double normalisation" if spread < 20 else "scale",
                f"the first layer sees pixels of a deviation of {spread:.3g}; normalised once they have about 1 (or 74 "
                "if counted from 0 to 255): mean, std and scale are not in the same units, or are applied twice.",
            )
        ]
    return []


def _normalises(model: Adapted) -> bool:
    wants = model.pixels
    return (set(wants.mean), set(wants.std), wants.scale) != ({0.0}, {1.0}, 1.0)


class _SeenError(Exception):
    """Stops a forward pass when the first layer has been reached."""


def _first_input(model: nn.Module, clips: Tensor) -> Tensor | None:
    """What the first layer with weights is given."""
    seen: list[Tensor] = []

    def look(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and torch.is_tensor(inputs[0]) and inputs[0].is_floating_point():
            seen.append(inputs[0].detach())
            raise _SeenError

    layers = (nn.Conv3d, nn.Conv2d, nn.Conv1d, nn.Linear, nn.BatchNorm3d, nn.LayerNorm)
    handles = [part.register_forward_pre_hook(look) for part in model.modules() if isinstance(part, layers)]
    try:
        with torch.no_grad(), contextlib.suppress(_SeenError):
            as_fits(model, clips)
    finally:
        for handle in handles:
            handle.remove()
    return seen[0] if seen else None


def _gradients(model: nn.Module, clips: Tensor, logits: Tensor) -> list[Finding]:
    """Other logits where a gradient is asked for; none, a dead one, or one that is not the slope of the logits."""
    labels = logits.argmax(1)

    def loss(logits: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits.float(), labels, reduction="sum")

    point = clips.clone().requires_grad_(True)
    try:
        with torch.enable_grad():
            found = model(point)
            if _differ(found.detach(), logits):
                return [Finding("gradient mode", GRADIENT_MODE)]
            value = loss(found)
            if not value.requires_grad:
                return [_black_box(model)]
            (gradient,) = torch.autograd.grad(value, point, allow_unused=True)
    except (RuntimeError, InputError) as error:
        return [Finding("dead gradient", f"the model cannot be differentiated ({_why(error)}).")]
    if gradient is None or float(gradient.abs().max()) == 0:
        message = "the gradient of the loss in the pixels is zero: is something rounded, cast to integers or detached?"
        return [Finding("dead gradient", message)]
    if not torch.isfinite(gradient).all():
        return [Finding("dead gradient", "the gradient of the loss in the pixels is NaN or infinite.")]
    if _unnoticed(model, clips, gradient, logits):
        message = "some frames change the logits and get no gradient: a part of the model is detached or rounded."
        return [Finding("dead gradient", message)]
    error = 1.0
    for step in (1e-2, 3e-3, 3e-2, SHORTEST):  # too long a step meets curvature, too short a one rounding
        error = min(error, _disagreement(lambda at: loss(model(at)), clips, gradient, step))
        if error <= DISAGREEMENT:
            break
    else:
        message = (
            f"the gradient differs from the slope of the loss by {error:.0%} of it: a part of the model is "
            "detached, rounded or replaced in the backward pass."
        )
        return [Finding("wrong gradient", message)]
    return []


def _unnoticed(model: nn.Module, clips: Tensor, gradient: Tensor, logits: Tensor) -> bool:
    """Are there frames without a gradient on which the logits depend?"""
    silent = gradient.abs().amax((0, 1, 3, 4)) == 0
    if not silent.any():
        return False
    changed = clips.clone()
    changed[:, :, silent] = 0
    with torch.no_grad():
        return _differ(model(changed), logits)


GRADIENT_MODE = (
    "clips get other logits where a gradient is asked for: attacks do not see the model that answers. Take out what "
    "asks whether gradients are on (requires_grad, is_grad_enabled)."
)

SHORTEST = 1e-3
"""The shortest step of which the slope is looked at; a change that is lost in rounding there proves nothing."""

DISAGREEMENT = 0.3
"""Share of the slope by which the gradient may miss it: curvature and rounding account for some."""


def _black_box(model: nn.Module) -> Finding:
    message = "the model has no gradient: only Square and RayS, which need none, can attack it."
    exported = not getattr(innermost(model), "differentiable", True)
    return Finding("black box" if exported else "dead gradient", message, error=not exported)


def _disagreement(loss: Any, clips: Tensor, gradient: Tensor, step: float) -> float:
    """How far the gradient is from the slope of the loss along some random directions, as a share of the slope."""
    generator = torch.Generator().manual_seed(0)
    slopes, predicted = [], []
    with torch.no_grad():
        for _ in range(4):
            signs = (torch.randint(0, 2, clips.shape, generator=generator) * 2 - 1).to(clips)
            along = step * signs
            slopes.append(float(loss(clips + along)) - float(loss(clips - along)))
            predicted.append(2 * float((gradient * along).sum()))
    true, found = torch.tensor(slopes), torch.tensor(predicted)
    if float(true.abs().max()) < 1e-5 * max(1.0, float(loss(clips))):
        return 0.0 if step > SHORTEST else 1.0  # lost in rounding: no conclusion
    return float((true - found).norm() / true.norm())
