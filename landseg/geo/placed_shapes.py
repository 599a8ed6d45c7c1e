"""PlacedShapes: shapes of one CRS on rasters of another, cut at its seams and brought near each raster."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.crs import Floats, as_pyproj, degree, period, transformer
from landseg.geo.globe import (
    TINY,
    Move,
    Shapes,
    footprint,
    joined_parts,
    narrowest,
    on_globe,
    pole_points,
    projected,
    seam,
    through_poles,
    valid_areas,
)
from landseg.geo.grid import Grid
from landseg.geo.horizontal import same_place

_TORN = 0.25  # of an edge's length: farther off, the image of its middle is not on the image of the edge
_STEPS = 100  # pieces in which the longest straight line of the shapes is moved


class PlacedShapes:
    """Shapes of one CRS on rasters of another, wherever on the globe the rasters lie.

    Args:
        shapes: (N,) of shapely.
        own: the CRS of the shapes; None: that of the rasters.
        crs: of the rasters.
        bent: cut edges short before they are moved: straight lines bend in another CRS.

    Attributes:
        shapes: (N,) in the rasters' CRS; shapes that cross its seam are cut there; in a CRS that does not come round
            shapes without a place are empty.

    Raises:
        GridError: no transformation is known.
    """

    def __init__(self, shapes: Shapes, own: Any, crs: Any, *, bent: bool = True) -> None:
        self._crs, self._far, self._far_at = crs, np.empty(0, object), np.empty(0, np.int64)
        self._period = None if crs is None else period(crs)
        self.shapes = np.array(shapes, dtype=object)
        if own is not None and crs is not None and not same_place(own, crs) and len(self.shapes):
            self._move(own, bent=bent)
        self._tree = shapely.STRtree(self.shapes)

    def near(self, grid: Grid) -> tuple[NDArray[np.int64], Shapes]:
        """Return the numbers (M,) of the shapes that meet a raster, ascending, and these shapes (M,) where it lies.

        A shape that meets the raster twice, from both sides of a seam, has parts in both places.
        """
        outline = _corners(grid)
        found, moved = [], []
        for shift in self._shifts(outline):
            frame = outline if not shift else shapely.transform(outline, lambda p, by=shift: p - [by, 0.0])
            at = np.sort(self._tree.query(frame, predicate="intersects"))
            there = self.shapes[at]
            if shift and len(at):
                there = shapely.transform(there, lambda points, by=shift: points - [-by, 0.0])
            found.append(at)
            moved.append(there)
        if len(self._far):
            at, there = self._far_near(grid, outline)
            found.append(at)
            moved.append(there)
        index = np.concatenate(found).astype(np.int64)
        every = np.concatenate([np.asarray(part, object) for part in moved])
        if len(found) == 1:
            return index, every
        numbers, first, which, count = np.unique(index, return_index=True, return_inverse=True, return_counts=True)
        shapes = every[first]
        for number in np.flatnonzero(count > 1).tolist():
            shapes[number] = joined_parts(shapely.get_parts(every[which == number]).tolist())
        return numbers, shapes

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of all shapes the short way round; nan if any of them has no place."""
        every = shapely.total_bounds(self.shapes)
        if len(self._far) or not np.isfinite(every).all():
            return (math.nan,) * 4
        left, bottom, right, top = every.tolist()
        if self._period is not None:
            sides = shapely.bounds(shapely.get_parts(self.shapes))
            left, right = narrowest(sides[:, 0], sides[:, 2], self._period)
        return left, bottom, right, top

    def _shifts(self, outline: shapely.Geometry) -> Iterator[float]:
        """Yield the units to the east, whole periods, by which shapes may meet an outline."""
        yield 0.0
        if self._period is None or not len(self.shapes):
            return
        left, _, right, _ = shapely.total_bounds(self.shapes).tolist()
        west, _, east, _ = outline.bounds
        if math.isfinite(left) and math.isfinite(right):
            for turn in range(math.ceil((west - right) / self._period), math.floor((east - left) / self._period) + 1):
                if turn:
                    yield turn * self._period

    def _move(self, own: Any, *, bent: bool) -> None:
        """Bring the shapes into the rasters' CRS; shapes that it tears are cut, or set aside for `_far_near`."""
        crs, base = as_pyproj(self._crs), as_pyproj(self._crs).geodetic_crs
        move = transformer(own, self._crs)
        left, bottom, right, top = shapely.total_bounds(self.shapes).tolist()
        step = max(right - left, top - bottom) / _STEPS
        given = self.shapes
        dense = np.asarray(shapely.segmentize(given, step) if step > 0 and bent else given, dtype=object)

        def go(points: Floats) -> Floats:
            return np.stack(move.transform(points[:, 0], points[:, 1]), axis=1)

        self.shapes = np.asarray(shapely.transform(dense, go), dtype=object)
        torn = _torn(dense, self.shapes, go, self._period)
        if base is None or not torn.any():
            return
        at = np.flatnonzero(torn)
        dense = np.asarray(shapely.segmentize(given[at], step) if step > 0 else given[at], dtype=object)
        dense = through_poles(dense, pole_points(own, base))
        if crs.is_geographic:
            globe = on_globe(dense, own, base)
            self.shapes[at] = shapely.transform(globe, lambda points: points / degree(base))
            return
        if self._period is not None and (tear := seam(self._crs, 0.0)) is not None:
            centre = tear + 180
            self.shapes[at] = projected(on_globe(dense, own, base, centre=centre), base, self._crs, centre)
            return
        self._far, self._far_at = on_globe(dense, own, base), at
        self.shapes[at] = shapely.Polygon()

    def _far_near(self, grid: Grid, outline: shapely.Geometry) -> tuple[NDArray[np.int64], Shapes]:
        """Return the numbers and parts around a raster of shapes that reach beyond the places of the CRS."""
        base = as_pyproj(self._crs).geodetic_crs
        assert base is not None, "shapes are set aside for a CRS on the globe"
        ground = footprint(grid, base)
        west, south, east, north = ground.bounds if not ground.is_empty else (0.0,) * 4
        around = shapely.buffer(ground, max(0.01, 0.1 * min(east - west, north - south)))
        globe = shapely.intersection(self._far, shapely.intersection(around, shapely.box(-180, -90, 180, 90)))
        there_is = ~shapely.is_empty(globe)
        if not there_is.any():
            return np.empty(0, np.int64), np.empty(0, object)
        step = max(north - south, 1e-9) / _STEPS
        there = projected(shapely.segmentize(globe[there_is], step), base, self._crs, 0.0)
        there = np.array([valid_areas(shape) for shape in there], dtype=object)
        meet = shapely.intersects(there, outline)
        return self._far_at[there_is][meet], there[meet]


