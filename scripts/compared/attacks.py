"""A call of each search under each threat, on each view of a model: attacks.py DATA START OUT"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from recording import Outcome, Place, note, record
from threatened import CLIPS, SHIELDED, SHIELDS, SPECIAL, under_threats
from torch import Tensor, nn

import vidrobust as vr

Batch = tuple[Tensor, Tensor]


def main() -> None:
    """Make all attacks, and note those that are in no case."""
    place = Place.given()
    batch = chosen(place)
    cases: dict[str, Callable[[], Outcome]] = {"the clips": lambda: Outcome({"clips": batch[0], "labels": batch[1]})}
    used: set[str] = set()
    model = place.model()  # of all attacks but those on another view: searches leave it as it was
    for name, make in (*under_threats(), *SPECIAL.items()):
        cases[name] = partial(attacked, used, lambda: model, make, batch)
    for name, make in SHIELDED.items():
        shield = SHIELDS[name.split()[-1]]
        cases[name] = partial(attacked, used, lambda shield=shield: shield(place.model()), make, batch)
    cases |= views(used, place, batch) | measures(place)
    record(cases, place.out)
    note(place.out, {name for name in vr.__all__ if is_attack(getattr(vr, name))} - used)


def chosen(place: Place) -> Batch:
    """Training clips that the model classifies rightly, but for two of a dozen."""
    clips = place.clips().train
    pixels = clips.centre(range(len(clips)))
    with torch.no_grad():
        right = place.model()(pixels).argmax(1) == clips.labels
    index = torch.cat([right.nonzero().flatten()[: CLIPS - 2], (~right).nonzero().flatten()[:2]])
    return pixels[index], clips.labels[index]


def attacked(used: set[str], model: Callable[[], nn.Module], make: Callable[[], Any], batch: Batch) -> Outcome:
    """What an attack found; one that is aimed is aimed at the next class."""
    try:
        attack = make()
    except AttributeError as error:  # of the package: this revision has no such attack
        return Outcome(told={"lacking": str(error)})
    used |= set(names(attack))
    clips, labels = batch
    victim = model()
    found = attack(victim, clips, (labels + 1) % 10 if getattr(attack, "targeted", False) else labels)
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    tensors = {name: value for name, value in fields.items() if torch.is_tensor(value)}
    return Outcome(tensors, {name: value for name, value in fields.items() if name not in tensors})


def is_attack(kind: object) -> bool:
    """Is it a public class of attacks: a dataclass with a threat, or with a search within it?"""
    fields = getattr(kind, "__dataclass_fields__", {})
    return callable(kind) and "__call__" in vars(kind) and not {"threat", "search"}.isdisjoint(fields)


def names(attack: Any) -> Iterator[str]:
    """Its class, and those of the searches within."""
    while dataclasses.is_dataclass(attack):  # of some searches, ``search`` is a method
        yield type(attack).__name__
        attack = getattr(attack, "search", None)


# --------------------------------------------------------------------------------------------------------------- views


def views(used: set[str], place: Place, batch: Batch) -> dict[str, Callable[[], Outcome]]:
    """The same attacks on every view of a model there is: itself and its fast copies, whole and in segments.

    The wide network is one whose convolutions and rectifiers the fast copy computes in ways of its own.
    """
    generator = torch.Generator().manual_seed(0)
    wide = torch.rand(2, 3, 4, 80, 80, generator=generator), torch.tensor([0, 1])
    models = {"small": (place.model, batch), "wide": (partial(vr.models.build, "r3d-18", 10, 0), wide)}
    cases: dict[str, Callable[[], Outcome]] = {}
    for size, (model, clips) in models.items():
        for view, around in VIEWS.items():
            precision = "exact" if "exact" in view else "auto"
            make = partial(vr.PGD, vr.Threat(vr.Linf(), 2 / 255), 0.5 / 255, 3, keep="last", precision=precision)
            cases[f"PGD, {size} model, {view}"] = partial(viewed, around, partial(attacked, used, model, make, clips))
    return cases


def viewed(around: tuple[Callable[[], Any], ...], attack: Callable[[], Outcome]) -> Outcome:
    """An attack within some contexts."""
    with contextlib.ExitStack() as stack:
        for context in around:
            stack.enter_context(context())
        return attack()


@contextlib.contextmanager
def without_bfloat16() -> Iterator[None]:
    """As on a processor that lacks it, where the fast copy is in float32."""
    with contextlib.ExitStack() as stack:
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            if hasattr(torch.cpu, name):
                stack.enter_context(mock.patch.object(torch.cpu, name, bool))
        yield


@contextlib.contextmanager
def without_memory() -> Iterator[None]:
    """As on a machine on which no clip fits into memory, by the word of the system's files.

    Raises:
        AssertionError: nobody asked for it, so that the view was not lean and nothing was compared.
    """
    read, asked = Path.read_text, []

    def told(path: Path, *how: Any, **more: Any) -> str:
        if path != Path("/proc/meminfo"):
            return read(path, *how, **more)
        asked.append(path)
        return "MemAvailable: 1 kB\n"

    with mock.patch.object(Path, "read_text", told):
        yield
    assert asked, "nobody asked how much memory is free: the view was not lean"


VIEWS: dict[str, tuple[Callable[[], Any], ...]] = {
    "exact": (),
    "fast": (),
    "fast in float32": (without_bfloat16,),
    "lean, exact": (without_memory,),
    "lean, fast": (without_memory,),
    "lean, fast in float32": (without_memory, without_bfloat16),
}


# ------------------------------------------------------------------------------------------------------------ measures


def measures(place: Place) -> dict[str, Callable[[], Outcome]]:
    """What is made of attacks: rows, and step sizes."""
    data = place.clips()
    few = data.train.subset(range(0, len(data.train), 3))
    pgd = partial(vr.PGD, vr.Threat(vr.Linf(), 2 / 255), 0.5 / 255, 3)

    def calibrated() -> Outcome:
        clips = few.centre(range(len(few)))
        found = vr.calibrate(place.model(), vr.Threat(vr.L2(), 0.5), [2, 4], clips, few.labels)
        return Outcome(told={str(steps): dataclasses.asdict(size) for steps, size in found.items()})

    return {
        "accuracy": lambda: rows([vr.accuracy(place.model(), split) for split in (data.train, data.val, data.test)]),
        "evaluate": lambda: rows(vr.evaluate(place.model(), few, [pgd(), pgd(keep="last")])),
        "evaluate_views, clips": lambda: rows(vr.evaluate_views(place.model(), few, [pgd()], views=2)),
        "evaluate_views, videos": lambda: rows(
            vr.evaluate_views(place.model(), few, [pgd()], views="sliding", level="video")
        ),
        "sweep": lambda: rows(vr.sweep(place.model(), few, 2.0, [0.5, 1.0], 4, (2, 4))),
        "step_sizes": lambda: rows(vr.step_sizes(place.model(), few, 2.0, [2, 4])),
        "calibrate": calibrated,
    }


def rows(found: list[dict[str, Any]]) -> Outcome:
    """Rows without the text of an attack, which has addresses of functions in it."""
    return Outcome(told={"rows": [{name: value for name, value in row.items() if name != "attack"} for row in found]})


if __name__ == "__main__":
    main()
