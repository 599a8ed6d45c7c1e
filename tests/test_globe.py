"""The 180th meridian and the poles: shapes are cut there, and rasters and labels on both sides of it meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from landseg.errors import GridError
from landseg.export import export
from landseg.geo import globe
from landseg.geo.globe import PlacedShapes, narrowest, on_globe, pole_points, through_poles, turns_of
from landseg.geo.grid import Grid
from landseg.vector import place

pytestmark = pytest.mark.usefixtures("quick_disk")

SIZE = 32


def around(crs: str, x: float, y: float, pixel: float, size: int = SIZE) -> Grid:
    """A grid whose middle is at (x, y)."""
    transform = Affine(pixel, 0, x - size / 2 * pixel, 0, -pixel, y + size / 2 * pixel)
    return Grid(CRS.from_user_input(crs), transform, size, size)


EAST, NORTH = pyproj.Transformer.from_crs(4326, 32701, always_xy=True).transform(180, -16.5)
GRIDS = {
    "utm": around("EPSG:32701", EAST, NORTH, 4000),
    "degrees": around("EPSG:4326", 180.0, 10.0, 2 / SIZE),
    "degrees, 0..360": around("EPSG:4326", 305.0, 10.0, 10 / SIZE),
    "degrees, both conventions": around("EPSG:4326", 0.0, 0.0, 400 / SIZE, 24),
    "mercator": around("EPSG:3857", 20037508.342789244, 1_000_000, 4000),
    "north pole": around("EPSG:3413", 0, 0, 40_000),
    "a pole on a pixel's edge": around("EPSG:3413", 0, 20_000, 40_000),
    "a pole inside a pixel": around("EPSG:3413", 13_000, 17_000, 40_000),
    "a pole at the raster's edge": around("EPSG:3413", 40_000 * SIZE / 2, 0, 40_000),
    "south pole": around("EPSG:3031", 0, 0, 40_000),
    "azimuthal": around("EPSG:9354", 0, 0, 40_000),
    "turned": Grid(CRS.from_epsg(3413), Affine.rotation(30) @ Affine(40_000, 0, -600_000, 0, -40_000, 700_000), 32, 32),
}


def write(path: Path, values: Any, grid: Grid, **profile: Any) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=1, height=grid.height, width=grid.width, dtype=values.dtype,
        crs=grid.crs, transform=grid.transform, **{"nodata": 0, **profile},
    ) as out:
        out.write(values, 1)
    return path


def disc(grid: Grid) -> Any:
    """1 within a disc in the middle, 2 around it."""
    y, x = np.indices(grid.shape) - np.array([(grid.height - 1) / 2, (grid.width - 1) / 2])[:, None, None]
    return np.where(np.hypot(x, y) < 0.3 * grid.width, 1, 2).astype(np.uint8)


def scattered(grid: Grid) -> Any:
    rng = np.random.default_rng(3)
    return np.kron(rng.integers(0, 4, (grid.height // 4, grid.width // 4)), np.ones((4, 4), int)).astype(np.uint8)


def pixel_areas(grid: Grid) -> Any:
    """Square metres of each pixel: by the areal scale of its projection, or by the band between two latitudes."""
    crs = pyproj.CRS.from_wkt(grid.crs.to_wkt())
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x, y = grid.transform @ (columns.ravel(), rows.ravel())
    to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    if crs.is_geographic or grid.crs.to_epsg() == 3857:
        half = abs(grid.transform.e) / 2
        sides = [to_degrees.transform(np.zeros(len(y)), y + by)[1] for by in (half, -half)]
        heights = [equal_area(np.zeros(len(y)), np.clip(side, -90, 90))[1] for side in sides]
        turn = 360 if crs.is_geographic else 2 * 20037508.342789244
        wide = np.diff(equal_area(np.array([-90.0, 90.0]), np.zeros(2))[0])[0] * 2 * grid.transform.a / turn
        return (wide * (heights[0] - heights[1])).reshape(grid.shape)
    lon, lat = to_degrees.transform(x, y)
    scale = pyproj.Proj(crs).get_factors(lon, lat).areal_scale
    return (abs(grid.transform.determinant) / scale).reshape(grid.shape)


def equal_area(lon: Any, lat: Any) -> tuple[Any, Any]:
    move = pyproj.Transformer.from_crs(4326, 6933, always_xy=True)
    x, y = move.transform(lon, lat)
    return np.asarray(x), np.asarray(y)


def ground_area(shapes: Any) -> float:
    """Square metres of polygons in degrees, whose edges are straight there."""
    dense = shapely.segmentize(np.asarray(shapes, dtype=object), 0.2)
    return float(shapely.area(shapely.transform(dense, lambda p: np.stack(equal_area(*p.T), axis=1))).sum())


def check_export(grid: Grid, values: Any, out: Path, **options: Any) -> None:
    """What is written is valid, within 180 degrees, and covers what the pixels of each class do."""
    source = write(out.with_suffix(".tif"), values, grid)
    export(source, out, quiet=True, overwrite=True, **options)
    layer = {"layer": out.stem} if out.suffix == ".gpkg" else {}
    frame = geopandas.read_parquet(out) if out.suffix == ".parquet" else geopandas.read_file(out, **layer)
    left, bottom, right, top = frame.total_bounds
    assert -180 <= left and right <= 180 and -90 <= bottom and top <= 90
    assert frame.is_valid.all() and not frame.geometry.is_empty.any()
    sizes = pixel_areas(grid)
    for value in np.unique(values[values > 0]).tolist():
        wanted = sizes[values == value].sum()
        assert ground_area(frame.geometry[frame["value"] == value]) == pytest.approx(wanted, rel=1e-3), value


@pytest.mark.parametrize("name", GRIDS)
def test_shapes_across_180_and_over_the_poles_keep_their_area(name: str, tmp_path: Path) -> None:
    if name == "degrees, both conventions":
        pytest.skip("see the test of rasters that go around")
    grid = GRIDS[name]
    for values in (disc(grid), scattered(grid)):
        check_export(grid, values, tmp_path / "map.gpkg", crs="EPSG:4326")
        check_export(grid, values, tmp_path / "map.geojson")
    check_export(grid, scattered(grid), tmp_path / "dissolved.gpkg", crs="EPSG:4326", dissolve=True)
    check_export(grid, scattered(grid), tmp_path / "corners.gpkg", crs="EPSG:4326", connectivity=8)
