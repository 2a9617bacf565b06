"""Exported models: programs of torch.export (``.pt2``), which have gradients, and ONNX files, which have none.

Layout, size, frames and a fixed batch are read off the shape of the model's input, so far as it is fixed. Of several
outputs the first counts, or the one called ``logits``. What an archive may hold is the business of
:mod:`vidrobust.models.libraries.archives`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils._pytree import tree_unflatten

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted, logits_of
from vidrobust.models.libraries.archives import checked_archive
from vidrobust.models.libraries.onnx_files import refuse_outside_data
from vidrobust.models.libraries.optional import library
from vidrobust.models.spec import with_options

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.models.spec import Spec

Shape = Sequence[int | None]
"""The sides of a tensor, None where they are free."""


def build_exported(spec: Spec, classes: int | None) -> nn.Module:
    """The model of a ``.pt2`` or ``.onnx`` file.

    Raises:
        InputError: there is no such file, it is damaged or no classifier of clips, or it has another number of classes.
    """
    if not Path(spec.name).is_file():
        raise InputError(f"{spec.name} does not exist: there is no model to load.")
    model = ExportedProgram(Path(spec.name)) if spec.kind == "pt2" else OnnxModel(Path(spec.name))
    if len(model.takes) != 5:
        raise InputError(f"{spec.name} takes a tensor of {len(model.takes)} axes, not clips of five.")
    if classes is not None and model.gives is not None and classes != model.gives:
        raise InputError(
            f"{spec.name} gives {model.gives} classes, the data has {classes}: a program's head cannot be replaced. If "
            "the data's are some of the model's classes, give the list of those it was trained on: --classes FILE."
        )
    wants = with_options(spec, seen_in(model.takes))
    return Adapted(model.eval(), wants, classes=model.gives or classes, spec=spec.text)


def seen_in(shape: Shape) -> dict[str, Any]:
    """Layout, size and frames that a model with this input takes.

    >>> seen_in((None, 16, 3, 224, 224))
    {'layout': 'BTCHW', 'size': (224, 224), 'frames': 16}
    """
    where = next((axis for axis in (1, 2, 4) if shape[axis] == 3), 1)
    layout = {1: "BCTHW", 2: "BTCHW", 4: "BTHWC"}[where]
    sides = dict(zip(layout, shape, strict=True))
    height, width = sides["H"], sides["W"]
    return {
        "layout": layout,
        "size": None if height is None or width is None else (height, width),
        "frames": sides["T"],
    }


def in_batches(run: Callable[[Tensor], Tensor], clips: Tensor, batch: int | None) -> Tensor:
    """Run a model of a fixed batch on any number of clips; the last part is filled up with its first clip."""
    if batch is None or len(clips) == batch:
        return run(clips)
    parts = []
    for part in clips.split(batch):
        missing = batch - len(part)
        full = torch.cat([part, part[:1].expand(missing, *part.shape[1:])]) if missing else part
        parts.append(run(full)[: len(part)])
    return torch.cat(parts)


class ExportedProgram(nn.Module):
    """A program of torch.export, in whatever mode (evaluation, one hopes) it was exported.

    Attributes:
        takes: the shape of its input.
        gives: its number of classes, or None.
        file_hash: of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        archive = checked_archive(path)
        self.file_hash = hashlib.sha256(archive.getbuffer()).hexdigest()
        try:
            with _quiet("torch.export"):
                program: Any = torch.export.load(archive)
            module = program.module()
        except Exception as error:  # whatever is wrong with the file
            line = str(error).strip().splitlines()[:1]
            what = ": ".join([type(error).__name__, *line])
            raise InputError(f"{path} is no whole program of torch.export ({what}). Fetch it again.") from error
        inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in _inputs(program)]
        if len(inputs) != 1:
            raise InputError(f"{path} takes {len(inputs)} inputs; a classifier takes clips alone.")
        self.takes = _sides(inputs[0].meta["val"].shape)
        self.gives = _classes(path, program)
        self.program = module

    def train(self, mode: bool = True) -> ExportedProgram:
        """An exported program knows one mode only."""
        self.training = mode
        return self

    def forward(self, clips: Tensor) -> Any:
        return in_batches(self.program, clips, self.takes[0])


@contextlib.contextmanager
def _quiet(name: str) -> Generator[None]:
    """Without what a library logs of an error, with its traceback, before it raises it."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _classes(path: Path, program: Any) -> int | None:
    """The classes of the answer that counts as logits (:func:`vidrobust.models.adapters.logits_of`)."""
    nodes = {node.name: node for node in program.graph.nodes}
    answers = [nodes[name].meta["val"] if name in nodes else name for name in program.graph_signature.user_outputs]
    try:
        logits = logits_of(tree_unflatten(answers, program.call_spec.out_spec))
    except (InputError, ValueError) as error:
        raise InputError(f"{path} is no classifier: {error}") from error
    shape = _sides(logits.shape)
    if len(shape) != 2:
        raise InputError(f"{path} answers with a tensor of {len(shape)} axes, not with logits B × K.")
    return shape[1]


def _inputs(program: Any) -> set[str]:
    return set(program.graph_signature.user_inputs)


def _sides(shape: Sequence[Any]) -> list[int | None]:
    return [side if isinstance(side, int) else None for side in shape]


class OnnxModel(nn.Module):
    """An ONNX file, run by onnxruntime: logits without gradients, for black-box attacks (Square, RayS) alone.

    Attributes:
        differentiable: no.
        takes: the shape of its input.
        gives: its number of classes, or None.
        file_hash: of the file.
    """

    differentiable = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.file_hash = hashlib.sha256(path.read_bytes()).hexdigest()
        onnxruntime = library("onnxruntime", "onnx")
        refuse_outside_data(path)
        try:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # or it starves torch of cores
            providers = onnxruntime.get_available_providers()
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's errors have no common base
            raise InputError(f"{path} is no ONNX file that onnxruntime runs ({error}).") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1:
            raise InputError(f"{path} takes {len(inputs)} inputs; a classifier takes clips alone.")
        self.takes, self._input = _sides(inputs[0].shape), inputs[0].name
        self._type = {"tensor(float16)": torch.float16, "tensor(double)": torch.float64}.get(
            inputs[0].type, torch.float32
        )
        flat = [output for output in outputs if len(output.shape) == 2]
        if not flat:
            shapes = ", ".join(f"{output.name} {output.shape}" for output in outputs)
            raise InputError(f"{path} has no output B × K that could be logits; it has: {shapes}.")
        chosen = next((output for output in flat if output.name == "logits"), flat[0])
        self._output, self.gives = chosen.name, _sides(chosen.shape)[-1]

    def forward(self, clips: Tensor) -> Tensor:
        if not torch.is_tensor(clips):
            raise TypeError("onnxruntime takes tensors alone")  # what torch.fx traces with would crash it
        return in_batches(self._run, clips, self.takes[0])

    def _run(self, clips: Tensor) -> Tensor:
        given = clips.detach().to("cpu", self._type).contiguous().numpy()
        (logits,) = self._session.run([self._output], {self._input: given})
        return torch.from_numpy(logits).to(clips.device)
