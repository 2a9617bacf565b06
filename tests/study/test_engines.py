"""Where a study runs changes nothing in what it finds, and a lost worker costs nothing but time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.studies import TINY, finish, start, wait_until

from vidrobust.errors import InputError, RunError
from vidrobust.models.checkpoints import save_model
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.study.engines import Where, open_engine

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # a minute alone, as much as it takes on a busy machine

Command = Callable[..., tuple[int, str, str]]

SMALLER = ("--policies", "[]", "--sensitivity.eps", "[8]", "--step_sizes.eps", "[8]")  # the gap step trains by AT
SMALLER = (*SMALLER, "--gap.policy", "AT(ε=8,α=8,i=3)", "--gap.epochs", "1")


@pytest.fixture(scope="module")
def rows(small_motion: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The rows of a small study on the processes of this machine."""
    out = tmp_path_factory.mktemp("engines") / "run"
    code, _, err = finish(start(small_motion, out, *SMALLER))
    assert code == 0, err
    return (out / "rows.jsonl").read_bytes()


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of its pool; there is none for a moment after one was killed."""
    listed = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)]
    found = subprocess.run(listed, capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in found.stdout.splitlines() if "spawn_main" in line]


def wait_for_jobs(process: subprocess.Popen[str], out: Path, count: int) -> None:
    wait_until(process, lambda: len(list(out.glob("jobs/*/rows.jsonl"))) >= count)


def test_killed_workers_are_replaced_and_the_rows_are_the_same(rows: bytes, small_motion: Path, tmp_path: Path) -> None:
    """One is killed when they have just begun, and one of their successors in the middle of the study."""
    process = start(small_motion, tmp_path / "run", *SMALLER, "--workers", "2")
    for finished in (1, 3):  # an idle one, and one at work
        wait_for_jobs(process, tmp_path / "run", finished)
        wait_until(process, lambda: workers_of(process))
        os.kill(workers_of(process)[0], signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 0, err
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows


def test_submitit_gives_the_same_rows(
    rows: bytes, small_motion: Path, vidrobust: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONWARNINGS", "error")  # in its jobs
    study = ("study", "--config", TINY, "--data", small_motion, *SMALLER, "--out", tmp_path / "run")
    code, _, err = vidrobust(*study, "--engine", "slurm", "--address", "local")
    assert code == 0, err
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows


CLUSTER = """
import sys, time
from ray.cluster_utils import Cluster
soon = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 300, "health_check_failure_threshold": 3}
head = {"num_cpus": 0, "include_dashboard": False, "_system_config": soon}  # or a death is noticed after 12 seconds
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]  # beside the head, which does no work
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(nodes[0], allow_graceful=False)
print("killed", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


def test_a_ray_cluster_of_three_nodes_of_which_one_is_killed_gives_the_same_rows(
    rows: bytes, small_motion: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"},
    )
    assert cluster.stdin is not None
    assert cluster.stdout is not None
    try:
        address = cluster.stdout.readline().strip()
        process = start(small_motion, tmp_path / "run", *SMALLER, "--engine", "ray", "--address", address)
        wait_for_jobs(process, tmp_path / "run", 3)
        print(file=cluster.stdin, flush=True)
        assert cluster.stdout.readline().strip() == "killed"
        assert process.poll() is None, "the study was over before a node was lost"
        code, _, err = finish(process)
        assert code == 0, err
        assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows
    finally:
        cluster.kill()
        cluster.communicate()


def test_a_judgement_on_ray_is_the_same(
    trained: ResNet3d, small_motion: Path, vidrobust: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a Ray that the judgement starts itself, whatever cluster runs here."""
    pytest.importorskip("ray")
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "weights.safetensors", trained, {"policy": "standard"})
    model = ("r3d-small", "--weights", "weights.safetensors", "--data", small_motion, "--size", 16, "--frames", 8)
    few = [f"--ensemble.{name}={value}" for name, value in {"steps": 2, "targets": 1, "queries": 5, "noise": 5}.items()]
    asked = ("judge", *model, "--clips", 4, *few)
    assert vidrobust(*asked, "--workers", 1, "--out", "here")[0] == 0
    command = [sys.executable, "-m", "vidrobust", *map(str, asked), "--engine", "ray", "--out", "there"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr
    here, there = (json.loads((tmp_path / name / "judgement.json").read_text()) for name in ("here", "there"))
    assert {**there, "seconds": here["seconds"]} == here


UNGUARDED = """
import sys
from pathlib import Path
from vidrobust.data.dataset import DataConfig
from vidrobust.study.engines.local import Local
from vidrobust.study.jobs import PrepareData, job_key

print("begun", flush=True)
job = PrepareData(DataConfig(name=sys.argv[1], size=16, max_frames=10))
engine = Local(1)
engine.submit(job_key(job), job, Path(sys.argv[2]))
while not engine.finished(0.2):
    pass
engine.close(at_once=False)
print("done")
"""


def test_a_script_without_a_guard_of_its_main_module_is_not_run_again_by_workers(
    small_motion: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, str(tmp_path / "script.py"), str(small_motion), str(tmp_path / "jobs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert (done.returncode, done.stdout.split()) == (0, ["begun", "done"]), done.stderr


def test_an_engine_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose local, ray or slurm"):
        Where(engine="cloud")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="--address auto is for another engine"):
        Where(address="auto")
    with pytest.raises((InputError, RunError), match="no Slurm here|submitit is not installed"):
        open_engine(Where(engine="slurm"), tmp_path)
