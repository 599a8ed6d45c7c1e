"""Memory of this process: bytes in use, and pages given back to the system."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable

_RELEASERS: list[Callable[[], None]] = []


def when_giving_back(release: Callable[[], None]) -> None:
    """Let a function free what a library keeps for later, whenever freed memory is given back."""
    _RELEASERS.append(release)


def give_back_freed_memory() -> None:
    """Free objects in reference cycles and what libraries keep, and let glibc give free pages back to the system."""
    gc.collect()
    for release in _RELEASERS:
        release()
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
