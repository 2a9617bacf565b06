"""A program of torch.export is tensors and known operators: nothing in its archive is unpickled, run or imported."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.two_outputs import Named, Two
from torch import nn

from vidrobust.errors import InputError
from vidrobust.models import load_model
from vidrobust.models.libraries.archives import checked_archive


@pytest.fixture
def program(tmp_path: Path) -> Path:
    sizes = ({0: torch.export.Dim("batch", min=2, max=64)},)
    exported = torch.export.export(Two(), (torch.rand(2, 3, 4, 8, 8),), dynamic_shapes=sizes)
    torch.export.save(exported, tmp_path / "program.pt2")
    return tmp_path / "program.pt2"


@pytest.mark.parametrize("kind", [Two, Named])
def test_classes_are_those_of_the_output_that_counts(kind: type[nn.Module], tmp_path: Path) -> None:
    model, x = kind().eval(), torch.rand(2, 3, 4, 8, 8)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "program.pt2")
    loaded = load_model(tmp_path / "program.pt2", classes=3)
    assert loaded.classes == 3
    with torch.no_grad():
        wanted = model(x)
    torch.testing.assert_close(loaded(x), wanted["logits"] if kind is Named else wanted[0])
    with pytest.raises(InputError, match="gives 3 classes, the data has 4.*--classes FILE"):
        load_model(tmp_path / "program.pt2", classes=4)


def test_a_program_that_gives_no_logits_is_told(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(nn.Conv3d(3, 4, 3), (torch.rand(2, 3, 4, 8, 8),)), tmp_path / "program.pt2")
    with pytest.raises(InputError, match="5 axes, not with logits"):
        load_model(tmp_path / "program.pt2")


def rewritten(path: Path, change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None) -> Path:
    """A copy of an archive with its parts changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(path.with_name("new.pt2"), "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(f"program/{name}", content)
    return path.with_name("new.pt2")


def with_graph(path: Path, change: Callable[[Any], None]) -> Path:
    def changed(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        graph = json.loads(content)
        change(graph)
        return json.dumps(graph).encode()

    return rewritten(path, changed)


def test_an_archive_copied_is_the_same_program(program: Path) -> None:
    x = torch.rand(3, 3, 4, 8, 8)
    same = rewritten(program, lambda name, content: content, {"extra/notes.txt": b"mine"})
    assert torch.equal(load_model(same)(x), load_model(program)(x))


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        import os

        return os.mkdir, (str(self.marker),)


def pickled(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Runs(marker), buffer)
    return buffer.getvalue()


SAYINGS = [
    '"use_pickle": true',
    '"use_pickle":true',
    '"use_pickle": 1',
    '"use\\u005fpickle": true',
    '"use_pickle": "x"',
]


@pytest.mark.parametrize("saying", SAYINGS)
def test_no_spelling_lets_a_part_be_unpickled(saying: str, program: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("data/weights/weight_0"):
            return pickled(marker)
        return content.replace(b'"use_pickle": false', saying.encode(), 1) if "weights_config" in name else content

    with pytest.raises(InputError, match="use_pickle"):
        load_model(rewritten(program, change))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt"])
def test_a_pickled_part_is_refused(name: str, program: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    with pytest.raises(InputError, match="pickled"):
        load_model(
            rewritten(program, lambda part, content: pickled(marker) if part.endswith(name) else content)
            if "sample" in name
            else rewritten(program, lambda part, content: content, {name: pickled(marker)})
        )
    assert not marker.exists()


FOREIGN = [
    "data/aotinductor/model/model.so", "data/aotinductor/model/model.wrapper.cpp", "data/constants/custom_obj_0",
    "data/constants/opaque_obj_0", "code/__torch__.py", "data/executorch/program.pte", "../outside", "models/x.py",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_a_part_that_could_be_code_is_refused(name: str, program: Path) -> None:
    with pytest.raises(InputError, match="which could|outside it|pickled"):
        load_model(rewritten(program, lambda part, content: content, {name: b"x"}))


def test_two_parts_of_one_name_and_compressed_parts_are_refused(program: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(program, "a") as archive:
        archive.writestr("program/models/model.json", b"{}")
    with pytest.raises(InputError, match="same name"):
        load_model(program)
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data/weights/weight_0", bytes(50_000_000))
    with pytest.raises(InputError, match="compressed"):
        load_model(tmp_path / "bomb.pt2")


def node(graph: Any) -> Any:
    return graph["graph_module"]["graph"]["nodes"][0]


CALLS = [
    "torch.hub.load", "torch.serialization.os.system", "torch.load", "_operator.attrgetter", "_operator.methodcaller",
    "_operator.call", "math.factorial", "torch.ops.aten.from_file.default", "torch.ops.c10d.send.default",
    "torch.ops.higher_order.call_torchbind", "#triton:kernel", "torch.ops.aten.add.Tensor.__init__.__globals__",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_a_graph_calls_known_operators_alone(call: str, program: Path) -> None:
    with pytest.raises(InputError, match="could run code"):
        load_model(with_graph(program, lambda graph: node(graph).update(target=call)))
    with pytest.raises(InputError, match="could run code"):
        load_model(with_graph(program, lambda graph: node(graph)["inputs"][0].update(arg={"as_operator": call})))


EXPRESSIONS = [
    "__import__('os').mkdir('MARKER')", "s0 + open('MARKER', 'w').fileno()", "exec('x')", "s0.__class__", "lambda: 3",
    "[s0]", "s0 if s0 else 3", "9**9**9**9", "9" * 400, "Symbol('s0', real=exec('x'))", "(" * 999, 3, "s0 ** 99999999",
    "factorial(99999)", "print(s0)",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS, ids=lambda text: str(text)[:20])
def test_a_symbolic_size_is_not_evaluated(text: object, program: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"

    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        evil = text.replace("MARKER", str(marker)) if isinstance(text, str) else text
        return json.dumps(_replaced(json.loads(content), evil)).encode()

    with pytest.raises(InputError, match="no whole program|expr_str"):
        load_model(rewritten(program, change))
    assert not marker.exists()


def _replaced(value: Any, text: object) -> Any:
    if isinstance(value, dict):
        return {key: text if key == "expr_str" else _replaced(inner, text) for key, inner in value.items()}
    return [_replaced(inner, text) for inner in value] if isinstance(value, list) else value


def test_guards_are_not_compiled(program: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    evil = with_graph(
        program, lambda graph: graph.update(guards_code=[f"__import__('os').mkdir({str(marker)!r}) or 1"])
    )
    x = torch.rand(3, 3, 4, 8, 8)
    assert torch.equal(load_model(evil)(x), load_model(program)(x))
    assert not marker.exists()


def tree(kind: str, context: object) -> str:
    return json.dumps([1, {"type": kind, "context": json.dumps(context), "children_spec": []}])


FACTORY = {"default_factory_module": "os", "default_factory_name": "abort", "dict_context": []}
TREES = [
    tree("collections.defaultdict", FACTORY),
    tree("builtins.dict", [{"__enum__": True, "fqn": "os:abort"}]),
    tree("os.abort", None),
    "[" * 100_000,
]


@pytest.mark.parametrize("spec", TREES, ids=["defaultdict", "enum", "other", "deep"])
def test_a_tree_specification_imports_nothing(spec: str, program: Path) -> None:
    def change(graph: Any) -> None:
        graph["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = spec

    with pytest.raises(InputError, match="out_spec"):
        load_model(with_graph(program, change))


def test_json_nested_deeply_is_damage(program: Path) -> None:
    def change(name: str, content: bytes) -> bytes:
        return b"[" * 200_000 if name.endswith("models/model.json") else content

    with pytest.raises(InputError, match="damaged part"):
        checked_archive(rewritten(program, change))


def test_a_torchscript_file_is_called_what_it_is(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        torch.jit.trace(Two().eval(), torch.rand(1, 3, 4, 8, 8)).save(str(tmp_path / "model.pt"))
    for read in (load_model, lambda path: load_model("r3d-small", weights=path, classes=3)):
        with pytest.raises(InputError, match=r"TorchScript program.*torch\.export\.save"):
            read(tmp_path / "model.pt")
