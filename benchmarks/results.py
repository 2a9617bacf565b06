"""A result file: what was measured, where, with what; and the check of its shape."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Row, Stage
from vidrobust.fast.precision import has_bf16
from vidrobust.runs.files import write_atomic

SCHEMA = 1
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

KINDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "time": {"row": str, "contestant": str, "seconds": dict},
    "memory": {"row": str, "contestant": str, "bytes": int},
    "loss": {"row": str, "contestant": str, "loss": float},
    "ratio": {"row": str, "what": str, "of": str, "to": str, "ratio": dict, "bound": (float, type(None))},
    "figure": {"row": str, "what": str, "value": (float, int, str, list, dict)},
    "not run": {"row": str, "why": str},
}
"""What each kind of row must have."""


def machine(device: torch.device) -> Row:
    """The machine and its software, by names that tell nobody's machine apart."""
    found = {
        "device": processor() if device.type == "cpu" else torch.cuda.get_device_name(device),
        "type": device.type,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "cuda": None,
        "cudnn": None,
        "driver": None,
        "memory": None,
        "bfloat16": has_bf16(device),
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "memory": about.total_memory}
        found["driver"] = _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader").split("\n")[0]
    return found


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def revision(tree: Path = ROOT) -> str:
    """The commit of a checkout, with a + where files differ from it; of this one what $REVISION says comes first.

    Who copies a tree to another machine without its history says there which commit it is.
    """
    if tree == ROOT and "REVISION" in os.environ:
        return os.environ["REVISION"]
    commit = _said("git", "-C", str(tree), "rev-parse", "--short=12", "HEAD")
    changed = _said("git", "-C", str(tree), "status", "--porcelain", "--untracked-files=no")
    return (commit or "unknown") + ("+" if changed else "")


def models_folder(suite: str, tiny: bool, root: Path = ROOT) -> Path:
    """Where a suite keeps the models that it trained, so that a killed run goes on; other sources train them anew."""
    digest = hashlib.sha256()
    for file in sorted((root / "src").rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return root / "runs" / f"benchmark-{suite}{'-tiny' if tiny else ''}" / digest.hexdigest()[:12]


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def document(suite: str, stage: Stage) -> dict[str, Any]:
    """The whole result."""
    return {
        "schema": SCHEMA,
        "suite": suite,
        "tiny": stage.tiny,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "revision": revision(),
        "command": " ".join(sys.argv[1:]),
        "clock": stage.clock,
        "machine": machine(stage.device),
        "rows": [],
    }


def write_found(result: dict[str, Any], stage: Stage, file: Path) -> None:
    """Write what a stage has found so far; which clock its seconds are of, its suite says when it begins."""
    write({**result, "clock": stage.clock, "rows": stage.found}, file)


def check(found: Any) -> None:
    """Refuse what is no result.

    Raises:
        ValueError: a field is missing or of another type; says which.
    """
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"no result of schema {SCHEMA}")
    for name, kind in {
        "suite": str,
        "tiny": bool,
        "revision": str,
        "clock": str,
        "machine": dict,
        "rows": list,
    }.items():
        if not isinstance(found.get(name), kind):
            raise ValueError(f"{name} must be of type {kind.__name__}, but is {found.get(name)!r}")
    notes = found.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError(f"notes must be a list of texts, but is {notes!r}")
    for number, row in enumerate(found["rows"]):
        fields = KINDS.get(str(row.get("kind"))) if isinstance(row, dict) else None
        if fields is None:
            raise ValueError(f"row {number} has no known kind: {row!r}")
        for name, kind in fields.items():
            if name not in row or not isinstance(row[name], kind):
                raise ValueError(
                    f"row {number} ({row['kind']}): {name} is missing or of another type: {row.get(name)!r}"
                )


def file_for(found: dict[str, Any]) -> Path:
    """Where a result is committed: named after suite and device, and after what a processor lacks."""
    name = re.sub(r"[^a-z0-9]+", "-", found["machine"]["device"].lower()).strip("-")
    lacks = "" if found["machine"].get("bfloat16", True) else "--without-bfloat16"
    return RESULTS / f"{found['suite']}--{name}{lacks}.json"


def write(found: dict[str, Any], file: Path) -> None:
    """Check and write a result, one row a line."""
    check(found)
    head = json.dumps({name: value for name, value in found.items() if name != "rows"}, indent=1, ensure_ascii=False)
    rows = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in found["rows"])
    text = f'{head.removesuffix("}").rstrip()},\n "rows": [\n{rows}\n ]\n}}\n'
    write_atomic(file, text.encode())


def read(file: Path) -> dict[str, Any]:
    """A checked result."""
    found = json.loads(file.read_text(encoding="utf8"))
    check(found)
    return found
