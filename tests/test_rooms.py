"""The layout of the package: rooms whose order is the layers, no circle among files, and a table that lists them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vidrobust

ROOT = Path(vidrobust.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
NAMELESS = {"utils", "util", "helpers", "common", "misc"}
LEVELS = 9


def module(file: Path) -> str:
    """The dotted name of a file; a package has that of its ``__init__``."""
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in FILES}


def imported(source: str, known: Mapping[str, object]) -> Iterator[str]:
    """The modules that a source imports, at any place: in functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in known else node.module


def graph() -> dict[str, set[str]]:
    return {name: set(imported(file.read_text(), MODULES)) - {name} for name, file in MODULES.items()}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def levels(arrows: Mapping[str, set[str]]) -> dict[str, int]:
    """The longest way down from each node, counted in nodes."""
    found: dict[str, int] = {}
    for node in TopologicalSorter(arrows).static_order():
        found[node] = 1 + max((found[below] for below in arrows.get(node, ())), default=0)
    return found


def types_of(source: str) -> Iterator[str]:
    """The public classes and named types that a module defines at its top level, TYPE_CHECKING included."""
    for node in ast.parse(source).body:
        for inner in [node, *(node.body if isinstance(node, ast.If) else [])]:
            if isinstance(inner, ast.ClassDef):
                names = [inner.name]
            elif isinstance(inner, (ast.Assign, ast.AnnAssign)):
                targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                names = [name for name in names if name[:1].isupper() and not name.isupper()]
            else:
                names = []
            yield from (name for name in names if not name.startswith("_"))


def test_what_is_imported_under_type_checking_and_in_functions_counts() -> None:
    source = "if TYPE_CHECKING:\n    from a.b import C\ndef f():\n    import a\n    from a import b\n"
    assert sorted(imported(source, {"a": 0, "a.b": 0})) == ["a", "a.b", "a.b"]


def test_no_circle_among_files() -> None:
    try:
        levels(graph())
    except CycleError as error:
        pytest.fail(" ← ".join(error.args[1]))


def test_the_rooms_have_few_levels() -> None:
    rooms: dict[str, set[str]] = {}
    for name, below in graph().items():
        if room(name) not in ("", "__main__"):  # the face of the package names every room
            rooms.setdefault(room(name), set()).update({room(other) for other in below} - {room(name), ""})
    assert max(levels(rooms).values()) <= LEVELS


def test_a_handful_of_rooms_and_files_at_the_top() -> None:
    folders = {file.relative_to(ROOT).parts[0] for file in FILES if file.parent != ROOT}
    assert len(folders) <= 12
    assert len([file for file in FILES if file.parent == ROOT]) <= 5


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [name for name in MODULES if name.rpartition(".")[2] in NAMELESS]


def test_the_table_of_rooms_lists_those_that_exist() -> None:
    page = Path(__file__).parents[1] / "ARCHITECTURE.md"
    first = [line.split("|")[1] for line in page.read_text().splitlines() if line.startswith("|")]
    listed = [name for cell in first for name in re.findall(r"`(\w+)/`", cell)]
    rooms = {file.relative_to(ROOT).parts[0] for file in FILES if file.parent != ROOT}
    assert sorted(listed) == sorted(rooms)


def test_no_public_class_or_type_is_defined_twice() -> None:
    homes: dict[str, list[str]] = {}
    for name, file in MODULES.items():
        for found in types_of(file.read_text()):
            homes.setdefault(found, []).append(name)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_types_are_found_wherever_they_are_defined() -> None:
    source = "Kind: TypeAlias = int\nMOST = 3\n_d = 4\nif x:\n    Pair = int\nclass F: ...\ndef g(): h = 1\n"
    assert list(types_of(source)) == ["Kind", "Pair", "F"]
