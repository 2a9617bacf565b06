"""Nothing that a file says is imported, called or believed; damage is told in words."""

from __future__ import annotations

import copy
import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.two_outputs import Two

from vidrobust.errors import InputError, RunError, VidrobustError
from vidrobust.models import branched, build, load_model, purified, save_model
from vidrobust.models.checkpoints import load_described, load_tensors, save_tensors
from vidrobust.runs.code import only_code_in

SMALL = "r3d-10(width=1)"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    save_model(tmp_path / "weights.safetensors", build(SMALL, 5), {})
    return tmp_path / "weights.safetensors"


def described(path: Path, about: object) -> Path:
    """The same file with another description."""
    tensors, _ = load_tensors(path)
    save_tensors(path, tensors, {"model": about, "policy": "standard", "data": {"name": "motion"}})
    return path


# ── code


def code(marker: Path) -> str:
    """A text that makes a folder if it is called."""
    return f"os:mkdir(path={marker})"


def test_code_that_a_file_of_weights_names_is_not_called(weights: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    described(weights, {"spec": code(marker), "classes": 5, "pixels": None})
    for load in (load_model, load_described):
        with pytest.raises(InputError, match="files are data"):
            load(weights)
    assert not marker.exists()


@pytest.mark.parametrize(
    "around", [{"around": "multibn", "branches": 2}, {"around": "purified", "channels": [2, 2, 2]}]
)
def test_nor_within_a_wrapper(around: dict[str, Any], weights: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    described(weights, {**around, "of": {"spec": code(marker), "classes": 5, "pixels": None}})
    with pytest.raises(InputError, match="files are data"):
        load_model(weights)
    assert not marker.exists()


def test_the_command_line_calls_what_it_names_itself_alone(weights: Path, vidrobust: Command, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    described(weights, {"spec": code(marker), "classes": 5, "pixels": None})
    attack = ("--attack", "PGD(ε=8,α=2,i=1)")
    for model in ((), ("--model", "standard"), ("--model", "os:mkdir"), ("--model", code(tmp_path / "other"))):
        code_, _, err = vidrobust("evaluate", weights, *model, *attack)
        assert code_ == 1
        assert "files are data" in err
        assert f"--model {code(marker)!r}" in err
        assert not marker.exists()
    code_, _, err = vidrobust("evaluate", weights, "--model", code(marker), *attack)
    assert code_ == 1
    assert "returned a NoneType, not a torch.nn.Module" in err  # it was called
    assert marker.exists()


def test_a_call_that_names_the_function_may_call_it(weights: Path, tmp_path: Path) -> None:
    marker = tmp_path / "called"
    described(weights, {"spec": code(marker), "classes": 5, "pixels": None})
    with pytest.raises(InputError, match="NoneType"):
        load_model(code(marker), weights)
    assert marker.exists()


def test_a_study_calls_in_its_workers_what_its_caller_named(weights: Path, tmp_path: Path) -> None:
    """A model that another job trained is read from a file, in a process of its own."""
    from vidrobust.study.jobs import AsTyped, Job, Place

    class Loads(Job):
        @property
        def title(self) -> str:
            return "load the model"

        def run(self, place: Place) -> list[Any]:
            place.model("trained")
            return []

    (tmp_path / "jobs" / "trained").mkdir(parents=True)
    marker, folder = tmp_path / "called", tmp_path / "jobs" / "trained" / "model.safetensors"
    folder.write_bytes(described(weights, {"spec": code(marker), "classes": 5, "pixels": None}).read_bytes())
    place = Place(tmp_path / "jobs", tmp_path, lambda gradients: None)
    for texts in (None, (), ("--model", "r3d-small")):
        with pytest.raises(InputError, match="files are data"):
            AsTyped(Loads(), texts).run(place)
    assert not marker.exists()
    with pytest.raises(InputError, match="NoneType"):
        AsTyped(Loads(), ("--model", code(marker))).run(place)


def test_attacks_and_threats_from_a_file_import_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vidrobust.attacks.text import from_text, object_from_text, threat_from_text

    (tmp_path / "imported_by_a_file.py").write_text(f"__import__('os').mkdir({str(tmp_path / 'called')!r})")
    monkeypatch.syspath_prepend(tmp_path)
    evil = "imported_by_a_file.Evil"
    with only_code_in(["--attack", "PGD(ε=8,α=2,i=1)"]):
        for read in (
            lambda: from_text(f"{evil}(ε=8)", None),
            lambda: from_text(f"PGD(ε=8,α=2,i=1,norm={evil})", None),
            lambda: from_text(f"PGD(ε=8,α=2,i=1,loss={evil})", None),
            lambda: from_text(f"PGD(ε=8,α=2,i=1,support={evil}(a=1))", None),
            lambda: threat_from_text(8, evil),
            lambda: object_from_text(f"{evil}()"),
        ):
            with pytest.raises(InputError, match="files are data"):
                read()
    assert not (tmp_path / "called").exists()


# ── what a description claims

OWN = {
    "classes": 5, "block": "basic", "layers": [1, 1, 1, 1], "widths": [1, 2, 4, 8], "stem_width": 1,
    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]], "stem_kernel": [7, 7, 7], "pool": True,
}  # fmt: skip
CLAIMS: list[object] = [
    None, 3, "r3d-small", [], {}, {"classes": 5}, {"spec": 3, "classes": 5}, {"around": "multibn"}, {"of": OWN},
    {"around": "multibn", "branches": 10**9, "of": OWN}, {"around": "multibn", "branches": 2, "of": None},
    {"around": "multibn", "branches": True, "of": OWN}, {"around": "os:system", "of": OWN},
    {"around": "purified", "channels": [10**9] * 3, "of": OWN}, {"around": "purified", "channels": [], "of": OWN},
    {**OWN, "layers": [10**9, 1, 1, 1]}, {**OWN, "layers": [1]}, {**OWN, "layers": "1111"}, {**OWN, "layers": [-1] * 4},
    {**OWN, "widths": [10**9] * 4}, {**OWN, "widths": [50_000] * 4}, {**OWN, "widths": [0] * 4},
    {**OWN, "classes": 10**9}, {**OWN, "classes": None}, {**OWN, "classes": "5"}, {**OWN, "classes": 6},
    {**OWN, "strides": [[0, 0, 0]] * 4}, {**OWN, "strides": [1, 2]}, {**OWN, "block": "os:system"},
    {**OWN, "stem_kernel": [10**6] * 3}, {**OWN, "stem_kernel": [3]}, {**OWN, "mean": "x"}, {**OWN, "unknown": 1},
    {**OWN, "cardinality": 0, "block": "resnext"}, {**OWN, "std": [float("nan")] * 3},
    {"spec": "r3d-18(width=100000)", "classes": 5}, {"spec": "r3d-18(layers=[1000000,1,1,1])", "classes": 5},
    {"spec": "r3d-18(width=x)", "classes": 5}, {"spec": "x" * 5000, "classes": 5}, {"spec": "r3d-18", "classes": 10**9},
    {"spec": SMALL, "classes": 5, "pixels": {"size": 10**9}}, {"spec": SMALL, "classes": 5, "pixels": []},
    {"spec": SMALL, "classes": 5, "pixels": {"mean": {}}}, {"spec": SMALL, "classes": 5, "pixels": {"x": 1}},
    {"spec": "no-such.pt2", "classes": 5}, {"spec": "../../etc/passwd.onnx", "classes": 5},
]  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: json.dumps(claim)[:50])
def test_what_a_description_claims_is_checked_before_it_costs_anything(claim: object, weights: Path) -> None:
    described(weights, claim)
    began = time.process_time()
    with pytest.raises(VidrobustError) as told:
        load_model(weights)
    assert time.process_time() - began < 5  # of this process, whatever the machine is at
    assert len(str(told.value)) < 700


