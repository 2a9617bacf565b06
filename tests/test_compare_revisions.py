"""What scripts/compare-revisions says of two files or outcomes that differ; whole revisions are compared by hand."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def differences(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("compared.differences")


def both(folder: Path, name: str, old: bytes, new: bytes) -> tuple[Path, Path]:
    for side, content in (("A", old), ("B", new)):
        (folder / side / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / side / name).write_bytes(content)
    return folder / "A", folder / "B"


def test_a_row_is_told_by_its_number(differences: ModuleType, tmp_path: Path) -> None:
    old, new = both(tmp_path, "rows.jsonl", b'{"a":1}\n{"b":2}\n', b'{"a":1}\n{"b":3}\n')
    (thing,) = differences.of_folders(old, new)
    assert thing[:2] == ("rows.jsonl", 'row 2\n    A: {"b":2}\n    B: {"b":3}')


def test_rows_that_only_one_has(differences: ModuleType) -> None:
    assert "the first that only B has: c" in differences.of_texts("a\nb", "a\nb\nc", "row")


@pytest.mark.parametrize("change", [b"a\r\n", b"a", b"", b"\xff"])
def test_no_byte_goes_unnoticed(differences: ModuleType, tmp_path: Path, change: bytes) -> None:
    old, new = both(tmp_path, "one.txt", b"a\n", change)
    assert differences.of_files(old / "one.txt", new / "one.txt")
    assert differences.of_files(old / "one.txt", old / "one.txt") is None


def test_a_job_of_another_name_comes_first(differences: ModuleType, tmp_path: Path) -> None:
    old, new = both(tmp_path, "jobs/1/rows.jsonl", b"a\n", b"b\n")
    (new / "jobs" / "2").mkdir()
    (new / "jobs" / "2" / "rows.jsonl").write_bytes(b"")
    (new / "jobs" / "2" / "timings.jsonl").write_bytes(b"not looked at")
    (thing,) = differences.of_folders(old, new)
    assert thing[:2] == ("jobs (2 files)", "only in B: jobs/2/rows.jsonl")


def test_a_tensor_is_told_by_its_name_clips_and_largest_difference(differences: ModuleType) -> None:
    old = {"clips": torch.zeros(3, 2, 2), "loss": torch.zeros(3), "kept": torch.zeros(())}
    new = {name: tensor.clone() for name, tensor in old.items()}
    assert differences.of_tensors(old, new, "clip") is None
    new["clips"][1, 1, 0], new["clips"][2] = 0.5, 0.25
    new["loss"][1] = 1
    told = differences.of_tensors(old, new, "clip")
    assert told.startswith(
        "clips: 5 of 12 numbers of clip 1, 2 differ, by up to 0.5; the first, at [1, 1, 0], is 0.0 in A"
    )
    assert told.endswith("also loss")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (torch.tensor(0.0), torch.tensor(-0.0)),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64)),
        (torch.tensor([True]), torch.tensor([False])),
        (torch.tensor([1.0]), torch.tensor([torch.nan])),
        (torch.zeros(2), torch.zeros(2, 1)),
    ],
)
def test_tensors_are_compared_byte_by_byte(differences: ModuleType, old: torch.Tensor, new: torch.Tensor) -> None:
    assert differences.of_two(old, new, "clip")
    assert differences.of_two(new, new.clone(), "clip") is None


def test_arrays_are_read(differences: ModuleType, tmp_path: Path) -> None:
    for side, value in (("A", 1), ("B", 2)):
        np.savez(tmp_path / f"{side}.npz", delta=np.full(3, value, np.float16))
    assert differences.of_files(tmp_path / "A.npz", tmp_path / "B.npz").startswith("delta: 3 of 3 numbers differ")


def test_an_attack_may_be_new_but_not_be_lost(differences: ModuleType, tmp_path: Path) -> None:
    for side, lacking in (("A", {"FMN", "DDN"}), ("B", {"FMN", "FAB"})):
        (tmp_path / side).mkdir()
        for name in ("DDN", "FAB", "FMN"):
            about = {"case": name, "told": {"lacking": f"no {name}"} if name in lacking else {}, "order": []}
            save_file({}, tmp_path / side / f"{name}.safetensors", {"about": json.dumps(about)})
    new, lost = differences.of_cases(tmp_path / "A", tmp_path / "B")
    assert new == ("DDN", None, True)
    assert lost == ("FAB", "B has it no longer: no FAB", False)


def test_a_case_that_raises_on_both_sides_is_no_proof(differences: ModuleType, tmp_path: Path) -> None:
    told = [{"rows": [{"eps": 8}]}, {"rows": [{"eps": 4}]}, {"failed": "ValueError: no"}]
    for side in ("A", "B"):
        (tmp_path / side).mkdir()
    for number, pair in enumerate(((told[0], told[0]), (told[0], told[1]), (told[2], told[2]))):
        for side, one in zip("AB", pair, strict=True):
            about = {"about": json.dumps({"case": f"case {number}", "told": one, "order": []})}
            save_file({}, tmp_path / side / f"{number}.safetensors", about)
    same, moved, raised = differences.of_cases(tmp_path / "A", tmp_path / "B")
    assert same[:2] == ("case 0", None)
    assert moved[:2] == ("case 1", "told.rows[0].eps: 8 in A and 4 in B")
    assert raised.difference.startswith("A raises ValueError: no")
