"""A model of the user's own that fails is told of in words, with the line, and never by a traceback of this library."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.data_videos import film, write

Command = Callable[..., tuple[int, str, str]]

CODE = """
import torch
from torch import nn

class Base(nn.Module):
    def __init__(self, device=None):
        super().__init__()
        self.head = nn.Linear(3 * 4 * 16 * 16, 2, device=device)
    def logits(self, clips):
        return self.head(clips.flatten(1))
class Fails(Base):
    def forward(self, clips):
        return {}["a"]
class Complex(Base):
    def forward(self, clips):
        return torch.complex(self.logits(clips), self.logits(clips))
class Twice(Base):
    def forward(self, clips):
        return self.logits(clips).repeat(2, 1)
class Whole(Base):
    def forward(self, clips):
        return self.logits(clips).long()
class Meta(Base):
    def __init__(self):
        super().__init__("meta")
    forward = Base.logits
class Coupled(Base):
    def forward(self, clips):
        return self.logits(clips) - self.logits(clips).mean(0)
def factory():
    raise ValueError("no weights here")
"""

WORDS = {
    "Fails": "line 13, in forward: KeyError: 'a'\nThis is code of your own",
    "Complex": "gives complex numbers",
    "Twice": "for 2 clips",
    "Whole": "the model has no gradient",
    "Meta": "has weights without numbers",
    "factory": "in factory: ValueError: no weights here\nThis is code of your own",
}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[object]]:
    """The options that name a model of CODE and a few films."""
    (tmp_path / "odd_models.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_models", raising=False)
    for number in range(6):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"{number}.avi", film(9 + number, 16, 16), "mjpeg", pixels="yuvj420p")
    size = ("--data", tmp_path / "data", "--frames", 4, "--size", 16)
    return lambda name: ["evaluate", "--model", f"odd_models:{name}", *size, "--attack", "PGD(ε=8,α=2,i=2)"]


@pytest.mark.parametrize("name", WORDS)
def test_what_a_model_of_ones_own_does_wrong_is_said(
    name: str, asked: Callable[[str], list[object]], vidrobust: Command
) -> None:
    code, _, err = vidrobust(*asked(name))
    assert code == 1
    assert WORDS[name] in err
    assert "Traceback" not in err and "fault of vidrobust" not in err


def test_what_the_self_test_finds_wrong_stands_on_the_page(
    asked: Callable[[str], list[object]], vidrobust: Command, tmp_path: Path
) -> None:
    code, _, err = vidrobust(*asked("Coupled"), "--out", tmp_path / "run")
    assert code == 0, err
    assert "self-test of odd_models:Coupled: batch: a clip's logits depend on the other clips" in err
    assert "gradient mode" not in err  # the gradient of a clip alone is of another function
    assert "Of odd_models:Coupled: batch: a clip" in (tmp_path / "run" / "report.html").read_text()
    code, shown, err = vidrobust("show", tmp_path / "run")
    assert code == 0, err
    assert "self-test" in shown
