"""Tables that come from files: a key may stand in one only once, since readers would keep the last of its values."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of these members: ``json.loads(text, object_pairs_hook=each_once)``.

    Raises:
        ValueError: a key is given twice.

    >>> each_once([("eps", 8), ("steps", 20)])
    {'eps': 8, 'steps': 20}
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(_twice(next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))))
    return found


class EachKeyOnce(yaml.SafeLoader):
    """Plain YAML values: ``yaml.load(text, EachKeyOnce)`` raises ``yaml.YAMLError`` where a key is given twice.

    >>> yaml.load("{eps: 8, steps: 20}", EachKeyOnce)
    {'eps': 8, 'steps': 20}
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in seen:
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(problem=f"line {line}: {_twice(key.value)}")
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _twice(key: str) -> str:
    return f"the key {key[:60]!r} is given twice; leave one of the two out"
