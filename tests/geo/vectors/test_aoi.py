"""Areas of interest: boxes and polygons as pixels of a grid."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from landseg.errors import GridError, VectorError
from landseg.geo.grid import Rect
from landseg.geo.vectors.aoi import read_aoi
from tests.parts.vector import GRIDS


def test_an_aoi_box_snaps_outwards_to_pixels() -> None:
    grid = GRIDS["north-up"]
    aoi = read_aoi("500001.2,5399995,500004,5399999.4", grid)
    assert aoi.rect == Rect(1, 2, 9, 6)
    assert aoi.inside(aoi.rect) is None
    left, bottom, right, top = grid.bounds
    assert read_aoi(f"{left},{bottom},{right},{top}", grid).rect == grid.rect
    assert read_aoi(f"{left - 9},{bottom - 9},{right + 9},{top + 9}", grid).rect == grid.rect
    assert read_aoi(f"{left}, {top - 0.1}, {left + 0.1}, {top}", grid).rect == Rect(0, 0, 1, 1)


@given(top=st.integers(0, 21), left=st.integers(0, 29), height=st.integers(1, 23), width=st.integers(1, 31))
def test_an_aoi_on_pixel_edges_is_exactly_those_pixels(top: int, left: int, height: int, width: int) -> None:
    for name in ("north-up", "south-up", "geographic", "mercator"):
        grid = GRIDS[name]
        wanted = Rect(top, left, height, width).intersection(grid.rect)
        assert wanted is not None
        assert read_aoi(",".join(map(repr, grid.crop(wanted).bounds)), grid).rect == wanted


def test_an_aoi_polygon_is_reprojected_and_rasterised_by_pixel_centres(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    triangle = shapely.Polygon([(500_002, 5_399_998), (500_010, 5_399_998), (500_002, 5_399_990)])
    frame = geopandas.GeoDataFrame(geometry=[triangle], crs=32633)
    frame.to_crs(4326).to_file(tmp_path / "aoi.geojson")
    aoi = read_aoi(tmp_path / "aoi.geojson", grid)
    assert aoi.rect == Rect(4, 4, 16, 16)
    whole = aoi.inside(grid.rect)
    rows, columns = np.mgrid[0:23, 0:31]
    wanted = (rows >= 4) & (columns >= 4) & (rows - 4 + columns - 4 + 1 < 16)
    assert whole is not None
    differ = whole != wanted
    assert (rows[differ] + columns[differ] == 23).all()  # the pixels that the slanting edge cuts through the centre
    part = aoi.inside(Rect(6, 3, 5, 9))
    assert np.array_equal(part, whole[6:11, 3:12])
    nothing = aoi.inside(Rect(21, 25, 2, 2))
    assert nothing is not None and not nothing.any()


def test_aois_that_cannot_be(tmp_path: Path) -> None:
    grid = GRIDS["north-up"]
    with pytest.raises(GridError, match=r"outside the raster: expected something within 500000, .*got 0, 0, 1, 1"):
        read_aoi("0,0,1,1", grid)
    with pytest.raises(GridError, match="growing order"):
        read_aoi("500004,5399995,500001,5399999", grid)
    with pytest.raises(GridError, match="four numbers"):
        read_aoi("1,2,3", grid)
    with pytest.raises(VectorError, match="cannot be read as a vector file"):
        read_aoi(tmp_path / "missing.gpkg", grid)
    points = geopandas.GeoDataFrame(geometry=[shapely.Point(500_001, 5_399_999)], crs=32633)
    points.to_file(tmp_path / "points.gpkg")
    with pytest.raises(VectorError, match="expected polygons, found Point"):
        read_aoi(tmp_path / "points.gpkg", grid)


def test_a_box_on_a_rotated_raster_is_not_its_rectangle() -> None:
    grid = GRIDS["rotated"]
    left, bottom, right, top = grid.bounds
    centre_x, centre_y = (left + right) / 2, (bottom + top) / 2
    aoi = read_aoi(f"{centre_x - 2},{centre_y - 2},{centre_x + 2},{centre_y + 2}", grid)
    inside = aoi.inside(aoi.rect)
    assert inside is not None and inside.any() and not inside.all()
