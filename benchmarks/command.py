"""The command line of the benchmarks: one parser for all suites."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
from pathlib import Path

import torch

from benchmarks import suites
from benchmarks.measuring import Row, Stage
from benchmarks.results import document, file_for, write

SUITES = tuple(module.name for module in pkgutil.iter_modules(suites.__path__))


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for."""
    options = parser().parse_args(arguments)
    stage = stage_from(options)
    stage.listener = lambda row: print(row_line(row), flush=True)
    importlib.import_module(f"benchmarks.suites.{options.suite}").measure(stage)
    found = document(options.suite, stage)
    if options.out or not options.tiny:
        file = options.out or file_for(found)
        write(found, file)
        print(file)


def parser() -> argparse.ArgumentParser:
    """What every suite takes."""
    made = argparse.ArgumentParser(prog="benchmarks/run", description="Measure a suite; see benchmarks/README.md.")
    made.add_argument("suite", choices=SUITES)
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
    device = torch.device(options.device)
    return Stage(device, options.rounds, options.tiny, tuple(options.rows), 60 * options.minutes)


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
