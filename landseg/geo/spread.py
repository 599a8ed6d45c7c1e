"""Rectangles that are spread evenly over a raster, however few of them are taken."""

from __future__ import annotations

from collections.abc import Iterator

from landseg.geo.grid import Rect

_STEPS = (0.7548776662466927, 0.5698402909980532)  # of the R2 sequence, whose first points are even for any number
_DRAWS = 8  # for each unit: few are left then, which follow row by row
_ROWS = 16  # of a unit where a block is a strip as wide as the raster


def unit_of(shape: tuple[int, int], block: tuple[int, int], edge: int) -> tuple[int, int]:
    """Return the shape (h, w) of units of about ``edge`` squared pixels that a raster is cheaply read by.

    Squares where the file is stored in tiles. Where blocks are strips much wider than that, a square would decode
    whole rows for a few of their pixels: units are then flat.

    >>> unit_of((5000, 8000), (512, 512), 128), unit_of((5000, 8000), (1, 8000), 128)
    ((128, 128), (16, 1024))
    """
    high, wide = edge, edge
    if block[1] >= 8 * edge and block[0] < edge:
        high = max(min(_ROWS, edge), block[0])
        wide = max(1, edge * edge // high)
    return min(high, shape[0]), min(wide, shape[1])


def spread(shape: tuple[int, int], unit: tuple[int, int], *, start: int = 0) -> Iterator[Rect]:
    """Yield the rectangles of a grid of units over a raster, each once, in an order that is even from the first on.

    Every pixel lies in one of them, and those of the first n are spread over all of the raster, for any n.

    Args:
        shape: (height, width) of the raster.
        unit: (height, width); rectangles at the lower and the right edge are cut.
        start: where in the order to begin, so that several rasters of one size are not all looked at in one place.
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
            yield _unit(shape, unit, place)
    for row in range(rows):
        for column in range(columns):
            if (row, column) not in taken:
                yield _unit(shape, unit, (row, column))


def _unit(shape: tuple[int, int], unit: tuple[int, int], place: tuple[int, int]) -> Rect:
    top, left = (number * size for number, size in zip(place, unit, strict=True))
    return Rect(top, left, min(unit[0], shape[0] - top), min(unit[1], shape[1] - left))
