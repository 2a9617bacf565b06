"""The script that completes: bash itself asks it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from vidrobust.cli import entry
from vidrobust.cli.completion import script


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "vidrobust"
    path.write_text(script("bash"))
    return path


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ([""], set(entry.VERBS)),
        (["ju"], {"judge"}),
        (["judge", "--thr"], {"--threat"}),
        (["judge", "--split", ""], {"train", "val", "test"}),
        (["data", ""], {"make", "check", "cache"}),
        (["data", "cache", "--decoder", ""], {"pyav", "torchcodec"}),
        (["completion", ""], {"bash", "zsh", "fish", "tcsh"}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_bash_completes(typed: list[str], offered: set[str], bash: Path) -> None:
    words = ["vidrobust", *typed]
    asked = (
        f"source {shlex.quote(str(bash))}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(typed)}; "
        "_shtab_vidrobust 2>/dev/null; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(["bash", "--norc", "-c", asked], capture_output=True, text=True, check=True)
    assert offered <= set(done.stdout.split())
    if typed[-1]:
        assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(
    ("shell", "first"),
    [("zsh", "#compdef vidrobust"), ("fish", "# AUTOMATICALLY GENERATED"), ("tcsh", "# AUTOMATICALLY GENERATED")],
)
def test_other_shells_have_every_verb(shell: str, first: str) -> None:
    printed = script(shell)
    assert printed.startswith(first)
    assert all(verb in printed for verb in entry.VERBS)
