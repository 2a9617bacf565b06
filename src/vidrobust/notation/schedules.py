"""Values that move over training: what ε, α and the number of iterations are at a given epoch.

A schedule is data: a frozen dataclass that can be printed, compared and stored, and that gives the same number for the
same clock on every process and after a resume. There is one clock here, the progress of training: by whole epochs,
unless a policy asks for its steps. What adaptive rules look at, the clock carries.

Some rules need more than the clock: i* depends on ε; α may be ε itself, the best step size α*, or lie between the two.
All values are in units of 1/255. Each rule prints as the slides write it (see :mod:`vidrobust.notation`), and
``moves`` says whether it changes over training by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from vidrobust.errors import InputError
from vidrobust.notation.units import spell

BestAlpha: TypeAlias = Callable[[float], float]
"""α*(ε), in units of 1/255 on both sides."""


@dataclass(frozen=True)
class Clock:
    """Where training stands, and what adaptive rules need to know of it.

    Args:
        epoch: the epoch that runs now, counted from 0.
        epochs: how many there are in all, at least 1.
        step: the batch of the epoch that runs now, counted from 0.
        steps: batches in an epoch, at least 1.
        draw: a number in [0, 1) of this batch alone, the same on every process.
        losses: the adversarial loss last measured at each ε of a grid, as pairs (ε, loss).
        standing: of each finished epoch, the share of attacked training clips that were classified rightly.

    Raises:
        InputError: the epoch lies outside ``0 … epochs - 1``, or the step outside ``0 … steps - 1``.
    """

    epoch: int
    epochs: int
    step: int = 0
    steps: int = 1
    draw: float = 0.0
    losses: tuple[tuple[float, float], ...] = ()
    standing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.epoch < self.epochs:
            raise InputError(f"epoch must lie in 0 … epochs - 1, not {self.epoch} with {self.epochs} epochs.")
        if not 0 <= self.step < self.steps:
            raise InputError(f"step must lie in 0 … steps - 1, not {self.step} with {self.steps} steps.")

    @property
    def by_step(self) -> Clock:
        """The same clock for rules that move with every batch: its epochs are the batches of the whole training.

        >>> [Clock(epoch, 2, step, 2).by_step.progress for epoch in range(2) for step in range(2)]
        [0.0, 0.3333333333333333, 0.6666666666666666, 1.0]
        """
        return replace(self, epoch=self.epoch * self.steps + self.step, epochs=self.epochs * self.steps)

    @property
    def progress(self) -> float:
        """From 0 in the first epoch to 1 in the last; 0 if there is only one.

        >>> [Clock(epoch, 5).progress for epoch in range(5)]
        [0.0, 0.25, 0.5, 0.75, 1.0]
        """
        return self.epoch / (self.epochs - 1) if self.epochs > 1 else 0.0


def warm_up(progress: float) -> float:
    """The share of a fixed ε that bounds are trained on at this progress, from 0 to 1.

    It is 0 at first, rises geometrically to a fiftieth, then evenly to the whole, which the last fifth trains on. At an
    untrained network bounds are looser than ε by orders of magnitude, so that an even ramp begins too high (Gowal et
    al. 2018, section 4, warm up over many more steps).

    >>> [round(warm_up(progress), 8) for progress in (0, 0.18125, 0.3125, 0.55625, 0.8, 1)]
    [0.0, 2e-05, 0.02, 0.51, 1.0, 1.0]
    """
    begin, bend, end = 0.05, 0.3125, 0.8
    if progress <= begin:
        return 0.0
    if progress < bend:
        return float(0.02 * 10 ** (-6 * (bend - progress) / (bend - begin)))
    return min(_between(0.02, 1.0, (progress - bend) / (end - bend)), 1.0)


@dataclass(frozen=True)
class Fixed:
    """The same value all the time."""

    moves: ClassVar[bool] = False
    value: float

    def __call__(self, clock: Clock) -> float:
        """The value."""
        return self.value

    def __str__(self) -> str:
        return spell(self.value)


@dataclass(frozen=True)
class Uniform:
    """An even ramp: the slides' U(0,12), which rises, and rU(12,0), which falls.

    Args:
        start: the value in the first epoch.
        end: the value in the last.

    >>> [Uniform(0, 12)(Clock(epoch, 4)) for epoch in range(4)]
    [0.0, 4.0, 8.0, 12.0]
    """

    moves: ClassVar[bool] = True
    start: float
    end: float

    def __call__(self, clock: Clock) -> float:
        """The value at the clock, between ``start`` and ``end``, both of which are met exactly."""
        return _between(self.start, self.end, clock.progress)

    def __str__(self) -> str:
        return f"{'r' if self.end < self.start else ''}U({spell(self.start)},{spell(self.end)})"


@dataclass(frozen=True)
class LogUniform:
    """A geometric ramp, a sorted log-uniform draw: the slides' iU := lU(1,15), used for iterations.

    Args:
        low: the value in the first epoch, above 0.
        high: the value in the last, above ``low``.

    Raises:
        InputError: unless 0 < low < high.

    >>> [round(LogUniform(1, 16)(Clock(epoch, 5)), 6) for epoch in range(5)]
    [1.0, 2.0, 4.0, 8.0, 16.0]
    """

    moves: ClassVar[bool] = True
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise InputError(f"a log-uniform ramp needs 0 < low < high, not ({self.low}, {self.high}).")

    def __call__(self, clock: Clock) -> float:
        """The value at the clock, between ``low`` and ``high``, both of which are met exactly."""
        value = self.low ** (1 - clock.progress) * self.high**clock.progress
        return min(max(value, self.low), self.high)

    def __str__(self) -> str:
        return "iU" if (self.low, self.high) == (1, 15) else f"iU({spell(self.low)},{spell(self.high)})"


@dataclass(frozen=True)
class LogUniformTop:
    """A ramp that spends most of the time near its top: the slides' lU(0,12) for ε.

    It is ``high`` minus a log-uniform draw, sorted. A log-uniform draw cannot reach 0, and the slides do not say where
    theirs begins; here draws go from ``(high - low) / 100`` to ``high - low``, stretched so that both ends of the ramp
    are met exactly. After a quarter of training ε has made 69 % of its way, after half of it 91 %.

    Args:
        low: the value in the first epoch.
        high: the value in the last, above ``low``.

    Raises:
        InputError: unless low < high.

    >>> [round(LogUniformTop(0, 12)(Clock(epoch, 5)), 1) for epoch in range(5)]
    [0.0, 8.3, 10.9, 11.7, 12.0]
    """

    moves: ClassVar[bool] = True
    smallest: ClassVar[float] = 1 / 100
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"a ramp to the top needs low < high, not ({self.low}, {self.high}).")

    def __call__(self, clock: Clock) -> float:
        """The value at the clock, between ``low`` and ``high``, both of which are met exactly."""
        travelled = (1 - self.smallest**clock.progress) / (1 - self.smallest)
        return _between(self.low, self.high, travelled)

    def __str__(self) -> str:
        return f"lU({spell(self.low)},{spell(self.high)})"


@dataclass(frozen=True)
class Adaptive:
    """ε drawn for each batch in proportion to the adversarial loss at it (Adaptive AT; Kinfu and Vidal 2022).

    The loss is measured at ten values from 0 to ``high``, on held-out training clips, at the first epoch and every
    tenth after it; until it has been measured, all ten are equally likely.

    Args:
        high: the largest ε.

    >>> rule = Adaptive(9)
    >>> rule(Clock(0, 1, draw=0.55))
    5.0
    >>> losses = tuple((eps, 1.0 if eps == 8 else 0.0) for eps in rule.grid)
    >>> rule(Clock(0, 1, draw=0.55, losses=losses))
    8.0
    """

    moves: ClassVar[bool] = True
    values: ClassVar[int] = 10
    every: ClassVar[int] = 10
    high: float

    @property
    def grid(self) -> tuple[float, ...]:
        """The values of ε that are measured and drawn."""
        return tuple(self.high * index / (self.values - 1) for index in range(self.values))

    def __call__(self, clock: Clock) -> float:
        """The value of this batch: the first whose cumulated share of the loss exceeds the clock's draw."""
        losses = clock.losses or tuple((eps, 1.0) for eps in self.grid)
        left = clock.draw * sum(loss for _, loss in losses)
        for eps, loss in losses:
            left -= loss
            if left < 0:
                return eps
        return losses[-1][0]

    def __str__(self) -> str:
        return f"auto({spell(self.high)})"


