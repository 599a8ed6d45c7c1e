"""Outlines: the regions of a class raster in chunks, shaped as asked for, with what is known of each."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.geo.metres import longest_steps, pixel_steps
from landseg.geo.ruler import Ruler
from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.clean import majority, sieve
from landseg.vector.topology.merge import merge_small
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.rings import polygons
from landseg.vector.topology.simplify import simplify, smooth
from landseg.vector.topology.trace import trace


@dataclass(frozen=True)
class Shaping:
    """What becomes of regions before they are polygons; sizes are in pixels where there is no CRS.

    Attributes:
        connectivity: 4, or 8: pixels that touch by a corner are of one region too.
        majority: side of the window whose commonest value each pixel takes first; 0: it keeps its own.
        sieve: regions of fewer pixels go into a neighbour before anything else.
        min_area_m2: smaller regions go into a neighbour.
        simplify_m: borders are drawn with fewer corners, none of which was further away than this; 0: as they are.
            What lies on the raster's edge stays there, here and in what follows.
        smooth: borders lose their staircase and sharp corners.
    """

    connectivity: int = 4
    majority: int = 0
    sieve: int = 0
    min_area_m2: float = 0.0
    simplify_m: float = 0.0
    smooth: bool = False

    @property
    def keeps_pixels(self) -> bool:
        """Whether every class covers its pixels and nothing else."""
        return not (self.majority or self.sieve > 1 or self.min_area_m2 or self.simplify_m or self.smooth)

    def by_pixels(self, pixel_area: float) -> Shaping:
        """The same for what is drawn from pixels, not from regions: the sieve takes what is below the least area."""
        return replace(self, sieve=max(self.sieve, math.ceil(self.min_area_m2 / pixel_area - 1e-9)))

    def cleaned(self, strips: Iterable[NDArray[Any]], *, nodata: int, work: Path) -> Iterator[NDArray[Any]]:
        """The strips after the majority filter and the sieve; their rows may be others."""
        cleaned = iter(strips)
        if self.majority:
            cleaned = majority(cleaned, self.majority, nodata=nodata)
        if self.sieve > 1:
            cleaned = sieve(cleaned, self.sieve, nodata=nodata, connectivity=self.connectivity, work=work)
        return cleaned


@dataclass(frozen=True)
class Outlines:
    """Some regions.

    Attributes:
        value: class value of each (N,).
        first: row * width + column of its first pixel in reading order (N,).
        pixels: their number (N,).
        shapes: polygons on the map, and multipolygons where pixels touch by corners only (N,).
        confidence: mean and least confidence of its pixels (N, 2), nan where none has one; None: not asked for.
    """

    value: NDArray[np.int32]
    first: NDArray[np.int64]
    pixels: NDArray[np.int64]
    shapes: NDArray[np.object_]
    confidence: NDArray[np.float64] | None = None

    def chosen(self, which: NDArray[np.bool_]) -> Outlines:
        """Those for which ``which`` is true."""
        sure = None if self.confidence is None else self.confidence[which]
        return Outlines(self.value[which], self.first[which], self.pixels[which], self.shapes[which], sure)

    @classmethod
    def joined(cls, parts: Sequence[Outlines]) -> Outlines:
        """All of several."""
        sure = [part.confidence for part in parts if part.confidence is not None]
        return cls(
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.shapes for part in parts]),
            np.concatenate(sure) if sure else None,
        )


def outlines(
    strips: Iterable[NDArray[Any]],
    grid: Grid,
    *,
    nodata: int,
    shaping: Shaping,
    ruler: Ruler,
    work: Path,
    confidence: Callable[[int, int], NDArray[np.float32]] | None = None,
    wanted: Callable[[NDArray[Any]], NDArray[np.bool_]] | None = None,
) -> Iterator[Outlines]:
    """The regions of a raster on ``grid`` that comes in strips (h, w) from the top down, sorted by `first`.

    ``confidence(top, rows)`` reads a second raster. What is on disk lies in the folder ``work``. Of which values
    outlines come is for ``wanted`` to say (all, where there is none); the others shape them all the same.
    """
    heights: deque[int] = deque()
    cleaned = _noted(shaping.cleaned(strips, nodata=nodata, work=work), heights)
    measured = None if confidence is None else _alike(confidence, heights)
    regions, arcs = trace(cleaned, nodata=nodata, connectivity=shaping.connectivity, work=work, measured=measured)
    frame = grid.width, grid.height
    if shaping.min_area_m2 > 0:
        areas = region_areas(regions, arcs, grid, ruler)
        units, connectivity = pixel_units(grid), shaping.connectivity
        regions, arcs = merge_small(
            regions, arcs, areas, shaping.min_area_m2, units=units, connectivity=connectivity, work=work
        )
    if shaping.simplify_m > 0:
        arcs = simplify(arcs, shaping.simplify_m, metric=longest_steps(grid), frame=frame)
    if shaping.smooth:
        arcs = smooth(arcs, frame=frame)
    figures = regions.statistics
    sure = None if figures is None else np.stack([figures.mean, figures.minimum], axis=1)
    only = None if wanted is None else np.flatnonzero(wanted(regions.value))
    for part, shapes in polygons(regions, arcs, grid.map_transform, only=only):
        own = part if only is None else only[part]
        yield Outlines(
            regions.value[own].astype(np.int32),
            regions.first[own],
            regions.pixels[own],
            shapes,
            None if sure is None else sure[own],
        )


def _noted(strips: Iterable[NDArray[Any]], heights: deque[int]) -> Iterator[NDArray[Any]]:
    for strip in strips:
        heights.append(len(strip))
        yield strip


def _alike(read: Callable[[int, int], NDArray[np.float32]], heights: deque[int]) -> Iterator[NDArray[np.float32]]:
    """Strips of a second raster with the rows of those that were noted, each when it is."""
    top = 0
    while heights:
        rows = heights.popleft()
        yield read(top, rows)
        top += rows


def region_areas(regions: Regions, arcs: Arcs, grid: Grid, ruler: Ruler) -> NDArray[np.float64]:
    """Ground areas of regions as the ruler measures them: pixel by pixel alike on a plane, else by their outlines."""
    if not ruler.ground:
        return np.asarray(regions.pixels * pixel_area(grid, ruler), np.float64)
    areas = np.zeros(len(regions))
    for part, shapes in polygons(regions, arcs, grid.map_transform):
        areas[part] = ruler.measure(shapes)[0]
    return areas


def pixel_area(grid: Grid, ruler: Ruler) -> float:
    """Of the pixel at the raster's centre, as the ruler measures; on a plane all are as large."""
    if ruler.ground:
        return abs(pixel_steps(grid).determinant)
    return float(abs(grid.map_transform.determinant) * ruler.factor**2)


def pixel_units(grid: Grid) -> tuple[float, float]:
    """Metres that a pixel is wide and high at the raster's centre; 1 without a CRS."""
    height, width = grid.pixel_size_m or (1.0, 1.0)
    return width, height
