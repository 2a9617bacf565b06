"""A model as attacks run it: an inference copy with folded and frozen layers, CUDA graphs, micro-batches, segments.

Imports :mod:`vidrobust.errors` and :mod:`vidrobust.types`: it knows nothing of attacks, data or models of this library.
"""
