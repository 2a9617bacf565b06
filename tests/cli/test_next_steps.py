"""Every help text and every error ends in a command that can be typed."""

from __future__ import annotations

import os
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vidrobust import errors
from vidrobust.cli import data, entry
from vidrobust.cli.completion import kinds_of
from vidrobust.cli.next_steps import Step, after, suggestions
from vidrobust.cli.options import Verb, parsed
from vidrobust.errors import MissingExtraError, VidrobustError
from vidrobust.notation.scanner import ParseError

Command = Callable[..., tuple[int, str, str]]

KINDS: dict[str, type[Verb]] = {
    " ".join(dict.fromkeys((verb, *name.split()))): kind
    for verb in entry.VERBS
    for name, kind in kinds_of(verb).items()
}
"""Every verb, those of ``data`` among them, with what declares it."""

SUGGESTED = [*entry.NEXT, *data.NEXT, *(step for kind in KINDS.values() for step in kind.NEXT)]


def last_commands(text: str) -> list[str]:
    """The commands that a text ends in."""
    _, _, end = text.rpartition("\nNext:\n")
    return [line.partition("  # ")[0].strip() for line in end.splitlines()]


def check_can_be_typed(command: str) -> None:
    """A command line of this package whose options are right."""
    program, *arguments = shlex.split(command, comments=True)
    assert program == "vidrobust"
    name = next((name for name in KINDS if " ".join(arguments).startswith(name)), None)
    rest = arguments if name is None else arguments[len(name.split()) :]
    if "--help" in rest:
        assert name is not None or rest == ["--help"] or rest == ["data", "--help"]
        return
    assert name is not None, command
    rest = rest[: rest.index(">")] if ">" in rest else rest
    parsed(KINDS[name], name, rest)


@pytest.mark.parametrize("command", sorted({step.command for step in SUGGESTED}))
def test_what_is_suggested_can_be_typed(command: str) -> None:
    check_can_be_typed(command)


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["data"], *([*name.split(), "--help"] for name in KINDS)], ids=" ".join
)
def test_every_help_ends_in_what_to_type(words: list[str], vidrobust: Command) -> None:
    code, printed, _ = vidrobust(*words)
    assert code == (0 if "--help" in words else 2)
    assert not [name for name in ("<class", "Optional[", "Union[", "Literal[") if name in printed]
    commands = last_commands(printed)
    assert commands
    assert all(command.startswith("vidrobust ") for command in commands)


def test_data_that_cannot_be_used_ends_in_what_to_type(tmp_path: Path, vidrobust: Command) -> None:
    code, printed, _ = vidrobust("data", "check", str(tmp_path / "none"), "--out", str(tmp_path / "check.json"))
    assert code == 1 and "not usable" in printed
    assert last_commands(printed)[0] == "vidrobust data check --help"


ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "zoo.md", ROOT / "docs" / "install.md"]


def typed(page: Path) -> list[str]:
    """The commands of this package in the blocks of a page."""
    blocks = re.findall(
        r"^```sh\n(.*?)^```|((?:^    .*\n)+)", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    lines = "\n".join(first or second for first, second in blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("vidrobust ") and "…" not in line]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_first_pages_say_can_be_typed(page: Path) -> None:
    commands = typed(page)
    assert commands
    for command in commands:
        check_can_be_typed(command)


def all_errors(kind: type[BaseException] = VidrobustError) -> Iterator[type[BaseException]]:
    yield kind
    for below in kind.__subclasses__():
        yield from all_errors(below)


def one_of(kind: type[BaseException]) -> BaseException:
    if kind is MissingExtraError:
        return MissingExtraError("pyarrow", "parquet")
    if kind is ParseError:
        return ParseError("AT(", 3, "Expected ε.", "AT(ε=8,α=8,i=3)")
    return kind("wrong")


@pytest.mark.parametrize(
    "kind", [*all_errors(), KeyboardInterrupt, OSError, RuntimeError], ids=lambda kind: kind.__name__
)
def test_every_error_ends_in_what_to_type(
    kind: type[BaseException], vidrobust: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(arguments: object) -> None:
        raise one_of(kind)

    monkeypatch.setattr("vidrobust.cli.train.main", fails)
    typed = ("train", "--data", tmp_path, "--method", "AT(ε=8,α=8,i=3)", "--out", "x")
    code, printed, err = vidrobust(*typed)
    assert (code > 0, printed) == (True, "")
    (command,) = last_commands(err)
    if kind is MissingExtraError:
        assert command == 'pip install "vidrobust[parquet]"'
        return
    check_can_be_typed(command)
    if kind in (errors.StoppedError, KeyboardInterrupt):
        assert shlex.split(command) == ["vidrobust", *map(str, typed)]
    if kind is errors.DecodeError:
        assert command == f"vidrobust data check {tmp_path}"
    if kind in (OSError, RuntimeError):
        assert command == "vidrobust doctor"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("stduy", "vidrobust --help"),
        ("data mak", "vidrobust data --help"),
        ("data make --seed x y", "vidrobust data make --help"),
        ("train --nonsense 3", "vidrobust train --help"),
        ("runs nowhere", "vidrobust runs --help"),
        ("show nowhere", "vidrobust runs"),
        ("train --data=nowhere --out x", "vidrobust train --help"),
    ],
)
def test_wrong_command_lines(
    words: str, command: str, vidrobust: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = vidrobust(*words.split())
    assert code > 0
    assert last_commands(err) == [command]


def test_types_are_told_by_their_names(vidrobust: Command) -> None:
    assert "--lr must be a number, but is 'fast'." in vidrobust("train", "--lr", "fast")[2]


def test_a_verb_that_is_nearly_right_is_recognised(vidrobust: Command) -> None:
    assert "Is it study?" in vidrobust("stduy")[2]
    assert "Is it" not in vidrobust("qqqq")[2]


def test_a_fault_is_told_whole(vidrobust: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(arguments: object) -> None:
        raise ZeroDivisionError("\x1b[2J by zero")

    monkeypatch.setattr("vidrobust.cli.runs.main", fails)
    code, _, err = vidrobust("runs")
    assert code == 1
    assert "in fails" in err
    assert "ZeroDivisionError: �[2J by zero" in err


def test_what_is_told_of_a_missing_library_passes_between_processes() -> None:
    error = pickle.loads(pickle.dumps(MissingExtraError("pyarrow", "parquet", "Parquet", "no such module")))  # noqa: S301
    assert (
        str(error)
        == 'Parquet needs pyarrow (no such module), which is not installed: pip install "vidrobust[parquet]".'
    )
    assert after(error, "export", []).command == 'pip install "vidrobust[parquet]"'


def test_a_path_with_spaces_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "my videos"
    folder.mkdir()
    step = after(errors.DataError("damaged"), "train", ["train", f"--data={folder}"])
    assert shlex.split(step.command) == ["vidrobust", "data", "check", str(folder)]


def test_commands_stand_in_a_column() -> None:
    assert suggestions([Step("a", "one"), Step("a b", "two")]) == "Next:\n  a    # one\n  a b  # two\n"


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{shlex.quote(sys.executable)} -m vidrobust --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ)
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
