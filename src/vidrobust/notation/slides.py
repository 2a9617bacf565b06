"""The policies of the slides by name: a study trains them, its claims compare them, published numbers are theirs.

>>> from vidrobust.notation import parse_policy
>>> all(str(parse_policy(text)) == text for text in POLICIES)
True
"""

from __future__ import annotations

SMALL = "AT(ε=4,α=4,i=5)"
WEAK = "AT(ε=8,α=8,i=3)"
LARGE = "AT(ε=12,α=12,i=2)"
STRONG = "AT(ε=8,α=2,i=10)"
FAST_5 = "fAT(ε=8,α=2,i=5)"
FAST_20 = "fAT(ε=8,α=2,i=20)"
RISING = "CAL(ε~U(0,12),α=ε,i=i*)"
FALLING = "CAL(ε~rU(12,0),α=ε,i=i*)"
ALL_DRAWN = "CAL(ε~U(0,12),α~αU,i~iU)"
RISING_5 = "CAL(ε~U(0,12),α=α*,i=5)"
RISING_10 = "CAL(ε~U(0,12),α=α*,i=10)"
RISING_20 = "CAL(ε~U(0,12),α=α*,i=20)"
LOGARITHMIC = "CAL(ε~lU(0,12),α=α*,i=i*)"

POLICIES: tuple[str, ...] = (
    SMALL,
    WEAK,
    LARGE,
    STRONG,
    FAST_5,
    FAST_20,
    RISING,
    FALLING,
    ALL_DRAWN,
    RISING_5,
    RISING_10,
    RISING_20,
    LOGARITHMIC,
)
"""The 13 trained rows of the published table of defences, in its order."""
