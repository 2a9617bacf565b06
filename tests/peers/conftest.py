"""These tests need other libraries, which live in an environment of their own: `make test-peers`."""

from __future__ import annotations

import importlib.util

import torch

torch.set_num_threads(1)  # small models: threads would only wait for each other

if any(importlib.util.find_spec(name) is None for name in ("torchattacks", "foolbox", "pyautoattack")):
    collect_ignore_glob = ["test_*.py"]
