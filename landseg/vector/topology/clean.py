"""Filters of class rasters, strip by strip: a majority filter, and a sieve that merges small regions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.geo.pieces import cut, rows_within
from landseg.vector.topology.arcs import POINTS, Arcs
from landseg.vector.topology.linked_lists import batches, spans
from landseg.vector.topology.merge import merge_small
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.trace import trace

Strips = Iterable[NDArray[Any]]
STRIP_PIXELS = 1 << 21  # yielded by the sieve at a time
_WIDEST = 255  # side of a window: pixels of a window are counted in 16 bits


def majority(strips: Strips, window: int = 3, *, nodata: float | None) -> Iterator[NDArray[Any]]:
    """Yield strips (h, w) with the most frequent value in the window around each pixel; a tie leaves it as it is.

    Pixels of ``nodata`` neither change nor vote, and pixels beyond the raster do not vote. All pixels change at once,
    by the values before. The strips may have other heights than those that come in; the values do not depend on how
    the raster was cut. In memory: a strip, ``window`` more rows, and about 15 bytes for each pixel of these. The time
    grows with the number of values in a strip.

    Args:
        strips: rows ``(h, w)`` from the top down.
        window: side of the square window in pixels, an odd number, 3 to 255.
        nodata: value of pixels without data; None where every pixel has a class.

    Raises:
        ValueError: the window has another side.

    >>> strips = majority([np.array([[1, 1, 1], [1, 2, 1], [1, 1, 0]])], nodata=0)
    >>> np.concatenate(list(strips)).tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 0]]
    """
    if window % 2 == 0 or not 3 <= window <= _WIDEST:
        raise ValueError(f"window {window}: expected an odd number, 3 to {_WIDEST}")
    return _filtered(strips, window // 2, nodata)


def _filtered(strips: Strips, reach: int, nodata: float | None) -> Iterator[NDArray[Any]]:
    above = waiting = None  # finished rows that windows still need; rows whose windows reach further down
    for strip in strips:
        waiting = strip if waiting is None else np.concatenate([waiting, strip])
        if len(waiting) <= reach:
            continue
        yield _votes(above, waiting, len(waiting) - reach, reach, nodata)
        seen = waiting if above is None else np.concatenate([above, waiting])
        above, waiting = seen[-2 * reach : -reach], waiting[-reach:]
    if waiting is not None and len(waiting):
        yield _votes(above, waiting, len(waiting), reach, nodata)


def _votes(
    above: NDArray[Any] | None, rows: NDArray[Any], count: int, reach: int, nodata: float | None
) -> NDArray[Any]:
    """Return the first ``count`` of ``rows``, filtered; ``above`` are the rows before them."""
    top = 0 if above is None else len(above)
    seen = rows if above is None else np.concatenate([above, rows])
    own = rows[:count]
    best, own_votes = np.zeros(own.shape, np.uint16), np.zeros(own.shape, np.uint16)
    result, tied = own.copy(), np.zeros(own.shape, bool)
    values = np.unique(seen)
    for value in values[(values != nodata) & (values == values)]:
        votes = _windows(seen == value, reach)[top : top + count]
        np.copyto(own_votes, votes, where=own == value)
        tied &= votes <= best
        tied |= (votes == best) & (votes > 0)
        more = votes > best
        result[more], best[more] = value, votes[more]
    keep = tied | (own_votes == best) | (own != own)
    if nodata is not None:
        keep |= own == nodata
    return np.where(keep, own, result)


def _windows(mask: NDArray[np.bool_], reach: int) -> NDArray[np.uint16]:
    """Return the number of pixels of the mask in the window around each pixel."""
    counts = mask.astype(np.uint16)
    for axis in (0, 1):
        size = counts.shape[axis]
        # Sums may overflow; their differences are right all the same.
        sums = np.cumsum(counts, axis=axis, dtype=np.uint16)
        sums = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis)
        place = np.arange(size)
        counts = sums.take(np.minimum(place + reach + 1, size), axis) - sums.take(np.maximum(place - reach, 0), axis)
    return counts


def sieve(
    strips: Strips, pixels: int, *, nodata: float | None, connectivity: int = 4, work: Path | None = None
) -> Iterator[NDArray[Any]]:
    """Yield strips (h, w) in which regions of fewer than ``pixels`` pixels have the value of a neighbour.

    Regions are merged as in `merge_small`: the smallest first, into the neighbour with the longest shared border,
    whose size grows by it. A small region with only nodata around it stays, and nodata stays. The strips have heights
    of their own; neither these nor the values depend on how the raster was cut. Memory is that of `trace`: bounded by
    a block of the raster, and by its regions and arcs.

    Args:
        strips: rows ``(h, w)`` from the top down.
        pixels: the least number of pixels of a region that stays.
        nodata: value of pixels without data; None where every pixel has a class.
        connectivity: 4, or 8 to join pixels that touch by a corner.
        work: a folder for temporary files.

    >>> strips = sieve([np.array([[1, 1, 1, 3], [1, 2, 1, 3]])], 3, nodata=0)
    >>> np.concatenate(list(strips)).tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1]]
    """
    shape, dtype = [0, 0], np.dtype(np.uint8)

    def counted() -> Iterator[NDArray[Any]]:
        nonlocal dtype
        for strip in strips:
            shape[0], shape[1], dtype = shape[0] + strip.shape[0], strip.shape[1], strip.dtype
            yield strip

    regions, arcs = trace(counted(), nodata=nodata, connectivity=connectivity, work=work)
    areas = np.asarray(regions.pixels, np.float64)
    merged = merge_small(regions, arcs, areas, float(pixels), connectivity=connectivity, work=work)
    yield from fill(*merged, shape=(shape[0], shape[1]), nodata=nodata, dtype=dtype)


def fill(
    regions: Regions, arcs: Arcs, *, shape: tuple[int, int], nodata: float | None, dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Yield the raster of traced regions and arcs in strips (h, w): the inverse of `trace`.

    Args:
        shape: (height, width) of the raster.
        nodata: the value of pixels of no region.
    """
    values = np.append(regions.value.astype(dtype), np.asarray(0 if nodata is None else nodata, dtype))
    lowest, highest = _reaches(arcs)
    for rect in cut(Rect(0, 0, *shape), rows_within(STRIP_PIXELS, shape[1])):
        near = np.flatnonzero((lowest < rect.bottom) & (highest > rect.top))
        yield _filled(arcs.chosen(near), rect, values)


