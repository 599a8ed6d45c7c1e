"""`--threads N`: the number of threads that every library computes with, set before any library is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """Set the number of threads of torch, NumPy and GDAL inside, whatever the environment says.

    None sets those alone that the environment leaves open, and only where the quota of a container allows fewer
    processors than the affinity, which is all that these libraries look at.

    They read the environment when they are loaded. A torch that is loaded already, as in a test, is set directly.
    """
    wanted = _by_quota() if threads is None else dict.fromkeys(_VARIABLES, str(threads))
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    torch = sys.modules.get("torch")
    had = None if torch is None else torch.get_num_threads()
    if torch is not None and threads is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if torch is not None and had is not None and torch.get_num_threads() != had:
            torch.set_num_threads(had)


def _by_quota() -> dict[str, str]:
    """Return the variables to set for the quota of a container: none without one."""
    from landseg.runtime.processors import affine_processors, compute_threads, processors

    if processors() == affine_processors():
        return {}
    return {name: str(compute_threads()) for name in _VARIABLES if not os.environ.get(name)}
