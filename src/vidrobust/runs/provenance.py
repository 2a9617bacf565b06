"""Where a result came from: versions, source revision, machine and command."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any


def package_version() -> str:
    """The installed version of vidrobust."""
    try:
        return importlib.metadata.version("vidrobust")
    except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def source_revision() -> str:
    """The git revision that this code was imported from, ``+dirty`` if changed since, or ``unknown``."""
    where = Path(__file__).resolve().parents[1]  # the whole package
    try:
        git = ["git", "-C", str(where)]
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        if tracked.returncode != 0:
            return "unknown"
        revision = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", str(where)], capture_output=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (revision + ("+dirty" if changed.strip() else "")) or "unknown"


def provenance(seed: int) -> dict[str, Any]:
    """Where a result came from: versions, seed, source revision and machine (no torch import)."""
    names = ("vidrobust", "torch", "av", "numpy", "scipy", "scikit-image", "plotly", "safetensors", "jsonargparse")
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "seed": seed,
        "source_revision": source_revision(),
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }
