"""A run in one zip: all of it, the same bytes again, and nothing that lies elsewhere."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from helpers.judgement_records import record, stored

from vidrobust.cli.entry import main
from vidrobust.errors import RunError
from vidrobust.results.pages.bundle import bundle
from vidrobust.runs.directory import Run

EXAMPLE = Path(__file__).parents[3] / "docs" / "example-run"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy that holds rows alone, so that pages are small."""
    folder = tmp_path / "here" / "my run"
    folder.mkdir(parents=True)
    for name in ("run.json", "config.json", "provenance.json"):
        shutil.copy(EXAMPLE / name, folder)
    lines = (EXAMPLE / "rows.jsonl").read_text().splitlines()
    (folder / "rows.jsonl").write_text("\n".join(line for line in lines if '"example"' not in line) + "\n")
    return folder


def test_a_bundle_holds_page_deck_rows_record_and_provenance(run: Path) -> None:
    file = bundle(run)
    assert file == run / "bundle.zip"
    with zipfile.ZipFile(file) as archive:
        held = {Path(name).name: archive.read(name) for name in archive.namelist()}
        assert all(name.startswith("my run/") for name in archive.namelist())
    assert set(held) == {"report.html", "deck.html", "rows.jsonl", "run.json", "config.json", "provenance.json"}
    assert held["rows.jsonl"] == (run / "rows.jsonl").read_bytes()
    assert b"<!doctype html>" in held["report.html"] and b"reveal" in held["deck.html"]
    assert not (run / "report.html").exists() and not (run / "deck.html").exists()


def test_the_same_run_gives_the_same_bytes_in_another_place_at_another_time(run: Path, tmp_path: Path) -> None:
    first = bundle(run, tmp_path / "first.zip").read_bytes()
    shutil.copytree(run, tmp_path / "there" / "my run")
    for file in (tmp_path / "there" / "my run").iterdir():
        os.utime(file, (1e9, 1e9))
        file.chmod(0o600)
    assert bundle(tmp_path / "there" / "my run", tmp_path / "second.zip").read_bytes() == first


def test_a_judgement_is_bundled_with_its_own_page(tmp_path: Path) -> None:
    folder = tmp_path / "judged"
    Run.start(folder, "judge", {}, 0)
    stored(folder, record([None, 3.0]))
    with zipfile.ZipFile(bundle(folder)) as archive:
        held = {Path(name).name for name in archive.namelist()}
    assert held == {"judgement.html", "judgement.json", "run.json", "config.json", "provenance.json"}


def test_a_file_that_leads_out_of_the_run_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    (run / "provenance.json").unlink()
    (run / "provenance.json").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match=r"provenance\.json is a link"):
        bundle(run)
    assert not (run / "bundle.zip").exists()


@pytest.mark.parametrize("options", [["--tables", "csv"], ["--figures", "svg"], [str(EXAMPLE)]])
def test_a_bundle_is_of_one_run_and_nothing_else(
    options: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", str(run), *options, "--bundle"])
    assert stop.value.code == 2 and "zip" in capsys.readouterr().err
