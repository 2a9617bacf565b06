"""The examples whose pages are built with a model in place of another library's, with that library's own."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("name", "says"), [("attack_torchvision", "Adapted with 10 classes"), ("judge_hugging_face", "hf:")]
)
def test_example(name: str, says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    found = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert says in capsys.readouterr().out
    assert name != "attack_torchvision" or "network" not in found  # the stand-in was not taken
