"""The command line: each verb is a module of this room. Nothing heavy is imported before one is chosen."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import sysconfig
import threading
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import FrameType

from vidrobust.cli.next_steps import Step, after, suggestions
from vidrobust.errors import StoppedError, UsageError, VidrobustError
from vidrobust.runs.code import only_code_in
from vidrobust.runs.printable import printable

VERBS = {
    "study": "the whole study of the slides: data, attacks, training, claims, page",
    "train": "train one model under one policy",
    "evaluate": "accuracy of a trained model under attacks",
    "sweep": "PGD's loss over step sizes × iterations, and α*",
    "attack": "attack some clips and look at them",
    "certify": "certified accuracy, beside the accuracy under attacks",
    "transfer": "accuracy on clips that were perturbed on other models",
    "judge": "how robust a model is, and whether the number can be trusted",
    "verify": "score the adversarial clips of a judgement anew",
    "compare": "two judgements, clip for clip",
    "leaderboard": "a page with many judgements",
    "report": "the page of one or several run directories; figures and tables for a paper",
    "deck": "the slides of a run, live",
    "show": "what a run found, in the terminal",
    "runs": "the run directories in a folder",
    "data": "check a data set, decode it into the cache, or make the embedded one as video files",
    "cite": "the BibTeX of the methods, attacks and data of a run",
    "push": "a trained model as a repository of the Hugging Face Hub, with its judgement as its card",
    "export": "the rows of a run as Parquet",
    "doctor": "versions, devices, decoders and disk, for bug reports",
    "completion": "a script by which the shell completes verbs and options",
}
"""What each verb is for; ``train`` lives in ``vidrobust/cli/train.py``, whose ``main`` takes the options."""

_LINES = "\n".join(f"  {verb:<11}  {about}" for verb, about in VERBS.items())

HELP = f"""\
usage: vidrobust VERB [options]

Adversarial attacks on, and adversarial training of, video classifiers.

{_LINES}

vidrobust VERB --help prints the options of a verb, vidrobust --version the version.
ε and α are in units of 1/255; policies are written as on the slides: "CAL(ε~U(0,12),α=α*,i=5)",
or in ASCII: "CAL(eps~U(0,12),alpha=alpha*,i=5)".
"""

NEXT = (
    Step("vidrobust attack zoo:motion-standard", "see clips that are attacked; nothing to train"),
    Step("vidrobust judge zoo:motion-at", "how robust a model is; judge --help for your own"),
    Step("vidrobust train --help", "make a model robust"),
    Step("vidrobust study --profile quick", "measure the figures of the slides"),
    Step("vidrobust doctor", "is everything here that is needed?"),
)
"""For who has typed nothing yet."""

INTERRUPTED, BROKEN_PIPE, TERMINATED = 130, 141, 143
"""Exit codes after Ctrl-C, a closed pipe and SIGTERM, as shells expect."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 if all went well, 1 for an error a user can mend, 2 for a wrong command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with _errors_in_words(arguments), _ending_on_sigterm():
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print(HELP, suggestions(NEXT), sep="\n", end="", flush=True)
            sys.exit(0 if arguments else 2)
        if arguments[0] == "--version":
            from vidrobust.runs.provenance import package_version

            print(f"vidrobust {package_version()}")
            return
        verb, *rest = arguments
        if verb not in VERBS:
            near = " or ".join(get_close_matches(verb, VERBS, 2))
            raise UsageError(f"there is no verb {verb!r}." + (f" Is it {near}?" if near else ""))
        with only_code_in(rest):
            importlib.import_module(f"vidrobust.cli.{verb}").main(rest)


class Terminated(KeyboardInterrupt):
    """SIGTERM came, which ends a command as Ctrl-C does: workers are stopped, and what they share is given back."""


@contextmanager
def _ending_on_sigterm() -> Generator[None]:
    """Inside, SIGTERM raises :class:`Terminated`, unless somebody listens to it already."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not end the stopping of workers
    raise Terminated


@contextmanager
def _errors_in_words(arguments: Sequence[str]) -> Generator[None]:
    """Errors that a user can mend end the program with a message, not a traceback; all with what to type next."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - other errors are shown with their traceback
        code, words = _in_words(error)
        step = suggestions([after(error, _verb(arguments), arguments)])
        print(f"vidrobust: {words}", step, sep="\n", end="", file=sys.stderr)
        sys.exit(code)


def _in_words(error: BaseException) -> tuple[int, str]:
    """The exit code of an error and what to say of it."""
    if isinstance(error, KeyboardInterrupt):
        code = TERMINATED if isinstance(error, Terminated) else INTERRUPTED
        return code, "stopped. What was finished is kept."
    if isinstance(error, VidrobustError):
        code = 2 if isinstance(error, UsageError) else TERMINATED if isinstance(error, StoppedError) else 1
        return code, f"error: {printable(error)}"
    if isinstance(error, OSError):
        return 1, f"error: {printable(error.filename or '')}: {printable(error.strerror or error)}"
    place = _own_code(error)
    if place is not None:
        text = printable(f"{place}: {type(error).__name__}: {error}").split("\n", 1)[0]
        return 1, f"error: {text[:1000]}\nThis is code of your own, named on the command line."
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return 1, f"this is a fault of vidrobust, or of a model or a function of yours:\n\n{printable(lines)}"


def _own_code(error: BaseException) -> str | None:
    """The line of the user's own code that an error comes from, be it by way of other libraries; None if of ours."""
    ours = Path(__file__).resolve().parents[1]
    others = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    for step in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(step.filename).resolve()
        if file.is_relative_to(ours):
            return None
        if file.is_file() and not any(map(file.is_relative_to, others)):
            return f"{file}, line {step.lineno}, in {step.name}"
    return None


def _verb(arguments: Sequence[str]) -> str:
    """The verb, with that of ``data`` behind it; an empty text where there is none."""
    verb, below = [*arguments, "", ""][:2]
    within = getattr(sys.modules.get(f"vidrobust.cli.{verb}"), "DATA_VERBS", {})
    return "" if verb not in VERBS else f"{verb} {below}" if below in within else verb
