"""What a training would cost on a GPU: the text of ``vidrobust train --dry-run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidrobust.models.estimate import UTILISATION, Counted, Gpu

if TYPE_CHECKING:
    from vidrobust.data.dataset import DataConfig
    from vidrobust.training.config import FitConfig

GIB = 2**30
OPTIMISER_SLOTS = {"sgd": 1, "adamw": 2}
"""Float32 numbers that an optimiser keeps for each trained weight."""


@dataclass(frozen=True)
class TrainingEstimate:
    """A training as it would run on a GPU.

    Args:
        model: its text.
        counted: what one clip costs.
        config: how it is trained.
        data: the clips.
        clips: number of training clips.
        spent: training passes and input gradients that a clip costs in each epoch.
        gpu: where.
    """

    model: str
    counted: Counted
    config: FitConfig
    data: DataConfig
    clips: int
    spent: tuple[tuple[int, int], ...]
    gpu: Gpu

    @property
    def half(self) -> bool:
        """Does it run in bfloat16?"""
        return self.config.precision == "bfloat16" or (self.config.precision == "auto" and self.gpu.bf16)

    @property
    def part(self) -> int:
        """Clips on the GPU at once."""
        return -(-self.config.batch // self.config.accumulate)

    @property
    def fixed(self) -> int:
        """Bytes of weights, their gradients and the optimiser's state."""
        slots = OPTIMISER_SLOTS[self.config.optimiser]
        return 4 * self.counted.parameters + 4 * self.counted.trained * (1 + slots)

    @property
    def activations(self) -> int:
        """Bytes of one clip's activations."""
        kept = sum(self.counted.block) if self.config.checkpointing else self.counted.saved
        return (kept + self.counted.passing) // (2 if self.half else 1)

    @property
    def operations(self) -> list[tuple[int, int]]:
        """Operations of each epoch: in input gradients, and in what is trained."""
        again = self.counted.forward if self.config.checkpointing else 0
        costs = self.counted.gradient, self.counted.step + again
        return [
            (self.clips * gradients * costs[0], self.clips * trained * costs[1]) for trained, gradients in self.spent
        ]

    @property
    def epochs(self) -> list[int]:
        """Operations of each epoch."""
        return [sum(parts) for parts in self.operations]

    @property
    def seconds(self) -> float:
        """Of all epochs, at the assumed utilisation."""
        return sum(
            operations / (self.peak * 1e12 * share)
            for parts in self.operations
            for operations, share in zip(parts, self.utilisation, strict=True)
        )

    @property
    def peak(self) -> float:
        """The GPU's published peak in this precision, in 10¹² operations per second."""
        return self.gpu.half if self.half else self.gpu.single

    @property
    def utilisation(self) -> tuple[float, float]:
        """The shares of it that are assumed, or were measured: in input gradients, and in what is trained."""
        if self.half and self.gpu.used is not None:
            return self.gpu.used
        share = UTILISATION["half" if self.half else "single"]
        return share, share

    def __str__(self) -> str:
        counted, data, gib = self.counted, self.data, (self.fixed + self.part * self.activations) / GIB
        mean = self.seconds / len(self.spent)
        kind = "bfloat16" if self.half else "float32"
        fits = "fits" if gib < 0.9 * self.gpu.memory else "does NOT fit: raise --fit.accumulate or lower --batch"
        lines = {
            "model": f"{self.model}: {counted.parameters:,} parameters, {counted.trained:,} of them trained",
            "clip": f"{data.frames}×{data.size}×{data.size}: {counted.forward / 1e9:,.1f} GFLOPs forward, "
            f"{counted.step / 1e9:,.1f} a training step, {counted.gradient / 1e9:,.1f} an input gradient",
            "epoch": f"{self.clips:,} clips, {sum(self.epochs) / len(self.spent) / 1e15:,.2f} PFLOPs on average, "
            f"{len(self.spent)} epochs",
            "memory": f"{gib:,.1f} GiB of {self.gpu.memory:g} ({fits}): {self.fixed / GIB:.1f} for weights, gradients "
            f"and optimiser, {self.activations / GIB:.2f} for each of {self.part} clips at once",
            "time": f"{mean / 60:,.1f} minutes per epoch, {self.seconds / 3600:,.1f} hours in all, without decoding",
            "assumed": f"{self.gpu.name}, {kind}, {self._shares} its published {self.peak:g} TFLOP/s; nothing was run: "
            "an estimate",
        }
        return "\n".join(f"{name:<11} {text}" for name, text in lines.items())

    @property
    def _shares(self) -> str:
        gradients, trained = self.utilisation
        if self.half and self.gpu.used is not None:
            return f"{gradients:.2g} (input gradients) and {trained:.2g} (training; both from 3D-ResNeXt-101) of"
        return f"{gradients:.2g} of"
