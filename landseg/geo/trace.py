"""Regions of equal value as polygons, traced strip by strip and joined across the strips' borders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

Region = tuple[int, shapely.Polygon]


def trace(strips: Iterable[NDArray[Any]], *, nodata: int) -> Iterator[Region]:
    """(value, polygon) of every 4-connected region, in pixel coordinates (x = column, y = row; corners whole).

    ``strips`` are the raster's rows ``(h, w)`` from the top down. The regions do not depend on how the rows
    were cut. What is held is one strip and the regions that reach its last row.

    >>> [(value, polygon.area) for value, polygon in trace([np.array([[1, 1, 0]], "u1")], nodata=0)]
    [(1, 2.0)]
    """
    tracer = _Tracer(nodata)
    for strip in strips:
        yield from tracer.add(strip)
    yield from tracer.close()


class _Tracer:
    """Regions that may still grow: their pieces, and which of them owns each pixel of the last row."""

    def __init__(self, nodata: int) -> None:
        self._nodata = nodata
        self._top = 0
        self._pieces: dict[int, list[shapely.Polygon]] = {}
        self._values: dict[int, int] = {}
        self._parent: dict[int, int] = {}
        self._next = 0
        self._edge: NDArray[np.int64] | None = None  # owner of each pixel of the last row, -1 for nodata

    def add(self, strip: NDArray[Any]) -> Iterator[Region]:
        """Takes the next rows; yields the regions that ended."""
        top, bottom = self._top, self._top + strip.shape[0]
        self._top = bottom
        first = np.full(strip.shape[1], -1, np.int64)
        last = first.copy()
        ended: list[Region] = []
        for value, polygon in _strip_regions(strip, top, self._nodata):
            _, low, _, high = polygon.bounds
            if (low > top or self._edge is None) and high < bottom:
                ended.append((value, polygon))
                continue
            key = self._next
            self._next += 1
            self._pieces[key], self._values[key], self._parent[key] = [polygon], value, key
            _claim(first, polygon, top, key)
            _claim(last, polygon, bottom, key)
        yield from ended
        if self._edge is not None:
            self._join(self._edge, first)
        self._edge = np.array([self._root(int(key)) if key >= 0 else -1 for key in last], np.int64)
        yield from self._flush(keep=set(self._edge.tolist()))

    def close(self) -> Iterator[Region]:
        """Yields what is left after the last row."""
        yield from self._flush(keep=set())

    def _join(self, above: NDArray[np.int64], below: NDArray[np.int64]) -> None:
        both = (above >= 0) & (below >= 0)
        for one, other in np.unique(np.stack([above[both], below[both]]), axis=1).T.tolist():
            old, new = self._root(one), self._root(other)
            if old != new and self._values[old] == self._values[new]:
                self._parent[new] = old
                self._pieces[old] += self._pieces.pop(new)

    def _root(self, key: int) -> int:
        while self._parent[key] != key:
            self._parent[key] = self._parent[self._parent[key]]
            key = self._parent[key]
        return key

    def _flush(self, keep: set[int]) -> Iterator[Region]:
        for key in [key for key in self._pieces if key not in keep]:
            pieces = self._pieces.pop(key)
            joined = pieces[0] if len(pieces) == 1 else _without_straight_vertices(shapely.union_all(pieces))
            yield self._values[key], joined
        self._values = {key: self._values[key] for key in self._pieces}
        self._parent = {key: key for key in self._pieces}  # every later question is about a root


def _strip_regions(strip: NDArray[Any], top: int, nodata: int) -> Iterator[Region]:
    place = Affine.translation(0, top)
    for geometry, value in shapes(strip, mask=strip != nodata, connectivity=4, transform=place):
        shell, *holes = geometry["coordinates"]
        yield int(value), shapely.Polygon(shell, holes)


def _claim(row: NDArray[np.int64], polygon: shapely.Polygon, y: float, key: int) -> None:
    """Writes ``key`` where an edge of the polygon runs along the strip's border at ``y`` (never a hole's)."""
    points = shapely.get_coordinates(polygon.exterior)
    x, on_line = points[:, 0], points[:, 1] == y
    for index in np.flatnonzero(on_line[1:] & on_line[:-1]).tolist():
        left, right = sorted((int(x[index]), int(x[index + 1])))
        row[left:right] = key


def _without_straight_vertices(polygon: shapely.Polygon) -> shapely.Polygon:
    """The same polygon without the vertices that joining left in the middle of straight edges."""
    shell, *holes = (_corners(ring) for ring in (polygon.exterior, *polygon.interiors))
    return shapely.Polygon(shell, holes)


def _corners(ring: shapely.LinearRing) -> NDArray[np.float64]:
    points = shapely.get_coordinates(ring)[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    corners: NDArray[np.float64] = points[turns]
    return corners
