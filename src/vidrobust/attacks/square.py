"""Square, in space and time: a black-box attack by random search (Andriushchenko et al., ECCV 2020).

A query changes the perturbation in one window and is kept if the margin grows. On clips the windows are boxes: half
of them span all frames, as a square that stands still; the others last a random number of frames, with larger sides for
the same volume. With one frame this is the original on images. Under L∞ a window gets one of the two ends of the
intervals per channel (section 3.3 there); under L2 and L1 it gets a bump, paid for by another window that is cleared
(section 3.4; L1: Croce & Hein, ICML 2021, section 5).

Free variables that are not laid out as clips are taken as a row, whose windows are intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.attacks.counts import check_seed
from vidrobust.attacks.rows import where_rows
from vidrobust.attacks.searching import SearchState, radii
from vidrobust.attacks.stage import QuerySearch
from vidrobust.errors import InputError
from vidrobust.fast.precision import Precision
from vidrobust.losses import margin
from vidrobust.threats import L1, Linf, Threat

if TYPE_CHECKING:
    from torch import Tensor


HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10 000 queries, after how many the windows' volume is halved (appendix B.1 of the paper)."""


@dataclass(frozen=True)
class Square(QuerySearch):
    """Square in space and time (Andriushchenko et al., ECCV 2020), on the margin loss.

    Args:
        threat: where the perturbed clips may lie.
        queries: forward passes a clip may cost, at least 2.
        share: of a clip's volume that the first windows take, in (0, 1].
        seed: of the windows, which depend on the clip and not on the batch it is in.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`; ``exact`` asks the model itself.
        targeted: the labels are the classes to reach.

    Raises:
        InputError: a value is out of its range.

    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 2))
    >>> clips, labels = torch.rand(5, 3, 2, 4, 4), torch.zeros(5, dtype=torch.int64)
    >>> result = Square(Threat(Linf(), eps=8 / 255), queries=50)(model, clips, labels)
    >>> bool((result.queries <= 50).all()), int(result.backwards.sum())
    (True, 0)
    """

    threat: Threat
    queries: int = 5000
    share: float = 0.8
    seed: int = 0
    precision: Precision = "auto"
    targeted: bool = False

    loss = staticmethod(margin)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seed(self.seed)
        if not 0 < self.share <= 1:
            raise InputError(f"share, of a clip's volume, must lie in (0, 1], but is {self.share}.")

    def search(self, run: SearchState) -> None:
        """Attack the clips of a search that still stand."""
        run.aim(margin)
        run.limit = run.forwards + self.queries
        shape = layout(run.feasible.start)
        proposals = (Corners if isinstance(self.threat.norm, Linf) else Bumps)(run, self.threat, shape)
        generators = run.generators(self.seed)
        point = proposals.start(random_signs(run.uniform(generators, shape[1], shape[4])))
        top = run.value(point)
        for query in range(1, self.queries):
            if run.over:
                break
            share = self.share * window_share(query - 1, self.queries)
            drawn = run.uniform(generators, 2, 6).unbind(1)
            into, source = (SpaceTimeWindow.draw(share, shape, part, proposals.least_side) for part in drawn)
            trial = proposals.propose(point, into, source, random_signs(run.uniform(generators, shape[1])))
            loss = run.value(trial)
            better = loss > top
            point, top = where_rows(better, trial, point), torch.where(better, loss, top)
        run.limit = None


def layout(free: Tensor) -> tuple[int, ...]:
    """The shape ``B C T H W`` as which windows see free variables.

    >>> layout(torch.zeros(2, 3, 4, 5, 6)), layout(torch.zeros(2, 7))
    ((2, 3, 4, 5, 6), (2, 1, 1, 1, 7))
    """
    return tuple(free.shape) if free.ndim == 5 else (len(free), 1, 1, 1, free[0].numel())


def window_share(query: int, queries: int) -> float:
    """The factor on the windows' volume, halved on a schedule that is stretched to the number of queries.

    >>> [window_share(query, 10_000) for query in (0, 11, 51, 9_999)]
    [1.0, 0.5, 0.25, 0.001953125]
    """
    done = query * 10_000 / queries
    return 0.5 ** sum(done > bound for bound in HALVINGS)


