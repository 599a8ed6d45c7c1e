"""Outlines of objects: a raster of codes of objects and classes as polygons that share their borders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.geo.metres import longest_steps
from landseg.geo.ruler import Ruler
from landseg.vector.outlines import pixel_area
from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.holes import fill_holes
from landseg.vector.topology.linked_lists import Ints
from landseg.vector.topology.merge import unite
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.simplify import simplify, smooth
from landseg.vector.topology.trace import trace

EMPTY, NOTHING, CLASS, OBJECT = -1, 0, 1, 1 << 17
"""Codes of pixels: no data; no polygon; a class (this and its value); an object (this and its id)."""

_OUTSIDE = -2  # no pixel has this code: pixels without data are regions too, those outside the raster are not
_ROUGH = 4.0  # an area by the pixel at the centre is off by less than this factor


@dataclass(frozen=True)
class IdShaping:
    """The steps between pixels and polygons of objects; sizes are in pixels where there is no CRS.

    Attributes:
        min_area_m2: smaller objects are left out.
        holes_m2: holes of objects up to this area are filled, where no other object lies in them; pieces of classes
            in them are no polygons then.
        simplify_m: distance that borders may move in order to have fewer corners.
        smooth: round the staircase of pixels.
    """

    min_area_m2: float = 0.0
    holes_m2: float = 0.0
    simplify_m: float = 0.0
    smooth: bool = False


@dataclass(frozen=True)
class IdOutlines:
    """The outlines of a chunk of objects and of pieces of classes.

    Attributes:
        code: of each (N,).
        pixels: number of its pixels (N,), those of filled holes included.
        edge: whether it touches the edge of the raster, or a pixel without data (N,).
        shapes: polygons on the map (N,); multipolygons where the pixels of an object are in several pieces.
    """

    code: NDArray[np.int64]
    pixels: NDArray[np.int64]
    edge: NDArray[np.bool_]
    shapes: NDArray[np.object_]

    def select(self, which: NDArray[np.bool_]) -> IdOutlines:
        """Return the outlines for which ``which`` (N,) is True."""
        return IdOutlines(self.code[which], self.pixels[which], self.edge[which], self.shapes[which])

    @classmethod
    def concatenate(cls, parts: Sequence[IdOutlines]) -> IdOutlines:
        """Return the outlines of several chunks as one chunk."""
        fields = ("code", "pixels", "edge", "shapes")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


@dataclass(frozen=True)
class IdRegions:
    """The regions of objects and of classes, before they are drawn: objects by id, then classes by first pixel.

    Attributes:
        regions, arcs: the regions, and the borders between them.
        edge: see `IdOutlines`, for each region (R,).
        several: whether an object may have more than one piece.
        small: number of objects that were left out because they are small.
    """

    regions: Regions
    arcs: Arcs
    edge: NDArray[np.bool_]
    several: bool
    small: int

    def outlines(self, transform: Affine) -> Iterator[IdOutlines]:
        """Yield the outlines in chunks."""
        for part, shapes in build_polygons(self.regions, self.arcs, transform):
            yield IdOutlines(self.regions.value[part], self.regions.pixels[part], self.edge[part], shapes)


def trace_objects(
    strips: Iterable[NDArray[np.int64]], grid: Grid, *, shaping: IdShaping, ruler: Ruler, work: Path
) -> IdRegions:
    """Return the regions of a raster of codes on ``grid``, the same however its rows were cut.

    An object is all pixels of its code, in one piece or in several. A class has a region for each connected piece.

    Args:
        strips: codes (h, w) from the top down.
        grid: the grid of the raster.
        shaping: the steps between pixels and polygons.
        ruler: the ruler for areas.
        work: a folder for temporary files.
    """
    regions, arcs = trace(strips, nodata=_OUTSIDE, work=work)
    owner, count = _owners(regions.value)
    edge, small = _on_edge(regions, arcs, owner, count), np.zeros(count, bool)
    if shaping.min_area_m2 > 0:
        objects = regions.value >= OBJECT
        areas = _areas(regions, arcs, objects, grid, ruler)
        sums = np.bincount(owner[objects], areas[objects], minlength=count)
        there = np.bincount(owner[objects], minlength=count) > 0
        small = there & (sums < shaping.min_area_m2 * (1 - 1e-9))
    owner, edge = _without(owner, small), edge[~small]
    several, value = bool((np.bincount(owner[owner >= 0]) > 1).any()), regions.value
    if shaping.holes_m2 > 0:
        owner, value = _filled(regions, arcs, owner, shaping.holes_m2, grid, ruler)
        gone = np.bincount(owner[owner >= 0], minlength=len(edge)) == 0  # pieces of classes that lay in holes
        owner, edge = _without(owner, gone), edge[~gone]
    regions, arcs = unite(Regions(value, regions.pixels, regions.first), arcs, owner, work=work)
    frame = grid.width, grid.height
    if shaping.simplify_m > 0:
        arcs = simplify(arcs, shaping.simplify_m, metric=longest_steps(grid), frame=frame)
    if shaping.smooth:
        arcs = smooth(arcs, frame=frame)
    return IdRegions(regions, arcs, edge, several, int(small.sum()))


def _owners(code: NDArray[Any]) -> tuple[Ints, int]:
    """Return the polygon that each region (R,) belongs to, -1 for none, and the number of polygons."""
    owner = np.full(len(code), -1, np.int64)
    objects, pieces = code >= OBJECT, (code >= CLASS) & (code < OBJECT)
    ids, owner[objects] = np.unique(code[objects], return_inverse=True)
    count = len(ids) + int(pieces.sum())
    owner[pieces] = np.arange(len(ids), count)
    return owner, count


def _on_edge(regions: Regions, arcs: Arcs, owner: Ints, count: int) -> NDArray[np.bool_]:
    """Return whether polygons (count,) touch the edge of the raster, or a pixel without data."""
    blank, belongs = np.append(regions.value == EMPTY, True), np.append(owner, -1)
    edge = np.zeros(count + 1, bool)  # the last is of regions without a polygon
    for one, other in ((arcs.left, arcs.right), (arcs.right, arcs.left)):
        edge[belongs[one[blank[other]]]] = True
    return edge[:-1]


def _without(owner: Ints, gone: NDArray[np.bool_]) -> Ints:
    """Return the owners (R,), numbered anew, when some polygons are left out."""
    number = np.append(np.where(gone, -1, np.cumsum(~gone) - 1), -1)
    found: Ints = number[owner]
    return found


def _areas(regions: Regions, arcs: Arcs, chosen: NDArray[np.bool_], grid: Grid, ruler: Ruler) -> NDArray[np.float64]:
    """Return the areas of chosen regions (R,) as the ruler measures them; those of the others by their pixels."""
    areas = np.asarray(regions.pixels * pixel_area(grid, ruler), np.float64)
    if ruler.ground and chosen.any():
        only = np.flatnonzero(chosen)
        for part, shapes in build_polygons(regions, arcs, grid.map_transform, only=only):
            areas[only[part]] = ruler.measure(shapes)[0]
    return areas


def _filled(
    regions: Regions, arcs: Arcs, owner: Ints, largest: float, grid: Grid, ruler: Ruler
) -> tuple[Ints, NDArray[Any]]:
    """Return the owners (R,) and codes (R,) of regions after the holes of objects are filled.

    Pieces of classes give way to the object around them, as most holes of a map's objects hold such a piece.
    """
    pieces = (regions.value >= CLASS) & (regions.value < OBJECT)
    objects = np.where(pieces, -1, owner)
    rough = regions.pixels * pixel_area(grid, ruler) / _ROUGH
    areas = _areas(regions, arcs, (objects < 0) & (rough <= largest), grid, ruler)
    found = fill_holes(arcs, objects, areas, largest)
    code = np.zeros(int(objects.max(initial=-1)) + 2, np.int64)
    code[objects] = regions.value  # of the last, for regions without an object, any
    filled = (objects < 0) & (found >= 0)
    return np.where(filled, found, owner), np.where(filled, code[found], regions.value)
