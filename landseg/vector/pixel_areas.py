"""Areas of the pixels of each class, before any change of outlines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.classes import MAX_VALUE
from landseg.geo.crs import Floats
from landseg.geo.grid import Grid, Rect
from landseg.geo.pixel_areas import PixelAreas
from landseg.geo.ruler import Ruler


class ClassAreaSums:
    """The areas of the pixels of each class of a raster on ``grid``, added in strips, as a ruler measures them.

    Attributes:
        areas: area by class value ``(65536,)``.
    """

    def __init__(self, grid: Grid, ruler: Ruler, *, nodata: int) -> None:
        self.areas: Floats = np.zeros(MAX_VALUE + 1)
        self._sizes, self._nodata, self._top = PixelAreas(grid, ruler), nodata, 0

    def add(self, strip: NDArray[Any]) -> None:
        """Add the next rows ``(h, w)`` of class values, from the top down; negative values are no classes."""
        for part, size in self._sizes.parts(Rect(self._top, 0, *strip.shape)):
            values = strip[part].ravel()
            counts = np.bincount(values if self._nodata >= 0 else values[values >= 0])
            self.areas[: len(counts)] += counts * size
        if self._nodata >= 0:
            self.areas[self._nodata] = 0.0
        self._top += strip.shape[0]
