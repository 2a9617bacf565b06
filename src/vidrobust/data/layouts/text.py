"""Text files that come with a data set: regular files of a believable size, in the encodings that programs write."""

from __future__ import annotations

import codecs
import stat
from pathlib import Path

from vidrobust.errors import DataError

MOST_BYTES = 1 << 28
"""Bytes of the longest list that is read; that of Kinetics-700 has 25 million."""


def read_text(file: Path, remedy: str = "Save it as UTF-8.", most: int = 0) -> str:
    """The text of a file: UTF-8, with a byte order mark or without, or UTF-16 with one.

    Args:
        file: which.
        remedy: the end of an error's message.
        most: read at most so many bytes; 0 reads all.

    Raises:
        DataError: it is no regular file, too large, or no text.
    """
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{file} is no file, but a folder, a pipe or a device. {remedy}")
        if not most and found.st_size > MOST_BYTES:
            raise DataError(f"{file} cannot be a list: it has {found.st_size} bytes. {remedy}")
        with file.open("rb") as opened:
            data = opened.read(most or MOST_BYTES)
        text = _decoded(data, cut=0 < most < found.st_size)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read as text ({error}). {remedy}") from error
    if "\0" in text:
        raise DataError(f"{file} cannot be read as text (it holds zero bytes). {remedy}")
    return text


def _decoded(data: bytes, *, cut: bool) -> str:
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if utf16 else "utf-8-sig")()
    return decoder.decode(data, final=not cut)


def numbered_lines(file: Path, remedy: str) -> list[tuple[int, str]]:
    """The lines of a list that are not blank, numbered from 1; line ends may be Unix or Windows.

    Raises:
        DataError: the file cannot be read as text.
    """
    lines = read_text(file, remedy).splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
