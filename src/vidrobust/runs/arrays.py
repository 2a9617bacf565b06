"""Arrays in ``npz`` files from elsewhere, read within bounds: what a header claims is not believed before a look."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from typing import IO

import numpy as np

_HEADER = 10_000

DAMAGE = (
    OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, SyntaxError, MemoryError, RuntimeError,
    struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What reading a damaged zip file or array header ends in."""


def read_array(archive: zipfile.ZipFile, name: str, most: int) -> np.ndarray:
    """An array of plain numbers, of at most so many bytes; how much is read is known from its header.

    Args:
        archive: an open ``npz``.
        name: of the array.
        most: bytes that it may have.

    Raises:
        DAMAGE: there is no such array, or it is damaged, no plain numbers, or larger.
    """
    if f"{name}.npy" not in archive.namelist():
        raise ValueError(f"it has no array {name!r}")
    with archive.open(f"{name}.npy") as file:
        shape, fortran, dtype = _header(file)
        if dtype.hasobject or dtype.kind not in "uif":
            raise ValueError(f"{name} is {dtype}, no plain numbers")
        size = dtype.itemsize
        for length in shape:
            size *= length  # of Python, which does not overflow
        if not 0 <= size <= most:
            raise ValueError(f"{name} says that it has {size} bytes, more than {most}")
        data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{name} has {len(data)} bytes instead of {size}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # later ones may have a header of 4 GB, which is read before it is looked at
        raise ValueError(f"an array of format {version}")
    return np.lib.format.read_array_header_1_0(file, max_header_size=_HEADER)
