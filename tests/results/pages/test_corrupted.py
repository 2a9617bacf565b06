"""Strips to watch are data of the run: bounded, in the page as they are, and folded so that nothing moves unasked."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import torch
from helpers import synthetic_run as synthetic

from vidrobust.errors import RunError
from vidrobust.evaluation.corruptions.measuring import strip
from vidrobust.results.pages.corrupted import read_strip
from vidrobust.results.pages.report import report


def test_the_page_has_each_strip_in_itself_with_words(tmp_path: Path) -> None:
    rows = [synthetic.manifest(), *synthetic.corrupted(synthetic.QUICK)]
    example = synthetic.corrupted_example("jpeg") | {"video": "left/<b>v</b>.avi"}
    run = synthetic.write(tmp_path / "run", [synthetic.dataset(), *rows, example], examples=0)
    data = strip(torch.rand(3, 3, 4, 16, 16))
    (run / "corruptions/ucf101-p").mkdir(parents=True)
    (run / example["file"]).write_bytes(data)
    page = report(run).read_text()
    assert page.count(base64.b64encode(data).decode()) == 1
    assert "<details><summary>jpeg</summary>" in page
    assert 'alt="left/&lt;b&gt;v&lt;/b&gt;.avi, class left, jpeg: from left to right clean, severity 1' in page


def test_a_strip_that_is_missing_is_told_and_the_page_is_made(tmp_path: Path) -> None:
    run = synthetic.write(tmp_path / "run", [synthetic.dataset(), synthetic.corrupted_example("jpeg")], examples=0)
    assert "is missing or lies outside the run directory" in report(run).read_text()


def test_what_is_no_strip_of_the_run_is_refused(tmp_path: Path) -> None:
    run, good = tmp_path / "run", strip(torch.rand(1, 3, 2, 16, 16))
    run.mkdir()
    (tmp_path / "outside.webp").write_bytes(good)
    (run / "link.webp").symlink_to(tmp_path / "outside.webp")
    (run / "script.webp").write_bytes(b"<script>alert(1)</script>")
    (run / "good.webp").write_bytes(good)
    assert read_strip(run, "good.webp", 1 << 20) == good
    for name, said in {
        "../outside.webp": "outside the run",
        "link.webp": "outside the run",
        "script.webp": "is no WebP",
        "nothing.webp": "is missing",
        "bad\0name": "cannot be read",
    }.items():
        with pytest.raises(RunError, match=said):
            read_strip(run, name, 1 << 20)
    with pytest.raises(RunError, match="page stays small"):
        read_strip(run, "good.webp", len(good) - 1)
