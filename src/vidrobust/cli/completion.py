"""``vidrobust completion``: a script by which the shell completes verbs, options and their values."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentParser

from vidrobust.cli import entry
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, parser_of, run
from vidrobust.errors import MissingExtraError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Completion(Verb):
    """Print a script by which the shell completes verbs and options.

    Attributes:
        shell: the shell.
    """

    NEXT = (
        Step("vidrobust completion bash > ~/.local/share/bash-completion/completions/vidrobust", "for bash"),
        Step("vidrobust completion zsh > ~/.zfunc/_vidrobust", "for zsh, with ~/.zfunc in its fpath"),
        Step("vidrobust completion fish > ~/.config/fish/completions/vidrobust.fish", "for fish"),
    )

    shell: Literal["bash", "zsh", "fish", "tcsh"] = option(positional=True)

    def run(self, console: Console) -> None:
        """Print it."""
        print(script(self.shell))


def script(shell: str) -> str:
    """The script for a shell.

    Raises:
        MissingExtraError: shtab is not installed.
    """
    try:
        import shtab  # noqa: F401 - the parser needs it
    except ImportError as error:
        raise MissingExtraError("shtab", "completion", "shell completion") from error
    whole = ArgumentParser(prog="vidrobust")
    verbs = whole.add_subcommands()
    for verb, about in entry.VERBS.items():
        kinds = kinds_of(verb)
        if list(kinds) == [verb]:
            verbs.add_subcommand(verb, parser_of(kinds[verb], verb), help=about)
            continue
        group = ArgumentParser(prog=f"vidrobust {verb}")
        verbs.add_subcommand(verb, group, help=about)
        below = group.add_subcommands()
        for name, kind in kinds.items():
            below.add_subcommand(name, parser_of(kind, f"{verb} {name}"))
    return whole.get_completion_script(f"shtab-{shell}")


def kinds_of(verb: str) -> dict[str, type[Verb]]:
    """What a verb is declared by, under its name; of ``data`` each of its own verbs."""
    module = importlib.import_module(f"vidrobust.cli.{verb}")
    if hasattr(module, "DATA_VERBS"):
        return module.DATA_VERBS
    own = (kind for kind in vars(module).values() if getattr(kind, "__module__", "") == module.__name__)
    return {verb: next(kind for kind in own if isinstance(kind, type) and issubclass(kind, Verb))}


def main(arguments: list[str]) -> None:
    """``vidrobust completion bash``."""
    run(Completion, "completion", arguments)
