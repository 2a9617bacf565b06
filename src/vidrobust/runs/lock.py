"""One process at a time: locks of a run directory that say who holds them.

The system gives a lock back when its process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Generator
from pathlib import Path

from filelock import FileLock, Timeout

from vidrobust.errors import RunError, VidrobustWarning
from vidrobust.runs.files import disk_error

BRIEFLY = 60.0
"""Seconds that a process waits for one that only appends rows."""


@contextlib.contextmanager
def folder_lock(folder: Path, name: str, seconds: float = 0.0) -> Generator[None]:
    """Hold a lock of a folder, which is made if it does not exist.

    Args:
        folder: whose lock.
        name: which of its locks: ``.NAME.lock`` in the folder.
        seconds: how long to wait for another process.

    Raises:
        RunError: another process holds it; the message names its process number, machine and command.
    """
    about = folder / f".{name}.holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        lock.acquire(timeout=seconds, poll_interval=0.02)
    except Timeout as error:
        raise RunError(
            f"{folder} is in use by {holder(about)}. Wait until it has ended or stop it, or choose another --out."
        ) from error
    except NotImplementedError:
        warnings.warn(
            f"the disk of {folder} has no locks: see to it that one process at a time works there.",
            VidrobustWarning,
            stacklevel=3,
        )
        yield
        return
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        with contextlib.suppress(OSError):  # for messages alone
            about.write_text(json.dumps(_myself()), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            about.unlink()
        lock.release()


def _myself() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "since": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def holder(about: Path) -> str:
    """In words, who holds a lock, from what the process has written beside it."""
    try:
        known = json.loads(about.read_text(encoding="utf-8"))
        return f"process {known['pid']} on {known['host']} since {known['since']}: {known['command']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "another process"
