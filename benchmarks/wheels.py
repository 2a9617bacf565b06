"""What a machine without network lacks, as wheels: fetched where there is network, installed for one run elsewhere.

The machine has PyTorch with CUDA, so neither PyTorch nor what it alone needs is among them. Nothing is written into the
machine's own Python: the wheels of packages that it lacks go to a folder for ``PYTHONPATH``.
"""

from __future__ import annotations

import contextlib
import importlib.metadata as metadata
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOR_TESTS = ("hypothesis", "pytest", "pytest-timeout", "pytest-xdist")
THERE = "torch"


def needed(python: str) -> list[str]:
    """The packages that vidrobust and its tests need, and what those need, by what is installed here.

    What another Python needs besides, and is not installed here, is among them without its own needs.

    Args:
        python: the version of the Python that is to have them, such as 3.12.
    """
    from packaging.requirements import Requirement  # which the machine that is to get the wheels may lack

    there = {"python_version": python, "python_full_version": f"{python}.0"}
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [(Requirement(text), frozenset[str]()) for text in (*(metadata.requires("vidrobust") or ()), *FOR_TESTS)]
    while left:
        found, extras = left.pop()
        applies = found.marker is None or any(
            found.marker.evaluate({**there, "extra": extra}) for extra in (*extras, "")
        )
        asked = (canonical(found.name), frozenset(found.extras))
        if not applies or asked[0] == THERE or asked in seen:
            continue
        seen.add(asked)
        with contextlib.suppress(metadata.PackageNotFoundError):
            left += [(Requirement(text), asked[1]) for text in metadata.requires(found.name) or ()]
    return sorted({name for name, _ in seen})


def fetch(folder: Path, python: str, more: list[str]) -> int:
    """Download the wheels of :func:`needed`, in the versions of constraints.txt.

    Args:
        folder: where to.
        python: the version of the other machine's Python, such as 3.12.
        more: other packages, without what they need.

    Returns:
        pip's exit status; it says itself what it could not do.
    """
    kind = ["--only-binary", ":all:", "--python-version", python, "--no-deps"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", *kind, "--dest", str(folder)]
    names = ["--constraint", str(ROOT / "constraints.txt"), *needed(python), *more]
    return subprocess.run([*pip, *names], check=False).returncode


def install(folder: Path, target: Path) -> list[str]:
    """Install the wheels of a folder whose packages this Python lacks, without network.

    Args:
        folder: of wheels; it need not be there.
        target: where to, for ``PYTHONPATH``.

    Returns:
        The names of the wheels that were installed.

    Raises:
        RuntimeError: pip could not; says why.
    """
    lacking = [wheel for wheel in sorted(folder.glob("*.whl")) if not _is_there(wheel.name.partition("-")[0])]
    if lacking:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
        done = subprocess.run([*pip, *map(str, lacking)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the wheels of {folder} could not be installed: {done.stderr.strip()[-1000:]}")
    return [wheel.name for wheel in lacking]


def _is_there(name: str) -> bool:
    try:
        metadata.distribution(canonical(name))
    except metadata.PackageNotFoundError:
        return False
    return True


def canonical(name: str) -> str:
    """A package's name as the index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
