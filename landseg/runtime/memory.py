"""Memory of this process: bytes in use, the peak of a computation, and pages given back to the system."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class _Counter:
    """The counting of `_LiveBytes`, in a class of its own.

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


class _LiveBytes(_Counter, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A counter of the bytes of the tensors that operations create and free."""


def give_back_freed_memory() -> None:
    """Free objects in reference cycles, and let glibc give free pages back to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_freed_memory(keep: bool = True) -> None:
    """Let glibc keep freed memory for the next layer instead of giving each page back and fetching it again.

    False sets the limits that glibc itself grows to.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # <malloc.h>
    mallopt(mmap_threshold, 2**31 - 1 if keep else 32 << 20)
    mallopt(trim_threshold, 2**31 - 1 if keep else 64 << 20)
    mallopt(top_pad, 64 << 20 if keep else 128 << 10)


def resident_bytes() -> int:
    """Return the bytes of this process in memory now; 0 where the system does not tell them."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
