"""The location of caches, and writing them so that a kill or a full disk loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Generator
from pathlib import Path

from filelock import FileLock

from vidrobust.errors import RunError
from vidrobust.runs.files import disk_error


def cache_root() -> Path:
    """Where caches go: ``$VIDROBUST_CACHE``, else ``$XDG_CACHE_HOME/vidrobust``, else ``~/.cache/vidrobust``."""
    own, shared = os.environ.get("VIDROBUST_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).expanduser()
    return (Path(shared) if shared else Path.home() / ".cache") / "vidrobust"


@contextlib.contextmanager
def locked(target: Path) -> Generator[None]:
    """Hold the lock beside a file or folder; a second process waits for the first.

    Raises:
        RunError: the disk is full or the place cannot be written, here or in the block.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_error(target, error) from error
        raise RunError(
            f"cannot write {target}: {error.strerror or error}. Set VIDROBUST_CACHE to a folder that can be written."
        ) from error


@contextlib.contextmanager
def made_once(target: Path) -> Generator[Path | None]:
    """Make a folder so that it exists whole or not at all, also after a kill and with two processes at once.

    Yields:
        An empty folder to fill, which becomes ``target`` at the end; None if ``target`` exists, maybe because another
        process has just made it.

    Raises:
        RunError: the disk is full or the place cannot be written.
    """
    part = target.with_name(f".{target.name}.part")
    with locked(target):
        if target.exists():
            yield None
            return
        shutil.rmtree(part, ignore_errors=True)  # what a killed process left
        part.mkdir()
        try:
            yield part
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise


def room(place: Path) -> int:
    """Free bytes on the disk of a path that need not exist yet."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def in_words(count: int) -> str:
    """Bytes for people.

    >>> in_words(3_400_000_000)
    '3.4 GB'
    """
    value, units = float(count), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" else f"{value:.1f} {units[0]}"
