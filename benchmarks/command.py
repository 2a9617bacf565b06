"""The command line of the benchmarks: one parser for all suites."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks import suites
from benchmarks.measuring import Row, Stage
from benchmarks.results import document, file_for, write_found
from vidrobust.study.engines import EngineName
from vidrobust.study.recipes import PROFILES

SUITES = tuple(module.name for module in pkgutil.iter_modules(suites.__path__))

PROFILE = {"choices": sorted(PROFILES), "default": "quick", "help": "of the study"}
OPTIONS: dict[str, dict[str, dict[str, Any]]] = {
    "judging": {
        "--run": {"type": Path, "metavar": "DIR", "help": "judge the model of this run instead of a small one"},
        "--model": {"default": "standard", "help": "of a study, which model"},
        "--eps": {"type": float, "default": 1.0, "help": "in units of 1/255"},
        "--clips": {"type": int, "default": 24},
        "--split": {"choices": ["train", "val", "test"], "default": "test"},
    },
    "scaling": {
        "--engine": {"choices": get_args(EngineName), "default": "local", "help": "runs the jobs of the study"},
        "--profile": PROFILE,
    },
    "study": {
        "--profile": PROFILE,
        "--workers": {"type": int, "help": "by default one for each core"},
        "--before": {"type": Path, "metavar": "DIR", "help": "a checkout of another revision, in turn with this one"},
    },
}
"""Options that only one suite has."""


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for."""
    options = parser().parse_args(arguments)
    stage = stage_from(options)
    found = document(options.suite, stage)
    file = options.out or (None if options.tiny else file_for(found))

    def note(row: Row) -> None:
        print(row_line(row), flush=True)
        if options.out:  # if the suite is stopped, what it has found is there; committed results are whole
            write_found(found, stage, options.out)

    stage.listener = note
    importlib.import_module(f"benchmarks.suites.{options.suite}").measure(stage)
    if file:
        write_found(found, stage, file)
        print(file)


def parser() -> argparse.ArgumentParser:
    """A command for each suite, with the options of all suites and those of its own."""
    made = argparse.ArgumentParser(prog="benchmarks/run", description="Measure a suite; see benchmarks/README.md.")
    commands = made.add_subparsers(dest="suite", required=True, metavar="SUITE", help=", ".join(SUITES))
    for suite in SUITES:
        command = commands.add_parser(suite, parents=[common_parser()])
        for name, how in OPTIONS.get(suite, {}).items():
            command.add_argument(name, **how)
    return made


def common_parser() -> argparse.ArgumentParser:
    """The options of all suites."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--device", choices=["cuda", "cpu"], default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--tiny", action="store_true", help="miniature sizes: shows that it works, nothing of speed")
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--rows", nargs="+", default=[], help="only rows whose names contain one of these")
    made.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing more after so long")
    made.add_argument("--threads", type=int, default=1, help="of PyTorch on the CPU")
    made.add_argument("--out", type=Path, help="the result's file")
    return made


def stage_from(options: argparse.Namespace) -> Stage:
    """Where and how long to measure."""
    if options.device == "cpu":
        torch.set_num_threads(options.threads)
        os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    device, names = torch.device(options.device), [name.removeprefix("--") for name in OPTIONS.get(options.suite, {})]
    own = {name: getattr(options, name) for name in names}
    return Stage(device, options.rounds, options.tiny, tuple(options.rows), 60 * options.minutes, options=own)


def row_line(row: Row) -> str:
    """A row as a line."""
    what = {
        "time": lambda: f"{row['contestant']}: {1000 * row['seconds']['median']:.3f} ms",
        "memory": lambda: f"{row['contestant']}: peak {row['bytes'] / 2**20:.1f} MiB",
        "loss": lambda: f"{row['contestant']}: final loss {row['loss']}",
        "ratio": lambda: _ratio(row),
        "figure": lambda: f"{row['what']}: {row['value']}",
        "not run": lambda: f"NOT RUN: {row['why']}",
    }[row["kind"]]()
    return f"{row['row']} | {what}"


def _ratio(row: Row) -> str:
    found, bound = row["ratio"], row["bound"]
    spread = f"{found['median']} ({found['q1']} to {found['q3']})"
    met = "" if bound is None else f", bound {bound}: {'met' if found['median'] <= bound else 'MISSED'}"
    return f"{row['what']} of {row['of']} over {row['to']}: {spread}{met}"
