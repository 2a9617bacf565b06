"""The public face: every name loads, and importing the package costs nothing."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import vidrobust as vr

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", vr.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(vr, name) is not None
    assert name in dir(vr)


def test_no_public_name_or_signature_changes_unnoticed() -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "scripts" / "api-surface"], capture_output=True, text=True, check=True
    )
    told = "a public name changed: if that is meant, run `scripts/api-surface > tests/api_surface.json`"
    assert json.loads(printed.stdout) == json.loads((ROOT / "tests" / "api_surface.json").read_text()), told


def test_other_names_do_not() -> None:
    with pytest.raises(AttributeError, match="pgd"):
        vr.pgd  # noqa: B018


def test_no_module_hides_a_public_function() -> None:
    """Importing ``vidrobust.x`` makes it an attribute of the package, so no module may have a function's name."""
    modules = {module.name for module in pkgutil.iter_modules(vr.__path__)}
    assert modules & set(vr.__all__) == {"data", "losses", "models", "notation"}


def test_the_import_is_light() -> None:
    """Under 0.2 s beyond torch's own import, because nothing is imported: see also the --help test."""
    code = "import sys; before = set(sys.modules); import vidrobust; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.partition(".")[0] for name in done.stdout.split()} <= {"vidrobust", "lazy_loader"} | set(
        sys.stdlib_module_names
    )


def test_the_readme_tour_runs(small_motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python block of the README, word for word but for the size of the data."""
    readme = (ROOT / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    assert "vr.fit(" in code
    monkeypatch.chdir(tmp_path)
    small = f"vr.data.videos({str(small_motion)!r}, size=16, max_frames=10)"
    exec(code.replace("vr.data.motion()", small), scope := {})
    assert scope["result"].clips.shape == (2, 3, 8, 16, 16)
    assert (tmp_path / "runs" / "cal" / "model.safetensors").exists()
    assert [row["eps"] for row in scope["rows"]] == [0, 8]
