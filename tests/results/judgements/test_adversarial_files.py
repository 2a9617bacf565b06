"""The adversarial clips beside a judgement come from elsewhere: damage, and what a file claims of itself, is told."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vidrobust.errors import RunError
from vidrobust.results.judgements.record import Judgement, perturbed, read_adversarial, write_adversarial

SHAPE = (3, 2, 4, 4)
THREAT = {"adversarial": "adversarial-0.npz"}


@pytest.fixture
def judgement(tmp_path: Path) -> Judgement:
    """Two of five clips have an adversarial one."""
    clean = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    write_adversarial(tmp_path / "adversarial-0.npz", clean, np.sqrt(clean), [1, 3])
    return Judgement(tmp_path / "judgement.json", {"clips": {"shape": list(SHAPE), "list": [{}] * 5}})


def file_of(judgement: Judgement) -> Path:
    return judgement.path.parent / "adversarial-0.npz"


def test_what_was_written_comes_back(judgement: Judgement) -> None:
    clean = np.random.default_rng(0).random((2, *SHAPE), dtype=np.float32)
    index, bits = read_adversarial(judgement, THREAT)
    assert index.tolist() == [1, 3]
    assert np.array_equal(perturbed(clean, bits), np.sqrt(clean))


def test_none_at_all_is_no_damage(judgement: Judgement) -> None:
    empty = np.zeros((0, *SHAPE), np.float32)
    write_adversarial(file_of(judgement), empty, empty, [])
    index, bits = read_adversarial(judgement, THREAT)
    assert len(index) == len(bits) == 0


def test_damage_is_told_wherever_it_is(judgement: Judgement) -> None:
    whole = file_of(judgement).read_bytes()
    wanted = read_adversarial(judgement, THREAT)
    refused = 0
    for place in range(0, len(whole), 3):
        for spoilt in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            file_of(judgement).write_bytes(spoilt)
            try:
                found = read_adversarial(judgement, THREAT)
            except RunError as error:
                assert "adversarial-0.npz" in str(error)
                refused += 1
            else:
                assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert refused > len(whole) / 3


def claiming(header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """An array file with this header."""
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + data


HUGE = b"{'descr': '<i4', 'fortran_order': False, 'shape': (100000000000000,), }\n"
CLAIMS = {
    "huge": claiming(HUGE),
    "overflowing": claiming(HUGE.replace(b"100000000000000,", b"4294967296, 4294967296,")),
    "negative": claiming(HUGE.replace(b"100000000000000,", b"-1,")),
    "later version": claiming(HUGE, version=b"\x02\x00"),
    "objects": claiming(HUGE.replace(b"<i4", b"|O").replace(b"100000000000000", b"1"), b"cos\nsystem\n."),
    "no literal": claiming(b"{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (1,)}\n"),
    "deep": claiming(b"(" * 9000 + b"\n"),
    "a pickle": b"\x80\x04cos\ngetcwd\n(tR.",
}


@pytest.mark.parametrize("array", ["index", "bits"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_what_an_array_claims_is_not_believed(judgement: Judgement, claim: str, array: str) -> None:
    with zipfile.ZipFile(file_of(judgement)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file_of(judgement), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, f"{array}.npy": CLAIMS[claim]}.items():
            archive.writestr(name, content)
    with pytest.raises(RunError, match=r"adversarial-0.npz is damaged"):
        read_adversarial(judgement, THREAT)


@pytest.mark.parametrize("index", [[1, 1], [1, 5], [-1, 1], [[1, 3]]])
def test_clips_are_those_of_the_record_each_once(judgement: Judgement, index: list[int]) -> None:
    out = io.BytesIO()
    np.savez(out, index=np.array(index, np.int32), bits=np.zeros((2, *SHAPE), np.int32))
    file_of(judgement).write_bytes(out.getvalue())
    with pytest.raises(RunError, match="does not fit the record|is damaged"):
        read_adversarial(judgement, THREAT)
