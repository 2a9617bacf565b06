"""The judgement of a model: its cost, its jobs on any engine, and its record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from vidrobust.attacks.base import undisturbed
from vidrobust.attacks.gradients import input_gradient
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.data.given import Given
from vidrobust.errors import InputError
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.manifest import manifest
from vidrobust.losses import margin
from vidrobust.models.diagnosis import self_test
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.judgements.record import Judgement
from vidrobust.results.numbers.rules import Measured
from vidrobust.runs.directory import Run
from vidrobust.study.engines import Engine, Where, open_engine
from vidrobust.study.engines.here import Here
from vidrobust.study.jobs import device
from vidrobust.study.judgement_plan import THREAT, JudgementPlan, group_threats
from vidrobust.study.judgement_record import recorded
from vidrobust.study.judging import HELD, JudgementSubject, Opened, part
from vidrobust.study.progress import Display
from vidrobust.study.timing import seconds
from vidrobust.study.trained import ModelSource
from vidrobust.study.workers import Workers

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips


def hold(model: Any, clips: Any, subject: JudgementSubject) -> None:
    """Keep a model with its clips for the jobs of this process."""
    HELD[subject] = Opened(model, clips)


MEASURED = 0.5
"""For how many seconds a gradient is measured again and again: beside other programs, one alone says little."""


def seconds_a_gradient(opened: Opened, count: int = 8) -> float:
    """How long a gradient of one clip takes here, in one thread: the mean over :data:`MEASURED` seconds."""
    clips, labels = part(opened, tuple(range(min(count, len(opened.clips)))))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def forward() -> None:
        with undisturbed(opened.model), torch.no_grad(), suppress(Exception):  # one that fails takes its time, too
            opened.model(clips)

    try:
        with undisturbed(opened.model):
            input_gradient(opened.model, clips, labels, margin)
            return _seconds(lambda: input_gradient(opened.model, clips, labels, margin), clips) / len(clips)
    except Exception:  # noqa: BLE001 - without a gradient: forward passes, about a third
        return 3 * _seconds(forward, clips) / len(clips)
    finally:
        torch.set_num_threads(threads)


def _seconds(work: Callable[[], object], clips: Tensor) -> float:
    taken: list[float] = []
    while sum(taken) < MEASURED:
        taken.append(seconds(work, clips))
    return sum(taken) / len(taken)


def findings(model: Any, frames: int, size: int, classes: int) -> list[Measured]:
    """What the self-test on random clips finds, as rules take it."""
    names = {"dead gradient": "dead gradient", "wrong gradient": "dead gradient"}
    found_names = ("layout", "output", "fails", "double normalisation", "scale")
    found = []
    for finding in self_test(model, frames=frames, size=size, classes=classes):
        if finding.name in names or finding.name in found_names:
            found.append(Measured(names.get(finding.name, "set-up"), 1, 1, str(finding)[:500]))
    return found


def run_judgement(plan: JudgementPlan, out: Path, where: Where | None, console: Console | None = None) -> Judgement:
    """Run a plan, or go on with it, and write the record.

    Args:
        plan: what to measure.
        out: the run directory.
        where: the engine; None for this process, where the model may live in its memory alone.
        console: where progress is printed.

    Raises:
        RunError: the folder holds something else, or a worker was lost again and again.
    """
    run = Run.start(out, "judge", plan.config(), 0)
    engine: Engine = Here() if where is None else open_engine(where, run.path)
    jobs = plan.jobs()
    with Display(sum(job.gradients for job in jobs), console) as display, Workers(run, engine, display) as pool:
        pool.do(jobs)
    return recorded(plan, run)


def plan_judgement(
    model: Any,
    clips: Any,
    subject: dict[str, Any],
    *,
    name: str,
    data: str,
    threats: Sequence[str],
    ensemble: Ensemble,
    origin: str = "",
    classes: int = 0,
    corruptions: Sequence[str] = (),
) -> JudgementPlan:
    """The plan for a model and clips in memory.

    Args:
        model: in evaluation mode, on its device.
        clips: what is judged, all of it.
        subject: the fields of a :class:`JudgementSubject` but for the hashes.
        name, data, origin: for people.
        threats: as text.
        ensemble: how hard attacks try.
        classes: of the model, for its self-test; 0 leaves that out.
        corruptions: as text.
    """
    if len(clips) == 0:
        raise InputError("there are no clips to judge on.")
    known = manifest(clips)
    known["shape"] = list(clips.centre([0]).shape[1:])
    found = JudgementSubject(weights=fingerprint(model), clips_of=known["hash"], count=len(clips), **subject)
    hold(model, clips, found)
    frames, size = known["shape"][1], known["shape"][2]
    found_names = findings(model, frames, size, classes) if classes else []
    videos = hasattr(clips, "viewed")
    return JudgementPlan(
        found, name, data, known, group_threats(threats), ensemble, origin, videos, found_names, tuple(corruptions)
    )


def judge(
    model: nn.Module | str,
    data: str | Path | DataConfig | VideoClips | Clips | tuple[Any, ...],
    *,
    threats: Sequence[str] = (THREAT,),
    clips: int = 200,
    weights: str | None = None,
    split: Literal["train", "val", "test"] = "test",
    ensemble: Ensemble | None = None,
    corruptions: Sequence[str] = (),
    out: str | Path = "runs/judged",
    name: str = "",
    console: Console | None = None,
) -> Judgement:
    """Measure how robust a model is, and whether the measurement can be trusted.

    The whole judgement runs in this process; ``vidrobust judge`` spreads it over several.

    Args:
        model: from clips ``B C T H W`` in [0, 1] to logits, or a model's text as :func:`vidrobust.load_model` takes it.
        data: ``motion``, a folder of videos, a data set, one split of it, or tensors: (clips, labels) or (clips,
            labels, sources).
        threats: such as ``Linf(8)``, ``L2(128)`` or ``Linf(8, Border(ratio=0.1))``, ε in units of 1/255.
        clips: the most clips to judge on; 0 takes all.
        weights: of a model given as text.
        split: of a data set.
        ensemble: how hard attacks try.
        corruptions: under which corruptions the accuracy is measured besides, such as ``ucf101-p``.
        out: the run directory; a judgement that was killed goes on there.
        name: of the model, for people; its text, or its class.
        console: where progress is printed.

    Returns:
        The record: ``judgement.record["verdict"]``, ``["reasons"]``, ``["threats"]``, …, as in ``judgement.json``.

    Raises:
        InputError: a threat is none, there are no clips, or model and data do not fit.
        RunError: ``out`` holds something else.

    >>> import tempfile
    >>> from torch import nn
    >>> classifier = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 4 * 4, 2))
    >>> shown = torch.rand(12, 3, 2, 4, 4)
    >>> quick = Ensemble(steps=5, targets=1, queries=10, noise=5, diagnostic=4)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     found = judge(classifier, (shown, classifier(shown).argmax(1)), ensemble=quick, out=out)
    >>> found.record["clean"]["correct"]
    12
    """
    pool, about, classes = _pool(data, split)
    if isinstance(model, str):
        model = ModelSource(model, weights).load(classes or int(pool.labels.max()) + 1, lambda text: None).to(device())
    pool = pool.spread(clips or len(pool))
    plan = plan_judgement(
        model.eval(),
        pool,
        {"split": split},
        name=name or type(model).__name__,
        data=about,
        threats=threats,
        ensemble=ensemble or Ensemble(),
        classes=classes,
        corruptions=corruptions,
    )
    return run_judgement(plan, Path(out), None, console)


def _pool(data: Any, split: str) -> tuple[Any, str, int]:
    """The clips, what they are called, and the number of classes; 0 where that is not known."""
    if isinstance(data, tuple):
        return Given(*data), "given clips", 0
    if isinstance(data, (str, Path)):
        data = DataConfig(name=str(data))
    if isinstance(data, DataConfig):
        data = load(data.mainly(split))
    if isinstance(data, VideoClips):
        return getattr(data, split), data.folder.name, len(data.classes)
    return data, "given clips", len(data.classes)
