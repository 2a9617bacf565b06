"""Weights of an ONNX file lie beside it. The messages are made here: no ONNX library is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidrobust.errors import InputError
from vidrobust.models.libraries.onnx_files import external_places, refuse_outside_data


def number(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(index: int, content: bytes) -> bytes:
    return number(index << 3 | 2) + number(len(content)) + content


def tensor(place: str) -> bytes:
    entry = field(1, b"location") + field(2, place.encode("utf-8", "surrogateescape"))
    dims = number(1 << 3) + number(300)
    return dims + field(8, b"weight") + field(13, field(1, b"offset") + field(2, b"0")) + field(13, entry)


def attribute(index: int, content: bytes) -> bytes:
    return field(1, field(5, field(1, b"value") + number(2 << 3 | 5) + bytes(4) + field(index, content)))


WITHIN = {
    "initializer": lambda t: field(7, field(5, t)),
    "sparse": lambda t: field(7, field(15, field(1, t))),
    "constant": lambda t: field(7, attribute(5, t)),
    "constants": lambda t: field(7, attribute(10, t)),
    "subgraph": lambda t: field(7, attribute(6, field(5, t))),
    "subgraphs": lambda t: field(7, attribute(11, attribute(23, field(2, t)))),
    "function": lambda t: field(25, field(7, field(5, field(5, t)))),
}
OUTSIDE = ["/etc/passwd", "../weights.bin", "a/../../weights.bin", "..\\weights.bin", "C:\\weights.bin"]
OUTSIDE += ["link/weights.bin", "*/_ORT_MEM_ADDR_/*"]


@pytest.mark.parametrize("within", WITHIN)
def test_a_place_is_found_wherever_a_tensor_may_stand(within: str) -> None:
    model = number(1 << 3) + number(8) + field(2, b"pytorch") + WITHIN[within](tensor("a/weights.bin"))
    assert list(external_places(model)) == ["a/weights.bin"]


@pytest.mark.parametrize("place", OUTSIDE)
def test_a_place_outside_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "elsewhere")
    file = tmp_path / "model" / "m.onnx"
    file.write_bytes(WITHIN["initializer"](tensor(place)))
    with pytest.raises(InputError, match="outside its own folder"):
        refuse_outside_data(file)


@pytest.mark.parametrize("place", ["weights.bin", "deep/er/weights.bin", "./weights.bin", "weights..bin"])
def test_a_place_beside_the_model_is_read(place: str, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(WITHIN["initializer"](tensor(place)))
    refuse_outside_data(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"\x3a", b"\x3a\x05ab", b"\xff" * 20, b"no onnx file", b"\x07"])
def test_a_damaged_file_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(InputError, match="no whole ONNX file"):
        refuse_outside_data(tmp_path / "m.onnx")
