"""Extents: rectangles in which the members of a mosaic lie, the area that they cover, and parts that hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.grid import Rect

Extents = NDArray[np.int64]
"""(N, 4): top, left, bottom and right of rectangles outside of which a source holds no data."""


def extents_of(rects: Sequence[Rect]) -> Extents:
    """Return rectangles as an array."""
    return np.array([(r.top, r.left, r.bottom, r.right) for r in rects], np.int64).reshape(-1, 4)


def within(extents: Extents, region: Rect) -> Extents:
    """Return the parts of the extents that lie in a region.

    >>> within(extents_of([Rect(0, 0, 4, 4), Rect(9, 9, 2, 2)]), Rect(2, 1, 5, 5)).tolist()
    [[2, 1, 4, 4]]
    """
    top, left, bottom, right = extents.T
    top, bottom = np.maximum(top, region.top), np.minimum(bottom, region.bottom)
    left, right = np.maximum(left, region.left), np.minimum(right, region.right)
    meets = (bottom > top) & (right > left)
    inside: Extents = np.stack([top, left, bottom, right], axis=1)[meets]
    return inside


def covered_pixels(extents: Extents) -> int:
    """Return the number of pixels that lie in any of the extents.

    >>> covered_pixels(extents_of([Rect(0, 0, 4, 4), Rect(2, 2, 4, 4)]))
    28
    """
    return round(float(shapely.union_all(_boxes(extents)).area))


def parts_of(extents: Extents, region: Rect, *, reach: int) -> tuple[Rect, ...]:
    """Return rectangles of a region that hold all extents, no two of which share a pixel, from the top.

    Extents go into one part where that is cheaper: the pixels within `reach` of a part are computed with it.

    Args:
        extents: of the members.
        region: of the raster.
        reach: of the network, in pixels: the distance of the farthest pixel that it sees.
    """
    inside = within(extents, region)
    apart = _apart(inside)
    if reach <= 0 or len(apart) < 2:
        return _rects(apart)
    near = _apart(_grown(apart, (reach + 1) // 2))
    joined = _apart(within(_grown(near, -((reach + 1) // 2)), region))
    return _rects(joined if _cost(joined, reach) <= _cost(apart, reach) else apart)


def _apart(extents: Extents) -> Extents:
    """Return the smallest rectangles around extents that touch, until no two touch."""
    while len(extents):
        pieces = shapely.get_parts(shapely.union_all(_boxes(extents)))
        left, top, right, bottom = shapely.bounds(pieces).reshape(-1, 4).round().astype(np.int64).T
        found = np.stack([top, left, bottom, right], axis=1)
        if len(found) == len(extents):
            return found
        extents = found
    return extents


def _grown(extents: Extents, by: int) -> Extents:
    """Return extents that are larger by a number of pixels on every side."""
    grown: Extents = extents + np.array([-by, -by, by, by], np.int64)
    return grown


def _cost(extents: Extents, reach: int) -> float:
    """Return the number of pixels that are computed for extents."""
    top, left, bottom, right = extents.T
    return float(((bottom - top + 2.0 * reach) * (right - left + 2.0 * reach)).sum())


def _boxes(extents: Extents) -> NDArray[np.object_]:
    top, left, bottom, right = extents.T
    boxes: NDArray[np.object_] = shapely.box(left, top, right, bottom)
    return boxes


def _rects(extents: Extents) -> tuple[Rect, ...]:
    return tuple(Rect(top, left, bottom - top, right - left) for top, left, bottom, right in sorted(extents.tolist()))
