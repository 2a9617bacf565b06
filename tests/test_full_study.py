"""The committed full study: page and deck follow from its rows, and it stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "full-study"


def test_page_and_deck_follow_from_the_committed_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "full-study", "pages", tmp_path / "run"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page, deck = map(Path, done.stdout.split())
    assert "not reproduced" in page.read_text(encoding="utf8")
    assert deck.read_text(encoding="utf8").count("<section") > 5


def test_it_takes_no_more_than_8_mb() -> None:
    assert sum(file.stat().st_size for file in KEPT.rglob("*") if file.is_file()) <= 8 * 2**20
