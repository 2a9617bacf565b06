"""What the tests of models share."""

from __future__ import annotations

import torch

torch.set_num_threads(1)  # small models: threads would only wait for each other
