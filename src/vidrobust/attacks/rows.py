"""Row-wise selection without synchronisation: on a GPU, the host does not wait for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def where_rows(chosen: Tensor, these: Tensor, those: Tensor) -> Tensor:
    """Row by row: of ``these`` where ``chosen`` (``B`` bool), of ``those`` elsewhere."""
    return torch.where(chosen.view(-1, *[1] * (these.ndim - 1)), these, those)


def put_rows(whole: Tensor, rows: Tensor, chosen: Tensor, these: Tensor) -> None:
    """``whole[rows[chosen]] = these[chosen]``, in place, but without asking how many are chosen.

    >>> whole = torch.zeros(4)
    >>> put_rows(whole, torch.tensor([3, 1]), torch.tensor([True, False]), torch.tensor([5.0, 7.0]))
    >>> whole.tolist()
    [0.0, 0.0, 0.0, 5.0]
    """
    whole[rows] = where_rows(chosen, these, whole[rows])
