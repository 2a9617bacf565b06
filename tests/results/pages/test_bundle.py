"""A run in one zip: all of it, the same bytes again, and nothing that lies elsewhere."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.judgement_records import record, stored

from vidrobust.cli.entry import main
from vidrobust.errors import RunError
from vidrobust.results.judgements.record import read_adversarial, read_judgement, write_adversarial
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


def test_a_bundle_holds_the_note_of_the_run(run: Path) -> None:
    (run / "note.txt").write_text("Looked at twice.")
    with zipfile.ZipFile(bundle(run)) as archive:
        assert archive.read("my run/note.txt") == b"Looked at twice."
        assert b"Looked at twice." in archive.read("my run/report.html")


def test_the_same_run_gives_the_same_bytes_in_another_place_at_another_time(run: Path, tmp_path: Path) -> None:
    first = bundle(run, tmp_path / "first.zip").read_bytes()
    shutil.copytree(run, tmp_path / "there" / "my run")
    for file in (tmp_path / "there" / "my run").iterdir():
        os.utime(file, (1e9, 1e9))
        file.chmod(0o600)
    assert bundle(tmp_path / "there" / "my run", tmp_path / "second.zip").read_bytes() == first


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """A judgement with an adversarial clip."""
    folder = tmp_path / "judged"
    Run.start(folder, "judge", {}, 0)
    made = record([None, 3.0])
    made["threats"][0]["adversarial"] = "adversarial-0.npz"
    stored(folder, made)
    clean = np.full((1, *made["clips"]["shape"]), 0.5, np.float32)
    write_adversarial(folder / "adversarial-0.npz", clean, clean + np.float32(3 / 255), [1])
    return folder


def test_a_judgement_is_bundled_with_its_own_page_and_what_verifying_it_needs(judged: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle(judged)) as archive:
        archive.extractall(tmp_path / "elsewhere")
    held = {file.name for file in (tmp_path / "elsewhere" / "judged").iterdir()}
    record_files = {"judgement.json", "run.json", "config.json", "provenance.json"}
    assert held == {"judgement.html", "adversarial-0.npz", *record_files}
    received = read_judgement(tmp_path / "elsewhere" / "judged")
    index, bits = read_adversarial(received, received.record["threats"][0])
    assert index.tolist() == [1] and bits.shape == (1, *received.record["clips"]["shape"])


def test_adversarial_clips_that_lie_elsewhere_are_refused(judged: Path, tmp_path: Path) -> None:
    (judged / "adversarial-0.npz").rename(tmp_path / "secret.npz")
    (judged / "adversarial-0.npz").symlink_to(tmp_path / "secret.npz")
    with pytest.raises(RunError, match=r"adversarial-0\.npz is a link"):
        bundle(judged)


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
