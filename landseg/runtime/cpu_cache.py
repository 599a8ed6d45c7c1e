"""The second-level cache of a core, as the system describes it."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

DEFAULT = 1 << 20
"""The bytes of second-level cache that a core has, about, where the system does not tell."""

_LEAST, _MOST = 256 << 10, 4 << 20  # whatever a system tells: work is cut neither to crumbs nor not at all
_CPU = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 10, "M": 20, "G": 30}


def second_level_cache(folder: Path = _CPU) -> int:
    """Return the bytes of second-level cache that one core has for itself, within bounds.

    It decides how many rows are computed at a time, and in float32 and bfloat16 no value: a resumed run need not
    share it.

    Args:
        folder: with the description of a core's caches, as Linux gives it.
    """
    try:
        size = _from_macos() if sys.platform == "darwin" else _from_linux(folder)
    except (OSError, ValueError, AttributeError):
        size = None
    return DEFAULT if not size else min(max(size, _LEAST), _MOST)


def _from_linux(folder: Path) -> int | None:
    """Return a core's share in bytes of its second-level cache; None where the folder describes none."""
    for index in sorted(folder.glob("index*")):
        level, kind, size = ((index / name).read_text("ascii").strip() for name in ("level", "type", "size"))
        if level == "2" and kind in ("Unified", "Data"):
            users = _count((index / "shared_cpu_list").read_text("ascii"))
            unit = _UNITS.get(size[-1:].upper(), 0)
            return (int(size[:-1] if unit else size) << unit) // max(1, users // 2)  # two of them may be one core
    return None


def _count(cpus: str) -> int:
    """Return the number of processors in a list such as "0-3,8".

    >>> _count("0-3,8")
    5
    """
    spans = [span.split("-") for span in cpus.strip().split(",")]
    return sum(int(span[-1]) - int(span[0]) + 1 for span in spans)


def _from_macos() -> int | None:
    """Return a fast core's share in bytes of its second-level cache; None where the system does not tell it."""
    size = _sysctl("hw.perflevel0.l2cachesize") or _sysctl("hw.l2cachesize")
    return None if size is None else size // max(1, _sysctl("hw.perflevel0.cpusperl2") or 1)


def _sysctl(name: str) -> int | None:
    """Return a number that macOS knows by a name; None if it does not."""
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    ask = ctypes.CDLL(None).sysctlbyname
    failed = ask(name.encode(), ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0))
    return None if failed else value.value
