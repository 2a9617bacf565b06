"""scripts/check-links finds what leads nowhere, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def found(*arguments: object) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check-links", *map(str, arguments)], capture_output=True, text=True
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def test_links_of_pages(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text('<h1 id="über">x</h1><a href="../a.html#top">up</a>')
    (tmp_path / "a.html").write_text(
        '<p id="top"><a href="#top"></a><a href="sub/#%C3%BCber"></a><a href="https://nowhere.invalid/x"></a>'
        '<a href="b.html"></a><a href="#bottom"></a><a href="sub/index.html#x"></a><img src="p.png">'
    )
    (tmp_path / "good.md").write_text("")
    code, lines = found(tmp_path, tmp_path / "good.md")
    assert code == 1
    assert lines == [
        "a.html: b.html: there is no such file",
        "a.html: #bottom: there is no such anchor",
        "a.html: sub/index.html#x: there is no such anchor",
        "a.html: p.png: there is no such file",
    ]


def test_links_of_markdown(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# Two words & more\n")
    (tmp_path / "page.md").write_text(
        "[a](other.md) [b](other.md#two-words--more) [c](https://nowhere.invalid) `[no](link)`\n\n"
        "```\n[no](x.md)\n```\n"
        "[d](other.md#three) ![e](picture.png) [f](#gone)\n"
    )
    code, lines = found(tmp_path, tmp_path / "page.md")
    assert code == 1
    assert lines == [
        "page.md: other.md#three: there is no such heading",
        "page.md: picture.png: there is no such file",
        "page.md: #gone: there is no such heading",
    ]


def test_the_texts_at_the_top_lead_somewhere(tmp_path: Path) -> None:
    assert found(tmp_path) == (0, [])