def random_signs(uniform: Tensor) -> Tensor:
    """±1 from uniform numbers."""
    return 1 - 2 * (uniform < 0.5).to(uniform.dtype)


@dataclass(frozen=True)
class SpaceTimeWindow:
    """A box in space and time for each clip.

    Attributes:
        begin, size: ``3 B``, of time, height and width.
        upright: ``B`` bool, is a bump in it divided by a horizontal line?
        shape: ``B C T H W`` of what the boxes lie in.
    """

    begin: Tensor
    size: Tensor
    upright: Tensor
    shape: tuple[int, ...]

    @classmethod
    def draw(cls, share: float, shape: tuple[int, ...], uniform: Tensor, least_side: int) -> SpaceTimeWindow:
        """Boxes that cover about ``share`` of the volume, from ``B 6`` uniform numbers."""
        frames, height, width = shape[2:]
        volume = share * frames * height * width
        short = max(share * frames, 1.0)
        long = torch.where(uniform[:, 0] < 0.5, frames, short + (uniform[:, 1] * (frames - short + 1)).floor())
        long = long.clamp(max=min(frames, max(volume, 1.0))).round()
        tall = (volume / long).sqrt().clamp(max=height)
        wide = (volume / (long * tall)).clamp(max=width)
        tall = (volume / (long * wide)).clamp(max=height)
        limits = torch.tensor(shape[2:], dtype=uniform.dtype, device=uniform.device)[:, None]
        least = torch.tensor([1.0, least_side, least_side], dtype=uniform.dtype, device=uniform.device)[:, None]
        size = torch.stack([long, tall, wide]).round().maximum(least).minimum(limits)
        begin = (uniform[:, 2:5].T * (limits - size + 1)).floor()
        return cls(begin, size, uniform[:, 5] < 0.5, shape)

    def mask(self) -> Tensor:
        """``B 1 T H W`` bool, what lies inside."""
        time, rows, columns = ((place >= 0) & (place < 1) for place in self._places())
        return (time[:, :, None, None] & rows[:, None, :, None] & columns[:, None, None, :])[:, None]

    def bump(self, steepness: int) -> Tensor:
        """``B 1 T H W``: two hills of opposite sign side by side, and 0 outside, alike in every frame (section 3.4)."""
        _, rows, columns = self._places()
        _, height, width = self.size[:, :, None]
        upright = divided(rows, height)[:, :, None], whole(columns, width)[:, None, :]
        level = divided(columns, width)[:, None, :], whole(rows, height)[:, :, None]
        chosen = torch.where(self.upright[:, None, None], hills(*upright), hills(*level))
        return chosen[:, None, None] ** steepness * self.mask()

    def _places(self) -> list[Tensor]:
        """Where the middle of each frame, row and column lies in the box, 0 … 1 inside: ``B T``, ``B H``, ``B W``."""
        return [
            (torch.arange(count, dtype=torch.float32, device=begin.device) + 0.5 - begin[:, None]) / size[:, None]
            for count, begin, size in zip(self.shape[2:], self.begin, self.size, strict=True)
        ]


def whole(place: Tensor, size: Tensor) -> Tensor:
    """1 + the distance in pixels from the middle of a stretch of ``size`` pixels, at ``place`` in 0 … 1 of it."""
    return 1 + (place - 0.5).abs() * size


def divided(place: Tensor, size: Tensor) -> Tensor:
    """As :func:`whole` from the middle of the nearer half, with the sign of the half."""
    return torch.where(place < 0.5, whole(2 * place, size / 2), -whole(2 * place - 1, size / 2))


def hills(divided: Tensor, whole: Tensor) -> Tensor:
    """Heights that fall with the greater of two distances."""
    return divided.sign() / torch.maximum(divided.abs(), whole)


