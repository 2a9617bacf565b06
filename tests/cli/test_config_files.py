"""A configuration file is data: nothing that it names is imported, whatever the spelling."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a file when it is imported."""
    marker = str(tmp_path / "imported")
    (tmp_path / "named_by_a_file.py").write_text(f"__import__('pathlib').Path({marker!r}).touch()\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


SPELLINGS = [
    "fit: {class_path: named_by_a_file.Thing, init_args: {}}",
    "fit: {class_path: named_by_a_file.Thing}",
    "fit: named_by_a_file.Thing",
    '"fit": "named_by_a_file.Thing"',
    "fit.class_path: named_by_a_file.Thing",
    "clips: named_by_a_file.Thing",
    "watch: [named_by_a_file.Thing]",
    '{"fit": {"class_path": "named_by_a_file.Thing"}}',
    '{"fit": {"cl\\u0061ss_path": "named_by_a_file.Thing"}}',
    "model: named_by_a_file:make",
    "model: named_by_a_file:make(size=3)",
    'method: "AT(ε=8,α=8,i=3,support=named_by_a_file.Thing())"',
    'method: "AT(ε=8,α=8,i=3,norm=named_by_a_file.Thing)"',
    "config: other.yaml",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_what_a_file_names_is_not_imported(text: str, evil: Path, small_motion: Path, vidrobust: Command) -> None:
    (evil / "c.yaml").write_text(text)
    (evil / "other.yaml").write_text("fit: named_by_a_file.Thing")
    for option in (("--config", evil / "c.yaml"), (f"--config={evil / 'c.yaml'}",)):
        code, _, err = vidrobust("train", *option, "--data", small_motion, "--out", evil / "run")
        assert code in (1, 2)
        assert "files are data" in err or str(evil / "c.yaml") in err
        assert not (evil / "imported").exists()


POLICY = 'policies: ["AT(ε=8,α=2,i=3,norm=named_by_a_file.T)"]'


def test_a_study_s_file_neither(evil: Path, small_motion: Path, vidrobust: Command) -> None:
    for text in (
        "gap: named_by_a_file.Thing",
        "model: named_by_a_file:make",
        'policies: ["AT(ε=8,norm=named_by_a_file.T)"]',
    ):
        (evil / "c.yaml").write_text(text)
        code, _, _ = vidrobust("study", "--config", evil / "c.yaml", "--data", small_motion, "--out", evil / "run")
        assert code in (1, 2)
        assert not (evil / "imported").exists()


def test_the_same_text_on_the_command_line_is_taken_at_its_word(
    evil: Path, small_motion: Path, vidrobust: Command
) -> None:
    (evil / "c.yaml").write_text("model: named_by_a_file:make")
    train = ("train", "--config", evil / "c.yaml", "--data", small_motion, "--out", evil / "run")
    code, _, err = vidrobust(*train, "--model", "named_by_a_file:make")
    assert code == 1
    assert "has no function 'make'" in err
    assert (evil / "imported").exists()


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(("text", "said"), [(BOMB, "more than"), ("[" * 10_000, "no configuration"), ("3", "no table"),
                                            ("a: [", "no configuration"), ("fit: 3", "table of options"),
                                            ("seed: 1\nseed: 2", "line 2: the key 'seed' is given twice")])  # fmt: skip
def test_what_is_no_configuration_is_told(text: str, said: str, tmp_path: Path, vidrobust: Command) -> None:
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = vidrobust("train", "--config", tmp_path / "c.yaml", "--out", tmp_path / "run")
    assert code == 1
    assert said in err
    assert str(tmp_path / "c.yaml") in err


GROUPS = ["class_path: named_by_a_file.Thing", "{class_path: named_by_a_file.Thing, init_args: {}}", "__path__: other"]


@pytest.mark.parametrize("text", GROUPS)
@pytest.mark.parametrize("group", ["fit", "clips", "watch"])
def test_nor_what_the_file_of_a_group_of_options_names(
    group: str, text: str, evil: Path, small_motion: Path, vidrobust: Command
) -> None:
    (evil / "c.yaml").write_text(text)
    for option in ((f"--{group}", evil / "c.yaml"), (f"--{group}={evil / 'c.yaml'}",)):
        code, _, err = vidrobust("train", *option, "--data", small_motion, "--out", evil / "run")
        assert code == 1
        assert "would name a class" in err and str(evil / "c.yaml") in err
        assert not (evil / "imported").exists()


def test_no_way_of_naming_a_file_goes_past_the_look_into_it(
    evil: Path, small_motion: Path, vidrobust: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(evil))
    (evil / "c.yaml").write_text("fit: {class_path: named_by_a_file.Thing}")
    os.mkfifo(evil / "pipe")
    for option in (
        ("--config=~/c.yaml",),
        ("--conf", evil / "c.yaml"),
        ("--config", f"file://{evil / 'c.yaml'}"),
        ("--config", "-"),
        ("--config", evil / "pipe"),
        ("--fit", evil / "pipe"),
        ("--config", "/dev/zero"),
    ):
        code, _, err = vidrobust("train", *option, "--data", small_motion, "--out", evil / "run")
        assert code in (1, 2)
        assert any(said in err for said in ("would name a class", "no regular file", "no option --conf."))
        assert not (evil / "imported").exists()


@pytest.mark.parametrize("text", ["fit: {lr: 0.5}", "fit.lr: 0.5", "clips: {name: other}", "fit:\n  epochs: 3\n"])
def test_a_field_that_an_option_of_its_own_sets_is_never_passed_over(
    text: str, tmp_path: Path, vidrobust: Command
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = vidrobust("train", "--config", tmp_path / "c.yaml", "--dry-run")
    assert code == 1
    assert "which is given as" in err
    code, _, err = vidrobust("train", "--fit", "{lr: 0.5}", "--dry-run")
    assert code == 1
    assert "--fit has fit.lr, which is given as lr" in err


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path, vidrobust: Command) -> None:
    with open(tmp_path / "c.yaml", "wb") as file:
        file.truncate(2**40)
    code, _, err = vidrobust("train", "--config", tmp_path / "c.yaml")
    assert code == 1
    assert "it is no configuration" in err


@pytest.mark.parametrize(
    ("verb", "text", "said"),
    [
        ("evaluate", "clips.size: 30", "has clips.size, which is no option. Is it size?"),
        ("evaluate", "skip-bad: true", "has skip-bad, which is no option. Is it skip_bad?"),
        ("evaluate", "clips: {size: 30}", '--clips must be a whole number, but is {"size": 30}.'),
        ("evaluate", "clips: null", "has null for clips, which must have a value: write one, or leave it out."),
        ("evaluate", "skip_bad: 3", "has 3 for skip_bad, which must be true or false."),
        ("evaluate", "attack: PGD", "has 'PGD' for attack, which must be a list of texts: write ['PGD']."),
        ("evaluate", "attack: {a: 3}", 'has {"a": 3} for attack, which must be a list of texts.'),
        ("evaluate", "attack: {2020-01-01: 3}", "has {2020-01-01: 3} for attack, which must be a list of texts."),
        ("evaluate", f"attack: 0x{'f' * 5000}", "has what is too large to be shown for attack, which must be a list"),
        ("evaluate", "out: [1, 2]", "--out must be a path, but is [1, 2]."),
        ("train", "clips: {sise: 3}", "has clips.sise, which is no option. Is it clips.size?"),
        ("train", "fit: {epoch: 3}", "has fit.epoch, which is no option. Is it epochs?"),
        ("train", "clips: [3]", "has [3] for clips, which is a table of options."),
        ("data make", "contrast: [1]", "has [1] for contrast, which must be a list of 2 values."),
        ("data make", "contrast: [1, x]", "--contrast must be a number, but is 'x'."),
    ],
    ids=lambda value: value if isinstance(value, str) and "--" not in value and "has" not in value else "",
)
def test_what_is_wrong_in_a_file_is_told_in_words(
    verb: str, text: str, said: str, tmp_path: Path, vidrobust: Command
) -> None:
    (tmp_path / "c.yaml").write_text(text)
    code, _, err = vidrobust(*verb.split(), "--config", tmp_path / "c.yaml")
    assert code in (1, 2)
    assert said in err
    assert "Traceback" not in err
