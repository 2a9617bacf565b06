"""What training a model would cost on a GPU that is not here: counted operations, estimated memory and time.

Operations and saved activations are counted on tensors without data (the ``meta`` device), so that nothing is
computed. Time is operations divided by the GPU's published peak and an assumed utilisation; 3D convolutions with many
groups reach less of a peak than large matrix products. It is an estimate, and says so.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from vidrobust.errors import InputError
from vidrobust.fast.blocks import blocks_of
from vidrobust.models.adapters import innermost

if TYPE_CHECKING:
    from torch import Tensor, nn

UTILISATION = {"half": 0.1, "single": 0.4}
"""Share of the peak that is assumed. Video networks wait for memory more than for tensor cores, so that the higher peak
is used less. Measured on an H100 alone (:attr:`Gpu.used`): measure an epoch to know better."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its maker publishes it, dense, in 10¹² operations per second.

    Attributes:
        name: of the product.
        memory: in GiB.
        half: peak of its tensor cores in bfloat16, or float16 where it has no bfloat16.
        single: peak in float32 without tensor cores.
        bf16: has it bfloat16 in hardware?
        used: shares of ``half`` that 3D-ResNeXt-101 reached, where a GPU was available: in the input gradients of an
            attack (PGD-10, ``benchmarks/run attacks``), and in the rest of a step of adversarial training
            (``benchmarks/run training``), which is the step less the time of its input gradients at the first share.
    """

    name: str
    memory: float
    half: float
    single: float
    bf16: bool = True
    used: tuple[float, float] | None = None


GPUS = {
    "A100": Gpu("NVIDIA A100 80 GB", 80, 312, 19.5),
    "A100-40GB": Gpu("NVIDIA A100 40 GB", 40, 312, 19.5),
    "H100": Gpu("NVIDIA H100 SXM", 80, 989, 67, used=(0.058, 0.015)),
    "V100": Gpu("NVIDIA V100 SXM2 32 GB", 32, 125, 15.7, bf16=False),
    "A10G": Gpu("NVIDIA A10G", 24, 70, 35),
    "L4": Gpu("NVIDIA L4", 24, 121, 30.3),
    "L40S": Gpu("NVIDIA L40S", 48, 362, 91.6),
    "RTX3090": Gpu("NVIDIA GeForce RTX 3090", 24, 71, 35.6),
    "RTX4090": Gpu("NVIDIA GeForce RTX 4090", 24, 165, 82.6),
    "T4": Gpu("NVIDIA T4", 16, 65, 8.1, bf16=False),
}
"""The GPUs that ``--gpu`` knows, from their makers' data sheets."""


def gpu_named(name: str) -> Gpu:
    """A GPU by its name, whatever its letter case, spaces and dashes.

    Raises:
        InputError: it is not known.

    >>> gpu_named("rtx 3090").memory
    24
    """

    def plain(text: str) -> str:
        return "".join(letter for letter in text.lower() if letter.isalnum())

    found = next((gpu for key, gpu in GPUS.items() if plain(key) == plain(name)), None)
    if found is None:
        raise InputError(f"the GPU {name!r} is not known. Choose one of: {', '.join(GPUS)}.")
    return found


@dataclass(frozen=True)
class Counted:
    """What one clip costs.

    Attributes:
        parameters, trained: numbers of weights, and of those that are trained.
        forward: operations of a forward pass (a multiplication and an addition are two).
        step: of a forward pass and the gradients of the trained weights.
        gradient: of a forward pass and the gradient in the pixels, as one iteration of an attack costs.
        saved: bytes of float32 activations kept for the backward pass of training.
        block: bytes of the largest block's share of them, and of the blocks' inputs alone (checkpointing).
        passing: bytes of the two largest tensors on the way, which live only for a moment.
    """

    parameters: int
    trained: int
    forward: int
    step: int
    gradient: int
    saved: int
    block: tuple[int, int]
    passing: int


def count(model: nn.Module, frames: int, size: int) -> Counted:
    """Count the operations and the activations of one clip.

    Args:
        model: from clips ``B 3 T H W`` to logits; those of its parameters that require a gradient are trained.
        frames, size: of the clip.
    """
    ghost = copy.deepcopy(model).to("meta").eval()
    parameters = list(ghost.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    clip = torch.empty(1, 3, frames, size, size, device="meta")
    forward, learning = _forward(ghost, clip)
    saved, largest, inputs, passing = _saved(ghost, clip)
    for parameter in parameters:
        parameter.requires_grad_(False)
    with FlopCounterMode(display=False) as gradient:
        ghost(clip.clone().requires_grad_(True)).sum().backward()
    return Counted(
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in trained),
        forward,
        forward + 2 * learning,
        gradient.get_total_flops(),
        saved,
        (largest, inputs),
        passing,
    )


def _forward(model: nn.Module, clip: Tensor) -> tuple[int, int]:
    """Operations of a forward pass, and those of them in parts that are trained.

    Their gradients, in weights and in inputs, cost as much again each. (The counter's own figure for the backward pass
    takes no account of groups, and would be several times too high for a ResNeXt.)
    """
    started: list[int] = []
    learning = 0
    with FlopCounterMode(display=False) as counter, torch.no_grad():

        def enter(module: nn.Module, given: object) -> None:
            started.append(counter.get_total_flops())

        def leave(module: nn.Module, given: object, output: object) -> None:
            nonlocal learning
            spent = counter.get_total_flops() - started.pop()
            learning += spent if any(parameter.requires_grad for parameter in module.parameters()) else 0

        handles = []
        for part in innermost(model).children():
            handles += [part.register_forward_pre_hook(enter), part.register_forward_hook(leave)]
        try:
            model(clip)
        finally:
            for handle in handles:
                handle.remove()
    return counter.get_total_flops(), learning


def _saved(model: nn.Module, clip: Tensor) -> tuple[int, int, int, int]:
    """Bytes saved for the backward pass; the largest block's; those of the blocks' inputs; twice the largest output."""
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}
    own: list[dict[int, Tensor]] = []
    inputs = passing = 0

    def note(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in weights:
            for record in (kept, *own[-1:]):
                record[tensor.untyped_storage()._cdata] = tensor
        return tensor

    sizes: list[int] = []

    def enter(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        nonlocal inputs
        own.append({})
        tensors = [tensor for tensor in given if torch.is_tensor(tensor)]
        if any(tensor.requires_grad for tensor in (*tensors, *module.parameters())):
            inputs += sum(tensor.nbytes for tensor in tensors)

    def leave(module: nn.Module, given: object, output: object) -> None:
        sizes.append(sum(tensor.nbytes for tensor in own.pop().values()))

    def look(module: nn.Module, given: object, output: object) -> None:
        nonlocal passing
        passing = max(passing, 2 * output.nbytes) if torch.is_tensor(output) else passing

    handles = [part.register_forward_hook(look) for part in model.modules()]
    for block in blocks_of(model):
        handles += [block.register_forward_pre_hook(enter), block.register_forward_hook(leave)]
    try:
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            _output = model(clip)
    finally:
        for handle in handles:
            handle.remove()
    return sum(tensor.nbytes for tensor in kept.values()), max(sizes, default=0), inputs, passing
