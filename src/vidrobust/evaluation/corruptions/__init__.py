"""Corruptions that nobody chose against the model: what they are, a model's accuracy under them, clips to watch."""

from vidrobust.evaluation.corruptions.conventions import CONVENTIONS
from vidrobust.evaluation.corruptions.corruption import Corruption, corruptions

__all__ = ["CONVENTIONS", "Corruption", "corruptions"]
