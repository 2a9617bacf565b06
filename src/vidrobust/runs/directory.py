"""The run directory: what was asked, what came out, and where it came from.

A run directory is written once and read many times; nothing here needs torch::

    RUN/
      run.json          format, kind, package version
      config.json       the whole typed configuration
      provenance.json   versions, seed, source revision, machine
      rows.jsonl        results, one JSON object per line, appended crash-safely
      timings.jsonl     what each job cost (differs from run to run, so it is kept apart from the rows)
      failed.json       if its work ended with an error: which; it may then be given another configuration
      note.txt          if somebody wrote one: what readers must know that the rows cannot tell
      jobs/KEY/         one folder per job, named by the content of what determines it

``rows.jsonl`` is deterministic: the same configuration and seed give the same bytes, whatever the number of
workers and however often the run was killed on its way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError
from vidrobust.runs.files import check_writable, own, read_json, refuse_irregular, write_atomic
from vidrobust.runs.keys import dumps
from vidrobust.runs.lock import BRIEFLY, folder_lock
from vidrobust.runs.mending import FAILED, make_way
from vidrobust.runs.provenance import package_version, provenance
from vidrobust.runs.rows import Reading, Row, RowFile, read_rows

FORMAT = 1
"""Version of the layout above; a run of another format is refused, never guessed at."""

NOTE = "note.txt"

LARGEST_NOTE = 10_000
"""Bytes of a note, at most."""

BEFORE: Mapping[str, Any] = {
    "augment": "",
    "version": 1,
    "worst_case": {"eps": 8.0, "clips": 40, "steps": 30, "targets": 2, "queries": 200, "seeds": 0},
}
"""What a configuration means that was written before it had these fields: of ``motion`` there was one version, and no
study looked for the worst case.
"""


@dataclass(frozen=True)
class Run:
    """A run directory.

    Use :meth:`start` to make one or to go on with it, :meth:`open` to read one.
    """

    path: Path

    @classmethod
    def start(cls, path: str | Path, kind: str, config: Mapping[str, Any], seed: int) -> Run:
        """Make a run directory, or go on with one made by the same version and configuration.

        A run whose work failed (:func:`vidrobust.runs.mending.failures_noted`) takes another configuration, and what
        its finished jobs have in common with that is found again.

        Args:
            path: the folder; made if it does not exist.
            kind: what the run is: ``study``, ``train``, ``evaluate``, ``sweep`` or ``attack``.
            config: all that determines the results, as plain JSON values.
            seed: the seed, kept in the provenance.

        Raises:
            RunError: the folder holds something else, or a run of another version or configuration.
        """
        run = cls(Path(path))
        run._refuse_foreign()  # before a lock is left there
        with folder_lock(run.path, "run", BRIEFLY):
            run._start(kind, json.loads(dumps(config)), seed)
        return run

    @classmethod
    def check(cls, path: str | Path, kind: str, config: Mapping[str, Any]) -> None:
        """Refuse what :meth:`start` would refuse, and a folder that cannot be made or written, without writing.

        Args:
            path, kind, config: as :meth:`start` takes them.

        Raises:
            RunError: see there.
        """
        run = cls(Path(path))
        run._refuse_foreign()
        if (run.path / "run.json").exists():
            run._check_kind(kind)
        if (run.path / "config.json").exists() and not run.failed:
            run._check_config(json.loads(dumps(config)))
        check_writable(run.path)

    def _start(self, kind: str, config: Mapping[str, Any], seed: int) -> None:
        self._refuse_foreign()
        if (self.path / "run.json").exists():
            self._check_kind(kind)
        else:  # first, so that a folder whose making was killed is known as ours
            self.write_json("run.json", {"format": FORMAT, "kind": kind, "version": package_version()})
        if self.failed and (self.path / "config.json").exists() and config_differences(self.config, config):
            with self.working():
                make_way(self.path)
        if (self.path / "config.json").exists():
            self._check_config(config)
        else:
            self.write_json("provenance.json", provenance(seed))
            self.write_json("config.json", config)

    def _refuse_foreign(self) -> None:
        if (self.path / "run.json").exists() or not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunError(f"{self.path} is a file, not a run directory. Choose another --out.")
        if any(not own(file) for file in self.path.iterdir()):
            raise RunError(f"{self.path} is not empty and not a vidrobust run. Choose another --out.")

    def working(self) -> AbstractContextManager[None]:
        """Hold the run while its jobs, checkpoints or weights are written, which one process at a time can do.

        Raises:
            RunError: another process works on it; the message says which.
        """
        return folder_lock(self.path, "work")

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open an existing run directory to read it.

        Raises:
            RunError: it is not one, or of a format that this version does not know.
        """
        run = cls(Path(path))
        if not run.path.is_dir():
            raise RunError(f"{run.path} does not exist. Give the folder that a vidrobust command wrote with --out.")
        run._header()
        return run

    def _header(self) -> dict[str, Any]:
        header = read_json(self.path / "run.json")
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            found = header.get("format") if isinstance(header, dict) else header
            made_by = header.get("version") if isinstance(header, dict) else "an unknown version"
            raise RunError(
                f"{self.path} has run format {found!r} (made by vidrobust {made_by}); this vidrobust "
                f"{package_version()} reads format {FORMAT}. Use that version, or run again with a new --out."
            )
        if not all(isinstance(header.get(name), str) for name in ("kind", "version")):
            raise RunError(f"{self.path / 'run.json'} is damaged: it does not say the kind and the version of the run.")
        return header

    def _check_kind(self, kind: str) -> None:
        header = self._header()
        if header["version"] != package_version():
            raise RunError(
                f"{self.path} was made by vidrobust {header['version']}, this is {package_version()}: its rows cannot "
                "be continued. Choose a new --out (reports can still be made of the old run)."
            )
        if header["kind"] != kind:
            raise RunError(f"{self.path} holds a run of kind {header['kind']!r}, not {kind!r}. Choose another --out.")

    def _check_config(self, config: Mapping[str, Any]) -> None:
        differing = config_differences(read_json(self.path / "config.json"), config)
        if differing:
            listed = "; ".join(f"{name}: {old} → {new}" for name, old, new in differing[:5])
            raise RunError(
                f"{self.path} was made with another configuration ({listed}). Choose another --out, or delete it."
            )

    @property
    def kind(self) -> str:
        """What the run is: ``study``, ``train``, …"""
        return self._header()["kind"]

    @property
    def failed(self) -> bool:
        """Did its work end with an error that another configuration may mend?"""
        return (self.path / FAILED).exists()

    @property
    def config(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return read_json(self.path / "config.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, seed, source revision and machine."""
        return read_json(self.path / "provenance.json")

    @property
    def note(self) -> str:
        """What somebody who kept the run wants its readers to know; empty if there is no :data:`NOTE`.

        Raises:
            RunError: it is no regular file, or larger than anybody would read.
        """
        file = self.path / NOTE
        refuse_irregular(file, LARGEST_NOTE)
        return file.read_text(encoding="utf8", errors="replace").strip() if file.exists() else ""

    def read(self, strict: bool = True) -> Reading:
        """The result rows that count, and what of the file was left out.

        Args:
            strict: refuse a line that is not JSON; else it is left out as well.

        Raises:
            RunError: a line is not JSON, and ``strict``.
        """
        return read_rows(self.path / "rows.jsonl", strict)

    def rows(self, kind: str | None = None) -> list[Row]:
        """All result rows that count, or those of one kind: of each measurement the newest, in the order of the first.

        Lines that are no rows of their kind are left out; :meth:`read` tells which.
        """
        return [row for row in self.read().rows if kind is None or row["kind"] == kind]

    def append(self, rows: Iterable[Row]) -> None:
        """Add result rows, forced to disk before this returns; those that are there already are not written again.

        Several processes may add rows at once.
        """
        self.row_file.append(list(rows))

    @property
    def row_file(self) -> RowFile:
        """``rows.jsonl``, for who adds rows many times: it is read again only if another process has written it."""
        return RowFile(self.path / "rows.jsonl")

    def job_path(self, key: str) -> Path:
        """The folder of a job."""
        return self.path / "jobs" / key

    def write_json(self, name: str, value: object) -> None:
        """Write a JSON file into the run directory, atomically."""
        write_atomic(
            self.path / name, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        )


def config_differences(old: object, new: object, name: str = "") -> list[tuple[str, object, object]]:
    """Where two configurations differ: (dotted name, old value, new value).

    >>> config_differences({"a": {"b": 1}}, {"a": {"b": 2}})
    [('a.b', 1, 2)]
    >>> config_differences({"clips": {}}, {"clips": {"version": 1}})
    []
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            before = old.get(key, BEFORE.get(key))
            found += config_differences(before, new.get(key), f"{name}.{key}" if name else str(key))
        return found
    return [] if old == new else [(name, old, new)]
