"""Models of this library on the Hugging Face Hub: what lies in such a repository, how it is found, fetched and checked.

A repository with ``vidrobust.json`` holds a model of this library; any other is one of transformers. Both of its files
are data: a JSON table, and weights with their description in the header. They are fetched at one commit, no larger
than they may be, and the weights must have the hash that the table tells.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from vidrobust.errors import InputError, RunError
from vidrobust.models.libraries.optional import library
from vidrobust.models.spec import Spec, parse_spec

ABOUT, WEIGHTS = "vidrobust.json", "model.safetensors"
"""The files of a model."""

FORMAT = "vidrobust.model/1"
"""Version of the table; a table of another one is refused."""

LARGEST = {ABOUT: 2**20, WEIGHTS: 8 * 2**30}
"""Bytes of each file, at most."""

SECONDS = 30
"""How long the hub may take to answer."""


def hub() -> Any:
    """The client of the hub.

    Raises:
        MissingExtraError: it is not installed.
    """
    return library("huggingface_hub", "hub")


def is_local(name: str) -> bool:
    """Is it a folder rather than ``ORG/NAME``?

    >>> is_local("MCG-NJU/videomae-base"), is_local("./videomae")
    (False, True)
    """
    return Path(name).exists() or re.fullmatch(r"[\w.-]+/[\w.-]+", name) is None or name.startswith((".", "~"))


def pinned(text: str) -> str:
    """A model's text with the commit that its repository is at now, so that every later look sees the same files.

    Any other text, and one whose commit is not to be had, as without a network, comes back as it is.

    Raises:
        InputError: there is no such repository or revision.
    """
    prefix, _, rest = text.partition(":")
    if prefix != "hf" or is_local(rest.partition("(")[0]):
        return text
    spec = parse_spec(text)
    info = _info(spec)
    if info is None or spec.options.get("revision") == info.sha:
        return text
    bare, _, inside = text.strip().partition("(")
    others = [part for part in inside.removesuffix(")").split(",") if part and not part.strip().startswith("revision=")]
    return f"{bare}({','.join([*others, f'revision={info.sha}'])})"


def fetched(spec: Spec) -> Path | None:
    """The folder with a model of this library: one on disk, or that of a repository's commit in the hub's cache.

    Returns:
        None where it is a model of transformers.

    Raises:
        InputError: there is no such repository or revision, or it is not to be had.
        RunError: its files are too large, damaged, or of another version.
    """
    found = _found(spec)
    unknown = sorted(set(spec.options) - {"revision"})
    if found is not None and unknown:
        raise InputError(f"hf:{spec.name} is a model of vidrobust, which takes no {unknown[0]}: leave it out.")
    return found


def _found(spec: Spec) -> Path | None:
    if is_local(spec.name):
        folder = Path(spec.name)
        return checked(folder) if (folder / ABOUT).is_file() else None
    info = _info(spec)
    if info is None:
        return _cached(spec)
    sizes = {file.rfilename: file.size for file in info.siblings or ()}
    if ABOUT not in sizes:
        return None
    for name, most in LARGEST.items():
        if not 0 <= (sizes.get(name) or 0) <= most:
            raise RunError(f"{name} of hf:{spec.name} has {sizes[name]:,} bytes, over {most:,}: it is not fetched.")
    try:
        files = [Path(hub().HfApi().hf_hub_download(spec.name, name, revision=info.sha)) for name in LARGEST]
    except Exception as error:  # its transport's errors differ by version
        raise InputError(f"hf:{spec.name} cannot be fetched ({_line(error)}). Try again.") from error
    return checked(files[0].parent)


def checked(folder: Path) -> Path:
    """A folder whose table and weights are whole and fit each other.

    Raises:
        RunError: they do not.
    """
    weights = folder / WEIGHTS
    description = about(folder)
    if (
        not weights.is_file()
        or weights.stat().st_size != description["bytes"]
        or hash_of(weights) != description["sha256"]
    ):
        raise RunError(f"{weights} is not the file that {ABOUT} beside it tells of: fetch or push it again.")
    return folder


def about(folder: Path) -> dict[str, Any]:
    """The table of a model's folder.

    Raises:
        RunError: it is damaged, too large or of another version.
    """
    file = folder / ABOUT
    try:
        if file.stat().st_size > LARGEST[ABOUT]:
            raise RunError(f"{file} has over {LARGEST[ABOUT]:,} bytes: it is no table of a model.")
        description = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged ({_line(error)}). Fetch it again.") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        found = description.get("format") if isinstance(description, dict) else type(description).__name__
        raise RunError(f"{file} is of the format {ascii(found)[:60]}; this version reads {FORMAT!r}.")
    if not isinstance(description.get("bytes"), int) or not isinstance(description.get("sha256"), str):
        raise RunError(f"{file} is damaged: it does not tell the bytes and the sha256 of {WEIGHTS}.")
    return description


def expected_clips(folder: Path) -> tuple[int, int] | None:
    """Frames and size of the clips that a model was trained on, if its table tells them."""
    frames, size = (about(folder).get(name) for name in ("frames", "size"))
    fit = all(isinstance(number, int) and 1 <= number <= 4096 for number in (frames, size))
    return (int(frames or 0), int(size or 0)) if fit else None


def hash_of(file: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        while part := opened.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _info(spec: Spec) -> Any:
    """What the hub says of a repository at a revision; None if it does not answer, as without a network."""
    client = hub()
    asked = spec.options.get("revision")
    try:
        revision = None if asked is None else str(asked)
        return client.HfApi().model_info(spec.name, revision=revision, files_metadata=True, timeout=SECONDS)
    except client.errors.HfHubHTTPError as error:
        if getattr(error.response, "status_code", 500) >= 500:
            return None
        at = f" at the revision {asked}" if asked else ""
        raise InputError(
            f"there is no checkpoint {spec.name!r}{at} that may be read on the hub ({_line(error)}). Check the name; "
            "for a private one log in: `hf auth login`."
        ) from error
    except client.errors.HFValidationError as error:
        raise InputError(f"{spec.name!r} is no name of a repository ({_line(error)}).") from error
    except Exception:  # noqa: BLE001 - its transport's errors differ by version
        return None


def _cached(spec: Spec) -> Path | None:
    """The folder of a model of this library that was fetched before; None if there is none."""
    revision = spec.options.get("revision")
    found = [hub().try_to_load_from_cache(spec.name, name, revision=revision and str(revision)) for name in LARGEST]
    return checked(Path(found[0]).parent) if all(isinstance(file, str) for file in found) else None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
