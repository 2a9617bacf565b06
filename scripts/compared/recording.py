"""What is done inside a revision: cases by name, each with an outcome that is written down to be compared.

This runs in a process of its own that imports the ``vidrobust`` of one revision. It keeps to public names and looks the
same from every revision.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import vidrobust as vr

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Outcome:
    """What a case came to: tensors in the order in which they are compared, and whatever else can be told as JSON."""

    tensors: Tensors = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """What the arguments of the process say: the data set, the run of a trained model, where outcomes go."""

    data: str
    start: str
    out: Path

    @classmethod
    def given(cls) -> Place:
        """From the command line."""
        data, start, out = sys.argv[1:]
        return cls(data, start, Path(out))

    def clips(self) -> Any:
        """The data set in miniature."""
        return vr.data.videos(self.data, size=16, max_frames=10, train=48, val=20, test=20)

    def model(self) -> torch.nn.Module:
        """The trained model, each time anew."""
        return vr.load_model(self.start)


def record(cases: Mapping[str, Callable[[], Outcome]], out: Path) -> None:
    """Write the outcome of each case into a file, numbered in their order.

    A case that raises has no outcome, and is not the same as anything; the others go on.
    """
    out.mkdir(parents=True)
    for number, (name, case) in enumerate(cases.items()):
        torch.manual_seed(number)  # nothing should look at the global state; if it does, then at the same one
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome = _attempted(case)
        said = [str(warning.message) for warning in caught if warning.category.__module__.startswith("vidrobust")]
        about = {"case": name, "told": {**outcome.told, "warnings": said}, "order": list(outcome.tensors)}
        save_file(_plain(outcome.tensors), out / f"{number:03}.safetensors", {"about": json.dumps(about)})


def _attempted(case: Callable[[], Outcome]) -> Outcome:
    try:
        return case()
    except Exception as error:  # noqa: BLE001 - what is broken in one case must not hide the others
        traceback.print_exc()
        return Outcome(told={"failed": f"{type(error).__name__}: {error}"})


def _plain(tensors: Tensors) -> Tensors:
    """As the format wants them: contiguous, and none sharing memory with another."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def note(out: Path, missing: Iterable[str]) -> None:
    """Write down what there is in this revision that no case covers, a line each."""
    (out / "not-covered.txt").write_text("".join(f"{name}\n" for name in sorted(missing)), encoding="utf-8")


def named(*tables: str) -> set[str]:
    """The keys of the tables of these names, in whichever loaded modules of the package have them."""
    modules = [vars(module) for path, module in list(sys.modules.items()) if path.startswith("vidrobust.")]
    found = {key for module in modules for table in tables for key in module.get(table, ())}
    return found or {f"what stood in {' and '.join(tables)}"}
