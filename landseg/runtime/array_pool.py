"""Arrays whose memory is used again: fresh pages for every strip of a raster cost more time than its arithmetic."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE = 64 << 20
"""The bytes from which on an array is not kept: few of them would fill the memory that a plan counts on."""


class ArrayPool:
    """Memory for arrays, taken again as soon as nobody holds an array, a view or a tensor of it.

    It grows to as many arrays as are in use at once; those that nobody holds go when arrays of another size are
    taken. Large arrays (`LARGE`) are left to the system. Safe for several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: list[NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of a shape and dtype, C-contiguous, that holds anything."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if size > LARGE:
            return np.empty(shape, dtype)
        with self._lock:
            block = self._idle(size)
            if block is None:
                self._blocks = [block for block in self._blocks if sys.getrefcount(block) > _IDLE]
                block = np.empty(size, np.uint8)
                self._blocks.append(block)
            return block[:size].view(dtype).reshape(shape)

    def clear(self) -> None:
        """Let go of all memory; what is in use goes when nobody holds it any more."""
        with self._lock:
            self._blocks = []

    @property
    def nbytes(self) -> int:
        """The bytes of all memory that is held, in use or not."""
        return sum(block.nbytes for block in self._blocks)

    def _idle(self, size: int) -> NDArray[np.uint8] | None:
        """Return memory of nearly a size that nobody uses; None without any. Every view of an array counts for it."""
        for block in self._blocks:
            if size <= block.nbytes <= 2 * size and sys.getrefcount(block) == _IDLE:
                return block
        return None


def _references() -> int:
    """Return the count of references to an array that only a list, a loop and the question hold."""
    blocks = [np.empty(1)]
    counts = [sys.getrefcount(block) for block in blocks]
    return counts[0]


_IDLE = _references()
