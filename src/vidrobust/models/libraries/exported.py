"""Exported models: programs of torch.export (``.pt2``), which have gradients, and ONNX files, which have none.

Layout, size, frames and a fixed batch are read off the shape of the model's input, so far as it is fixed. An exported
program is a program: load only those that you trust. Parts of one that are pickled are refused all the same.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vidrobust.errors import InputError
from vidrobust.models.adapters import Adapted
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
        raise InputError(f"{spec.name} has {model.gives} classes, not {classes}: its head cannot be replaced.")
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
        refuse_pickles(path)
        self.file_hash = hashlib.sha256(path.read_bytes()).hexdigest()
        try:
            program: Any = torch.export.load(path)
        except Exception as error:  # whatever is wrong with the file
            raise InputError(f"{path} is no program of torch.export ({type(error).__name__}: {error}).") from error
        inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in _inputs(program)]
        if len(inputs) != 1:
            raise InputError(f"{path} takes {len(inputs)} inputs; a classifier takes clips alone.")
        self.takes = _sides(inputs[0].meta["val"].shape)
        answer = program.graph.output_node().args[0][-1]
        shape = _sides(answer.meta["val"].shape)
        self.gives = shape[1] if len(shape) == 2 else None
        self.program = program.module()

    def train(self, mode: bool = True) -> ExportedProgram:
        """An exported program knows one mode only."""
        self.training = mode
        return self

    def forward(self, clips: Tensor) -> Any:
        return in_batches(self.program, clips, self.takes[0])


def _inputs(program: Any) -> set[str]:
    return set(program.graph_signature.user_inputs)


def _sides(shape: Sequence[Any]) -> list[int | None]:
    return [side if isinstance(side, int) else None for side in shape]


def refuse_pickles(path: Path) -> None:
    """Refuse a ``.pt2`` archive of which a part would be unpickled.

    Raises:
        InputError: there is such a part, or the file is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("_config.json") and '"use_pickle": true' in archive.read(name).decode():
                    raise _pickled(path, name)
                if "/data/constants/" in name and not name.endswith(".json") and "tensor_" not in Path(name).name:
                    raise _pickled(path, name)
                if name.endswith(".pt"):
                    with archive.open(name) as part:
                        _plain(path, name, part.read())
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no program of torch.export ({error}).") from error


def _plain(path: Path, name: str, content: bytes) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it is about to refuse
            torch.load(io.BytesIO(content), weights_only=True)
    except pickle.UnpicklingError as error:
        raise _pickled(path, name) from error


def _pickled(path: Path, name: str) -> InputError:
    return InputError(f"{path} holds pickled objects ({name}), which could run code: export it with tensors alone.")


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
        flat = next((output for output in outputs if len(output.shape) == 2), outputs[0])
        self._output, self.gives = flat.name, _sides(flat.shape)[-1]

    def forward(self, clips: Tensor) -> Tensor:
        if not torch.is_tensor(clips):
            raise TypeError("onnxruntime takes tensors alone")  # what torch.fx traces with would crash it
        return in_batches(self._run, clips, self.takes[0])

    def _run(self, clips: Tensor) -> Tensor:
        given = clips.detach().to("cpu", self._type).contiguous().numpy()
        (logits,) = self._session.run([self._output], {self._input: given})
        return torch.from_numpy(logits).to(clips.device)
