"""The run directory: what was asked, what came out, and where it came from.

A run directory is written once and read many times; nothing here needs torch::

    RUN/
      run.json          format, kind, package version
      config.json       the whole typed configuration
      provenance.json   versions, seed, source revision, machine
      rows.jsonl        results, one JSON object a line, appended crash-safely
      timings.jsonl     what each job cost (differs from run to run, so it is kept apart from the rows)
      jobs/KEY/         one folder a job, named by the content of what determines it

``rows.jsonl`` is deterministic: the same configuration and seed give the same bytes, whatever the number of
workers and however often the run was killed on its way.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from vidrobust.errors import RunError

FORMAT = 1
"""Version of the layout above; a run of another format is refused, never guessed at."""

Row = dict[str, Any]


def package_version() -> str:
    """The installed version of vidrobust."""
    try:
        return importlib.metadata.version("vidrobust")
    except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def dumps(value: object) -> str:
    """JSON with sorted keys, so that equal content is equal text.

    >>> dumps({"b": 1, "a": 0.5})
    '{"a":0.5,"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(value: object) -> str:
    """Name a piece of work by the hash of what determines it: 16 hexadecimal digits.

    Args:
        value: a dataclass or anything that JSON can hold.

    >>> content_key({"eps": 8, "seed": 0}) == content_key({"seed": 0, "eps": 8})
    True
    """
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return hashlib.sha256(dumps(plain).encode()).hexdigest()[:16]


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file that is either the old one or the new one, also after a kill or on a full disk.

    Raises:
        RunError: the disk is full or the folder cannot be written; the old file is intact.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def torn(file: Path) -> bool:
    """Was it being written by :func:`write_atomic` when the process was killed?"""
    return file.name.startswith(".") and file.name.endswith(".tmp")


def disk_error(path: Path, error: OSError) -> RunError:
    """The error for a file that could not be written, with what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"no space left while writing {path}. What was finished is kept: free some space and run the same command."
        )
    return RunError(f"cannot write {path}: {error.strerror or error}. Check the folder's permissions, or choose --out.")


def append_lines(path: Path, rows: Iterable[Row]) -> None:
    """Append rows as JSON lines and force them to disk; a torn last line of an earlier kill is cut off first."""
    text = "".join(dumps(row) + "\n" for row in rows)
    try:
        with open(path, "ab+") as file:
            _cut_torn_line(file)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise disk_error(path, error) from error


def _cut_torn_line(file: Any) -> None:
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - (1 << 20))
    file.seek(start)
    tail = file.read()
    if tail and not tail.endswith(b"\n"):
        file.truncate(start + tail.rfind(b"\n") + 1)
    file.seek(0, os.SEEK_END)


def read_lines(path: Path) -> Iterator[Row]:
    """Rows of a JSON-lines file; a torn last line (a kill while appending) is left out.

    Raises:
        RunError: a line before the last is not JSON.
    """
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # whole lines end in a newline: the last piece is torn or empty
        try:
            yield json.loads(line)
        except ValueError as error:
            raise RunError(
                f"{path}, line {number} is damaged ({error}). Delete the line, or the file and run the command again."
            ) from error


def read_json(path: Path) -> Any:
    """Read a JSON file of a run directory.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: {path.parent} is not a whole vidrobust run directory.") from error
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}). Delete {path.parent} and run the command again.") from error


def source_revision() -> str:
    """The git revision that this code was imported from, ``+dirty`` if changed since, or ``unknown``."""
    where = Path(__file__).resolve().parents[1]  # the whole package
    try:
        git = ["git", "-C", str(where)]
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        if tracked.returncode != 0:
            return "unknown"
        revision = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--", str(where)], capture_output=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (revision + ("+dirty" if changed.strip() else "")) or "unknown"


def provenance(seed: int) -> dict[str, Any]:
    """Where a result came from: versions, seed, source revision and machine (no torch import)."""
    names = ("vidrobust", "torch", "av", "numpy", "scipy", "scikit-image", "plotly", "safetensors", "jsonargparse")
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "seed": seed,
        "source_revision": source_revision(),
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


@dataclass(frozen=True)
class Run:
    """A run directory.

    Use :meth:`start` to make one or to go on with it, :meth:`open` to read one.
    """

    path: Path

    @classmethod
    def start(cls, path: str | Path, kind: str, config: Mapping[str, Any], seed: int) -> Run:
        """Make a run directory, or go on with one made by the same version and configuration.

        Args:
            path: the folder; made if it does not exist.
            kind: what the run is: ``study``, ``train``, ``evaluate``, ``sweep`` or ``attack``.
            config: all that determines the results, as plain JSON values.
            seed: the seed, kept in the provenance.

        Raises:
            RunError: the folder holds something else, or a run of another version or configuration.
        """
        run = cls(Path(path))
        wanted = json.loads(dumps(config))
        if (run.path / "run.json").exists():
            run._check_kind(kind)
        elif run.path.is_dir() and any(not torn(file) for file in run.path.iterdir()):
            raise RunError(f"{run.path} is not empty and not a vidrobust run. Choose another --out.")
        else:  # first, so that a folder whose making was killed is known as ours
            run.write_json("run.json", {"format": FORMAT, "kind": kind, "version": package_version()})
        if (run.path / "config.json").exists():
            run._check_config(wanted)
        else:
            run.write_json("provenance.json", provenance(seed))
            run.write_json("config.json", wanted)
        return run

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
        differing = differences(read_json(self.path / "config.json"), config)
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
    def config(self) -> dict[str, Any]:
        """The configuration as plain JSON values."""
        return read_json(self.path / "config.json")

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, seed, source revision and machine."""
        return read_json(self.path / "provenance.json")

    def rows(self, kind: str | None = None) -> list[Row]:
        """All result rows, or those of one kind, in the order in which they were written."""
        return [row for row in read_lines(self.path / "rows.jsonl") if kind is None or row["kind"] == kind]

    def append(self, rows: Iterable[Row]) -> None:
        """Append result rows, forced to disk before this returns."""
        append_lines(self.path / "rows.jsonl", rows)

    def job_path(self, key: str) -> Path:
        """The folder of a job."""
        return self.path / "jobs" / key

    def write_json(self, name: str, value: object) -> None:
        """Write a JSON file into the run directory, atomically."""
        write_atomic(
            self.path / name, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        )


def differences(old: object, new: object, name: str = "") -> list[tuple[str, object, object]]:
    """Where two configurations differ: (dotted name, old value, new value).

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    [('a.b', 1, 2)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}):
            found += differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        return found
    return [] if old == new else [(name, old, new)]
