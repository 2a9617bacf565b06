"""Where an ONNX file says that its weights lie: beside it, or the file is refused.

Large models keep tensors in files of their own, which the model names (``external_data``). onnxruntime reads what is
named; a path that leaves the folder of the model would read any file, and one of its names is an address in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from vidrobust.errors import InputError

GRAPH, NODE, ATTRIBUTE, TENSOR, SPARSE, FUNCTION, ENTRY, MODEL = range(8)

PARTS: dict[int, dict[int, int]] = {
    MODEL: {7: GRAPH, 25: FUNCTION},
    GRAPH: {1: NODE, 5: TENSOR, 15: SPARSE},
    NODE: {5: ATTRIBUTE},
    ATTRIBUTE: {5: TENSOR, 6: GRAPH, 10: TENSOR, 11: GRAPH, 22: SPARSE, 23: SPARSE},
    SPARSE: {1: TENSOR, 2: TENSOR},
    FUNCTION: {7: NODE, 11: ATTRIBUTE},
    TENSOR: {13: ENTRY},
}
"""Fields of onnx.proto that lead to tensors: of each message, the number of the field and what it holds."""


def refuse_outside_data(path: Path) -> None:
    """Refuse an ONNX file that names a file outside its own folder.

    Raises:
        InputError: it does, or it is damaged.
    """
    try:
        places = list(external_places(path.read_bytes()))
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is no whole ONNX file ({error}). Fetch it again.") from error
    folder = path.parent.resolve()
    for place in places:
        parts = PurePosixPath(place.replace("\\", "/"))
        inside = not parts.is_absolute() and ".." not in parts.parts and "*" not in place and ":" not in place
        if not inside or not (folder / parts).resolve().is_relative_to(folder):
            raise InputError(
                f"{path} keeps its weights in {place[:200]!r}, outside its own folder: a file is not read from where "
                "another says. Put the weights beside the model, or save it as one file."
            )


def external_places(content: bytes) -> Iterator[str]:
    """The places that a serialised ModelProto names for its tensors.

    Raises:
        ValueError: it is damaged.
    """
    waiting = [(MODEL, memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        for number, value in _fields(message):
            inner = PARTS[kind].get(number)
            if inner == ENTRY:
                entry = dict(_fields(value))
                if bytes(entry.get(1, b"")) == b"location":
                    yield bytes(entry.get(2, b"")).decode("utf-8", "surrogateescape")
            elif inner is not None:
                waiting.append((inner, value))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that hold bytes: text, bytes or another message."""
    place = 0
    while place < len(message):
        tag, place = _number(message, place)
        kind = tag & 7
        if kind == 0:
            _, place = _number(message, place)
        elif kind == 2:
            length, place = _number(message, place)
            if place + length > len(message):
                raise ValueError("a field is cut short")
            yield tag >> 3, message[place : place + length]
            place += length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError("a field of no known kind")


def _number(message: memoryview, place: int) -> tuple[int, int]:
    """A variable-length integer, and where it ends."""
    value, shift = 0, 0
    while True:
        byte = message[place]
        value, place = value | (byte & 0x7F) << shift, place + 1
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
