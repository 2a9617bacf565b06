"""The index beside adversarial video files: ``vidrobust attack --write`` writes it, ``vidrobust verify`` reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.errors import InputError, RunError
from vidrobust.evaluation.video_files import judged_files
from vidrobust.models.fingerprint import fingerprint
from vidrobust.runs.files import read_json, write_atomic
from vidrobust.study.verification import Verification

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.clips import Clips

INDEX = "files.json"
SCHEMA = "vidrobust.video-files/1"
MOST = 10_000
"""Files of an index."""

_FIELDS = {"file": str, "video": str, "label": str, "decoded": bool, "moved": int, "windows": int, "predicted": str}


def write_index(folder: Path, model: nn.Module, about: dict[str, Any], files: Sequence[dict[str, Any]]) -> Path:
    """Write what was made, beside the files."""
    content = {"schema": SCHEMA, "weights": fingerprint(model), **about, "files": list(files)}
    write_atomic(folder / INDEX, json.dumps(content, ensure_ascii=False, indent=1).encode())
    return folder / INDEX


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder.

    Raises:
        RunError: it is damaged, of another version, or names a file outside the folder.
    """
    found = read_json(folder / INDEX)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("files"), list):
        raise RunError(f"{folder / INDEX} is no index of adversarial files ({SCHEMA}).")
    if len(found["files"]) > MOST:
        raise RunError(f"{folder / INDEX} names {len(found['files'])} files, more than {MOST}.")
    for one in found["files"]:
        if not isinstance(one, dict) or any(type(one.get(name)) is not kind for name, kind in _FIELDS.items()):
            raise RunError(f"{folder / INDEX}: an entry lacks one of {', '.join(_FIELDS)}.")
        if not (folder / one["file"]).resolve().is_relative_to(folder.resolve()):
            raise RunError(f"{folder / INDEX}: {one['file']!r} lies outside the folder.")
    return found


def verified_files(folder: Path, model: nn.Module, clips: Clips) -> Verification:
    """Decode the files again and hold the model's answers against the index.

    Args:
        folder: of the files.
        model: in evaluation mode.
        clips: a split of the data they were made of, for classes, frames and size.

    Raises:
        InputError: the data lack a class of the index.
    """
    index, found = read_index(folder), Verification()
    if index.get("weights") != fingerprint(model):
        found.faults.append(f"the model has other weights than {index.get('weights')}: this is not it")
    known = {name: number for number, name in enumerate(clips.classes)}
    unknown = [one["label"] for one in index["files"] if one["label"] not in known]
    if unknown:
        raise InputError(
            f"the data have no class {unknown[0]!r}, which {folder / INDEX} names: give the data it is of."
        )
    like = clips.subset([0] * len(index["files"]))
    like.labels = torch.tensor([known[one["label"]] for one in index["files"]])
    again = judged_files(model, folder, [one["file"] for one in index["files"]], like)
    for one, now in zip(index["files"], again, strict=True):
        found.checked += 1
        found.held += now["decoded"]
        if (now["decoded"], now["predicted"]) != (one["decoded"], one["predicted"]):
            found.faults.append(f"{one['file']} is now {now['predicted']}, and was {one['predicted']}")
    return found
