"""The options that a suite of the benchmarks has of its own, and what its rows say."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.models.building import build
from vidrobust.models.estimate import GPUS
from vidrobust.notation.families import FAMILIES, MODIFIERS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks.command import main, parser, stage_from  # noqa: E402
from benchmarks.measuring import Stage  # noqa: E402
from benchmarks.results import check, document, models_folder, read  # noqa: E402
from benchmarks.suites import evaluations, judging, methods, regime, scaling, study, training  # noqa: E402


def stage(*arguments: str) -> Stage:
    return stage_from(parser().parse_args([*arguments, "--device", "cpu"]))


def test_an_option_of_another_suite_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stage("kernels", "--engine", "ray")
    assert "--engine" in capsys.readouterr().err
    assert stage("kernels").options == {}


def test_the_judgement_of_a_run_is_compared_with_autoattack(small_data: VideoClips, tmp_path: Path) -> None:
    vr.fit(build("r3d-small", len(small_data.classes)), small_data, epochs=1, batch=64, out=tmp_path / "run")
    few = ("--eps", "0.5", "--clips", "2", "--split", "val", "--rounds", "2")
    asked = stage("judging", "--tiny", "--run", str(tmp_path / "run"), *few)
    judging.measure(asked)
    assert {row["row"] for row in asked.found} == {"judgement, standard of run, Linf(0.5), 2 clips"}
    times = {row["contestant"]: row["seconds"] for row in asked.found if row["kind"] == "time"}
    assert times.keys() == {"judgement", "AutoAttack"}
    assert all(of["median"] > 0 and of["rounds"] == 2 for of in times.values())
    (counts,) = [row["value"] for row in asked.found if row["kind"] == "figure"]
    assert counts["clips"] == 2 and counts["stand under judgement"] <= counts["right"] <= 2


def test_what_a_stopped_suite_has_found_is_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(stage: Stage) -> None:
        stage.clock = "wall"
        stage.add(kind="figure", row="one", what="seen", value=1)
        stage.add(kind="figure", row="two", what="seen", value=2)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        main(["study", "--out", str(tmp_path / "result.json")])
    found = read(tmp_path / "result.json")
    assert [row["row"] for row in found["rows"]] == ["one", "two"] and found["clock"] == "wall"


def test_every_method_is_compared_or_said_why_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(methods, "chosen", lambda name, out: methods.with_betas(name)[0])
    compared = {text.partition("(")[0] for text in methods.methods(tmp_path)} | {"standard"}
    assert compared | methods.NOT_COMPARED.keys() == FAMILIES.keys()
    assert not compared & methods.NOT_COMPARED.keys()
    assert all(any(f"+{name}(" in text for text in methods.methods(tmp_path)) for name in MODIFIERS)


def test_each_regime_differs_from_the_chosen_one_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = [one.key for one in regime.VARIANTS.values()]
    assert len(set(keys)) == len(keys)
    once = regime.VARIANTS["7,200 training clips, one epoch each"]
    assert once.standard * once.data.train == regime.CHOSEN.standard * regime.CHOSEN.data.train
    monkeypatch.setattr(regime, "models_folder", lambda suite, tiny: tmp_path / suite)
    asked = stage("regime", "--tiny", "--rows", "half the width")
    for _ in range(2):  # the second time all is there
        regime.measure(asked)
    first, second = asked.found
    assert first == second and first["row"] == "half the width"
    assert first["value"].keys() >= {"standard, clean", "defence, clean", "ε=8", "worst case, ε=8"}
    assert all(found.endswith("of 10") for found in first["value"].values())
    assert sum(1 for _ in (tmp_path / "regime").glob("*/assessed.jsonl")) == 2


def test_models_that_other_sources_trained_are_not_taken(tmp_path: Path) -> None:
    module = tmp_path / "src" / "vidrobust" / "attack.py"
    module.parent.mkdir(parents=True)
    module.write_text("STEPS = 1")
    first, again = (models_folder("regime", False, tmp_path) for _ in range(2))
    module.write_text("STEPS = 2")
    assert first == again != models_folder("regime", False, tmp_path)
    assert first != models_folder("regime", True, tmp_path) and first.is_relative_to(tmp_path / "runs")


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command of each study that is begun, in place of running it."""
    begun: list[list[str]] = []

    def pretend(command: list[str], **how: Any) -> SimpleNamespace:
        begun.append(command)
        run = Path(command[command.index("--out") + 1])
        run.mkdir()
        (run / "report.html").write_text("page")
        return SimpleNamespace(poll=lambda: 0, wait=lambda: 0)

    monkeypatch.setattr("subprocess.Popen", pretend)
    monkeypatch.setattr(study, "_watched", lambda process, page, started: (2**20, 1.0))
    monkeypatch.setattr(study.StudyRun, "estimate", lambda asked: 2.0)
    return begun


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_the_study_of_a_profile_has_a_row_of_its_own(studies: list[list[str]]) -> None:
    asked = stage("study", "--profile", "full", "--workers", "3")
    study.measure(asked)
    assert [row["row"] for row in asked.found] == ["the full study", "the full study, from an empty cache"]
    assert [(option(one, "--profile"), option(one, "--workers")) for one in studies] == [("full", "3")] * 2
    assert all(row["value"]["peak MiB"] == 1 for row in asked.found)
    assert all(row["value"]["first figure, seconds"] == 1.0 for row in asked.found)


