"""The processors that this process may use: its affinity, and the share of time that a container gives it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_V1 = ("cpu,cpuacct", "cpu", "cpuacct,cpu")  # folders of the controller, by system


def processors() -> int:
    """Return the number of processors that this process may use, at least 1.

    It is that of its affinity (`taskset`, a batch system), and no more than its container's quota of processor time,
    rounded up: more threads than that are stopped in turns until the next period.
    """
    allowed = quota(_ROOT)
    return affine_processors() if math.isinf(allowed) else min(affine_processors(), math.ceil(allowed))


def affine_processors() -> int:
    """Return the number of processors in the affinity of this process; all of the machine where there is none."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def compute_threads() -> int:
    """Return the number of threads to compute with: OMP_NUM_THREADS, or the number of processors."""
    return threads_of_environment() or processors()


def threads_of_environment() -> int | None:
    """Return the first number of OMP_NUM_THREADS; None where it is not set, or no number."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def quota(root: Path) -> float:
    """Return the processors that the control groups of this process allow, such as 1.5; infinite without a quota.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    return min(_quotas(root), default=math.inf)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the quota of every control group that this process lies in, of both versions."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        mounts = root / "sys/fs/cgroup"
        if number == "0" and not controllers:
            for folder in (*_up(mounts, group), *_up(mounts / "unified", group)):
                yield from _ratio(_numbers(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for name in dict.fromkeys((controllers, *_V1)):
                for folder in _up(mounts / name, group):
                    names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
                    yield from _ratio([number for name in names for number in _numbers(folder / name)])


def _up(mount: Path, group: str) -> list[Path]:
    """Return the folders of a group and of those that hold it; inside a container some are not there."""
    parts = PurePosixPath(group.strip("/")).parts
    if ".." in parts:  # the group lies outside what is mounted here
        parts = ()
    return [mount.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _numbers(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _ratio(words: list[str]) -> Iterator[float]:
    """Yield quota over period; nothing without a quota, which is "max" or -1."""
    try:
        allowed, period = (float(word) for word in words)
    except ValueError:
        return
    if allowed > 0 and period > 0 and math.isfinite(allowed / period):
        yield allowed / period
