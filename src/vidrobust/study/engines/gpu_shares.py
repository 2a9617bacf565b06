"""The GPUs of this machine, of which each worker process has a share."""

from __future__ import annotations


def workers_of_a_gpu(share: float) -> int:
    """How many workers have so large a share of one GPU.

    >>> workers_of_a_gpu(0.25), workers_of_a_gpu(0.4), workers_of_a_gpu(1 / 3), workers_of_a_gpu(1)
    (4, 2, 3, 1)
    """
    return int(1 / share + 1e-6)


def workers_of_this_machine(share: float) -> int:
    """How many workers have so large a share of one of the GPUs that PyTorch finds."""
    import torch

    return torch.cuda.device_count() * workers_of_a_gpu(share)


def gpu_of_worker(number: int, sharing: int, visible: str | None) -> str:
    """The GPU of a worker, for ``CUDA_VISIBLE_DEVICES``.

    Args:
        number: of the worker, from 0.
        sharing: how many workers share a GPU.
        visible: this variable as it was.

    >>> [gpu_of_worker(number, 2, None) for number in range(4)]
    ['0', '0', '1', '1']
    >>> [gpu_of_worker(number, 1, "3,GPU-8a") for number in range(2)]
    ['3', 'GPU-8a']
    """
    return visible.split(",")[number // sharing].strip() if visible else str(number // sharing)
