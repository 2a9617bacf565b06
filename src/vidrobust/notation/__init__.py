"""The slides' own language: reading and printing policies and attacks, schedules, and the families of training methods.

Imports nothing of the package but :mod:`vidrobust.errors`; no torch.
"""

from __future__ import annotations

from vidrobust.notation.attack_text import AttackText
from vidrobust.notation.policies import STANDARD, AlphaStar, Policy, Setting
from vidrobust.notation.scanner import ParseError
from vidrobust.notation.schedules import Clock
from vidrobust.notation.slides import POLICIES
from vidrobust.notation.text import parse, parse_attack, parse_policy

__all__ = [
    "POLICIES",
    "STANDARD",
    "AlphaStar",
    "AttackText",
    "Clock",
    "ParseError",
    "Policy",
    "Setting",
    "parse",
    "parse_attack",
    "parse_policy",
]
