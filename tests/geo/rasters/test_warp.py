"""Imagery on another raster's pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from landseg.errors import GridError
from landseg.geo.grid import Grid, Rect
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.warp import ShiftedSource, WarpedSource, extent_on, warp_onto

Write = Callable[..., Path]
HALF = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
UTM = CRS.from_epsg(32633)


def ramp(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, rows + columns]).astype("float32")


@pytest.mark.parametrize(("down", "right"), [(0, 0), (4, 7), (-6, 3), (-5, -9)])
def test_the_same_pixels_are_read_as_they_are(down: int, right: int, write_raster: Write) -> None:
    """The grid begins `down` rows and `right` columns after the raster does."""
    pixels = ramp(40, 50)
    grid = Grid(UTM, HALF @ Affine.translation(right, down), 50, 40)
    with warp_onto(FileSource(write_raster(pixels)), grid, of="other") as source:
        assert isinstance(source, FileSource if down == right == 0 else ShiftedSource)
        for rect in (grid.rect, Rect(3, 9, 17, 20), Rect(30, 41, 10, 9)):
            found, valid = source.read(rect)
            rows, columns = np.mgrid[rect.top : rect.bottom, rect.left : rect.right]
            inside = (rows + down >= 0) & (rows + down < 40) & (columns + right >= 0) & (columns + right < 50)
            np.testing.assert_array_equal(valid, inside)
            np.testing.assert_array_equal(found[0][valid], (rows + down)[valid])
            np.testing.assert_array_equal(found[1][valid], (columns + right)[valid])


def test_other_pixels_are_interpolated(write_raster: Write) -> None:
    grid = Grid(UTM, HALF @ Affine.translation(10.25, 5.5) @ Affine.scale(0.5), 40, 30)
    with warp_onto(FileSource(write_raster(ramp(40, 50))), grid, of="other") as source:
        assert isinstance(source, WarpedSource)
        found, valid = source.read(grid.rect)
    rows, columns = np.mgrid[0:30, 0:40]
    assert valid.all()
    assert np.abs(found[0] - (5.5 + (rows + 0.5) / 2 - 0.5)).max() < 1e-3
    assert np.abs(found[1] - (10.25 + (columns + 0.5) / 2 - 0.5)).max() < 1e-3


def test_another_crs_is_warped(write_raster: Write) -> None:
    first = FileSource(write_raster(ramp(40, 50)))
    there = Grid(CRS.from_epsg(4326), Affine(5e-6, 0, 15.0, 0, -5e-6, 48.76), 60, 50)
    place = extent_on(there, first.grid)
    assert place is not None
    moved = there.crop(place)
    with warp_onto(first, moved, of="other") as source:
        found, valid = source.read(moved.rect)
    assert 0.3 < valid.mean() < 1 and found[0][valid].max() > 35  # turned a little: corners stay empty


def test_refusals(write_raster: Write) -> None:
    source = FileSource(write_raster(ramp(20, 20)))
    with pytest.raises(GridError, match=r"raster\.tif does not overlap other: it is 20 x 20 px"):
        warp_onto(source, Grid(UTM, HALF @ Affine.translation(20, 0), 9, 9), of="other")
    with pytest.raises(GridError, match="does not overlap"):
        warp_onto(source, Grid(UTM, HALF @ Affine.translation(40, 0) @ Affine.scale(2), 9, 9), of="other")
    with pytest.raises(GridError, match=r"has EPSG:32633, other has no CRS: they need one in both"):
        warp_onto(source, Grid(None, HALF, 20, 20), of="other")
    source.close()
    bare = FileSource(write_raster(ramp(20, 20), "bare.tif", crs=None))
    assert warp_onto(bare, Grid(None, Affine.identity(), 20, 20), of="other") is bare
    with pytest.raises(GridError, match="20 x 20 pixels, other has 9 x 20, and no georeference"):
        warp_onto(bare, Grid(None, Affine.identity(), 9, 20), of="other")
    bare.close()
