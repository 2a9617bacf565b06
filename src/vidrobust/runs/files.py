"""Files that are whole or not there: atomic writes, and errors that say what to do when one fails."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError

LARGEST_JSON = 64 << 20
"""Bytes of a JSON file of a run directory, at most: a configuration has some thousand."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is either the old one or the new one, also after a kill or on a full disk.

    Raises:
        RunError: the disk is full or the folder cannot be written; the old file is intact.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def check_writable(path: Path) -> None:
    """Refuse a file or a folder that cannot be made or written, before what it is to hold is computed.

    Raises:
        RunError: the disk or its permissions do not allow it.
    """
    there = path.absolute()
    while not there.exists():
        there = there.parent
    if there != path.absolute() and not there.is_dir():
        raise RunError(f"cannot write {path}: {there} is no folder. Choose another --out.")
    if not os.access(there, os.W_OK | (os.X_OK if there.is_dir() else 0)):
        raise RunError(f"cannot write {path}: {there} cannot be written. Check its permissions, or choose --out.")


def check_new(path: Path) -> None:
    """Refuse a folder that holds something already, or that cannot be made: nothing is overwritten.

    Raises:
        RunError: it is a file, or holds files that are not hidden, or the disk or its permissions do not allow it.
    """
    check_writable(path)
    if path.exists() and not path.is_dir():
        raise RunError(f"cannot write files into {path}: it is no folder. Choose another one.")
    if path.is_dir() and any(not own(file) for file in path.iterdir()):
        raise RunError(f"{path} is not empty, and nothing in it is overwritten: choose another folder, or delete it.")


def own(file: Path) -> bool:
    """Is it one of the hidden files that belong to no result: a lock, its holder's name, or a torn file?"""
    return torn(file) or (file.name.startswith(".") and file.suffix in (".lock", ".holder"))


def torn(file: Path) -> bool:
    """Was it being written by :func:`write_atomic` when the process was killed?"""
    return file.name.startswith(".") and file.name.endswith(".tmp")


def disk_error(path: Path, error: OSError) -> RunError:
    """The error for a file that could not be written, with what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"no space left while writing {path}. What was finished is kept: free some space and run the same command."
        )
    return RunError(f"cannot write {path}: {error.strerror or error}. Check the folder's permissions, or choose --out.")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run directory.

    Raises:
        RunError: the file is missing, damaged, far too large or no regular file.
    """
    refuse_irregular(path, LARGEST_JSON)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: {path.parent} is not a whole vidrobust run directory.") from error
    except (ValueError, RecursionError, OSError) as error:
        raise RunError(f"{path} is damaged ({error}). Delete {path.parent} and run the command again.") from error


def refuse_irregular(path: Path, largest: int = 0) -> None:
    """Refuse what is no file of bytes: a pipe may wait for ever, a device never end. A missing file passes.

    Args:
        path: of the file.
        largest: bytes that it may have; 0 leaves that open.

    Raises:
        RunError: the path is a folder, a pipe, a socket or a device, or leads to one, or the file is larger.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise RunError(f"{path} is no regular file. Give one, or a copy of it.")
    size = path.stat().st_size
    if 0 < largest < size:
        raise RunError(f"{path} has {size} bytes, over {largest}: vidrobust writes none so large. Get it anew.")
