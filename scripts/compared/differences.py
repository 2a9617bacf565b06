"""Where two files, or two folders of files, differ: in words that point at the place."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

IGNORED = {"provenance.json", "timings.jsonl", "report.html"}
"""Where a run came from and what it cost; its page shows both."""

WIDTH = 500
"""Characters of a line that are shown."""


class Compared(NamedTuple):
    """One thing that both revisions made, and where it differs, if it does; or one that is new in B."""

    name: str
    difference: str | None
    new: bool = False


def of_folders(old: Path, new: Path) -> Iterator[Compared]:
    """Every file at the top, and every folder there as a whole."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in sorted({*_files(old), *_files(new)}):
        groups[path.parts[0]].append(path)
    for name, paths in groups.items():
        files = f" ({len(paths)} files)" if len(paths[0].parts) > 1 else ""
        yield Compared(name + files, _of_group(old, new, paths))


def _files(folder: Path) -> list[Path]:
    """All but what is ignored, and locks, which say that somebody is at work."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name not in IGNORED)
    return [path.relative_to(folder) for path in found if path.suffix != ".lock"]


def _of_group(old: Path, new: Path, paths: list[Path]) -> str | None:
    """What only one of them has comes first: all else may follow from it."""
    alone = [f"only in {side}: {path}" for path in paths if (side := _only_in(old, new, path))]
    if alone:
        return _and_more(alone)
    found = [(path, of_files(old / path, new / path)) for path in paths]
    different = [f"{path}: {text}" if len(path.parts) > 1 else text for path, text in found if text]
    return _and_more(different) if different else None


def _only_in(old: Path, new: Path, path: Path) -> str:
    return "" if (old / path).exists() and (new / path).exists() else "A" if (old / path).exists() else "B"


def _and_more(found: list[str]) -> str:
    return found[0] + (f"\n    and {len(found) - 1} more" if len(found) > 1 else "")


def of_files(old: Path, new: Path) -> str | None:
    """Where the contents differ."""
    before, after = old.read_bytes(), new.read_bytes()
    if before == after:
        return None
    if old.suffix == ".safetensors":
        (one, about), (other, meant) = _tensors(old), _tensors(new)
        return of_tensors(one, other) or of_told(about, meant) or "the tensors are the same, the file is not"
    if old.suffix == ".npz":
        return of_tensors(_arrays(old), _arrays(new)) or "the arrays are the same, the file is not"
    try:
        word = "row" if old.suffix == ".jsonl" else "line"
        return of_texts(before.decode(), after.decode(), word) or "the lines end in other ways"
    except UnicodeDecodeError:
        place = next((i for i, pair in enumerate(zip(before, after, strict=False)) if len({*pair}) > 1), None)
        where = "one ends before the other" if place is None else f"first at byte {place}"
        return f"{len(before)} and {len(after)} bytes, {where}"


def of_texts(old: str, new: str, word: str = "line") -> str | None:
    """The first line that differs, of both."""
    before, after = old.splitlines(), new.splitlines()
    for number, (one, other) in enumerate(zip(before, after, strict=False), start=1):
        if one != other:
            return f"{word} {number}\n    A: {_around(one, other)}\n    B: {_around(other, one)}"
    if len(before) == len(after):
        return None
    longer = "A" if len(before) > len(after) else "B"
    rest = max(before, after, key=len)[min(len(before), len(after))]
    return f"{len(before)} and {len(after)} {word}s; the first that only {longer} has: {_around(rest, '')}"


def _around(line: str, other: str) -> str:
    """A line; of a long one the part around what differs."""
    if len(line) <= WIDTH:
        return line
    same = next((i for i, pair in enumerate(zip(line, other, strict=False)) if pair[0] != pair[1]), 0)
    begin = max(0, min(same - WIDTH // 3, len(line) - WIDTH))
    return ("…" if begin else "") + line[begin : begin + WIDTH] + "…"


# ------------------------------------------------------------------------------------------------------------- tensors


def _tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what it says of them, which is JSON both in our files and in those of a run."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return tensors, {name: json.loads(text) for name, text in (file.metadata() or {}).items()}


def _arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def of_tensors(old: Mapping[str, Tensor], new: Mapping[str, Tensor], row: str = "") -> str | None:
    """The first tensor that differs, in the order of ``old``, and the names of others that do.

    Args:
        old, new: by name.
        row: what an index of the first dimension stands for, such as ``clip``; empty if it is nothing to be told.
    """
    if old.keys() != new.keys():
        alone = [f"A alone has {name}" for name in old if name not in new]
        return _and_more(alone + [f"B alone has {name}" for name in new if name not in old])
    found = {name: text for name in old if (text := of_two(old[name], new[name], row))}
    if not found:
        return None
    first, *others = found
    also = f"\n    also {', '.join(others[:8])}{' …' if len(others) > 8 else ''}" if others else ""
    return f"{first}: {found[first]}{also}"


def of_two(old: Tensor, new: Tensor, row: str = "") -> str | None:
    """How two tensors differ, byte by byte."""
    if (old.shape, old.dtype) != (new.shape, new.dtype):
        return f"{tuple(old.shape)} {old.dtype} and {tuple(new.shape)} {new.dtype}"
    if torch.equal(_bytes(old), _bytes(new)):
        return None
    unequal = (old != new) & ~((old != old) & (new != new))  # a number that is none is unequal to itself
    if not unequal.any():
        return "the same numbers in other bytes: the sign of a zero, or another NaN"
    first = tuple(unequal.nonzero()[0].tolist())
    gap = (old.double() - new.double()).abs()[unequal].max().item()
    rows = unequal.reshape(len(unequal), -1).any(1).nonzero().flatten().tolist() if row and unequal.ndim else []
    which = f"of {f'every {row}' if len(rows) == len(old) else f'{row} ' + ', '.join(map(str, rows))} " if rows else ""
    return (
        f"{int(unequal.sum())} of {old.numel()} numbers {which}differ, by up to {gap:.3g}; the first, "
        f"at {list(first)}, is {old[first].item()!r} in A and {new[first].item()!r} in B"
    )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


# --------------------------------------------------------------------------------------------------------------- cases


def of_cases(old: Path, new: Path, row: str = "") -> Iterator[Compared]:
    """Every case that was recorded; both folders are of the same list of cases."""
    for number in sorted({path.name for folder in (old, new) for path in folder.glob("*.safetensors")}):
        if not (old / number).exists() or not (new / number).exists():
            yield Compared(number, f"only in {_only_in(old, new, Path(number))}: the other ended before")
            continue
        (before, about), (after, other) = _case(old / number), _case(new / number)
        name, lacking = about["case"], [side for side, one in (("A", about), ("B", other)) if "lacking" in one["told"]]
        if lacking == ["B"]:
            yield Compared(name, f"B has it no longer: {other['told']['lacking']}")
        elif lacking == ["A"]:
            yield Compared(name, None, new=True)
        elif not lacking:
            yield Compared(name, _failed(about, other) or of_tensors(before, after, row) or of_told(about, other))


def _case(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, metadata = _tensors(path)
    about = metadata["about"]
    return {name: tensors[name] for name in about["order"]}, about


def _failed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """A case that raised proves nothing, even if it did so on both sides."""
    said = [
        f"{side} raises {one['told']['failed']}" for side, one in (("A", old), ("B", new)) if "failed" in one["told"]
    ]
    return "\n    ".join(said) or None


def of_told(old: Any, new: Any, path: str = "") -> str | None:
    """The first place at which two values of JSON differ."""
    if type(old) is type(new) and isinstance(old, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            if found := of_told(old.get(name), new.get(name), f"{path}.{name}" if path else name):
                return found
        return None
    if type(old) is type(new) and isinstance(old, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return next((found for i, pair in pairs if (found := of_told(*pair, f"{path}[{i}]"))), None)
    return None if json.dumps(old) == json.dumps(new) else f"{path}: {old!r} in A and {new!r} in B"
