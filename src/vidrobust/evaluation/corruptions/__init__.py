"""Corruptions: natural degradations of clips, a model's accuracy under them, and example clips."""

from vidrobust.evaluation.corruptions.conventions import CONVENTIONS
from vidrobust.evaluation.corruptions.corruption import Corruption, corruptions

__all__ = ["CONVENTIONS", "Corruption", "corruptions"]