class Corners:
    """L∞: every coordinate stands at an end of its interval; a window sets one end a channel."""

    least_side = 1

    def __init__(self, run: SearchState, threat: Threat, shape: tuple[int, ...]) -> None:
        far = torch.full_like(run.feasible.start, 1e6)
        self.low, self.high = (run.feasible.project(end).view(shape) for end in (-far, far))
        self.free = run.feasible.start.shape

    def start(self, signs: Tensor) -> Tensor:
        """Vertical stripes, alike in all frames: a sign per channel and column, ``B C W``."""
        return self._ends(signs[:, :, None, None, :]).view(self.free)

    def propose(self, point: Tensor, into: SpaceTimeWindow, source: SpaceTimeWindow, signs: Tensor) -> Tensor:
        """The point with one window set to the ends that ``signs`` (``B C``) name."""
        ends = self._ends(signs[:, :, None, None, None])
        return torch.where(into.mask(), ends, point.view_as(ends)).view(self.free)

    def _ends(self, signs: Tensor) -> Tensor:
        return torch.where(signs > 0, self.high, self.low)


class Bumps:
    """L2 and L1: a window gets a bump as large as what it had, what another window gives up and what is left of ε.

    Under L1 hills are steep and a window gets more than it may have: the projection then leaves the few highest
    coordinates of the clip, as an L1 ball wants it (Croce & Hein, ICML 2021, section 5).
    """

    least_side = 3

    def __init__(self, run: SearchState, threat: Threat, shape: tuple[int, ...]) -> None:
        self.feasible, self.shape = run.feasible, shape
        sparse = isinstance(threat.norm, L1)
        self.power, self.steepness, self.excess = (1, 4, shape[1]) if sparse else (2, 1, 1)
        self.centre = run.feasible.start.view(shape)
        self.eps = radii(threat, run.subject).flatten(1).amax(1).view(-1, 1, 1, 1, 1)

    def start(self, signs: Tensor) -> Tensor:
        """A bump in each of about 5 × 5 tiles, with a sign per channel and column of tiles, ``B C W``."""
        height, width = self.shape[3:]
        delta = torch.zeros(self.shape, dtype=signs.dtype, device=signs.device)
        rows, columns = max(height // 5, 1), max(width // 5, 1)
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                begin = signs.new_tensor([0, top, left])[:, None].expand(3, len(signs))
                size = signs.new_tensor([self.shape[2], rows, columns])[:, None].expand(3, len(signs))
                tile = SpaceTimeWindow(begin, size, torch.ones_like(begin[0], dtype=torch.bool), self.shape)
                delta = delta + tile.bump(self.steepness) * signs[:, :, (top + left) % width, None, None, None]
        return self._within(delta * (self.excess * self.eps) / self._size(delta, (1, 2, 3, 4)))

    def propose(self, point: Tensor, into: SpaceTimeWindow, source: SpaceTimeWindow, signs: Tensor) -> Tensor:
        """Clear the second window and raise a bump of ``signs`` (``B C``) in the first."""
        delta, inside, cleared = point.view(self.shape) - self.centre, into.mask(), source.mask()
        mass = delta.abs().pow(self.power)
        given = (mass * (inside | cleared)).sum((2, 3, 4), keepdim=True)
        left = (self.eps**self.power - mass.sum((1, 2, 3, 4), keepdim=True)).clamp(min=0) / self.shape[1]
        old = delta * inside
        bump = into.bump(self.steepness)
        bump = bump / self._size(bump) * signs[:, :, None, None, None] + old / self._size(old)
        bump = bump / self._size(bump) * (self.excess * (given + left)) ** (1 / self.power)
        return self._within(torch.where(inside, bump, delta.masked_fill(cleared, 0)))

    def _size(self, delta: Tensor, over: tuple[int, ...] = (2, 3, 4)) -> Tensor:
        return (delta.abs().pow(self.power).sum(over, keepdim=True) ** (1 / self.power)).clamp(min=1e-12)

    def _within(self, delta: Tensor) -> Tensor:
        return self.feasible.project((self.centre + delta).view(self.feasible.start.shape))
