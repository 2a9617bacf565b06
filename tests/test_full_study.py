"""The committed full study: page and deck follow from its rows, and it stays small."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from vidrobust.results.pages.content import RunContent
from vidrobust.runs.directory import Run

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "full-study"


def test_page_and_deck_follow_from_the_committed_rows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "full-study", "pages", tmp_path / "run"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page, deck = map(Path, done.stdout.split())
    assert "not reproduced" in page.read_text(encoding="utf8")
    words = deck.read_text(encoding="utf8")
    assert words.count("<section") > 5
    slide = words.partition("What this run found")[2].partition("</section>")[0]
    counts = re.findall(r'class="verdict [a-z-]+">(\d*)', slide)
    claims = RunContent(Run.open(tmp_path / "run")).claims
    assert slide.count("<tr") - 1 <= 10 < len(claims) == sum(int(count or 1) for count in counts)


def test_it_takes_no_more_than_8_mb() -> None:
    assert sum(file.stat().st_size for file in KEPT.rglob("*") if file.is_file()) <= 8 * 2**20
