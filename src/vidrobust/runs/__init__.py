"""What lies on disk: the run directory with its configuration, rows and job folders, and what a worker process is.

Imports nothing of the package but :mod:`vidrobust.errors`; no torch.
"""
