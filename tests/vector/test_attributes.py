"""Areas and lengths on the ground, against geodesics; in the plane, in feet, in pixels."""

from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from landseg.geo import ruler as attributes
from landseg.geo.grid import Grid
from landseg.geo.pixel_shapes import to_map
from landseg.geo.ruler import Ruler
from landseg.vector.attributes import field_types
from tests.parts.vector import GRIDS


def shape_at(x: float, y: float, pixel: float) -> shapely.Geometry:
    """30 x 25 pixels with a hole of 3 x 4."""
    shell = shapely.box(x + 3 * pixel, y - 27 * pixel, x + 33 * pixel, y - 2 * pixel)
    return shell - shapely.box(x + 8 * pixel, y - 11 * pixel, x + 11 * pixel, y - 7 * pixel)


def geodesic(shape: shapely.Geometry, crs: pyproj.CRS, step: float) -> tuple[float, float]:
    """Area and length of all rings by pyproj, edges in the CRS followed in small steps."""
    back = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    degrees = shapely.transform(shapely.segmentize(shape, step), lambda p: np.stack(back.transform(*p.T), axis=1))
    geod = crs.get_geod()
    assert geod is not None
    rings = [shapely.Polygon(ring) for ring in (degrees.exterior, *degrees.interiors)]
    return abs(geod.geometry_area_perimeter(degrees)[0]), sum(geod.geometry_length(ring.exterior) for ring in rings)


CASES = [(epsg, lon, lat) for epsg in (4326, 3857) for lon, lat in ((179.9, 0), (10, 52), (-60, -70))]
CASES += [(32633, 15.5, 52), (3413, -40.0, 75)]


def assert_on_the_ground(epsg: int, lon: float, lat: float, pixel_m: float) -> None:
    crs = pyproj.CRS.from_epsg(epsg)
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(lon, lat)
    pixel = pixel_m * (1e-5 if crs.is_geographic else 1)
    grid = Grid(CRS.from_epsg(epsg), Affine(pixel, 0, x, 0, -pixel, y), 40, 40)
    area, length = Ruler.of(grid, geodesic=True).measure(np.array([shape_at(x, y, pixel)]))
    assert (area[0], length[0]) == pytest.approx(geodesic(shape_at(x, y, pixel), crs, pixel), rel=1e-6)


@pytest.mark.parametrize("pixel_m", [0.5, 200])
@pytest.mark.parametrize(("epsg", "lon", "lat"), CASES)
def test_sizes_on_the_ground_agree_with_geodesics(epsg: int, lon: float, lat: float, pixel_m: float) -> None:
    assert_on_the_ground(epsg, lon, lat, pixel_m)


def test_twin_long_edges_that_are_not_followed_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "STEP_M", 1e9)
    with pytest.raises(AssertionError):
        assert_on_the_ground(3413, -40.0, 75, 5000)


def test_twin_a_sphere_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes, "_authalic", lambda lat, es: np.sin(lat))
    with pytest.raises(AssertionError):
        assert_on_the_ground(4326, 10, 52, 0.5)


def test_mercator_is_measured_on_the_ground_and_utm_in_its_plane() -> None:
    square = np.array([shapely.box(0, 0, 10, 10)])
    move = np.array([500_000, 5_400_000])
    utm = shapely.transform(square, lambda points: points + move)
    area, length = Ruler.of(GRIDS["north-up"]).measure(utm)
    assert (area[0], length[0]) == (100, 40)
    ground = Ruler.of(GRIDS["north-up"], geodesic=True).measure(utm)[0][0]
    assert ground == pytest.approx(100 / 0.9996**2, rel=1e-5) != 100
    mercator = shapely.transform(square, lambda points: points + np.array([1_000_000, 6_000_000]))
    latitude = pyproj.Transformer.from_crs(3857, 4326, always_xy=True).transform(1_000_000, 6_000_000)[1]
    shrunk = 100 * np.cos(np.radians(latitude)) ** 2
    assert Ruler.of(GRIDS["mercator"]).measure(mercator)[0][0] == pytest.approx(shrunk, rel=0.005)


def test_a_ring_across_the_date_line_is_not_torn() -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 179.9, 0, -0.001, 10), 200, 100)
    inside, across = shapely.box(179.91, 9.95, 179.93, 9.96), shapely.box(179.99, 9.95, 180.01, 9.96)
    areas, lengths = Ruler.of(grid).measure(np.array([inside, across]))
    assert areas == pytest.approx(areas[0], rel=1e-9)
    assert lengths == pytest.approx(lengths[0], rel=1e-9)
    west = pyproj.Transformer.from_crs(4326, 32601, always_xy=True).transform(180, 10)
    utm = Grid(CRS.from_epsg(32601), Affine(10, 0, west[0] - 500, 0, -10, west[1]), 100, 100)
    square = np.array([shapely.box(west[0] - 500, west[1] - 1000, west[0] + 500, west[1])])
    assert Ruler.of(utm, geodesic=True).measure(square)[0][0] == pytest.approx(1e6, rel=2e-3)


def test_feet_become_metres() -> None:
    foot = 0.3048006096
    feet = Grid(CRS.from_epsg(2263), Affine(1, 0, 980_000, 0, -1, 200_000), 10, 10)
    area, length = Ruler.of(feet).measure(np.array([shapely.box(0, 0, 10, 10)]))
    assert area[0] == pytest.approx(100 * foot**2, rel=1e-9)
    assert length[0] == pytest.approx(40 * foot, rel=1e-9)


def test_without_a_crs_sizes_are_in_pixels() -> None:
    for transform in (Affine.identity(), Affine(0.25, 0, 7, 0, -0.25, 9)):
        grid = Grid(None, transform, 10, 10)
        placed = to_map(np.array([shapely.box(2, 3, 5, 7)]), grid)
        area, length = Ruler.of(grid).measure(placed)
        assert (area[0], length[0]) == pytest.approx((12, 14))
    assert list(field_types(located=False))[3:] == ["area_px", "perimeter_px"]


def test_multipolygons_are_measured_whole_and_nothing_is_nothing() -> None:
    grid = GRIDS["geographic"]
    one, other = shapely.box(10, 49.9, 10.001, 49.901), shapely.box(10.002, 49.9, 10.003, 49.902)
    ruler = Ruler.of(grid)
    apart = [sizes.sum() for sizes in ruler.measure(np.array([one, other]))]
    both = [sizes[0] for sizes in ruler.measure(np.array([shapely.MultiPolygon([one, other])]))]
    assert both == pytest.approx(apart)
    empty: Any = np.array([], dtype=object)
    assert [len(sizes) for sizes in ruler.measure(empty)] == [0, 0]
