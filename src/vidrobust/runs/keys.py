"""Canonical JSON, and names made of content: equal content gives equal text and equal keys."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, is_dataclass


def dumps(value: object) -> str:
    """JSON with sorted keys, so that equal content is equal text.

    >>> dumps({"b": 1, "a": 0.5})
    '{"a":0.5,"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_key(value: object) -> str:
    """Name a piece of work by the hash of what determines it: 16 hexadecimal digits.

    Args:
        value: a dataclass or anything that JSON can hold.

    >>> content_key({"eps": 8, "seed": 0}) == content_key({"seed": 0, "eps": 8})
    True
    """
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return hashlib.sha256(dumps(plain).encode()).hexdigest()[:16]
