"""Attacks: searches for a perturbation that a threat allows."""
