"""Outlines: the regions of a class raster in chunks, shaped as asked for, with what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Grid
from landseg.vector.arcs import Arcs
from landseg.vector.attributes import Ruler
from landseg.vector.lattice import trace
from landseg.vector.merge import merge_small
from landseg.vector.regions import Regions
from landseg.vector.rings import polygons


@dataclass(frozen=True)
class Shaping:
    """What becomes of regions before they are polygons; sizes are in pixels where there is no CRS.

    Attributes:
        connectivity: 4, or 8: pixels that touch by a corner are of one region too.
        min_area_m2: smaller regions go into a neighbour.
    """

    connectivity: int = 4
    min_area_m2: float = 0.0


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


def outlines(
    strips: Iterable[NDArray[Any]],
    grid: Grid,
    *,
    nodata: int,
    shaping: Shaping,
    ruler: Ruler,
    work: Path,
    confidence: Iterable[NDArray[np.float32]] | None = None,
) -> Iterator[Outlines]:
    """The regions of a raster on ``grid`` that comes in strips (h, w) from the top down, sorted by `first`.

    ``confidence`` comes in strips of the same rows. What is on disk lies in the folder ``work``.
    """
    regions, arcs = trace(strips, nodata=nodata, connectivity=shaping.connectivity, work=work, measured=confidence)
    if shaping.min_area_m2 > 0:
        areas = region_areas(regions, arcs, grid, ruler)
        units, connectivity = pixel_units(grid), shaping.connectivity
        regions, arcs = merge_small(
            regions, arcs, areas, shaping.min_area_m2, units=units, connectivity=connectivity, work=work
        )
    figures = regions.statistics
    sure = None if figures is None else np.stack([figures.mean, figures.minimum], axis=1)
    for part, shapes in polygons(regions, arcs, grid.map_transform):
        yield Outlines(
            regions.value[part].astype(np.int32),
            regions.first[part],
            regions.pixels[part],
            shapes,
            None if sure is None else sure[part],
        )


def region_areas(regions: Regions, arcs: Arcs, grid: Grid, ruler: Ruler) -> NDArray[np.float64]:
    """Ground areas of regions as the ruler measures them: pixel by pixel alike on a plane, else by their outlines."""
    if not ruler.ground:
        pixel = abs(grid.map_transform.determinant) * ruler.factor**2
        return np.asarray(regions.pixels * pixel, np.float64)
    areas = np.zeros(len(regions))
    for part, shapes in polygons(regions, arcs, grid.map_transform):
        areas[part] = ruler.measure(shapes)[0]
    return areas


def pixel_units(grid: Grid) -> tuple[float, float]:
    """Metres that a pixel is wide and high at the raster's centre; 1 without a CRS."""
    height, width = grid.pixel_size_m or (1.0, 1.0)
    return width, height
