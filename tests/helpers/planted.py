"""Models that fool weak evaluations, each wrapped around an honest classifier, and honest ones beside them.

Every planted model looks more robust under some common attack than it is. ``PLANTED`` says by name how to make one of a
trained classifier; the true robustness is that of the classifier inside (or less), since the wrapper answers alike, or
alike up to what its failure is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Wrapped(nn.Module):
    """A classifier behind something that hides its gradients."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier


class Scaled(Wrapped):
    """Logits so large that the softmax is exactly one-hot: cross-entropy has no gradient."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(clips) * 1e6


class Flattened(Wrapped):
    """Logits divided by a huge temperature: margins and gradients drown in rounding."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(clips) / 1e30


class Softmax(Wrapped):
    """Probabilities where logits are expected."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(clips).softmax(1)


class Rounded(Wrapped):
    """Inputs rounded to 8 levels: the gradient is exactly zero almost everywhere."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier((clips * 7).round() / 7)


class Blocks(torch.autograd.Function):
    """Discrete cosine coefficients of 8×8 blocks, quantised as JPEG does; no gradient."""

    @staticmethod
    def forward(ctx: object, clips: Tensor, step: float) -> Tensor:
        size = 8
        place = torch.arange(size, dtype=clips.dtype)
        basis = torch.cos(torch.pi * (place[None] + 0.5) * place[:, None] / size) * (2 / size) ** 0.5
        basis[0] /= 2**0.5
        high, wide = clips.shape[-2:]
        padded = F.pad(clips.flatten(0, 2)[:, None], (0, -wide % size, 0, -high % size), mode="replicate")[:, 0]
        tiles = padded.unfold(1, size, size).unfold(2, size, size)
        kept = ((basis @ tiles @ basis.T) / step).round() * step
        back = (basis.T @ kept @ basis).transpose(2, 3).reshape(padded.shape)
        return back[:, :high, :wide].reshape(clips.shape).clamp(0, 1)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return torch.zeros_like(gradients[0]), None


class Compressed(Wrapped):
    """Frames through a quantised cosine transform whose gradient is zero, as real JPEG has none."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(Blocks.apply(clips, 0.1))


class Noisy(Wrapped):
    """Gaussian noise on the input at every call: one gradient is not another."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier((clips + 0.1 * torch.randn_like(clips)).clamp(0, 1))


class Shattered(Wrapped):
    """A tiny, fast oscillation of every pixel before the classifier: gradients point anywhere."""

    def forward(self, clips: Tensor) -> Tensor:
        return self.classifier(clips + 2e-4 * torch.sin(clips * 2e5))


class Detached(Wrapped):
    """The answer comes from a detached branch; what has a gradient is a decoy that adds next to nothing."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__(classifier)
        self.register_buffer("pattern", torch.linspace(-1, 1, 97))

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.classifier(clips.detach())
        flat = clips.flatten(1)
        decoy = flat @ self.pattern.repeat(-(-flat.shape[1] // 97))[: flat.shape[1], None]
        return logits + 1e-9 * decoy * torch.arange(logits.shape[1])


class HalfPrecision(Wrapped):
    """Logits in float16 after a factor that overflows: inf − inf gives NaN in losses and gradients."""

    def forward(self, clips: Tensor) -> Tensor:
        return (self.classifier(clips) * 2e4).half().float()


class Remembered(Wrapped):
    """Answers rightly on every clip it has seen before, whatever the classifier says: clean accuracy is 100 %.

    It compares the clip with those it keeps: within a small change of one, the answer is the stored one and has no
    gradient. Only larger changes reach the classifier.
    """

    def __init__(self, classifier: nn.Module, clips: Tensor, labels: Tensor, radius: float = 1 / 255) -> None:
        super().__init__(classifier)
        self.radius = radius
        self.register_buffer("seen", clips.flatten(1).clone())
        self.register_buffer("answers", labels.clone())

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.classifier(clips)
        distance = torch.cdist(clips.detach().flatten(1), self.seen, p=torch.inf)
        near, index = distance.min(1)
        stored = 10 * F.one_hot(self.answers[index], logits.shape[1]).to(logits.dtype)
        return torch.where((near <= self.radius)[:, None], stored, logits)


class Breaking(Wrapped):
    """NaN as soon as a clip is far from the pictures it knows: comparisons with NaN are all false."""

    def __init__(self, classifier: nn.Module, clips: Tensor) -> None:
        super().__init__(classifier)
        self.register_buffer("seen", clips.flatten(1).clone())

    def forward(self, clips: Tensor) -> Tensor:
        distance = torch.cdist(clips.detach().flatten(1), self.seen, p=torch.inf).amin(1)
        return self.classifier(clips) + torch.where(distance > 4.5 / 255, torch.nan, 0.0)[:, None]


class Purified(Wrapped):
    """A smoothing step without gradient before the classifier; attacks on the classifier alone miss."""

    def forward(self, clips: Tensor) -> Tensor:
        with torch.no_grad():
            smooth = F.avg_pool3d(F.pad(clips, (1, 1, 1, 1, 0, 0), mode="replicate"), (1, 3, 3), 1)
        return self.classifier(smooth)


class Resized(Wrapped):
    """Nearest-neighbour resizing by indices computed outside autograd: a resize without a gradient."""

    def forward(self, clips: Tensor) -> Tensor:
        batch, channels, frames, high, wide = clips.shape
        with torch.no_grad():
            small = F.interpolate(clips.flatten(1, 2), size=(high - 2, wide - 2), mode="nearest")
            back = F.interpolate(small, size=(high, wide), mode="nearest")
        return self.classifier(back.view(batch, channels, frames, high, wide))


PLANTED: dict[str, Callable[[nn.Module, Tensor, Tensor], nn.Module]] = {
    "saturated logits": lambda model, clips, labels: Scaled(model),
    "huge temperature": lambda model, clips, labels: Flattened(model),
    "softmax output": lambda model, clips, labels: Softmax(model),
    "rounded input": lambda model, clips, labels: Rounded(model),
    "quantised as JPEG": lambda model, clips, labels: Compressed(model),
    "random noise": lambda model, clips, labels: Noisy(model),
    "shattered gradient": lambda model, clips, labels: Shattered(model),
    "detached branch": lambda model, clips, labels: Detached(model),
    "float16 overflow": lambda model, clips, labels: HalfPrecision(model),
    "memory of clean clips": lambda model, clips, labels: Remembered(model, clips, labels),
    "NaN under large changes": lambda model, clips, labels: Breaking(model, clips),
    "purifier without gradient": lambda model, clips, labels: Purified(model),
    "resize without gradient": lambda model, clips, labels: Resized(model),
}


class Turned(torch.autograd.Function):
    """A gradient that leads downhill."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        return -gradients[0]