def test_a_description_nested_deeply_is_damage(weights: Path) -> None:
    nested: dict[str, Any] = OWN
    for _ in range(50):
        nested = {"around": "multibn", "branches": 2, "of": nested}
    with pytest.raises(RunError, match="wrappers around wrappers"):
        load_model(described(weights, nested))
    content = weights.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = {"vidrobust": '{"model":' + "[" * 100_000}
    changed = json.dumps(header).encode()
    weights.write_bytes(struct.pack("<Q", len(changed)) + changed + content[8 + length :])
    with pytest.raises(RunError, match="damaged"):
        load_model(weights)


def test_what_this_version_writes_is_read(tmp_path: Path) -> None:
    x = torch.rand(2, 3, 8, 32, 32)
    models = [build(SMALL, 5), purified(build(SMALL, 5), (2, 3, 4)), branched(build(SMALL, 5), 3)]
    for model in [*models, purified(branched(build("r3d-small", 5), 2))]:
        save_model(tmp_path / "a.safetensors", model.eval(), {})
        assert torch.equal(load_model(tmp_path / "a.safetensors")(x), model(x))


# ── damage


def saved(folder: Path) -> list[Path]:
    model = build(SMALL, 5).eval()
    save_model(folder / "own.safetensors", purified(branched(model, 2), (2, 2, 2)), {"classes": ["a"]})
    torch.save(model.state_dict(), folder / "zip.pth")
    torch.save({"state_dict": model.state_dict(), "epoch": 3, "arch": "x"}, folder / "whole.pth.tar")
    torch.save(model.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.export.save(torch.export.export(Two(), (torch.rand(2, 3, 4, 8, 8),)), folder / "program.pt2")
    return sorted(folder.iterdir())


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut short, bits flipped, or a stretch replaced; most often where the file says how it is to be read."""
    changed, kind = bytearray(content), rng.randrange(4)
    near = min(len(changed), rng.choice([200, 2000, len(changed)]))
    if kind == 0:
        return bytes(changed[: rng.randrange(len(changed))])
    if kind == 1:
        start = rng.randrange(near)
        changed[start : start + rng.randrange(1, 40)] = rng.randbytes(rng.randrange(40))
        return bytes(changed)
    for _ in range(rng.choice([1, 1, 3, 10])):
        place = rng.randrange(near) if kind == 2 else rng.randrange(max(0, len(changed) - 3000), len(changed))
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def test_damaged_weights_are_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    for file in saved(tmp_path / "whole"):
        content, target, rng, told = file.read_bytes(), tmp_path / f"x{''.join(file.suffixes)}", random.Random(7), 0
        for _ in range(40):
            target.write_bytes(damaged(content, rng))
            try:
                load_model(target)
            except VidrobustError as error:
                told += 1
                assert str(target) in str(error)
        assert told > 5


def test_descriptions_are_not_changed_by_reading(weights: Path) -> None:
    _, about = load_tensors(weights)
    before = copy.deepcopy(about)
    load_described(weights)
    assert load_tensors(weights)[1] == before


def test_names_from_a_file_do_not_reach_the_terminal_as_commands(weights: Path, vidrobust: Command) -> None:
    described(weights, {"spec": "no-such\x1b[2J\x07model", "classes": 5})
    code_, out, err = vidrobust("evaluate", weights, "--attack", "PGD(ε=8,α=2,i=1)")
    assert code_ == 1
    assert "no-such" in err
    assert not {"\x1b", "\x07"} & set(out + err)
