"""What ``vidrobust doctor`` tells, and what it does not."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vidrobust.cli import machine
from vidrobust.errors import DataError

Command = Callable[..., tuple[int, str, str]]


def told(vidrobust: Command, *options: str) -> dict:
    code, printed, err = vidrobust("doctor", "--json", *options)
    assert code in (0, 1), err
    return json.loads(printed)


def test_it_tells_versions_devices_decoders_disk_and_cache(
    vidrobust: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIDROBUST_CACHE", str(tmp_path))
    (tmp_path / "some").write_bytes(bytes(1000))
    found = told(vidrobust)
    assert found["libraries"]["torch"] == torch.__version__
    assert found["python"]["version"] == platform.python_version()
    assert found["processor"]["cores"] >= 1
    assert len(found["gpus"]) == torch.cuda.device_count()
    assert found["decoders"]["pyav"] == "works"
    assert found["codecs"]["mpeg4"]
    assert found["disk"]["working folder"] > 0
    assert found["cache"]["size"] == 1000
    assert found["cache"]["writable"]


def test_the_text_tells_the_same(vidrobust: Command) -> None:
    _, printed, _ = vidrobust("doctor")
    names = [line.split()[0] for line in printed.splitlines()]
    assert names[:3] == ["vidrobust", "python", "libraries"]
    assert {"extras", "processor", "GPU", "pyav", "torchcodec", "codecs", "disk", "cache"} <= set(names)
    assert f"torch {torch.__version__}" in printed


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_no_folder_and_no_host_unless_asked(
    form: tuple[str, ...], vidrobust: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "ada-home"
    home.mkdir()
    monkeypatch.setenv("VIDROBUST_CACHE", str(home / "cache"))
    monkeypatch.setattr("platform.node", lambda: "adas-laptop")
    monkeypatch.chdir(home)

    def broken(name: str) -> None:
        raise DataError(f"torchcodec cannot be used (cannot load {home}/lib/libavutil.so.56)")

    monkeypatch.setattr(machine, "decoder", broken)
    code, printed, _ = vidrobust("doctor", *form)
    assert "ada" not in printed
    assert "libavutil.so.56" in printed
    assert (code, "problem" in printed) == (1, True)
    printed = vidrobust("doctor", "--paths", *form)[1]
    assert "adas-laptop" in printed
    assert str(home) in printed


def test_extras_are_told_with_what_they_lack(vidrobust: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [
        "torch>=2.4",
        "pyarrow>=16; extra == 'parquet'",
        'ray>=2; extra == "ray"',
        "vidrobust[ray]; extra == 'dev'",
    ]
    versions = {"torch": "2.9", "ray": "2.50"}

    def version(name: str) -> str:
        if name not in versions:
            raise machine.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(machine.importlib.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(machine.importlib.metadata, "version", version)
    assert machine.libraries() == {"torch": "2.9"}
    assert machine.extras() == {"parquet": {"pyarrow": None}, "ray": {"ray": "2.50"}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"libraries": {"torch": None}}, "library is missing"),
        ({"decoders": {"pyav": "no"}}, "PyAV"),
        ({"cache": {"writable": False, "free": 1e12}}, "cannot be written"),
        ({"cache": {"writable": True, "free": 1e6}}, "nearly full"),
        ({"disk": {"working folder": 1e6}}, "this folder is full"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_problem_has_a_remedy(change: dict, says: str) -> None:
    fine = {
        "libraries": {"torch": "2.9"},
        "decoders": {"pyav": "works"},
        "cache": {"writable": True, "free": 1e12},
        "disk": {"working folder": 1e12},
    }
    assert machine.problems(fine) == []
    (problem,) = machine.problems(fine | change)
    assert says in problem
