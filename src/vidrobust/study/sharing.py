"""A trained model as a repository of the Hugging Face Hub: the folder, and its upload."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from vidrobust.errors import InputError, RunError
from vidrobust.models.checkpoints import load_described, load_tensors, save_tensors
from vidrobust.models.fingerprint import fingerprint
from vidrobust.models.libraries.hub import ABOUT, FORMAT, WEIGHTS, hash_of, hub, is_local
from vidrobust.models.spec import parse_spec
from vidrobust.results.judgements.record import NAME, Judgement
from vidrobust.results.pages.card import model_card
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import dumps
from vidrobust.runs.provenance import package_version
from vidrobust.study.citing import entries, uses_of_model, uses_of_record, uses_of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidrobust.runs.rows import Row

CARD = "README.md"

FILES = (WEIGHTS, ABOUT, NAME, CARD)
"""What a repository may hold of ours."""


def write_folder(
    weights: Path, folder: Path, name: str, judgement: Judgement | None, rows: Sequence[Row] = ()
) -> list[Path]:
    """Write what a repository will hold: weights, table, record of the judgement, card.

    Paths of this machine are left out: of the data, only the name of the folder is kept.

    Args:
        weights: a file that this library wrote.
        folder: where to; other files in it stay.
        name: the repository, ``ORG/NAME``.
        judgement: of these weights, or None.
        rows: of the training.

    Returns:
        The files.

    Raises:
        InputError: the judgement is of other weights, or only code of one's own builds the model.
        RunError: the file is damaged, or the folder cannot be written.
    """
    model, about = load_described(weights)
    _refuse_unbuildable(about["model"])
    found = fingerprint(model)
    if judgement is not None and judgement.record["model"]["weights"] != found:
        raise InputError(
            f"{judgement.path} is of the weights {judgement.record['model']['weights']}, {weights} holds {found}: "
            "judge this model, and give that folder."
        )
    about = {**about, "data": _without_paths(about.get("data"))}
    save_tensors(folder / WEIGHTS, load_tensors(weights)[0], about)
    write_atomic(folder / ABOUT, _table(folder / WEIGHTS, about, found).encode())
    judged = uses_of_record(judgement.record) if judgement is not None else ()
    works = entries([*uses_of_model(str(about.get("policy", ""))), *uses_of_rows(rows), *judged])
    write_atomic(folder / CARD, model_card(name, about, judgement, rows, works).encode())
    if judgement is not None:
        write_atomic(folder / NAME, judgement.path.read_bytes())
    elif (folder / NAME).exists():  # of a model that was there before
        (folder / NAME).unlink()
    return [folder / file for file in FILES if (folder / file).exists()]


def upload(folder: Path, name: str, private: bool = False) -> str:
    """Make the repository if it is not there, and commit the folder's files.

    Returns:
        The model's text at this commit, ``hf:ORG/NAME(revision=…)``.

    Raises:
        InputError: the hub refuses it; the message has its words.
        RunError: it cannot be reached, or the upload failed.
    """
    client = hub()
    api = client.HfApi()
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=list(FILES),
            delete_patterns=list(FILES),  # a judgement of the weights before must not stay beside new ones
            commit_message=f"vidrobust {package_version()}",
        )
    except (client.errors.HfHubHTTPError, client.errors.HFValidationError) as error:
        raise InputError(
            f"the hub does not take hf:{name} ({_line(error)}). Log in with a token that may write (`hf auth login`, "
            "or HF_TOKEN), and check the name."
        ) from error
    except Exception as error:  # its transport's errors differ by version
        raise RunError(f"hf:{name} could not be pushed ({_line(error)}). {folder} is whole: try again.") from error
    return f"hf:{name}(revision={done.oid})"


def repository(text: str) -> str:
    """The name of a repository from ``hf:ORG/NAME``.

    Raises:
        InputError: it is none.

    >>> repository("hf:me/at-motion")
    'me/at-motion'
    """
    name = text.removeprefix("hf:")
    if not text.startswith("hf:") or is_local(name) or len(name) > 96:
        raise InputError(f"give the repository as hf:ORG/NAME, not {text!r}.")
    return name


def _table(weights: Path, about: dict[str, Any], found: str) -> str:
    """What is to be known of the weights before they are fetched."""
    data = about["data"]
    facts = {
        "format": FORMAT,
        "vidrobust": package_version(),
        "bytes": weights.stat().st_size,
        "sha256": hash_of(weights),
        "weights": found,
        "policy": about.get("policy"),
        "classes": list(about.get("classes", ())),
        "frames": data.get("frames"),
        "size": data.get("size"),
    }
    return dumps(facts) + "\n"


def _refuse_unbuildable(described: dict[str, Any]) -> None:
    """Refuse a model that nobody else could build from its description."""
    while "of" in described:
        described = described["of"]
    if "spec" not in described:
        return
    spec = None if described["spec"] is None else parse_spec(described["spec"])
    here = spec is not None and spec.kind == "hf" and is_local(spec.name)
    if spec is None or here or spec.kind in ("factory", "pt2", "onnx"):
        raise InputError(
            f"the model is built by {described['spec'] or 'code of your own'}, which a repository does not hold: "
            "networks of vidrobust, torchvision:NAME, hf:ORG/NAME and pytorchvideo:NAME can be pushed."
        )


def _without_paths(data: object) -> dict[str, Any]:
    """A configuration of data whose paths are the names of their files alone."""
    held = data if isinstance(data, dict) else {}
    paths = {name: value for name, value in held.items() if isinstance(value, str) and os.sep in value}
    return {**held, **{name: PurePath(value).name for name, value in paths.items()}}


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
