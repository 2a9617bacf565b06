"""The container file as far as it can be looked at without a container engine: no image is built here."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
KNOWN = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "ENTRYPOINT", "CMD"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line.strip()]


def test_instructions_are_known_and_arguments_are_declared_before_the_first_stage() -> None:
    kinds = [kind for kind, _ in instructions()]
    assert set(kinds) <= KNOWN and kinds[0] == "ARG"
    declared = {text.partition("=")[0] for kind, text in instructions() if kind == "ARG"}
    assert declared == set(re.findall(r"\$\{(\w+)\}", (ROOT / "Dockerfile").read_text()))


def test_every_stage_is_named_as_it_stands() -> None:
    """A builder may leave out stages that nothing names, before it knows the arguments (buildah 1.28 does)."""
    assert [text for kind, text in instructions() if kind == "FROM"] == [
        "python:${PYTHON}-slim AS wheel",
        "python:${PYTHON}-slim",
    ]


def choose(device: str) -> subprocess.CompletedProcess[str]:
    """What the container file says of a device, run by the shell: the index that PyTorch comes from."""
    (choice,) = (text.partition(" && ")[0] for kind, text in instructions() if kind == "RUN" and "case" in text)
    command = ["sh", "-c", f"{choice}; echo $index"]
    return subprocess.run(command, env={"DEVICE": device}, capture_output=True, text=True, check=False)


def test_pytorch_comes_from_the_index_of_the_device() -> None:
    assert choose("cpu").stdout == "https://download.pytorch.org/whl/cpu\n"
    assert choose("cuda").stdout == "https://pypi.org/simple\n"


def test_another_device_ends_the_build() -> None:
    done = choose("gpu")
    assert (done.returncode, done.stderr) == (1, "DEVICE is cpu or cuda, not gpu.\n")


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for kind, text in instructions():
        if kind == "COPY" and not text.startswith("--from"):
            *sources, _ = shlex.split(text)
            copied |= set(sources)
    assert copied == sent and all((ROOT / name).exists() for name in copied)


def test_the_wheel_is_built_from_what_is_copied() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    wanted = set(re.findall(r'^readme = "(.+)"$|^license-files = \["(.+)"\]$', project, re.MULTILINE))
    named = {name for pair in wanted for name in pair if name}
    copied = " ".join(text for kind, text in instructions() if kind == "COPY")
    assert named == {"README.md", "LICENSE"} and all(name in copied for name in named)


def test_the_extras_are_declared_and_torch_is_pinned_once() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    (extras,) = re.findall(r"\.whl\)\[([\w,]+)\]", (ROOT / "Dockerfile").read_text())
    assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras.split(","))
    assert len(re.findall(r"^torch==[\d.]+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)) == 1


def test_it_does_not_run_as_root() -> None:
    kinds = [kind for kind, _ in instructions()]
    assert kinds.index("USER") > max(at for at, kind in enumerate(kinds) if kind == "RUN")
    assert dict(instructions())["USER"] == "1000" and dict(instructions())["ENTRYPOINT"] == '["vidrobust"]'
