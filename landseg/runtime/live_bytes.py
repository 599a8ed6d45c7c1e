"""The peak of the bytes of tensors that are alive at once."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class _Counter:
    """The counting of `LiveBytes`, in a class of its own.

    A mode whose own class defines `__torch_dispatch__` imports torch's compiler with its first operation, which takes
    a second, to tell the compiler that it must not compile the method. Nothing is compiled here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            self._seen.add(storage)
            self._now += storage.nbytes()
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._gone, storage.nbytes())

    def _gone(self, size: int) -> None:
        self._now -= size


class LiveBytes(_Counter, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A counter of the bytes of the tensors that operations create and free."""
