"""Rasters cut into rectangles: strips, parts, and their results in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from landseg.geo.grid import Grid, Rect

PART = 2048  # a survey's rectangles: as high and wide as this, or of whole rows where these are short


CELL = 256  # they begin at multiples of this


def parts(shape: tuple[int, int]) -> Iterator[Rect]:
    """Rectangles of up to PART ** 2 pixels that partition a raster and begin at multiples of CELL.

    >>> list(parts((600, 5000)))
    [Rect(top=0, left=0, height=600, width=5000)]
    """
    height, width = shape
    wide = width if width <= 4 * PART else PART
    high = max(CELL, PART * PART // wide // CELL * CELL)
    for top in range(0, height, high):
        for left in range(0, width, wide):
            yield Rect(top, left, min(high, height - top), min(wide, width - left))


_PIXELS = 1 << 22  # of a strip


def strips(region: Rect, *, halo: int = 0, edge: int = 16, layers: int = 1) -> Iterator[Rect]:
    """Rectangles of whole rows that partition a region, much higher than the halo.

    Each has a few million pixels, all ``layers`` together. They meet at multiples of ``edge`` where it is not larger
    than they are: blocks stay whole.
    """
    wanted = max(16, 4 * halo, _PIXELS // layers // region.width)
    step = edge if edge <= wanted else 16
    height, top = wanted // step * step, region.top
    while top < region.bottom:
        bottom = min((top + height) // step * step, region.bottom)
        yield Rect(top, region.left, bottom - top, region.width)
        top = bottom


def grown(core: Rect, halo: int, grid: Grid) -> Rect:
    """A rectangle and the pixels around it, inside the grid."""
    wider = Rect(core.top - halo, core.left - halo, core.height + 2 * halo, core.width + 2 * halo)
    inside = wider.intersection(grid.rect)
    assert inside is not None, "a core lies inside its grid"
    return inside


def in_order(pool: ThreadPoolExecutor, work: Any, jobs: Iterable[Any], *, ahead: int) -> Iterator[Any]:
    """Results in the order of the jobs, with only a few of them under way or waiting."""
    waiting: list[Future[Any]] = []
    try:
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) >= ahead:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()
