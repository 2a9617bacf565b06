"""The command line: each verb is a module of this room. Nothing heavy is imported before one is chosen."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from vidrobust.cli.options import UsageError
from vidrobust.errors import StoppedError, VidrobustError
from vidrobust.runs.code import only_code_in
from vidrobust.runs.printable import printable

VERBS = {
    "study": "the whole study of the slides: data, attacks, training, claims, page",
    "train": "train one model under one policy",
    "evaluate": "accuracy of a trained model under attacks",
    "sweep": "PGD's loss over step sizes × iterations, and α*",
    "attack": "attack some clips and look at them",
    "judge": "how robust a model is, and whether to believe the number",
    "verify": "score the adversarial clips of a judgement anew",
    "compare": "two judgements, clip for clip",
    "leaderboard": "one page of many judgements",
    "report": "the page of one or several run directories; figures and tables for a paper",
    "deck": "the slides of a run, live",
    "show": "what a run found, in the terminal",
    "runs": "the run directories in a folder",
    "data": "check a data set, decode it into the cache, or make the embedded one as video files",
    "export": "the rows of a run as Parquet",
}
"""What each verb is for; ``train`` lives in ``vidrobust/cli/train.py``, whose ``main`` takes the options."""

_LINES = "\n".join(f"  {verb:<11} {about}" for verb, about in VERBS.items())

HELP = f"""\
usage: vidrobust VERB [options]

Adversarial attacks on, and adversarial training of, video classifiers.

{_LINES}

vidrobust VERB --help tells a verb's options; --version the version.
ε and α are in units of 1/255; policies are written as on the slides: "CAL(ε~U(0,12),α=α*,i=5)",
or in ASCII: "CAL(eps~U(0,12),alpha=alpha*,i=5)".
"""

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and SIGTERM, as shells expect."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 if all went well, 1 for an error a user can mend, 2 for a wrong command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        from vidrobust.runs.provenance import package_version

        print(f"vidrobust {package_version()}")
        return
    verb, *rest = arguments
    if verb not in VERBS:
        print(f"vidrobust: there is no verb {verb!r}. Choose one of: {', '.join(VERBS)}.", file=sys.stderr)
        sys.exit(2)
    with _errors_in_words(verb), only_code_in(rest):
        importlib.import_module(f"vidrobust.cli.{verb}").main(rest)


@contextmanager
def _errors_in_words(verb: str) -> Generator[None]:
    """Errors that a user can mend end the program with a message, not a traceback."""
    try:
        yield
    except UsageError as error:
        print(f"vidrobust {verb}: error: {printable(error)} See vidrobust {verb} --help.", file=sys.stderr)
        sys.exit(2)
    except VidrobustError as error:
        print(f"vidrobust: error: {printable(error)}", file=sys.stderr)
        sys.exit(TERMINATED if isinstance(error, StoppedError) else 1)
    except KeyboardInterrupt:
        print("\nvidrobust: stopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        print(
            f"vidrobust: error: {printable(error.filename or '')}: {printable(error.strerror or error)}",
            file=sys.stderr,
        )
        sys.exit(1)
