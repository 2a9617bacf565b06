"""``vidrobust doctor``: the description of a machine for bug reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidrobust.cli.machine import about_machine, problems, where_it_is
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, run
from vidrobust.data.storage import in_words
from vidrobust.results.pages.console import printable

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Doctor(Verb):
    """Print versions, devices, decoders, disk and cache, for bug reports; exits with 1 if something is missing.

    Attributes:
        json: as JSON.
        paths: also the name of this machine and its folders, which a public report should not have.
    """

    NEXT = (
        Step("vidrobust doctor", "to be put into a report"),
        Step("vidrobust doctor --paths", "for your own eyes: with folders"),
    )

    json: bool = False
    paths: bool = False

    def run(self, console: Console) -> None:
        """Print it."""
        report = about_machine()
        report |= {"problems": problems(report)}
        if self.paths:
            report |= {"paths": where_it_is()}
        text = json.dumps(report, indent=1, ensure_ascii=False) if self.json else "\n".join(doctor_lines(report))
        print(printable(text))
        if report["problems"]:
            sys.exit(1)


def doctor_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report as text."""
    for name, value in doctor_entries(report):
        yield f"{name:<14} {value}"


def doctor_entries(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names, each with its value."""
    own, python, cpu, cache = report["vidrobust"], report["python"], report["processor"], report["cache"]
    yield "vidrobust", f"{own['version']}, revision {own['revision']}"
    yield "python", f"{python['version']} ({python['implementation']}), {python['system']}"
    yield "libraries", ", ".join(f"{name} {version or 'missing'}" for name, version in report["libraries"].items())
    whole = {name: parts for name, parts in report["extras"].items() if None not in parts.values()}
    yield "extras", ", ".join(extra(name, parts) for name, parts in whole.items()) or "none"
    yield "  missing", ", ".join(sorted(set(report["extras"]) - set(whole))) or "none"
    yield "processor", f"{cpu['name']}, {cpu['cores']} cores, {cpu['threads']} threads"
    yield "  has", f"{' '.join(cpu['instructions']) or 'no vector instructions'}, {bfloat16(cpu)}"
    for gpu in report["gpus"]:
        about = f"{in_words(gpu['memory'])}, capability {gpu['capability']}, CUDA {gpu['cuda']}, {bfloat16(gpu)}"
        yield "GPU", f"{gpu['name']}, {about}"
    if not report["gpus"]:
        yield "GPU", "none that PyTorch can use"
    yield from report["decoders"].items()
    yield "codecs", " ".join(name for name, there in report["codecs"].items() if there)
    yield "disk", "free: " + ", ".join(f"{name} {in_words(size)}" for name, size in report["disk"].items())
    writable = "writable" if cache["writable"] else "not writable"
    yield "cache", f"{in_words(cache['size'])} in {cache['files']} files, {in_words(cache['free'])} free, {writable}"
    yield from report.get("paths", {}).items()
    yield from (("problem", remedy) for remedy in report["problems"])


def extra(name: str, parts: Mapping[str, str | None]) -> str:
    """An extra, with the version of the library it is called after."""
    return f"{name} {parts[name]}" if name in parts else name


def bfloat16(device: Mapping[str, Any]) -> str:
    """Whether a device multiplies bfloat16."""
    return "bfloat16 in hardware" if device["bfloat16"] else "no bfloat16 in hardware"


def main(arguments: list[str]) -> None:
    """``vidrobust doctor``."""
    run(Doctor, "doctor", arguments)
