"""Models of this library on the hub: found by their files, fetched at one commit, and read as data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.hub_server import Hub, Repository

from vidrobust.errors import InputError, RunError, VidrobustError
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_model, save_model
from vidrobust.models.libraries.hub import ABOUT, WEIGHTS, fetched, hash_of, pinned
from vidrobust.models.spec import parse_spec

NAME = "org/at-motion"


def files(folder: Path, seed: int = 0, described: dict[str, Any] | None = None, **told: object) -> dict[str, bytes]:
    """The files of a model with its table; ``told`` replaces what the table tells."""
    folder.mkdir(parents=True, exist_ok=True)
    model = build("r3d-small", 5, seed=seed)
    if described is not None:
        model.__class__ = type("Other", (type(model),), {"described": described})
    save_model(folder / WEIGHTS, model, {"classes": list("abcde"), "policy": "standard"})
    table = {
        "format": "vidrobust.model/1",
        "bytes": (folder / WEIGHTS).stat().st_size,
        "sha256": hash_of(folder / WEIGHTS),
        "frames": 8,
        "size": 16,
        **told,
    }
    (folder / ABOUT).write_text(json.dumps(table))
    return {name: (folder / name).read_bytes() for name in (ABOUT, WEIGHTS)}


def put(hub: Hub, content: dict[str, bytes]) -> str:
    return hub.repositories.setdefault(NAME, Repository()).commit(content)


def answer(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.full((1, 3, 8, 16, 16), 0.5))


def test_a_model_is_fetched_and_knows_its_clips(hub: Hub, tmp_path: Path) -> None:
    put(hub, files(tmp_path / "a"))
    model = load_model(f"hf:{NAME}")
    assert torch.equal(answer(model), answer(load_model(tmp_path / "a" / WEIGHTS)))
    assert model.expects == (8, 16) and not model.training


def test_a_pinned_text_means_the_same_weights_after_another_push(hub: Hub, tmp_path: Path) -> None:
    first = put(hub, files(tmp_path / "a", seed=0))
    text = pinned(f"hf:{NAME}")
    assert text == f"hf:{NAME}(revision={first})"
    second = put(hub, files(tmp_path / "b", seed=1))
    old, new = answer(load_model(text)), answer(load_model(f"hf:{NAME}"))
    assert not torch.equal(old, new)
    assert torch.equal(old, answer(build("r3d-small", 5, seed=0).eval()))
    assert pinned(text) == text and pinned(f"hf:{NAME}(revision=main)") == f"hf:{NAME}(revision={second})"
    assert pinned(f"hf:{NAME}(mean=[0.5,0.5,0.5],size=8)") == f"hf:{NAME}(mean=[0.5,0.5,0.5],size=8,revision={second})"


@pytest.mark.parametrize("text", ["r3d-small", "torchvision:r3d_18", "hf:./folder", "mypkg.module:factory"])
def test_other_texts_have_nothing_to_pin(text: str, hub: Hub) -> None:
    assert pinned(text) == text and not hub.asked


def test_without_the_hub_a_model_that_was_fetched_is_found(hub: Hub, tmp_path: Path, monkeypatch: Any) -> None:
    from huggingface_hub import constants

    put(hub, files(tmp_path / "a"))
    expected, commit = answer(load_model(f"hf:{NAME}")), pinned(f"hf:{NAME}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", _unreachable)
    for text in (commit, f"hf:{NAME}"):
        found = fetched(parse_spec(commit))
        assert found is not None and torch.equal(answer(load_model(found)), expected), text
    assert pinned(f"hf:{NAME}") == f"hf:{NAME}" and not hub.asked


def _unreachable(*given: object, **named: object) -> None:
    raise ConnectionError("no route to host")


def test_what_is_too_large_is_not_fetched(hub: Hub, tmp_path: Path) -> None:
    put(hub, files(tmp_path / "a"))
    for name, size in {WEIGHTS: 9 * 2**30, ABOUT: 2**21}.items():
        hub.sizes, hub.asked = {name: size}, []
        with pytest.raises(RunError, match=f"{name}.*{size:,} bytes.*not fetched"):
            load_model(f"hf:{NAME}")
        assert not any("resolve" in path for _, path in hub.asked)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"sha256": "0" * 64}, "not the file that vidrobust.json"),
        ({"bytes": 12}, "not the file that vidrobust.json"),
        ({"format": "vidrobust.model/2"}, "this version reads 'vidrobust.model/1'"),
        ({"sha256": None}, "does not tell"),
    ],
)
def test_a_table_that_does_not_fit_its_weights_is_refused(
    told: dict[str, Any], why: str, hub: Hub, tmp_path: Path
) -> None:
    put(hub, files(tmp_path / "a", **told))
    with pytest.raises(RunError, match=why):
        load_model(f"hf:{NAME}")


@pytest.mark.parametrize("table", [b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_table_that_is_none_is_refused(table: bytes, hub: Hub, tmp_path: Path) -> None:
    put(hub, {**files(tmp_path / "a"), ABOUT: table})
    with pytest.raises(RunError, match="damaged|of the format"):
        load_model(f"hf:{NAME}")


def test_code_that_a_repository_names_is_not_run(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_code.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(tmp_path)
    described = {"spec": "their_code:make", "classes": 5, "pixels": None}
    put(hub, files(tmp_path / "a", described=described))
    with pytest.raises(VidrobustError, match="names code"):
        load_model(f"hf:{NAME}")
    assert "their_code" not in sys.modules


def test_repositories_that_are_not_there_or_take_no_options_are_named(hub: Hub, tmp_path: Path) -> None:
    put(hub, files(tmp_path / "a"))
    with pytest.raises(InputError, match="no checkpoint 'org/other'"):
        load_model("hf:org/other")
    with pytest.raises(InputError, match="at the revision 1234abc"):
        load_model(f"hf:{NAME}(revision=1234abc)")
    with pytest.raises(InputError, match="takes no size"):
        load_model(f"hf:{NAME}(size=112)")
    hub.repositories["org/private"] = Repository(private=True, commits=[("c" * 40, {})])
    assert fetched(parse_spec("hf:org/private")) is None  # the token reads it, and it holds no model of ours


def test_the_folder_of_a_dry_run_is_a_model_and_any_other_one_of_transformers(tmp_path: Path) -> None:
    files(tmp_path / "a")
    model = load_model(f"hf:{tmp_path / 'a'}")
    assert torch.equal(answer(model), answer(build("r3d-small", 5, seed=0).eval()))
    (tmp_path / "b").mkdir()
    assert fetched(parse_spec(f"hf:{tmp_path / 'b'}")) is None