@dataclass(frozen=True)
class Paced:
    """A ramp at the model's own pace: it goes on only after an epoch whose attacks the model withstood.

    In the spirit of Cai, Liu and Song (IJCAI 2018, section 3), who strengthen the attack when the model copes with the
    one at hand. Here a model copes if it classified at least half of its attacked training clips rightly; half of all
    epochs, if it copes in them, lead from ``start`` to ``end``.

    Args:
        start: the value in the first epoch.
        end: the furthest value.

    >>> rule = Paced(0, 12)
    >>> [rule(Clock(epoch, 8, standing=(0.9, 0.6, 0.3, 0.5)[:epoch])) for epoch in range(5)]
    [0.0, 3.0, 6.0, 6.0, 9.0]
    """

    moves: ClassVar[bool] = True
    enough: ClassVar[float] = 0.5
    start: float
    end: float

    def __call__(self, clock: Clock) -> float:
        """The value at the clock, between ``start`` and ``end``."""
        coped = sum(share >= self.enough for share in clock.standing)
        return _between(self.start, self.end, min(1.0, coped / max(1, clock.epochs // 2)))

    def __str__(self) -> str:
        return f"paced({spell(self.start)},{spell(self.end)})"


@dataclass(frozen=True)
class IterationTable:
    """The slides' i*: how many iterations an attack with α = ε gets, by ε.

    Between the published entries the number is interpolated (a straight line); outside them the nearest entry holds,
    so it is 8 below ε = 1 and 2 above ε = 15.

    >>> [IterationTable()(eps) for eps in (0, 1, 4, 4.5, 15, 30)]
    [8.0, 8.0, 6.0, 5.5, 2.0, 2.0]
    """

    moves: ClassVar[bool] = False
    published: ClassVar[tuple[tuple[float, float], ...]] = (
        *((1, 8), (2, 8), (3, 7), (4, 6), (5, 5), (6, 4), (7, 4)),
        *((8, 3), (9, 3), (10, 3), (11, 2), (12, 2), (15, 2)),
    )

    def __call__(self, eps: float) -> float:
        """The number of iterations at ``eps`` (units of 1/255), not rounded."""
        first, last = self.published[0], self.published[-1]
        eps = min(max(eps, first[0]), last[0])
        for (left, before), (right, after) in zip(self.published, self.published[1:], strict=False):
            if eps <= right:
                return _between(before, after, (eps - left) / (right - left))
        return float(last[1])

    def __str__(self) -> str:
        return "i*"


@dataclass(frozen=True)
class EqualsEps:
    """α = ε, or a multiple of it such as ε/4.

    Args:
        factor: α in terms of ε, from 0.001 to 1000.

    Raises:
        InputError: the factor lies outside that.

    >>> str(EqualsEps()), str(EqualsEps(2)), str(EqualsEps(1 / 4))
    ('ε', '2ε', 'ε/4')
    """

    moves: ClassVar[bool] = False
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0.001 <= self.factor <= 1000:
            raise InputError(f"α as a multiple of ε must lie between ε/1000 and 1000ε, not {self.factor}ε.")

    def __call__(self, clock: Clock, eps: float, best: BestAlpha) -> float:
        """``factor`` times ``eps``."""
        return self.factor * eps

    def __str__(self) -> str:
        part = round(1 / self.factor)
        if self.factor == 1:
            return "ε"
        return f"ε/{part}" if part > 1 and 1 / part == self.factor else f"{spell(self.factor)}ε"


@dataclass(frozen=True)
class OptimalAlpha:
    """α = α*, the step size that raises the loss most at this ε and number of iterations."""

    moves: ClassVar[bool] = False

    def __call__(self, clock: Clock, eps: float, best: BestAlpha) -> float:
        """``best(eps)``, as the study's search found it."""
        return best(eps)

    def __str__(self) -> str:
        return "α*"


@dataclass(frozen=True)
class AutoAlpha:
    """α calibrated on training clips for the model as it is at the start of each epoch, whatever a study found."""

    moves: ClassVar[bool] = False

    def __call__(self, clock: Clock, eps: float, best: BestAlpha) -> float:
        """``best(eps)``, as the calibration found it."""
        return best(eps)

    def __str__(self) -> str:
        return "auto"


@dataclass(frozen=True)
class AlphaRamp:
    """The slides' αU := U(2ε, α*): α goes evenly from 2ε in the first epoch to α* in the last.

    >>> [AlphaRamp()(Clock(epoch, 3), eps=8, best=lambda eps: 2.0) for epoch in range(3)]
    [16.0, 9.0, 2.0]
    """

    moves: ClassVar[bool] = True

    def __call__(self, clock: Clock, eps: float, best: BestAlpha) -> float:
        """Between ``2 * eps`` and ``best(eps)``."""
        return _between(2 * eps, best(eps), clock.progress)

    def __str__(self) -> str:
        return "αU"


EpsRule: TypeAlias = Fixed | Uniform | LogUniformTop | Adaptive | Paced
"""How ε is chosen."""

AlphaRule: TypeAlias = Fixed | EqualsEps | OptimalAlpha | AutoAlpha | AlphaRamp
"""How α is chosen. All but :class:`Fixed` are called with the clock, ε and α*(ε)."""

StepsRule: TypeAlias = Fixed | LogUniform | IterationTable
"""How the number of iterations is chosen. :class:`IterationTable` is called with ε, the others with the clock."""


def _between(start: float, end: float, share: float) -> float:
    """The point at ``share`` of the way, exact at both ends and never beyond them."""
    value = start * (1 - share) + end * share
    return float(min(max(value, min(start, end)), max(start, end)))
