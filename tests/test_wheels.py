"""What `scripts/gpu-check` installs on a machine without network, and what it fetches for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.planted_wheels import wheel

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks import wheels  # noqa: E402


def test_only_what_is_lacking_is_installed_and_only_for_whom_it_is_asked(tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "planted_package", "2.5")
    wheel(tmp_path / "wheels", "numpy", "99.0")
    found = wheels.install(tmp_path / "wheels", tmp_path / "target")
    assert found == ["planted_package-2.5-py3-none-any.whl"]
    says = [sys.executable, "-c", "import planted_package; print(planted_package.version)"]
    with_path = os.environ | {"PYTHONPATH": str(tmp_path / "target")}
    assert subprocess.run(says, env=with_path, capture_output=True, text=True, check=True).stdout.strip() == "2.5"
    assert subprocess.run(says, capture_output=True, check=False).returncode
    assert not (tmp_path / "target" / "numpy.py").exists()


def test_without_a_folder_nothing_is_installed(tmp_path: Path) -> None:
    assert wheels.install(tmp_path / "wheels", tmp_path / "target") == []
    assert not (tmp_path / "target").exists()


def test_a_broken_wheel_is_named_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "planted_package-1.0-py3-none-any.whl").write_bytes(b"no archive")
    with pytest.raises(RuntimeError, match=re.escape(str(tmp_path))):
        wheels.install(tmp_path, tmp_path / "target")


def test_what_is_fetched_are_the_pinned_packages_but_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(subprocess, "run", run)
    assert wheels.fetch(tmp_path, "3.12", ["torchattacks"]) == 7
    (command,) = asked
    names = command[command.index("--constraint") + 2 :]
    pinned = {
        wheels.canonical(line.partition("==")[0])
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    assert {"numpy", "av", "plotly", "pytest", "pytest-xdist", "hypothesis", "jsonargparse"} <= set(names)
    assert {"torch", "triton", "sympy"}.isdisjoint(names)
    assert set(names) - pinned == {"torchattacks"}
    assert command[command.index("--python-version") + 1] == "3.12"


def test_an_older_python_gets_what_it_needs_besides() -> None:
    besides = set(wheels.needed("3.10")) - set(wheels.needed("3.12"))
    assert {"exceptiongroup", "tomli"} <= besides
