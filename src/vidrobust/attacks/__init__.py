"""Searches for adversarial clips, one search a file, and the text of an attack.

Imports threats and fast, and the rooms below them; models, data and results are unknown here.
"""
