"""`--threads N`: how many threads every library computes with, said before any of them is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS")


@contextmanager
def limited(threads: int | None) -> Iterator[None]:
    """While inside, torch, NumPy and GDAL take so many threads, whatever the environment said; None: as they like.

    They read the environment when they are loaded. A torch that is there already, as in a test, is told.
    """
    if threads is None:
        yield
        return
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, str(threads)))
    torch = sys.modules.get("torch")
    had = None if torch is None else torch.get_num_threads()
    if torch is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if torch is not None and had is not None:
            torch.set_num_threads(had)
