"""The results of the benchmarks: committed ones are well-formed, and what compares and prints them loses none."""

from __future__ import annotations

import contextlib
import json
import math
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks.contestants import OWN  # noqa: E402
from benchmarks.problems import Problem  # noqa: E402
from benchmarks.results import RESULTS, check, read, write  # noqa: E402
from benchmarks.suites.attacks import bound_of  # noqa: E402

SPREAD = {"q1": 0.5, "q3": 2.5, "rounds": 3}


def result(*rows: dict[str, Any], device: str = "card", **more: Any) -> dict[str, Any]:
    head = {"schema": 1, "suite": "attacks", "tiny": False, "date": "2026-11-28", "revision": "abc", "clock": "wall"}
    return {**head, "machine": {"device": device, "torch": "2.13"}, **more, "rows": list(rows)}


def measured(contestant: str, median: float) -> dict[str, Any]:
    return {"kind": "time", "row": "PGD", "contestant": contestant, "seconds": {"median": median, **SPREAD}}


@pytest.mark.parametrize("file", sorted(RESULTS.rglob("*.json")), ids=lambda file: file.stem)
def test_every_committed_result_has_the_schema(file: Path) -> None:
    assert read(file)["rows"]
    assert read(file)["suite"] in (file.stem.split("--")[0], "study")


@pytest.mark.parametrize("notes", ["a text", [1], {"a": "b"}])
def test_notes_are_texts(notes: Any) -> None:
    check(result(notes=["read after it was measured"]))
    with pytest.raises(ValueError, match="notes must be a list of texts"):
        check(result(notes=notes))


def test_bare_passes_and_our_call_are_judged_in_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or one of them pays for float32 and the other for TF32, which a GPU computes in half the time."""
    entered: list[str] = []

    @contextlib.contextmanager
    def noted(device: torch.device) -> Iterator[None]:
        entered.append(device.type)
        yield

    for room in ("fast.precision", "attacks.base", "fast.view"):
        monkeypatch.setattr(f"vidrobust.{room}.full_float32", noted)
    clips, labels, counts = torch.rand(2, 3, 4, 8, 8), torch.tensor([0, 1]), {}
    for name in ("ours", "bare, and a verdict", "ours, exact"):
        entered.clear()
        torch.manual_seed(0)
        OWN[name](nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 8 * 8, 3)), 2)(clips, labels)
        counts[name] = len(entered)
    assert counts["ours"] == counts["bare, and a verdict"] == 0 < counts["ours, exact"]


def test_the_bound_over_bare_passes_is_of_as_many() -> None:
    """Or a search without its verdict meets it by what the other pays for one."""
    problem = Problem("PGD", "r3d-small", 4, 8, 16, {"torchattacks": 0.5, "bare": 1.05})
    names = ("bare", "bare, and a verdict", "torchattacks", "foolbox")
    assert [bound_of(problem, "ours", to) for to in names] == [None, 1.05, 0.5, None]
    assert [bound_of(problem, "ours, search alone", to) for to in names] == [1.05, None, 0.5, None]


def compare(capsys: pytest.CaptureFixture[str], one: Path, two: Path) -> str:
    assert runpy.run_path(str(ROOT / "benchmarks" / "compare"))["main"]([str(one), str(two)]) == 0
    return capsys.readouterr().out


def test_folders_are_compared_file_by_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The earlier result of the same suite and device has numbers of its own."""
    folders = tmp_path / "one", tmp_path / "two"
    for folder, factor in zip(folders, (1.0, 2.0), strict=True):
        write(result(measured("ours", 1.0 * factor)), folder / "attacks--card.json")
        write(result(measured("ours", 8.0 / factor)), folder / "attacks--card--before-a-change.json")
    write(result(measured("ours", 1.0), device="other"), folders[1] / "attacks--other.json")
    lines = compare(capsys, *folders).splitlines()
    assert lines == [
        "attacks on card: abc → abc",
        "  PGD | ours, s: 1 → 2  (2.000)",
        "attacks on card before-a-change: abc → abc",
        "  PGD | ours, s: 8 → 4  (0.500)",
        f"attacks on other: only in {folders[1]}",
    ]


