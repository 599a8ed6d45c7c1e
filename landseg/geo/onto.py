"""Imagery on the pixels of another raster: as it is where the pixels are the same, warped where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
from affine import Affine

from landseg.errors import GridError
from landseg.geo.grid import Grid, Rect, crs_text
from landseg.geo.mosaic import WarpedSource, extent_on
from landseg.geo.positions import offset_on
from landseg.geo.source import Pixels, Source


class ShiftedSource(Source):
    """Another source with this grid's pixels, that begins and ends elsewhere; beyond it nothing is valid."""

    def __init__(self, base: Source, grid: Grid, place: Rect) -> None:
        super().__init__(base.name, base.paths, grid, base.bands, dtype=base.dtype)
        self.notes, self.remarks = base.notes, base.remarks
        self.base = base
        self._place = place

    def close(self) -> None:
        self.base.close()

    def _read(self, rect: Rect) -> Pixels:
        pixels = np.zeros((self.count, *rect.shape), dtype=self.dtype)
        valid = np.zeros(rect.shape, dtype=np.bool_)
        shared = rect.intersection(self._place)
        if shared is not None:
            rows, columns = shared.relative_to(rect).slices
            pixels[:, rows, columns], valid[rows, columns] = self.base.read(shared.relative_to(self._place))
        return pixels, valid

    def _files(self) -> list[dict[str, Any]]:
        return self.base._files()


def onto(source: Source, grid: Grid, *, of: str) -> Source:
    """The source on the grid of the raster named ``of``; closing it closes the source.

    Pixels that are the grid's (to a twentieth) are read as they are. Others are interpolated, after averaging where
    they are much smaller, as in a mosaic.

    Raises:
        GridError: one of the two has no CRS, neither says where it lies and their sizes differ, or they share no
            pixel.
    """
    here, there = source.grid, grid
    if (here.crs is None) != (there.crs is None):
        has = f"{source.name} has {crs_text(here.crs)}, {of} has {crs_text(there.crs)}"
        raise GridError(f"{has}: they need one in both to be laid over each other; assign it (gdal_edit -a_srs)")
    nowhere = here.crs is None and here.transform == there.transform == Affine.identity()
    if nowhere and here.shape != there.shape:
        has = f"{source.name} has {here.width} x {here.height} pixels, {of} has {there.width} x {there.height}"
        raise GridError(f"{has}, and no georeference says where they meet: give imagery of the same size")
    offset = offset_on(there, here)
    place = extent_on(there, here) if offset is None else here.rect.shifted(*offset)
    if place is None or place.intersection(there.rect) is None:
        raise GridError(
            f"{source.name} does not overlap {of}: it is {here.describe()}, the other {there.describe()}; "
            "give the imagery of the same place"
        )
    if offset is None:
        return WarpedSource(source, there)
    return source if place == there.rect else ShiftedSource(source, there, place)
