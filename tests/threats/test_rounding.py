"""Directed rounding, compared with exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from vidrobust.threats.rounding import sum_below

FLOATS = st.floats(-1.0, 1.0, width=32)


@given(FLOATS, FLOATS)
@example(1e-25, -8 / 255)  # of this sum, float64 loses what decides
@example(-(2.0**-149), 2.0**-126)
@example(0.0, 0.0)
def test_a_sum_is_rounded_down_to_the_next_number(one: float, other: float) -> None:
    one, other = float(np.float32(one)), float(np.float32(other))
    found = sum_below(torch.tensor([one]), torch.tensor([other])).numpy()
    assert (
        Fraction(found.item())
        <= Fraction(one) + Fraction(other)
        < Fraction(np.nextafter(found, np.float32(math.inf)).item())
    )