def _corners(grid: Grid) -> shapely.Geometry:
    """Return the outline of a raster in the coordinates of vector files that lie on it."""
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.map_transform @ corner for corner in corners])


def _torn(shapes: Shapes, moved: Shapes, move: Move, turn: float | None) -> NDArray[np.bool_]:
    """Return whether each shape (N,) was torn: corners without a place, or edges that jump across a seam."""
    torn = np.zeros(len(shapes), bool)
    lines, owner = _all_lines(shapes)
    start, line = shapely.get_coordinates(lines, return_index=True)
    end = shapely.get_coordinates(_all_lines(moved)[0])
    torn[owner[line[~np.isfinite(end).all(axis=1)]]] = True
    same = line[1:] == line[:-1]
    with np.errstate(invalid="ignore"):
        way = np.diff(end, axis=0)
        if turn is not None:
            jump = np.abs(way[:, 0]) > turn / 2
        else:
            middle = move((start[1:] + start[:-1]) / 2)
            off = np.hypot(*(middle - (end[1:] + end[:-1]) / 2).T)
            jump = ~(off <= _TORN * np.hypot(*way.T) + TINY)
    torn[owner[line[1:][same & jump]]] = True
    return torn


def _all_lines(shapes: Shapes) -> tuple[Shapes, NDArray[np.int64]]:
    """Return the rings and lines of shapes, and the number of the shape of each."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    areas = shapely.get_dimensions(parts) == 2
    rings, part = shapely.get_rings(parts[areas], return_index=True)
    return np.concatenate([rings, parts[~areas]]), np.concatenate([owner[areas][part], owner[~areas]])