def _reaches(arcs: Arcs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the greatest y of each arc (A,)."""
    lowest, highest = np.zeros(len(arcs), np.int64), np.zeros(len(arcs), np.int64)
    for part in batches(np.diff(arcs.offsets), POINTS):
        begin = arcs.offsets[part.start]
        y = np.asarray(arcs.points[begin : arcs.offsets[part.stop], 1])
        lowest[part] = np.minimum.reduceat(y, arcs.offsets[part] - begin)
        highest[part] = np.maximum.reduceat(y, arcs.offsets[part] - begin)
    return lowest, highest


def _filled(arcs: Arcs, rect: Rect, values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a rectangle as wide as the raster; a vertical step of an arc starts the region east."""
    points = np.asarray(arcs.points, np.int64)
    owner = np.repeat(np.arange(len(arcs)), np.diff(arcs.offsets))
    upright = (owner[1:] == owner[:-1]) & (points[1:, 0] == points[:-1, 0])
    begin, end, owner = points[:-1][upright], points[1:][upright], owner[1:][upright]
    south = end[:, 1] > begin[:, 1]  # the left of a step to the south is east
    east = np.where(south, arcs.left[owner], arcs.right[owner])
    first = np.maximum(np.minimum(begin[:, 1], end[:, 1]), rect.top)
    last = np.minimum(np.maximum(begin[:, 1], end[:, 1]), rect.bottom)
    inside = (last > first) & (begin[:, 0] < rect.width)
    count = (last - first)[inside]
    place = (spans(first[inside], count) - rect.top) * rect.width + np.repeat(begin[inside, 0], count)
    starts = np.arange(rect.height) * rect.width  # rows begin with nodata, unless an arc lies there
    place, east = np.append(starts, place), np.append(np.full(rect.height, -1), np.repeat(east[inside], count))
    order = np.argsort(place, kind="stable")
    lengths = np.diff(place[order], append=rect.area)
    return np.repeat(values[east[order]], lengths).reshape(rect.shape)
