"""The schema of ``judgement.json``, and a check of records against it: what comes from elsewhere is bounded data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

VERSION = "vidrobust.judgement/1"


def schema() -> dict[str, Any]:
    """The JSON Schema of a judgement, as it is published in the docs."""
    return json.loads(files("vidrobust.results.judgements").joinpath("schema.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def faults(record: object) -> Iterator[str]:
    """What is wrong with a record, place by place.

    >>> next(faults({"schema": "vidrobust.judgement/1"}))
    "'verdict' is a required property"
    """
    for error in _validator().iter_errors(record):
        place = error.json_path.removeprefix("$").removeprefix(".")[:80]
        message = error.message if len(error.message) <= 160 else error.message[:100] + " … " + error.message[-57:]
        yield f"{place}: {message}" if place else message
