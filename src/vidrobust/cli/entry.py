"""The command line: a few verbs, each typed by a dataclass. Nothing heavy is imported before a verb is chosen."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vidrobust.errors import StoppedError, VidrobustError

if TYPE_CHECKING:
    from argparse import ArgumentParser as PlainParser

    from jsonargparse import ArgumentParser

HELP = """\
usage: vidrobust VERB [options]

Adversarial attacks on, and adversarial training of, video classifiers.

  study      the whole study of the slides: data, attacks, training, claims, page
  train      train one model under one policy
  evaluate   accuracy of a trained model under attacks
  sweep      PGD's loss over step sizes × iterations, and α*
  attack     attack some clips and look at them
  report     the page of one or several run directories; figures and tables for a paper
  deck       the slides of a run, live
  show       what a run found, in the terminal
  runs       the run directories in a folder
  data       check a data set, decode it into the cache, or make the embedded one as video files
  export     the rows of a run as Parquet

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
    _guarded(VERBS[verb], rest)


def _guarded(verb: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Errors that a user can mend end the program with a message, not a traceback."""
    try:
        verb(arguments)
    except VidrobustError as error:
        print(f"vidrobust: error: {error}", file=sys.stderr)
        sys.exit(TERMINATED if isinstance(error, StoppedError) else 1)
    except KeyboardInterrupt:
        print("\nvidrobust: stopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        print(f"vidrobust: error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)


def _parser(verb: str, about: str) -> ArgumentParser:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(prog=f"vidrobust {verb}", description=about)
    parser.add_argument("--config", action="config", help="a YAML file of options; options after it override it")
    return parser


def _options(arguments: Sequence[str]) -> list[str]:
    """Options may be spelled with dashes (``--skip-bad``) or as the fields are (``--skip_bad``)."""
    spelled = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        spelled.append(name + equals + value)
    return spelled


def _verb(name: str, home: str = "verbs") -> Callable[[list[str]], None]:
    """The verb behind a dataclass of the module ``home``: its fields are the options, ``run`` does it."""

    def run(arguments: list[str]) -> None:
        from pathlib import Path

        from rich.console import Console

        kind = getattr(importlib.import_module(f"vidrobust.cli.{home}"), name.capitalize())
        parser = _parser(name, kind.__doc__.splitlines()[0])
        apart = {"run_dir", "attack", *FLAGS} & set(kind.__dataclass_fields__)
        if kind.__dataclass_fields__.get("attack") and name != "evaluate":
            apart.remove("attack")
        parser.add_class_arguments(kind, skip=apart)
        if "run_dir" in apart:
            about = "a run directory or a .safetensors file; none with --model and --data"
            parser.add_argument("run_dir", type=Path, nargs="?", help=about)
        if "attack" in apart:
            parser.add_argument(
                "--attack",
                action="append",
                required=True,
                help='such as "PGD(ε=8,α=α*,i=20)"; may be given several times',
            )
        for flag in FLAGS:
            if flag in apart:
                _add_flag(parser, flag, FLAGS[flag])
        arguments = _options(arguments)
        if name == "train":
            _link(parser)
            _add_recipe(parser, arguments)
        values = parser.parse_args(arguments)
        values.pop("config", None)
        if name == "train" and values.out is None and not values.dry_run:
            parser.error("--out is needed: the run directory")
        kind(**_fields(parser, values)).run(Console(stderr=True, emoji=False))

    return run


FLAGS = {
    "skip_bad": "leave out videos that cannot be decoded, and list them",
    "new_head": "replace a last layer of another number of classes by a new one",
    "dry_run": "say what it would cost, and stop",
}
"""Options without a value."""

STATED_ABOVE = ("fit.epochs", "fit.batch", "fit.lr")
"""Fields of nested configurations that have a shorter spelling."""


def _link(parser: ArgumentParser) -> None:
    """What is stated above goes into the nested configurations, before those are checked; there it is refused."""
    for long in STATED_ABOVE:
        parser.link_arguments(long.partition(".")[2], long)
    parser.link_arguments("data", "clips.name")


def _add_recipe(parser: ArgumentParser, arguments: list[str]) -> None:
    """``--recipe NAME``: a training whose values are the defaults of all other options."""
    from dataclasses import asdict

    from vidrobust.study.recipes import TRAININGS

    chosen = [after for before, after in zip(arguments, arguments[1:], strict=False) if before == "--recipe"]
    chosen += [argument.partition("=")[2] for argument in arguments if argument.startswith("--recipe=")]
    if chosen:
        if chosen[-1] not in TRAININGS:
            parser.error(f"there is no recipe {chosen[-1]!r}. Choose one of: {', '.join(TRAININGS)}")
        fields = _flat(asdict(TRAININGS[chosen[-1]]()))
        fields |= {short.partition(".")[2]: fields.pop(short) for short in STATED_ABOVE}
        left_out = ("about.", "clips.name", "clips.skip_bad")
        fields = {name: value for name, value in fields.items() if not name.startswith(left_out)}
        parser.set_defaults({**fields, "data": ""})


def _add_flag(parser: ArgumentParser, name: str, about: str) -> None:
    parser.add_argument(f"--{name}", action="store_true", help=about)


def _fields(parser: ArgumentParser, values: Any) -> dict[str, Any]:
    """The parsed options as the arguments of a dataclass, nested dataclasses made."""
    return dict(vars(parser.instantiate(values)))


def _study(arguments: list[str]) -> None:
    """``vidrobust study``: the fields of :class:`vidrobust.study.recipes.StudyConfig` and a few more options."""
    from dataclasses import asdict
    from pathlib import Path

    from vidrobust.cli.verbs import default_workers, run_study
    from vidrobust.study.engines import EngineName
    from vidrobust.study.recipes import PROFILES, StudyConfig

    arguments = _options(arguments)
    parser = _parser("study", "Run the whole study of the slides, or go on with one, and make its page.")
    parser.add_argument("--data", help="motion, the embedded data set, or a folder of videos")
    parser.add_argument("--out", type=Path, help="the run directory (default: runs/PROFILE)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes over independent jobs")
    parser.add_argument("--engine", type=EngineName, default="local", help="where jobs run: local, ray or slurm")
    parser.add_argument("--address", help="of a running Ray cluster (auto); Slurm's partition (local: no Slurm)")
    parser.add_argument("--gpus", type=float, default=0.0, help="for each job, where the engine deals them out")
    _add_flag(parser, "skip_bad", "leave out videos that cannot be decoded, and list them")
    _add_flag(parser, "dry_run", "say what it would cost, and stop")
    parser.add_class_arguments(StudyConfig)
    parser.set_defaults(_flat(asdict(PROFILES[_profile(parser, arguments)]())))
    values = parser.parse_args(arguments)
    own = {
        name: values.pop(name)
        for name in ("data", "out", "workers", "engine", "address", "gpus", "skip_bad", "dry_run")
    }
    values.pop("config", None)
    run_study(StudyConfig(**_fields(parser, values)), **own)


def _profile(parser: ArgumentParser, arguments: list[str]) -> str:
    """The profile that the options or a configuration file name: it sets the defaults of all others."""
    return parser.parse_args(arguments, defaults=True, env=False).profile


def _flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _report(arguments: list[str]) -> None:
    """``vidrobust report RUN [RUN…]``: the page, or figures and tables for a paper, without torch."""
    from vidrobust.results.pages.paper import paper_figures
    from vidrobust.results.pages.report import report
    from vidrobust.results.pages.tables import tables

    parser = _plain("report", "Make the page of one or several run directories, or figures and tables for a paper.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run directory")
    parser.add_argument("--out", help="the page, or the folder of figures and tables (default: in the run directory)")
    parser.add_argument("--figures", choices=["pdf", "svg", "png"], help="draw the figures for a paper instead")
    parser.add_argument("--tables", choices=["latex", "csv", "markdown"], help="write the tables for a paper instead")
    values = parser.parse_args(arguments)
    if not values.figures and not values.tables:
        print(report(values.runs, values.out))
        return
    if len(values.runs) > 1:
        parser.error("figures and tables for a paper are made of one run at a time")
    made = paper_figures(values.runs[0], values.figures, values.out) if values.figures else []
    made += tables(values.runs[0], values.tables, values.out) if values.tables else []
    print(*made, sep="\n")


def _deck(arguments: list[str]) -> None:
    """``vidrobust deck RUN``: the slides, live."""
    from vidrobust.results.pages.deck import deck

    parser = _plain("deck", "Rebuild the slides from a run, as one offline file.")
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("--out", help="the deck (default: deck.html in the run directory)")
    parser.add_argument("--script", help="the slides as Markdown: read if it exists, else written to be edited")
    values = parser.parse_args(arguments)
    print(deck(values.run, values.out, values.script))


def _show(arguments: list[str]) -> None:
    """``vidrobust show RUN``: what the page says, in the terminal."""
    from vidrobust.results.pages.show import show

    parser = _plain("show", "Show what a run found, in the terminal.")
    parser.add_argument("run", metavar="RUN", help="a run directory")
    show(parser.parse_args(arguments).run)


def _runs(arguments: list[str]) -> None:
    """``vidrobust runs DIR``: the run directories in a folder."""
    from vidrobust.results.pages.show import list_runs

    parser = _plain("runs", "List the run directories in a folder.")
    parser.add_argument("folder", nargs="?", default="runs", metavar="DIR", help="where to look (default: runs)")
    list_runs(parser.parse_args(arguments).folder)


def _plain(verb: str, about: str) -> PlainParser:
    """A parser for the verbs that have no typed configuration."""
    from argparse import ArgumentParser

    return ArgumentParser(f"vidrobust {verb}", description=about)


def _data(arguments: list[str]) -> None:
    """``vidrobust data make|check|cache``: see :mod:`vidrobust.cli.data`."""
    from vidrobust.cli.data import main as data

    data(arguments)


def _export(arguments: list[str]) -> None:
    """``vidrobust export RUN OUT.parquet``: one column a field, for pandas, DuckDB or polars."""
    from vidrobust.results.export import export

    parser = _plain("export", "Write the rows of a run as Parquet.")
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument("out", metavar="OUT.parquet", help="the file to write")
    parser.add_argument("--kind", help="rows of this kind only, such as robustness")
    values = parser.parse_args(arguments)
    print(export(values.run, values.out, values.kind))


VERBS: dict[str, Callable[[list[str]], None]] = {
    "study": _study,
    "train": _verb("train", "train"),
    "evaluate": _verb("evaluate"),
    "sweep": _verb("sweep", "sweep"),
    "attack": _verb("attack"),
    "report": _report,
    "deck": _deck,
    "show": _show,
    "runs": _runs,
    "data": _data,
    "export": _export,
}
