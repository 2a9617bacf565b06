"""The run directory and all that files on disk need: rows, atomic files, content keys, provenance, worker processes.

May import :mod:`vidrobust.errors` alone, and never torch.
"""
