"""Copies or shards of a model that several processes train: how their gradients are reduced."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from vidrobust.errors import InputError
from vidrobust.training.learner import Learner


def parallel(learner: Learner, kind: str, whole: bool) -> None:
    """Prepare a model for training by several processes; with one there is nothing to do.

    Args:
        learner: the model; attacks go on seeing the bare one.
        kind: ``ddp`` keeps a copy in each process, ``fsdp`` a shard (FSDP2).
        whole: is every loss one forward pass of the whole model? Else gradients are averaged after the backward pass.

    Raises:
        InputError: the method trains parts of the model by themselves, which cannot be sharded here.
    """
    if learner.world.size == 1:
        return
    model, device = learner.model, learner.device
    for module in (model, *learner.extras.values()):
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), 0)
    if kind == "fsdp":
        if not whole:
            raise InputError("parallel=fsdp cannot train a purifier or BatchNorm branches: use ddp.")
        from torch.distributed.device_mesh import init_device_mesh  # slow to import, and few shard
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device.type, (learner.world.size,))
        for block in learner.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(model, mesh=mesh)
    elif whole:
        ids = [torch.cuda.current_device()] if device.type == "cuda" else None
        learner.wrapped[model] = DistributedDataParallel(model, device_ids=ids, forward_sync_buffers=False)
