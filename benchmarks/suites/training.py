"""Adversarial training: a step over its bare passes, an epoch over the same with torchattacks, a large step."""

from __future__ import annotations

import importlib
import math
import re
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.contestants import ALPHA, EPS, torchattacks
from benchmarks.measuring import Stage, interleaved, peak_bytes, quartiles, seconds
from vidrobust import PGD, Linf, Threat
from vidrobust.data.dataset import DataConfig
from vidrobust.fast.view import inference_view
from vidrobust.models.building import build
from vidrobust.models.estimate import GPUS, Gpu, count
from vidrobust.notation import parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.dry_run import TrainingEstimate
from vidrobust.training.loop import Loaded, Training
from vidrobust.training.rates import default_optimiser, set_rate
from vidrobust.training.trainer import new_training

STEPS = 5
POLICY = f"AT(ε=8,α=2,i={STEPS})"
ATTACK = PGD(Threat(Linf(), EPS), ALPHA, STEPS, keep="last")


class Noise:
    """Training clips of noise, kept as bytes, mirrored at random: what the loop asks of a data set."""

    def __init__(self, clips: int, frames: int, size: int, classes: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._bytes = torch.randint(256, (clips, 3, frames, size, size), generator=generator, dtype=torch.uint8)
        self.labels = torch.arange(clips) % classes
        self.classes = tuple(map(str, range(classes)))

    def __len__(self) -> int:
        return len(self.labels)

    def centre(self, indices: Any) -> Tensor:
        """The clips as they are."""
        return self._bytes[torch.as_tensor(indices)].float() / 255

    def augmented(self, indices: Tensor, generator: torch.Generator, part: Tensor | None = None) -> Tensor:
        """The clips, every other one mirrored."""
        mirrored = torch.rand(len(indices), generator=generator) < 0.5
        rows = torch.arange(len(indices)) if part is None else part
        clips = self.centre(indices[rows])
        return torch.where(mirrored[rows].view(-1, 1, 1, 1, 1), clips.flip(-1), clips)


def measure(stage: Stage) -> None:
    """The three of them."""
    for name, work in {
        "AT(i=5), an epoch, small network of the study": _epoch,
        "AT(i=5), a step, small network of the study": _step,
        "AT(i=5), a step, 3D-ResNeXt-101 at 64×112×112, checkpointing": _large,
    }.items():
        if stage.wants(name):
            with stage.trying(name):
                work(stage, name)


def training(stage: Stage, model: str, clips: Noise, **config: Any) -> Training:
    """A training that has just begun."""
    network = build(model, len(clips.classes)).to(stage.device)
    clips_: Any = clips
    return new_training(network, clips_, parse_policy(POLICY), FitConfig(**config), 0, lambda eps, steps: 2.0, World())


def _epoch(stage: Stage, name: str) -> None:
    batch, clips = (4, Noise(16, 8, 16, 10)) if stage.tiny else (64, Noise(1280, 8, 24, 10))
    ours = training(stage, "r3d-small", clips, epochs=1000, batch=batch)
    runs: dict[str, Callable[[], float]] = {"ours": lambda: ours.epoch(lambda gradients: None, lambda: None)["loss"]}
    try:
        importlib.import_module("torchattacks")
    except ImportError as error:
        stage.add(kind="not run", row=f"{name}: torchattacks", why=f"not installed: {error}")
    else:
        runs["torchattacks"] = _plain_epoch(stage, clips, ours.config)
    losses: dict[str, float] = {}
    work = {who: lambda who=who, run=run: losses.update({who: run()}) for who, run in runs.items()}
    times = interleaved(work, stage, warm=1)
    stage.add_times(name, times, {("ours", "torchattacks"): 0.6})
    for who, loss in losses.items():  # after as many epochs from the same weights at the same rates, in another order
        stage.add(kind="loss", row=name, contestant=who, loss=round(loss, 5))


def _plain_epoch(stage: Stage, clips: Noise, config: FitConfig) -> Callable[[], float]:
    """One epoch as one would write it; returns the mean loss of its batches."""
    model = build("r3d-small", len(clips.classes)).to(stage.device)
    optimiser, total_steps = default_optimiser(model, config), config.epochs * (len(clips) // config.batch)
    attack, steps = torchattacks(model, STEPS), iter(range(total_steps))
    generator = torch.Generator().manual_seed(0)

    def epoch() -> float:
        total = torch.zeros((), device=stage.device)
        for indices in torch.randperm(len(clips), generator=generator).split(config.batch):
            labels = clips.labels[indices].to(stage.device)
            attacked = attack(clips.augmented(indices, generator).to(stage.device), labels)
            model.train()
            set_rate([optimiser], config, next(steps), total_steps)
            optimiser.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(attacked), labels)
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(indices)
        return total.item() / len(clips)

    return epoch


def loss_of_a_step(running: Training, batch: Loaded) -> float:
    """The mean loss of the attacked clips in one more step."""
    loss, seen = running.at.loss, running.at.seen
    running.step(batch)
    return round((running.at.loss - loss) / (running.at.seen - seen), 5)


def loaded(running: Training, batch: int, device: torch.device) -> Loaded:
    """The first clips as a batch that lies on the device already: a step is timed without its transfer."""
    found = running.load(torch.arange(batch), torch.Generator())
    return found._replace(clips=found.clips.to(device), labels=found.labels.to(device))


def _step(stage: Stage, name: str) -> None:
    batch, clips = (4, Noise(8, 8, 16, 10)) if stage.tiny else (64, Noise(128, 8, 24, 10))
    running = training(stage, "r3d-small", clips, epochs=1000, batch=batch)
    batch_there = loaded(running, batch, stage.device)
    there, labels = batch_there.clips, batch_there.labels
    running.learner.train()
    runs: dict[str, Callable[[], object]] = {
        "step": lambda: running.step(batch_there),
        "bare passes": lambda: bare(running, there, labels),
        "attack alone": lambda: attack_alone(running, there, labels),
    }
    times = interleaved(runs, stage)
    stage.add_times(name, times, {("step", "bare passes"): 1.05})
    attacked = ATTACK(running.learner.model, there, labels).loss.mean().item()
    stage.add(kind="loss", row=name, contestant="attack alone", loss=round(attacked, 5))
    stage.add(kind="loss", row=name, contestant="step", loss=loss_of_a_step(running, batch_there))


def attack_alone(running: Training, clips: Tensor, labels: Tensor) -> Tensor:
    """The attack of a step, on weights that have not changed."""
    return ATTACK.perturb(running.learner.model, clips, labels)


def bare(running: Training, clips: Tensor, labels: Tensor) -> None:
    """As many passes as a step has, and nothing else."""
    model, learner = running.learner.model, running.learner
    model.eval().requires_grad_(False)
    view = inference_view(model, clips)
    point = clips.contiguous(memory_format=view.layout)
    for part, answers in zip(*(whole.tensor_split(view.parts(point)) for whole in (point, labels)), strict=True):
        for _ in range(STEPS):
            leaf = part.detach().requires_grad_(True)
            torch.autograd.grad(F.cross_entropy(view(leaf), answers, reduction="sum"), leaf)
    model.train().requires_grad_(True)
    optimiser = running.optimisers["model"]
    optimiser.zero_grad(set_to_none=True)
    laid = clips.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(clips.device.type, learner.dtype, enabled=learner.dtype != torch.float32):
        logits = model(laid)
    F.cross_entropy(logits.float(), labels).backward()
    optimiser.step()


def _large(stage: Stage, name: str) -> None:
    """A step of the UCF-101 recipe's network with all of its weights trained, and the recipe's estimate of it."""
    if stage.device.type != "cuda" and not stage.tiny:
        stage.add(kind="not run", row=name, why="minutes a step on a CPU")
        return
    model, batch, frames, size = ("resnext3d-101", 8, 64, 112) if not stage.tiny else ("r3d-small", 4, 8, 16)
    clips = Noise(batch, frames, size, 101)
    running = training(stage, model, clips, epochs=1000, batch=batch, checkpointing=True, optimiser="sgd", lr=1e-3)
    there = loaded(running, batch, stage.device)
    running.learner.train()
    step = lambda: running.step(there)  # noqa: E731
    peak = peak_bytes(step, stage.device)
    stage.add(kind="memory", row=name, contestant="ours", bytes=peak)
    taken = [seconds(step, stage.device) for _ in range(3)]
    stage.add(kind="time", row=name, contestant="ours", seconds=quartiles(taken))
    stage.add(kind="loss", row=name, contestant="ours", loss=loss_of_a_step(running, there))
    counted = count(running.learner.model, frames, size)
    data = DataConfig(frames=frames, size=size, max_frames=frames)
    told = TrainingEstimate(model, counted, running.config, data, batch, ((1, STEPS),), gpu_like(stage.device))
    measured = statistics.median(taken)
    value = {
        "GPU": told.gpu.name,
        "estimated seconds": round(told.seconds, 4),
        "estimated GiB": round((told.fixed + told.part * told.activations) / 2**30, 3),
        "TFLOP": round(told.epochs[0] / 1e12, 4),
        "share of the peak": round(told.epochs[0] / (told.peak * 1e12) / measured, 4),
        "estimate over measured": round(told.seconds / measured, 3),
    }
    stage.add(kind="figure", row=name, what="the estimate", value=value)
    if not math.isfinite(told.seconds):
        raise RuntimeError("no estimate")


def gpu_like(device: torch.device) -> Gpu:
    """The GPU that the recipe's estimate is of: this one, if it is known by its name, else an H100."""
    return gpu_called(torch.cuda.get_device_name(device) if device.type == "cuda" else "")


def gpu_called(name: str) -> Gpu:
    """The GPU of which a driver says this name.

    >>> [gpu_called(name).name for name in ("NVIDIA A100-SXM4-40GB", "NVIDIA GeForce RTX 3090", "NVIDIA L40")]
    ['NVIDIA A100 40 GB', 'NVIDIA GeForce RTX 3090', 'NVIDIA H100 SXM']
    """
    words = set(re.findall(r"[A-Z]*\d+[A-Z]*", name.replace("RTX ", "RTX")))
    return GPUS[max((key for key in GPUS if set(key.split("-")) <= words), key=len, default="H100")]
