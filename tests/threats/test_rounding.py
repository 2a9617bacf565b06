"""Directed rounding, compared with exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from vidrobust.threats.intervals import bounds
from vidrobust.threats.rounding import sum_above, sum_below

FLOATS = st.floats(-1.0, 1.0, width=32)


@given(FLOATS, FLOATS)
@example(1e-25, -8 / 255)  # of this sum, float64 loses what decides
@example(-(2.0**-149), 2.0**-126)
@example(0.0, 0.0)
def test_a_sum_is_rounded_down_and_up_to_the_next_number(one: float, other: float) -> None:
    one, other = float(np.float32(one)), float(np.float32(other))
    exact = Fraction(one) + Fraction(other)
    down, up = (found(torch.tensor([one]), torch.tensor([other])).numpy() for found in (sum_below, sum_above))
    assert Fraction(down.item()) <= exact < Fraction(np.nextafter(down, np.float32(math.inf)).item())
    assert Fraction(np.nextafter(up, np.float32(-math.inf)).item()) < exact <= Fraction(up.item())


def test_a_bound_of_zero_has_no_sign() -> None:
    """Else clips that are equal could have other bytes, of which seeds are made."""
    clips = torch.full((1, 3, 2, 4, 4), 8 / 255)
    low, high = bounds(clips, torch.tensor(8 / 255), torch.full_like(clips, -1), torch.ones_like(clips))
    assert not low.any() and not low.signbit().any() and not high.signbit().any()
