"""Checkpoints of a training: all that its next step depends on, in one safetensors file written atomically.

Full tensors are stored, also of a model that is sharded over processes, so that a training may go on with another
number of them. ``torch.distributed.checkpoint`` takes a second to import, so it is imported where it
is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist

from vidrobust.errors import RunError
from vidrobust.models.checkpoints import load_tensors, save_tensors
from vidrobust.runs.files import torn

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.distributed.checkpoint.state_dict import StateDictOptions
    from torch.optim import Optimizer

    from vidrobust.training.distributed import World
    from vidrobust.training.learner import Learner
    from vidrobust.training.methods.weights import WeightAverage

REMEDY = "Delete it: training goes on from the checkpoint before it, or else from the start."


def full_state_options() -> StateDictOptions:
    """Options for full tensors on the CPU, on the first process only."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """All weights of a model, whole, for the first process. A collective operation: every process must call it."""
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return cast("dict[str, Tensor]", get_model_state_dict(model, options=full_state_options()))


def take_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights that :func:`weights_of` returned."""
    from torch.distributed.checkpoint.state_dict import set_model_state_dict

    set_model_state_dict(model, dict(weights), options=full_state_options())


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a folder."""
    return max(folder.glob("epoch-*.safetensors"), default=None)


def save_checkpoint(
    folder: Path, name: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any], keep: int
) -> None:
    """Write a checkpoint, then delete the oldest beyond ``keep``; partial files of a killed process are deleted first.

    Raises:
        RunError: the disk is full or the folder cannot be written; older checkpoints are intact.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in filter(torn, list(folder.iterdir())):
        file.unlink(missing_ok=True)
    save_tensors(folder / f"{name}.safetensors", tensors, about)
    for old in sorted(folder.glob("epoch-*.safetensors"))[:-keep]:
        old.unlink(missing_ok=True)


def collect(
    learner: Learner, optimisers: Mapping[str, Optimizer], average: WeightAverage, generator: torch.Generator
) -> dict[str, Tensor]:
    """All tensors that the next step depends on. A collective operation: every process must call it."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    found = {f"model/{name}": tensor for name, tensor in weights_of(learner.model).items()}
    for extra, module in learner.extras.items():
        found |= {f"extra/{extra}/{name}": tensor for name, tensor in module.state_dict().items()}
    for name, optimiser in optimisers.items():
        if optimiser.state:
            state = get_optimizer_state_dict(_owner(learner, name), optimiser, options=full_state_options()).get(
                "state", {}
            )
            for parameter, slots in cast("dict[str, dict[str, Any]]", state).items():
                found |= {f"optimiser/{name}/{parameter}/{slot}": torch.as_tensor(x) for slot, x in slots.items()}
    found |= {f"average/{name}": tensor for name, tensor in average.state().items()}
    found |= {f"carried/{name}": gather_parts(tensor, learner.world) for name, tensor in learner.carried.items()}
    return {**found, "generator": generator.get_state()}


def restore_checkpoint(
    path: Path,
    learner: Learner,
    optimisers: Mapping[str, Optimizer],
    average: WeightAverage,
    generator: torch.Generator,
    training: str,
) -> dict[str, Any]:
    """Load a checkpoint.

    Returns:
        What was stored with it.

    Raises:
        RunError: the file is damaged, of another training, or does not fit the model.
    """
    try:
        tensors, about = load_tensors(path)
    except RunError as error:
        raise RunError(f"{path} is damaged or no checkpoint of this version. {REMEDY}") from error
    if about.get("training") != training:
        raise RunError(f"{path} belongs to another training. Choose another --out, or delete it.")
    try:
        _take(learner, optimisers, average, generator, tensors)
    except (RuntimeError, ValueError, KeyError) as error:
        raise RunError(f"{path} does not fit this model ({error}). {REMEDY}") from error
    return about


def _take(
    learner: Learner,
    optimisers: Mapping[str, Optimizer],
    average: WeightAverage,
    generator: torch.Generator,
    tensors: Mapping[str, Tensor],
) -> None:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = tensor
    take_weights(learner.model, parts["model"])
    for extra, module in learner.extras.items():
        module.load_state_dict(_under(parts["extra"], extra))
    for name, optimiser in optimisers.items():
        slots = _under(parts.get("optimiser", {}), name)
        if slots:
            _load_optimiser(_owner(learner, name), optimiser, slots)
    average.load(parts.get("average", {}))
    for name, tensor in parts.get("carried", {}).items():
        learner.carried[name] = learner.world.part(tensor).to(learner.device)
    generator.set_state(parts["generator"][""].cpu())


def _load_optimiser(module: nn.Module, optimiser: Optimizer, slots: Mapping[str, Tensor]) -> None:
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in slots.items():
        parameter, _, slot = name.rpartition("/")
        state.setdefault(parameter, {})[slot] = tensor
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    groups = [
        {**group, "params": [names[id(parameter)] for parameter in group["params"]]} for group in optimiser.param_groups
    ]
    full: dict[str, Any] = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(module, optimiser, full, options=full_state_options())


def _owner(learner: Learner, name: str) -> nn.Module:
    return learner.extras.get(name, learner.model)


def _under(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): tensor for key, tensor in tensors.items() if key.startswith(f"{name}/")}


def gather_parts(tensor: Tensor, world: World) -> Tensor:
    """The parts of all processes, in order."""
    if world.size == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world.size)]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)
