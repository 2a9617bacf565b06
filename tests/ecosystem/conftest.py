"""These tests need other libraries, which live in an environment of their own: `make test-ecosystem`."""

from __future__ import annotations

import importlib.util
import os

import torch

os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)  # small models: threads would only wait for each other

NEEDED = ("torchvision", "transformers", "pytorchvideo", "onnx", "onnxruntime")
if any(importlib.util.find_spec(name) is None for name in NEEDED):
    collect_ignore_glob = ["test_*.py"]
