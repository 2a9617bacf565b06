"""Training in processes of its own: several at once, killed at any moment, told to stop."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vidrobust.cli.entry import main

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("VIDROBUST_KILLS", "1"))
"""How often the kill test is repeated; by hand with ten."""

FEW = ("--clips.train", "48", "--clips.val", "10", "--clips.test", "10", "--clips.size", "16", "--watch.clips", "10")
METHOD = ("--method", "FGSM-RS(ε=8)", "--epochs", "3", "--batch", "16", "--watch.steps", "1", "--fit.save_every", "1")


def launched(
    data: Path, out: Path, *more: str, processes: int = 1, how: tuple[str, ...] = ("--standalone",)
) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m"]
    if processes > 1 or how != ("--standalone",):
        launcher += ["torch.distributed.run", *how, "--nproc-per-node", str(processes), "-m"]
    command = [*launcher, "vidrobust", "train", "--data", str(data), *FEW, *METHOD, *more, "--out", str(out)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        start_new_session=True,
    )


def here(data: Path, out: Path, *more: str) -> None:
    """The same command as one process, in this one, which has imported everything already."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        main(["train", "--data", str(data), *FEW, *METHOD, *more, "--out", str(out)])
    finally:
        torch.set_num_threads(threads)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=280)
    return process.returncode, err


def rows_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(small_motion: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The run directories of one process and of two."""
    folder = tmp_path_factory.mktemp("undisturbed")
    here(small_motion, folder / "1")
    code, err = ended(launched(small_motion, folder / "2", processes=2))
    assert code == 0, err
    return {processes: folder / str(processes) for processes in (1, 2)}


@pytest.fixture(scope="module")
def exact(small_motion: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of one process, of two that share the batch, and of two that share the model too.

    In float32 and at a small learning rate, where rounding stays rounding; ε is drawn alike on all.
    """
    folder = tmp_path_factory.mktemp("exact")
    how = ("--method", "AAT(ε_max=8,α=ε,i=1)", "--epochs", "2", "--fit.precision", "float32")
    how = (*how, "--fit.optimiser", "sgd", "--lr", "0.0001")
    here(small_motion, folder / "one", *how)
    for parallel in ("ddp", "fsdp"):
        command = launched(small_motion, folder / parallel, *how, "--fit.parallel", parallel, processes=2)
        code, err = ended(command)
        assert code == 0, err
    return {name: folder / name for name in ("one", "ddp", "fsdp")}


def epochs_of(out: Path) -> list[dict[str, Any]]:
    return [row for row in rows_of(out) if row["kind"] == "epoch"]


def test_two_processes_give_the_losses_of_one(exact: dict[str, Path]) -> None:
    found = [epochs_of(exact[name]) for name in ("one", "ddp")]
    assert len(found[0]) == 2
    for one, two in zip(*found, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=2e-4)
        assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=5e-3)
        assert (two["eps"], two["last"]) == (one["eps"], one["last"])


def test_two_nodes_that_meet_by_rendezvous_are_two_processes(
    undisturbed: dict[int, Path], small_motion: Path, tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meet = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test")
    nodes = [launched(small_motion, tmp_path / "run", how=(*meet, "--local-addr", "127.0.0.1")) for _ in range(2)]
    for node in nodes:
        code, err = ended(node)
        assert code == 0, err
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == (undisturbed[2] / "rows.jsonl").read_bytes()


def test_shards_of_a_model_train_like_copies_of_it(exact: dict[str, Path]) -> None:
    for one, two in zip(epochs_of(exact["ddp"]), epochs_of(exact["fsdp"]), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
    copies, shards = (load_file(exact[name] / "model.safetensors") for name in ("ddp", "fsdp"))
    assert copies.keys() == shards.keys()
    for name, tensor in copies.items():
        torch.testing.assert_close(
            shards[name], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("attempt", range(KILLS))
def test_killed_at_a_random_moment_it_ends_with_the_same_weights(
    attempt: int, processes: int, undisturbed: dict[int, Path], small_motion: Path, tmp_path: Path
) -> None:
    out, rng = tmp_path / "run", random.Random(os.urandom(8))
    process = launched(small_motion, out, processes=processes)
    reached = rng.choice([f"epoch-{epoch:05d}-{step:06d}" for epoch in range(3) for step in (1, 2, 3)][:-1])
    while not any(found.name >= reached for found in out.glob("checkpoints/epoch-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.1))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if processes == 1:
        here(small_motion, out)
    else:
        code, err = ended(launched(small_motion, out, processes=processes))
        assert code == 0, err
    assert (out / "rows.jsonl").read_bytes() == (undisturbed[processes] / "rows.jsonl").read_bytes()
    before, after = (load_file(run / "model.safetensors") for run in (undisturbed[processes], out))
    assert all(before[name].equal(after[name]) for name in before)


def test_sigterm_saves_and_stops_and_the_same_command_goes_on(
    undisturbed: dict[int, Path], small_motion: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = launched(small_motion, out)
    while not list(out.glob("checkpoints/*")):
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGTERM)
    code, err = ended(process)
    assert code == 143, err
    assert "stopped in epoch" in err and "Traceback" not in err
    here(small_motion, out)
    assert (out / "rows.jsonl").read_bytes() == (undisturbed[1] / "rows.jsonl").read_bytes()


def test_a_rank_that_dies_ends_the_job_long_before_its_last_epoch(small_motion: Path, tmp_path: Path) -> None:
    process = launched(small_motion, tmp_path / "run", "--epochs", "50", processes=2)
    while not list((tmp_path / "run").glob("checkpoints/*")):
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    os.kill(int(listed.stdout.split()[-1]), signal.SIGKILL)
    code, err = ended(process)
    assert code != 0
    assert "SIGKILL" in err or "Signal 9" in err


def test_a_batch_that_cannot_be_shared_is_refused(small_motion: Path, tmp_path: Path) -> None:
    code, err = ended(launched(small_motion, tmp_path / "run", "--batch", "15", processes=2))
    assert code != 0
    assert "15 clips cannot be cut into 2 processes" in err
