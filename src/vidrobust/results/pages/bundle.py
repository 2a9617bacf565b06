"""A run as one file to hand on: its page, deck, rows and record in a zip whose bytes follow from the run alone."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from vidrobust.errors import RunError
from vidrobust.results.judgements.record import NAME, Judgement, adversarial_files, read_judgement
from vidrobust.results.pages.deck import deck
from vidrobust.results.pages.judgement import page
from vidrobust.results.pages.report import report
from vidrobust.runs.directory import NOTE, Run
from vidrobust.runs.files import refuse_irregular, write_atomic

RECORD = ("run.json", "config.json", "provenance.json", "rows.jsonl", NOTE, NAME)
"""What is taken from a run directory as it is, where it is there; of a judgement also its adversarial clips."""

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of every file in the zip: the format knows none before."""


def bundle(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the zip of a run: ``report.html`` and ``deck.html``, or the page of a judgement, with rows and record.

    Whoever gets the zip of a judgement can ``verify`` it, because its adversarial clips are in it.

    Made again of the same run by the same version it has the same bytes.

    Args:
        run_dir: a run directory, that of a judgement too.
        out: the file to write; ``bundle.zip`` in the run directory if not given.

    Returns:
        The file written.

    Raises:
        MissingExtraError: the deck's libraries are not installed.
        RunError: the folder is no run directory, one of its files leads out of it, or the zip cannot be written.
    """
    run = Run.open(run_dir)
    name = run.path.resolve().name
    judgement = read_judgement(run.path) if (run.path / NAME).exists() else None
    taken = (*RECORD, *(adversarial_files(judgement) if judgement else ()))
    files = {f"{name}/{one}": _content(run.path / one) for one in taken if (run.path / one).exists()}
    with tempfile.TemporaryDirectory() as folder:
        files |= {f"{name}/{file.name}": file.read_bytes() for file in _pages(run, judgement, Path(folder))}
    target = Path(out) if out is not None else run.path / "bundle.zip"
    write_atomic(target, zipped(files))
    return target


def zipped(files: dict[str, bytes]) -> bytes:
    """Files as a zip, whose bytes follow from their names and contents.

    >>> zipped({"b": b"2", "a": b"1"}) == zipped({"a": b"1", "b": b"2"})
    True
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in sorted(files.items()):
            about = zipfile.ZipInfo(name, EARLIEST)
            about.compress_type, about.external_attr, about.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(about, content)
    return buffer.getvalue()


def _pages(run: Run, judgement: Judgement | None, folder: Path) -> list[Path]:
    if judgement:
        return [page(judgement, folder / "judgement.html")]
    return [report(run.path, folder / "report.html"), deck(run.path, folder / "deck.html")]


def _content(path: Path) -> bytes:
    """A file of a run directory itself.

    Raises:
        RunError: it is no regular file, or leads elsewhere.
    """
    refuse_irregular(path)
    if path.is_symlink():
        raise RunError(f"{path} is a link, and a bundle holds what lies in the run itself. Put the file there.")
    return path.read_bytes()