def test_two_files_are_compared_whatever_their_names_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "attacks--card--before-a-change.json", tmp_path / "attacks--card.json"
    loss = {"kind": "loss", "row": "PGD", "contestant": "ours"}
    memory = {"kind": "memory", "row": "PGD", "contestant": "ours"}
    write(result(measured("ours", 2.0), {**loss, "loss": 1.5}, {**memory, "bytes": 0}), before)
    write(result(measured("bare", 1.0), {**loss, "loss": 3.0}, {**memory, "bytes": 7}), after)
    printed = compare(capsys, before, after)
    assert "PGD | ours, s: only before" in printed
    assert "PGD | bare, s: only after" in printed
    assert "PGD | ours, loss: 1.5 → 3  (2.000)" in printed
    assert "PGD | ours, bytes: 0 → 7  (no ratio to 0)" in printed


def test_no_result_of_a_folder_takes_the_place_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("attacks--card.json", "again.json"):
        write(result(measured("ours", 1.0)), tmp_path / name)
    with pytest.raises(SystemExit, match="more than one result of attacks on card"):
        compare(capsys, tmp_path, tmp_path)


def test_a_table_by_contestant_has_all_that_was_found_of_each() -> None:
    rows = [
        measured("graphs", 0.00101),
        {"kind": "memory", "row": "PGD", "contestant": "graphs", "bytes": 2**21},
        {"kind": "loss", "row": "PGD", "contestant": "plain", "loss": 1.25},
        {"kind": "figure", "row": "PGD", "what": "graphs: relative difference from plain", "value": 0.0068},
        {"kind": "not run", "row": "PGD: compiled", "why": "no time left"},
    ]
    tables = runpy.run_path(str(ROOT / "benchmarks" / "tables"))
    found = result(*rows, notes=["one of them is wrong"])
    assert "graphs |" not in tables["table"](found, by_contestant=False)
    printed = tables["table"](found, by_contestant=True).splitlines()
    assert "| row | contestant | ms, median (quartiles) | peak MiB | relative difference from plain | loss |" in printed
    assert "| PGD | graphs | 1.01 (500 to 2.5e+03) | 2 | 0.0068 |  |" in printed
    assert "| PGD | plain |  |  |  | 1.25 |" in printed
    assert printed[-3:] == ["- one of them is wrong", "- not run: PGD: compiled (no time left)", ""]


@pytest.mark.parametrize(
    ("loss", "said"), [(2.015, False), (2.03, True), (1.97, True), (math.nan, True), (None, False)]
)
def test_a_ratio_of_contestants_that_did_other_work_says_so(loss: float | None, said: bool) -> None:
    """Their final losses differ by more than 1 %."""
    ratio = {"kind": "ratio", "row": "PGD", "what": "time", "of": "ours", "to": "peer", "bound": 0.5}
    rows = [{"kind": "loss", "row": "PGD", "contestant": "peer", "loss": 2.0}]
    if loss:
        rows.append({"kind": "loss", "row": "PGD", "contestant": "ours", "loss": loss})
    found = result(*rows, ratio | {"ratio": {"median": 0.4, **SPREAD}})
    printed = runpy.run_path(str(ROOT / "benchmarks" / "tables"))["table"](found, by_contestant=False)
    assert (f"(other work: losses {loss} and 2)" in printed) is said
    assert "| 0.4 | 0.5 to 2.5 | 0.5, met |" in printed


def test_committed_tables_are_up_to_date_with_their_results() -> None:
    """What each page shows is what each file says (`benchmarks/tables --check`)."""
    assert runpy.run_path(str(ROOT / "benchmarks" / "tables"))["main"](["--check"]) == 0


def test_a_written_result_is_read_back(tmp_path: Path) -> None:
    found = result(measured("ours", 1.0), notes=["said later"])
    write(found, tmp_path / "result.json")
    assert read(tmp_path / "result.json") == found == json.loads((tmp_path / "result.json").read_text())
