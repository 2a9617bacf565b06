"""A model, clips and an attack in; rows out: clips, whole videos, sweeps over step sizes, defences, examples to watch.

Imports attacks, models, data and results, and the rooms below them.
"""
