"""Small trained models that come with the package: ``zoo:motion-at`` wherever a model is named.

Their weights are files of this folder, trained on the embedded data set by ``scripts/make-zoo``; ``zoo.json`` says how,
and has their hashes, which are checked whenever one is loaded.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from vidrobust.errors import InputError, RunError

PREFIX = "zoo:"
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo.

    Attributes:
        name: what stands behind ``zoo:``.
        about: what it is, in a few words.
        command: the arguments of ``vidrobust`` that trained it.
        sha256: of its file.
    """

    name: str
    about: str
    command: tuple[str, ...]
    sha256: str

    @property
    def file(self) -> Path:
        """Its weights."""
        return FOLDER / f"{self.name}.safetensors"


def zoo_models() -> dict[str, ZooModel]:
    """The models of the zoo, by name.

    >>> sorted(zoo_models())
    ['motion-at', 'motion-rising', 'motion-standard']
    """
    listed = json.loads((FOLDER / "zoo.json").read_text(encoding="utf-8"))
    return {name: ZooModel(name, of["about"], tuple(of["command"]), of["sha256"]) for name, of in listed.items()}


def in_zoo(text: str | Path) -> bool:
    """Does a text name a model of the zoo?

    >>> in_zoo("zoo:motion-at"), in_zoo("runs/at")
    (True, False)
    """
    return str(text).startswith(PREFIX)


def located(text: str | Path) -> Path:
    """The file of a model of the zoo; of any other text, its path.

    Raises:
        InputError: the zoo has no such model.
        RunError: the file is not the one that the package came with.

    >>> located("zoo:motion-at").name
    'motion-at.safetensors'
    """
    if not in_zoo(text):
        return Path(text)
    known, name = zoo_models(), str(text).removeprefix(PREFIX)
    if name not in known:
        raise InputError(f"there is no model {str(text)!r}. The zoo has: {', '.join(PREFIX + one for one in known)}.")
    file = known[name].file
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != known[name].sha256:
        raise RunError(f"{file} is not the file that vidrobust came with. Install vidrobust again.")
    return file
