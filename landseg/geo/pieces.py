"""Rasters cut into rectangles: whole rows, parts, squares; and results of work on them in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from landseg.geo.grid import Grid, Rect

CELL = 256
"""Rectangles of `parts` begin at multiples of this number of pixels."""
PART = 2048
"""The edge in pixels of the squares that hold as many pixels as one of `parts`."""

_PIXELS = 1 << 22  # of one of `strips`, all layers together
_STEPS = (0.7548776662466927, 0.5698402909980532)  # of the R2 sequence, whose first points are even for any number
_DRAWS = 8  # for each unit: the few units that are left then follow row by row
_FLAT_ROWS = 16  # of a unit where a block is a strip as wide as the raster

Job = TypeVar("Job")
Result = TypeVar("Result")


def cut(region: Rect, height: int, width: int | None = None) -> Iterator[Rect]:
    """Yield the rectangles of a height and a width that partition a region, row by row; the last ones may be smaller.

    Args:
        region: to cut; the first rectangle begins at its top left.
        height: of a rectangle, in pixels, at least 1.
        width: likewise; None: that of the region.

    >>> list(cut(Rect(2, 0, 3, 4), 2))
    [Rect(top=2, left=0, height=2, width=4), Rect(top=4, left=0, height=1, width=4)]
    """
    wide = max(1, region.width) if width is None else width
    for top in range(region.top, region.bottom, height):
        for left in range(region.left, region.right, wide):
            yield Rect(top, left, min(height, region.bottom - top), min(wide, region.right - left))


def rows_within(pixels: int, width: int) -> int:
    """Return the number of whole rows of a width that hold at most a number of pixels; at least 1.

    >>> rows_within(100, 30), rows_within(100, 300)
    (3, 1)
    """
    return max(1, pixels // max(1, width))


def parts(shape: tuple[int, int]) -> Iterator[Rect]:
    """Yield rectangles of up to PART ** 2 pixels that partition a raster and begin at multiples of CELL.

    >>> list(parts((600, 5000)))
    [Rect(top=0, left=0, height=600, width=5000)]
    """
    height, width = shape
    wide = width if width <= 4 * PART else PART
    return cut(Rect(0, 0, height, width), max(CELL, PART * PART // wide // CELL * CELL), wide)


def strips(region: Rect, *, halo: int = 0, edge: int = 16, layers: int = 1) -> Iterator[Rect]:
    """Yield rectangles of whole rows that partition a region, much higher than the halo.

    Each has a few million pixels, all ``layers`` together. They meet at multiples of ``edge`` where it is not larger
    than they are: blocks of that edge stay whole.
    """
    high = max(16, 4 * halo, _PIXELS // layers // region.width)
    step = edge if edge <= high else 16
    height, top = high // step * step, region.top
    while top < region.bottom:
        bottom = min((top + height) // step * step, region.bottom)
        yield Rect(top, region.left, bottom - top, region.width)
        top = bottom


def grown(core: Rect, halo: int, grid: Grid) -> Rect:
    """Return a rectangle and the ``halo`` pixels around it, inside the grid."""
    wider = Rect(core.top - halo, core.left - halo, core.height + 2 * halo, core.width + 2 * halo)
    inside = wider.intersection(grid.rect)
    assert inside is not None, "a core lies inside its grid"
    return inside


def unit_of(shape: tuple[int, int], block: tuple[int, int], edge: int) -> tuple[int, int]:
    """Return the shape (h, w) of units of about ``edge`` squared pixels by which a raster is cheaply read.

    Squares where the file is stored in tiles. Where blocks are strips much wider than that, a square would decode
    whole rows for a few of their pixels: units are then flat.

    >>> unit_of((5000, 8000), (512, 512), 128), unit_of((5000, 8000), (1, 8000), 128)
    ((128, 128), (16, 1024))
    """
    high, wide = edge, edge
    if block[1] >= 8 * edge and block[0] < edge:
        high = max(min(_FLAT_ROWS, edge), block[0])
        wide = max(1, edge * edge // high)
    return min(high, shape[0]), min(wide, shape[1])


def spread(shape: tuple[int, int], unit: tuple[int, int], *, start: int = 0) -> Iterator[Rect]:
    """Yield the rectangles of `cut`, each once, in an order in which the first n are spread evenly, for any n.

    Args:
        shape: (height, width) of the raster.
        unit: (height, width) of a rectangle.
        start: a place in the order, so that several rasters of one size are not all read in one place first.
    """
    rows, columns = (-(-length // size) for length, size in zip(shape, unit, strict=True))
    taken: set[tuple[int, int]] = set()
    for number in range(start, start + _DRAWS * rows * columns):
        if len(taken) == rows * columns:
            return
        y, x = ((0.5 + number * step) % 1 for step in _STEPS)
        place = int(y * rows), int(x * columns)
        if place not in taken:
            taken.add(place)
            top, left = place[0] * unit[0], place[1] * unit[1]
            yield Rect(top, left, min(unit[0], shape[0] - top), min(unit[1], shape[1] - left))
    for rect in cut(Rect(0, 0, *shape), *unit):
        if (rect.top // unit[0], rect.left // unit[1]) not in taken:
            yield rect


def squares(shape: tuple[int, int], edge: int, count: int) -> Iterator[Rect]:
    """Yield ``count`` x ``count`` squares of an edge, evenly from corner to corner of a raster, as a sample of it.

    They overlap, and are as low or narrow as the raster, where it is small.

    >>> [(one.top, one.left) for one in squares((10, 9), 2, 3)][:4]
    [(0, 0), (0, 3), (0, 7), (4, 0)]
    """
    height, width = (min(edge, length) for length in shape)
    for row in range(count):
        for column in range(count):
            top, left = row * (shape[0] - height) // (count - 1), column * (shape[1] - width) // (count - 1)
            yield Rect(top, left, height, width)


class Pool(Protocol):
    """Threads or processes that work, such as an executor of `concurrent.futures`."""

    def submit(self, work: Callable[[Any], Any], job: Any, /) -> Future[Any]:
        """Start work on a job and return its coming result."""


def in_order(pool: Pool, work: Callable[[Job], Result], jobs: Iterable[Job], *, ahead: int) -> Iterator[Result]:
    """Yield the results of jobs in their order; at most ``ahead`` of them are in work or wait to be yielded."""
    waiting: list[Future[Result]] = []
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
