"""Threads that read strips of a raster, so that each block of its file is decoded once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from landseg.geo.grid import Rect

_BLOCK = 512  # rows of a block at least: a mosaic does not say how its members are stored
T = TypeVar("T")


class Readers:
    """Threads with a raster opened in each: strips that share a row of the file's blocks are read by one of them.

    Every thread's dataset decodes blocks for itself. Were neighbouring strips read by different threads, each block
    would be decoded by both.

    Args:
        count: of threads.
        strip: rows read at a time.
        block: rows of a block of the raster.
    """

    def __init__(self, count: int, *, strip: int, block: int) -> None:
        self._rows = -(-max(block, 2 * strip, _BLOCK) // strip) * strip
        self._threads = [ThreadPoolExecutor(1, thread_name_prefix="landseg-read") for _ in range(count)]

    def submit(self, work: Callable[[Rect], T], rect: Rect, /) -> Future[T]:
        """Start work on a rectangle in the thread for its first row, and return the coming result."""
        return self._threads[rect.top // self._rows % len(self._threads)].submit(work, rect)

    def shutdown(self) -> None:
        """End the threads; work that has not begun is left out."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)
        for thread in self._threads:
            thread.shutdown(wait=True)
