"""Outlines: the regions of a class raster as polygons, in chunks, with the class, pixels and confidence of each."""

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
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.simplify import simplify, smooth
from landseg.vector.topology.trace import trace


@dataclass(frozen=True)
class Shaping:
    """The steps between pixels and polygons; sizes are in pixels where there is no CRS.

    Attributes:
        connectivity: 4, or 8 to join pixels that touch by a corner.
        majority: side of the window whose commonest value each pixel takes first; 0 leaves pixels as they are.
        sieve: regions of fewer pixels are merged into a neighbour before polygons are made.
        min_area_m2: smaller regions are merged into a neighbour.
        simplify_m: distance that borders may move in order to have fewer corners; 0 leaves them as they are. Points
            on the edge of the raster stay there, here and when borders are smoothed.
        smooth: round the staircase of pixels.
    """

    connectivity: int = 4
    majority: int = 0
    sieve: int = 0
    min_area_m2: float = 0.0
    simplify_m: float = 0.0
    smooth: bool = False

    @property
    def keeps_pixels(self) -> bool:
        """Return whether the polygons of every class cover exactly its pixels."""
        return not (self.majority or self.sieve > 1 or self.min_area_m2 or self.simplify_m or self.smooth)

    def with_pixel_sieve(self, pixel_area: float) -> Shaping:
        """Return these steps for lines drawn from pixels: the sieve removes regions below `min_area_m2` too."""
        return replace(self, sieve=max(self.sieve, math.ceil(self.min_area_m2 / pixel_area - 1e-9)))

    def clean(self, strips: Iterable[NDArray[Any]], *, nodata: int, work: Path) -> Iterator[NDArray[Any]]:
        """Yield strips (h, w) of the raster after the majority filter and the sieve; their heights may differ."""
        cleaned = iter(strips)
        if self.majority:
            cleaned = majority(cleaned, self.majority, nodata=nodata)
        if self.sieve > 1:
            cleaned = sieve(cleaned, self.sieve, nodata=nodata, connectivity=self.connectivity, work=work)
        return cleaned


@dataclass(frozen=True)
class Outlines:
    """The outlines of a chunk of regions.

    Attributes:
        value: class value of each region (N,).
        first: row * width + column of its first pixel in reading order (N,).
        pixels: number of its pixels (N,).
        shapes: polygons on the map (N,), and multipolygons where pixels touch by corners only.
        confidence: mean and least confidence of its pixels (N, 2), nan where no pixel has a confidence; None without
            a raster of confidences.
    """

    value: NDArray[np.int32]
    first: NDArray[np.int64]
    pixels: NDArray[np.int64]
    shapes: NDArray[np.object_]
    confidence: NDArray[np.float64] | None = None

    def select(self, which: NDArray[np.bool_]) -> Outlines:
        """Return the outlines for which ``which`` (N,) is True."""
        sure = None if self.confidence is None else self.confidence[which]
        return Outlines(self.value[which], self.first[which], self.pixels[which], self.shapes[which], sure)

    @classmethod
    def concatenate(cls, parts: Sequence[Outlines]) -> Outlines:
        """Return the outlines of several chunks as one chunk."""
        sure = [part.confidence for part in parts if part.confidence is not None]
        return cls(
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.shapes for part in parts]),
            np.concatenate(sure) if sure else None,
        )


def make_outlines(
    strips: Iterable[NDArray[Any]],
    grid: Grid,
    *,
    nodata: int,
    shaping: Shaping,
    ruler: Ruler,
    work: Path,
    confidence: Callable[[int, int], NDArray[np.float32]] | None = None,
    is_selected: Callable[[NDArray[Any]], NDArray[np.bool_]] | None = None,
) -> Iterator[Outlines]:
    """Yield the outlines of the regions of a raster on ``grid``, sorted by `first`.

    Args:
        strips: the class values (h, w) of the raster from the top down.
        grid: the grid of the raster.
        nodata: the value of pixels without a class.
        shaping: the steps between pixels and polygons.
        ruler: the ruler for areas.
        work: a folder for temporary files.
        confidence: reads rows of a raster of confidences, given the first row and their number.
        is_selected: tells which class values (N,) get outlines; regions of the others still shape their neighbours.
    """
    heights: deque[int] = deque()
    cleaned = _noted(shaping.clean(strips, nodata=nodata, work=work), heights)
    measured = None if confidence is None else _same_rows(confidence, heights)
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
    only = None if is_selected is None else np.flatnonzero(is_selected(regions.value))
    for part, shapes in build_polygons(regions, arcs, grid.map_transform, only=only):
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


def _same_rows(read: Callable[[int, int], NDArray[np.float32]], heights: deque[int]) -> Iterator[NDArray[np.float32]]:
    """Yield strips of a second raster with the rows of those whose heights were noted."""
    top = 0
    while heights:
        rows = heights.popleft()
        yield read(top, rows)
        top += rows


def region_areas(regions: Regions, arcs: Arcs, grid: Grid, ruler: Ruler) -> NDArray[np.float64]:
    """Return the areas of regions (R,) as the ruler measures them: by pixels on a plane, else by outlines."""
    if not ruler.ground:
        return np.asarray(regions.pixels * pixel_area(grid, ruler), np.float64)
    areas = np.zeros(len(regions))
    for part, shapes in build_polygons(regions, arcs, grid.map_transform):
        areas[part] = ruler.measure(shapes)[0]
    return areas


def pixel_area(grid: Grid, ruler: Ruler) -> float:
    """Return the area of the pixel at the raster's centre by the ruler; on a plane all pixels are equal."""
    if ruler.ground:
        return abs(pixel_steps(grid).determinant)
    return float(abs(grid.map_transform.determinant) * ruler.factor**2)


def pixel_units(grid: Grid) -> tuple[float, float]:
    """Return the width and height in metres of the pixel at the raster's centre; 1 and 1 without a CRS."""
    height, width = grid.pixel_size_m or (1.0, 1.0)
    return width, height