CHECKOUT = """
import os, sys, time
from pathlib import Path

print("study: about {minutes} minutes with 2 workers", file=sys.stderr)
if "--dry-run" not in sys.argv:
    run = Path(sys.argv[sys.argv.index("--out") + 1])
    run.mkdir()
    with open({log!r}, "a") as log:
        log.write("{name} " + ("cold" if "VIDROBUST_CACHE" in os.environ else "warm") + "\\n")
    (run / "report.html").write_text('<figure data-figure="figure-0">')
    sys.exit({code})
"""
"""A checkout whose study ends at once."""


def checkout(folder: Path, name: str, minutes: float, code: int = 0) -> Path:
    package = folder / name / "src" / "vidrobust"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    words = CHECKOUT.format(name=name, minutes=minutes, code=code, log=str(folder / "log"))
    (package / "__main__.py").write_text(words)
    return folder / name


def test_the_study_of_another_checkout_takes_turns_with_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VIDROBUST_CACHE", raising=False)
    monkeypatch.setattr(study, "ROOT", checkout(tmp_path, "now", 0.5))
    monkeypatch.setattr(study, "_cpu_seconds", count(0.0, 5.0).__next__)  # these end too soon to have any
    before = checkout(tmp_path, "before", 2.0)
    asked = stage("study", "--before", str(before), "--rounds", "2", "--rows", "empty cache")
    study.measure(asked)
    assert (tmp_path / "log").read_text().splitlines() == ["before cold", "now cold"] * 2
    check(document("study", asked))
    costs = [row["value"] for row in asked.found if row["kind"] == "figure"]
    assert [(cost["checkout"], cost["round"]) for cost in costs] == [
        ("before", 1),
        ("now", 1),
        ("before", 2),
        ("now", 2),
    ]
    assert [cost["estimated minutes"] for cost in costs] == [2.0, 0.5] * 2
    for cost in costs:
        assert cost["wall over estimate"] == round(cost["wall seconds"] / 60 / cost["estimated minutes"], 3)
        assert 0 < cost["first figure, seconds"] <= cost["wall seconds"]
    times = {row["contestant"]: row["seconds"] for row in asked.found if row["kind"] == "time"}
    assert {name: of["rounds"] for name, of in times.items()} == {"before": 2, "now": 2}
    assert [(row["what"], row["of"], row["to"]) for row in asked.found if row["kind"] == "ratio"] == [
        ("time", "now", "before"), ("CPU time", "now", "before"),
    ]  # fmt: skip


def test_a_study_that_fails_is_not_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "ROOT", checkout(tmp_path, "now", 0.5, code=3))
    asked = stage("study", "--rows", "empty cache")
    study.measure(asked)
    assert [(row["kind"], "the study ended with 3" in row["why"]) for row in asked.found] == [("not run", True)]


FIGURE = "<figure data-figure="


@pytest.mark.parametrize(
    ("pages", "first"),
    [(("", "<p>", FIGURE, FIGURE), 2.0), (("", "<p>", "<p>", FIGURE), 3.0), (("", "<p>", "<p>", "<p>"), None)],
    ids=["during the study", "at its end", "never"],
)
def test_the_first_figure_is_when_the_page_has_one(
    pages: tuple[str, ...], first: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At looks a second apart, at the last of which the study has ended."""
    page, seconds = tmp_path / "report.html", [10.0]

    class Process:
        pid, returncode, looks = 0, 0, iter(pages)

        def poll(self) -> int | None:
            text, number = next(self.looks), len(seconds)
            page.write_text(text)
            return 0 if number == len(pages) else None

    monkeypatch.setattr(study, "_family", lambda pid: [])
    monkeypatch.setattr(study.time, "sleep", lambda half: seconds.append(seconds[-1] + 1))
    monkeypatch.setattr(study.time, "perf_counter", lambda: seconds[-1])
    assert study._watched(Process(), page, 10.0) == (0, first)


def test_a_study_is_scaled_on_the_engine_that_is_asked_for(
    studies: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.time, "perf_counter", iter(range(0, 1000, 10)).__next__)
    asked = stage("scaling", "--engine", "ray", "--rounds", "1", "--rows", "study")
    scaling.measure(asked)
    assert {row["row"] for row in asked.found} == {"the quick study by two workers of ray"}
    assert [(option(one, "--engine"), option(one, "--workers")) for one in studies] == [("ray", "1"), ("ray", "2")]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA RTX A1000", "H100"),
        ("NVIDIA L4", "L4"),
        ("NVIDIA L40", "H100"),
        ("Quadro T400", "H100"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA B200", "H100"),
    ],
)
def test_the_recipes_estimate_is_of_the_gpu_at_hand_if_it_is_known(
    name: str, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: name)
    assert training.gpu_like(torch.device("cuda")) is GPUS[known]
    assert training.gpu_like(torch.device("cpu")) is GPUS["H100"]


def test_autoattack_at_full_size_has_a_row_and_runs_in_miniature() -> None:
    asked = stage("evaluations", "--tiny", "--rows", "AutoAttack")
    evaluations.measure(asked)
    check(document("evaluations", asked))
    kinds = [row["kind"] for row in asked.found]
    assert kinds == ["time", "memory", "loss", "figure", "figure"]
    work, standing = (row["value"] for row in asked.found if row["kind"] == "figure")
    assert list(standing) == ["clean", "APGD-CE", "APGD-T", "FAB-T", "Square"]
    assert standing["clean"] == 4 > standing["Square"] >= 1, "about half of the few clips of the miniature stand"
    assert work["forward passes"] > work["gradients"] > 4
    full = stage("evaluations", "--rows", "AutoAttack")
    evaluations.measure(full)
    assert [(row["row"], row["why"]) for row in full.found] == [(evaluations.LARGE.name, "hours on a CPU")]
    assert (evaluations.LARGE.clips, evaluations.LARGE.frames, evaluations.LARGE.size) == (32, 64, 112)
