"""``vidrobust certify`` from the command line to rows and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vidrobust.runs.directory import Run

Command = Callable[..., tuple[int, str, str]]


def test_it_writes_rows_of_both_sides_and_a_page(vidrobust: Command, small_motion: Path, tmp_path: Path) -> None:
    out = tmp_path / "certified"
    code, printed, told = vidrobust(
        "certify", "--model", "r3d-small", "--data", small_motion, "--size", 16, "--clips", 3, "--out", out,
        "--certificate", "IBP(ε=0.5)", "--certificate", "Smoothing(σ=64,samples=16,select=8)",
        "--certificate", "FrameAblation(keep=1)",
    )  # fmt: skip
    assert code == 0, told
    assert str(out / "report.html") in printed
    run = Run.open(out)
    rows = run.rows("certificate")
    assert [row["certificate"] for row in rows] == [
        "IBP(ε=0.5)", "Smoothing(σ=64,samples=16,select=8)", "FrameAblation(keep=1)",
    ]  # fmt: skip
    assert {row["clips_of"] for row in rows} == {row["clips_of"] for row in run.rows("manifest")}
    assert rows[1]["model"] == "r3d-small behind Smoothing(σ=64)" and rows[1]["draws"] >= 3 * 10
    assert {row["eps"] for row in run.rows("robustness") if row["norm"] == "L2"} == {64, 128, 256}
    assert {row["eps"] for row in run.rows("robustness") if row["norm"] == "L0"} == {1, 2, 4}
    assert {row["eps"] for row in run.rows("robustness") if not row["defence"]} == {0, 0.5}
    assert "Certified and attacked accuracy" in (out / "report.html").read_text()


def test_what_is_no_certificate_is_refused_before_anything_is_loaded(vidrobust: Command, tmp_path: Path) -> None:
    code, _, told = vidrobust("certify", tmp_path / "nowhere", "--certificate", "PGD(ε=8,α=2,i=3)")
    assert code == 1 and "no certificate" in told
