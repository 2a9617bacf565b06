"""Where the host would wait for a GPU, counted on a CPU by the operations that need a number back."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten: Any = torch.ops.aten

ALWAYS = {
    aten._local_scalar_dense.default,  # item, bool, int, float
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten._unique2.default,
}
"""Operations whose result the host has to know."""

INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
"""Operations that do if an index is a mask."""

COPIED = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu}
"""Methods that copy to the host; on a CPU no operation shows it."""


class Synchronisations:
    """Counts them inside; ``seen`` names each, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._modes = (_Methods(self.seen), _Operations(self.seen))

    def __enter__(self) -> Synchronisations:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def __len__(self) -> int:
        return len(self.seen)


class _Operations(TorchDispatchMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masked = func in INDEXED and any(
            torch.is_tensor(index) and index.dtype in (torch.bool, torch.uint8) for index in tree_leaves(args[1])
        )
        if func in ALWAYS or masked:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in COPIED:
            self.seen.append(func.__name__)
        return func(*args, **(kwargs or {}))
