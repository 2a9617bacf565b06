"""Exact bounds of a probability from counts, and from counts that are looked at several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vidrobust.errors import InputError


def clopper_pearson(hits: int, draws: int, failure: float) -> float:
    """The lower bound of a probability that is wrong with probability ``failure`` at most (Clopper and Pearson 1934).

    Args:
        hits: of so many draws, 0 … ``draws``.
        draws: independent, at least 1.
        failure: in (0, 1).

    >>> round(clopper_pearson(100, 100, 0.001), 6) == round(0.001 ** (1 / 100), 6)
    True
    """
    if not 0 <= hits <= draws or draws < 1 or not 0 < failure < 1:
        raise InputError(f"{hits} hits of {draws} draws at a failure probability of {failure:g} are not possible.")
    if hits == 0:
        return 0.0
    from scipy.special import betaincinv  # scipy.stats takes a second to import

    return float(betaincinv(hits, draws - hits + 1, failure))


def looks(draws: int, count: int) -> tuple[int, ...]:
    """Numbers of draws at which counts are looked at: each twice the one before, the last being ``draws``.

    >>> looks(2000, 4)
    (250, 500, 1000, 2000)
    """
    return tuple(sorted({max(1, draws >> back) for back in range(count)}))


@dataclass(frozen=True)
class Bound:
    """A lower bound of a probability.

    Attributes:
        value: the bound.
        draws: after how many draws sampling stopped.
    """

    value: float
    draws: int


def sequential(
    draw: Callable[[int], int], most: int, failure: float, count: int, enough: Callable[[float, float], bool]
) -> Bound:
    """A lower bound of a probability by draws that stop as soon as the rest would change little.

    The draws are looked at ``count`` times at most, with ``failure / count`` for the bound of each look: by the union
    bound all of them hold together with probability ``1 - failure``, whenever sampling stops and whatever the rule.
    (Sequential bounds for smoothing are compared by Voráček, *Treatment of statistical estimation problems in
    randomized smoothing for adversarial robustness*, NeurIPS 2024.)

    Args:
        draw: gives the hits among so many further independent draws.
        most: draws at most.
        failure: the probability that the bound is too high.
        count: looks, at least 1.
        enough: called with the bound so far and with the one there would be if every remaining draw were a hit.
    """
    hits, done, best = 0, 0, 0.0
    for look in looks(most, count):
        hits, done = hits + draw(look - done), look
        best = max(best, clopper_pearson(hits, done, failure / count))
        if done == most or enough(best, clopper_pearson(hits + most - done, most, failure / count)):
            break
    return Bound(best, done)
