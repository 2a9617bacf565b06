"""Training a model under a policy: the loop, the model while it is trained, several processes, checkpoints, trackers.

The methods lie in :mod:`vidrobust.training.methods`. Imports evaluation and the rooms below it.
"""
