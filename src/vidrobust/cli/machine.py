"""The description of a machine for bug reports: versions, devices, decoders, disk and cache.

Nothing identifies the machine: host names and folders are printed only on request, and paths are removed from error
messages of other libraries.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from av.codec.codec import Codec, UnknownCodecError

from vidrobust.data.decoding.decoders import DECODERS, decoder
from vidrobust.data.decoding.encode import write_video
from vidrobust.data.decoding.geometry import Fit
from vidrobust.data.decoding.stored import StoredVideo
from vidrobust.data.parallel import cores
from vidrobust.data.storage import cache_root, room
from vidrobust.fast.precision import has_bf16
from vidrobust.runs.provenance import package_version, source_revision

CODECS = ("mpeg4", "h264", "hevc", "vp9", "av1", "mjpeg")
"""Codecs that data sets of videos come in."""

INSTRUCTIONS = ("avx2", "avx512", "avx512_bf16", "amx_tile", "amx_fp16")
"""What a processor may have, as PyTorch names it."""


def about_machine() -> dict[str, Any]:
    """Everything, as plain values: the keys are ``vidrobust``, ``python``, ``libraries``, ``extras``, ``processor``,
    ``gpus``, ``decoders``, ``codecs``, ``disk`` and ``cache``; sizes are in bytes.
    """
    return {
        "vidrobust": {"version": package_version(), "revision": source_revision()},
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "libraries": libraries(),
        "extras": extras(),
        "processor": processor(),
        "gpus": gpus(),
        "decoders": {name: decodes(name) for name in DECODERS},
        "codecs": codecs(),
        "disk": {"working folder": room(Path.cwd()), "temporary": room(Path(tempfile.gettempdir()))},
        "cache": cache(),
    }


def where_it_is() -> dict[str, str]:
    """What only the user should see: the machine's name, and folders."""
    return {
        "host": platform.node(),
        "working folder": str(Path.cwd()),
        "temporary": tempfile.gettempdir(),
        "cache": str(cache_root()),
        "python": sys.executable,
    }


def requirements() -> list[tuple[str, str]]:
    """The libraries that this package names, each with the extra that asks for it, or with an empty text.

    >>> ("torch", "") in requirements(), ("pyarrow", "parquet") in requirements()
    (True, True)
    """
    try:
        asked = importlib.metadata.requires("vidrobust") or []
    except importlib.metadata.PackageNotFoundError:  # a source tree that was never installed
        return []
    found = (re.match(r"""([\w.-]+)(?:.*extra == ['"]([\w-]+)['"])?""", line) for line in asked)
    return [(match[1], match[2] or "") for match in found if match and match[1] != "vidrobust"]


def installed(name: str) -> str | None:
    """The version of a library, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def libraries() -> dict[str, str | None]:
    """The version of each library that is needed; None where it is missing."""
    return {name: installed(name) for name, extra in requirements() if not extra}


def extras() -> dict[str, dict[str, str | None]]:
    """Of each extra the versions of its libraries; None where one is missing."""
    found: dict[str, dict[str, str | None]] = {}
    for name, extra in requirements():
        if extra:
            found.setdefault(extra, {})[name] = installed(name)
    return found


def processor() -> dict[str, Any]:
    """The processor, and what PyTorch uses of it."""
    has = {name: bool(getattr(torch.cpu, f"_is_{name}_supported", bool)()) for name in INSTRUCTIONS}
    return {
        "name": _processor_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "instructions": [name for name, there in has.items() if there],
        "bfloat16": has_bf16(torch.device("cpu")),
    }


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def gpus() -> list[dict[str, Any]]:
    """The GPUs that PyTorch can use; none where it was built without CUDA."""
    found: list[dict[str, Any]] = []
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        capability = f"{about.major}.{about.minor}"
        one = {"name": about.name, "memory": about.total_memory, "capability": capability, "cuda": torch.version.cuda}
        found.append({**one, "bfloat16": has_bf16(torch.device("cuda", number))})
    return found


def decodes(name: str) -> str:
    """Does a decoder give the frames of a video that is written for it? ``works``, or why it does not."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "grey.avi"
            write_video(path, np.full((4, 32, 32, 3), 128, np.uint8))
            shape = decoder(name)(StoredVideo(path, "a video of four frames"), Fit(16)).frames.shape
        return "works" if shape == (4, 16, 16, 3) else f"gives frames of the shape {shape}, not (4, 16, 16, 3)"
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is what the report is for
        return without_paths(f"{error}" or type(error).__name__)


def codecs() -> dict[str, bool]:
    """Which codecs FFmpeg, as PyAV brings it, decodes."""

    def known(name: str) -> bool:
        try:
            return bool(Codec(name, "r"))
        except UnknownCodecError:
            return False

    return {name: known(name) for name in CODECS}


def cache() -> dict[str, Any]:
    """The cache: how large it is, how much room its disk has, and whether it can be written."""
    root = cache_root()
    files = [path.stat().st_size for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
    place = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    return {
        "size": sum(files),
        "files": len(files),
        "free": room(root.absolute()),
        "writable": os.access(place, os.W_OK),
    }


def without_paths(text: str) -> str:
    r"""A message with the folders of each path taken out.

    >>> without_paths("cannot load /home/ada/venv/lib/libfoo.so: C:\\Users\\ada\\x.dll")
    'cannot load …/libfoo.so: …/x.dll'
    """
    return re.sub(r"(?<!\w)(?:[A-Za-z]:)?[\\/](?:[^\s:'\"\\/]+[\\/])*", "…/", text)


PROBLEMS: list[tuple[Callable[[dict[str, Any]], bool], str]] = [
    (lambda report: None in report["libraries"].values(), "a library is missing: pip install vidrobust"),
    (lambda report: report["decoders"]["pyav"] != "works", "PyAV decodes no video: pip install --force-reinstall av"),
    (
        lambda report: not report["cache"]["writable"],
        "the cache cannot be written: set VIDROBUST_CACHE to another folder",
    ),
    (
        lambda report: report["cache"]["free"] < 1e9,
        "the disk of the cache is nearly full: set VIDROBUST_CACHE to another",
    ),
    (lambda report: report["disk"]["working folder"] < 1e8, "the disk of this folder is full: work in another"),
]
"""What keeps vidrobust from working, and what to do."""


def problems(report: dict[str, Any]) -> list[str]:
    """The problems of a machine described by :func:`about_machine`."""
    return [remedy for wrong, remedy in PROBLEMS if wrong(report)]
