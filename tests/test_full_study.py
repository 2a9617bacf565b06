"""The committed full study: page and deck follow from its rows, and it stays small."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vidrobust.results.pages.content import RunContent
from vidrobust.runs.directory import Run

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "full-study"


def shown(page: str) -> tuple[str, Any]:
    """The text and the figures of a page, without what differs between machines: versions and the last digits.

    Styles and scripts are left out: a page brings those that it was made with.
    """
    body, _, after = page.partition("<body")[2].partition('<script type="application/json" id="figures-data">')
    figures = json.loads(after.partition("</script>")[0])
    return re.sub(r"Made by vidrobust [^;]*;", "", body), to_six_digits(figures)


def to_six_digits(found: Any) -> Any:
    """What JSON holds with its numbers rounded, also those that plotly packs."""
    if isinstance(found, dict) and "bdata" in found:
        packed = np.frombuffer(base64.b64decode(found["bdata"]), found["dtype"]).tolist()
        return [found.get("shape"), to_six_digits(packed)]
    if isinstance(found, dict):
        return {name: to_six_digits(value) for name, value in found.items()}
    if isinstance(found, list):
        return [to_six_digits(value) for value in found]
    return float(f"{found:.6g}") if isinstance(found, float) else found


def test_page_and_deck_follow_from_the_committed_rows(tmp_path: Path) -> None:
    run = tmp_path / "full-study"  # whose name stands on the page
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "full-study", "pages", run], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    page, deck = (path.read_text(encoding="utf8") for path in map(Path, done.stdout.split()))
    assert "not reproduced" in page
    new = shown(page) == shown((KEPT / "report.html").read_text(encoding="utf8"))
    assert new, "docs/full-study/report.html does not show what is made of its rows now: scripts/full-study page"
    assert deck.count("<section") > 5
    slide = deck.partition("What this run found")[2].partition("</section>")[0]
    counts = re.findall(r'class="verdict [a-z-]+">(\d*)', slide)
    claims = RunContent(Run.open(run)).claims
    assert slide.count("<tr") - 1 <= 10 < len(claims) == sum(int(count or 1) for count in counts)


def test_it_takes_no_more_than_8_mb() -> None:
    assert sum(file.stat().st_size for file in KEPT.rglob("*") if file.is_file()) <= 8 * 2**20
