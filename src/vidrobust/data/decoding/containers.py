"""The size that a container (AVI, MP4, MOV, MKV, WebM) declares in its headers: a shorter file is truncated."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO


def claimed_size(file: BinaryIO) -> int:
    """Where the last of the container's outermost chunks ends; 0 if the format does not say."""
    actual = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF":
        return _end_of_chunks(file, actual, riff=True)
    if head[4:8] == b"ftyp":
        return _end_of_chunks(file, actual, riff=False)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _end_of_matroska(file)
    return 0


def is_indexed(file: BinaryIO) -> bool:
    """Is this a container that knows where its frames lie (AVI, MP4, MOV, MKV, WebM), or a bare stream (MPEG)?"""
    file.seek(0)
    head = file.read(12)
    file.seek(0)
    return head[:4] in (b"RIFF", b"\x1a\x45\xdf\xa3") or head[4:8] == b"ftyp"


def count_avi_chunks(file: BinaryIO, stream: int) -> int:
    """Chunks of a stream of an AVI file, the empty ones included that stand for a frame like the one before."""
    actual = file.seek(0, os.SEEK_END)
    tags = {b"%02d%s" % (stream, kind) for kind in (b"dc", b"db")}
    place, found = 0, 0
    while place + 8 <= actual:
        file.seek(place)
        head = file.read(12)
        tag, length = head[:4], int.from_bytes(head[4:8], "little")
        if tag in (b"RIFF", b"LIST") and head[8:12] in (b"AVI ", b"AVIX", b"movi", b"rec "):
            place += 12  # what follows lies within
            continue
        found += tag in tags
        place += 8 + length + length % 2
    return found


def _end_of_chunks(file: BinaryIO, actual: int, *, riff: bool) -> int:
    """AVI: RIFF chunks (tag, then little-endian size of the rest). MP4 and MOV: boxes (big-endian full size, tag)."""
    end = 0
    while end + 8 <= actual:
        file.seek(end)
        head = file.read(16).ljust(16, b"\0")
        if riff:
            tag, length = head[:4], 8 + int.from_bytes(head[4:8], "little")
            if tag != b"RIFF" or length in (8, 8 + 0xFFFFFFFF):  # something appended, or a size never filled in
                break
            length += length % 2
        else:
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = struct.unpack(">Q", head[8:16])[0]
            if length < 8:  # 0 means "to the end of the file"
                break
        end += length
    return end


def _end_of_matroska(file: BinaryIO) -> int:
    """Matroska and WebM: an EBML header, then a segment; each an identifier of 4 bytes, a size, and the content."""
    end = 0
    for _ in range(2):
        file.seek(end + 4)
        head = file.read(8).ljust(8, b"\0")
        width = 9 - head[0].bit_length()  # the leading zero bits of the first byte count the bytes of the size
        bits = 7 * width
        length = int.from_bytes(head[:width], "big") & ((1 << bits) - 1)
        if width > 8 or length == (1 << bits) - 1:  # a live stream leaves the size open
            return 0
        end += 4 + width + length
    return end
