"""Outlines: regions of a class raster in chunks, with what is known of each, in pixel coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from landseg.geo.trace import trace

CHUNK = 20_000  # regions at a time


@dataclass(frozen=True)
class Outlines:
    """Some regions.

    Attributes:
        value: class value of each (N,).
        first: row * width + column of its first pixel in reading order (N,).
        pixels: their number (N,).
        shapes: polygons in pixel coordinates (x = column, y = row of pixel corners) (N,).
        confidence: mean and least confidence of its pixels (N, 2); None where none were given.
    """

    value: NDArray[np.int32]
    first: NDArray[np.int64]
    pixels: NDArray[np.int64]
    shapes: NDArray[np.object_]
    confidence: NDArray[np.float64] | None = None


def outlines(strips: Iterable[NDArray[Any]], *, width: int, nodata: int) -> Iterator[Outlines]:
    """The 4-connected regions of equal value of a raster that comes in strips (h, w) from the top down."""
    regions = trace(strips, nodata=nodata)
    while chunk := list(itertools.islice(regions, CHUNK)):
        shapes = np.array([shape for _, shape in chunk], dtype=object)
        values = np.array([value for value, _ in chunk], np.int32)
        yield Outlines(values, _first(shapes, width), shapely.area(shapes).astype(np.int64), shapes)


def _first(shapes: NDArray[np.object_], width: int) -> NDArray[np.int64]:
    """The first pixel of each: right below the leftmost corner of its topmost edge."""
    points, owner = shapely.get_coordinates(shapes, return_index=True)
    order = np.lexsort((points[:, 0], points[:, 1], owner))
    start = order[np.searchsorted(owner[order], np.arange(len(shapes)))]
    first: NDArray[np.int64] = (points[start, 1] * width + points[start, 0]).astype(np.int64)
    return first
