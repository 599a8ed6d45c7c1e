"""Polygons: what is traced is what was there, however it was cut; areas on the ground; areas of interest."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from rasterio.features import rasterize

import landseg.geo.vector
from landseg.classes import ClassMap, LandClass
from landseg.errors import GridError, OutputError, VectorError
from landseg.geo.grid import ControlPoint, Grid, Rect
from landseg.geo.layer import Layer
from landseg.geo.sink import Outputs
from landseg.geo.trace import trace
from landseg.geo.vector import areas_m2, polygonize, read_aoi, vector_driver

CLASSES = ClassMap((LandClass(1, "building", (200, 30, 30)), LandClass(2, "road", (90, 90, 90))))
UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
small = arrays("uint8", st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2))


def burnt(regions: Any, shape: tuple[int, int]) -> Any:
    shapes = [(polygon, value) for value, polygon in regions]
    return rasterize(shapes, shape, dtype="uint8") if shapes else np.zeros(shape, "uint8")


def cut(image: Any, rows: list[int]) -> list[Any]:
    edges = sorted({0, image.shape[0], *(row for row in rows if row < image.shape[0])})
    return [image[top:bottom] for top, bottom in itertools.pairwise(edges)]


def same_regions(image: Any, strips: list[Any], tracer: Callable[..., Any] = trace) -> None:
    """Rasterising the polygons gives the raster back, and they do not depend on the strips."""
    whole, parts = list(trace([image], nodata=0)), list(tracer(strips, nodata=0))
    assert np.array_equal(burnt(parts, image.shape), image)
    assert len(parts) == len(whole)

    def order(region: Any) -> Any:
        return region[0], shapely.normalize(region[1]).bounds, region[1].area

    for (value, polygon), (other, joined) in zip(sorted(whole, key=order), sorted(parts, key=order), strict=True):
        assert value == other
        assert joined.geom_type == "Polygon" and joined.is_valid
        assert joined.equals(polygon)
        assert len(shapely.get_coordinates(joined)) == len(shapely.get_coordinates(polygon))


@given(image=small, rows=st.lists(st.integers(1, 12), max_size=4))
def test_polygons_do_not_depend_on_the_cut(image: Any, rows: list[int]) -> None:
    same_regions(image, cut(image, rows))


def test_twin_polygons_cut_at_the_strips_are_caught() -> None:
    def cut_trace(strips: list[Any], *, nodata: int) -> Any:
        top = 0
        for strip in strips:
            for value, polygon in trace([strip], nodata=nodata):
                yield value, shapely.transform(polygon, lambda points, top=top: points + np.array([0, top]))
            top += len(strip)

    image = np.ones((4, 3), "uint8")
    same_regions(image, [image[:2], image[2:]])
    with pytest.raises(AssertionError):
        same_regions(image, [image[:2], image[2:]], cut_trace)


def test_twin_polygons_half_a_pixel_off_are_caught() -> None:
    def shifted(strips: list[Any], *, nodata: int) -> Any:
        for value, polygon in trace(strips, nodata=nodata):
            yield value, shapely.transform(polygon, lambda points: points + 0.6)

    image = np.pad(np.ones((4, 3), "uint8"), 2)
    with pytest.raises(AssertionError):
        same_regions(image, [image], shifted)


def test_a_ring_across_strips_keeps_its_hole() -> None:
    image = np.ones((6, 6), "uint8")
    image[2:4, 2:4] = 2
    regions = dict(trace([image[:3], image[3:]], nodata=0))
    assert regions[1].equals(shapely.box(0, 0, 6, 6) - shapely.box(2, 2, 4, 4))
    assert regions[2].equals(shapely.box(2, 2, 4, 4))
    assert len(shapely.get_coordinates(regions[1])) == 10


GRIDS = {
    "north-up": Grid(UTM, NORTH_UP, 31, 23),
    "south-up": Grid(UTM, Affine(0.5, 0, 500_000, 0, 0.5, 5_400_000), 31, 23),
    "rotated": Grid(UTM, Affine(0.5, 0.25, 500_000, 0.25, -0.5, 5_400_000), 31, 23),
    "geographic": Grid(CRS.from_epsg(4326), Affine(2**-17, 0, 10, 0, -(2**-17), 50), 31, 23),
    "mercator": Grid(CRS.from_epsg(3857), Affine(0.5, 0, 1_000_000, 0, -0.5, 6_000_000), 31, 23),
    "control points": Grid.from_control_points(
        UTM,
        tuple(
            ControlPoint(row, col, 5e5 + 2 * col + 0.5 * row, 54e5 - 2 * row) for row in (0, 23) for col in (0, 31)
        ),
        width=31,
        height=23,
    ),
    "no CRS": Grid(None, Affine.identity(), 31, 23),
}


def write_classes(path: Path, grid: Grid, values: Any) -> Path:
    with Outputs.begin([Layer.of_classes("classes", path, CLASSES)], grid, signature={}) as outputs:
        outputs.write("classes", grid.rect, values)
        outputs.finish()
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb"])
@pytest.mark.parametrize("name", GRIDS)
def test_rasterising_the_file_gives_the_raster_back(
    tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch, name: str, suffix: str
) -> None:
    monkeypatch.setattr(landseg.geo.vector, "CHUNK", 37)  # several chunks
    monkeypatch.setattr(landseg.geo.vector, "STRIP_PIXELS", 31 * 7)  # several strips
    grid = GRIDS[name]
    values = np.kron(rng.integers(0, 3, (8, 11)), np.ones((3, 3)))[:23, :31].astype("uint8")
    values[:5] = rng.integers(0, 3, (5, 31))
    raster = write_classes(tmp_path / "map.tif", grid, values)
    out = tmp_path / f"polygons{suffix}"
    count = polygonize(raster, out, CLASSES)
    frame = geopandas.read_file(out)
    assert len(frame) == count > 37
    shapes = zip(frame.geometry, frame.value, strict=True)
    assert np.array_equal(rasterize(shapes, grid.shape, transform=grid.map_transform, dtype="uint8"), values)
    assert set(zip(frame.value, frame.name, strict=True)) == {(1, "building"), (2, "road")}
    if grid.crs is not None:
        assert frame.crs == pyproj.CRS.from_user_input(grid.crs)
        pixel = grid.resolution_m**2 if name in ("geographic", "mercator") else abs(grid.transform.determinant)  # type: ignore[operator]
        assert frame.area_m2.sum() == pytest.approx((values > 0).sum() * pixel, rel=1e-5)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".geojson", ".fgb"])
def test_no_data_gives_a_file_without_polygons(tmp_path: Path, suffix: str) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, np.zeros(grid.shape, "uint8"))
    out = tmp_path / f"empty{suffix}"
    assert polygonize(raster, out, CLASSES) == 0
    assert len(geopandas.read_file(out)) == 0
    if suffix != ".geojson":  # which has no columns without features
        assert list(pyogrio.read_info(out)["fields"]) == ["value", "name", "area_m2"]


@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
def test_equal_rasters_give_equal_bytes(tmp_path: Path, rng: Any, suffix: str) -> None:
    grid = GRIDS["north-up"]
    raster = write_classes(tmp_path / "map.tif", grid, rng.integers(0, 3, grid.shape).astype("uint8"))
    once, twice = tmp_path / "1" / f"p{suffix}", tmp_path / "2" / f"p{suffix}"
    for out in (once, twice):
        out.parent.mkdir()
        polygonize(raster, out, CLASSES)
    for file in once.parent.iterdir():
        assert file.read_bytes() == (twice.parent / file.name).read_bytes(), file.name


@pytest.mark.parametrize("epsg", [4326, 3857])
@pytest.mark.parametrize("latitude", [0, 52, -70])
def test_areas_on_the_ground_agree_with_geodesics(epsg: int, latitude: float) -> None:
    crs = pyproj.CRS.from_epsg(epsg)
    x, y = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(179.9, latitude)
    pixel = 1e-5 if epsg == 4326 else 1.0
    grid = Grid(CRS.from_epsg(epsg), Affine(pixel, 0, x, 0, -pixel, y), 40, 40)
    west, north = x + 3 * pixel, y - 2 * pixel
    shape = shapely.box(west, north - 25 * pixel, west + 30 * pixel, north) - shapely.box(
        west + 5 * pixel, north - 9 * pixel, west + 8 * pixel, north - 5 * pixel
    )
    back = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    degrees = shapely.transform(shape, lambda points: np.stack(back.transform(*points.T), axis=1))
    geodesic = abs(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(degrees)[0])
    assert areas_m2(np.array([shape]), grid)[0] == pytest.approx(geodesic, rel=1e-6)


def test_areas_beyond_the_date_line_are_not_torn() -> None:
    grid = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 179.9, 0, -0.001, 10), 200, 100)
    inside, across = shapely.box(179.91, 9.95, 179.93, 9.96), shapely.box(179.99, 9.95, 180.01, 9.96)
    one, other = areas_m2(np.array([inside, across]), grid)
    assert one == pytest.approx(other, rel=1e-9)


def test_areas_in_feet_are_metres_and_unknown_is_nan() -> None:
    square = np.array([shapely.box(0, 0, 10, 10)])
    feet = Grid(CRS.from_epsg(2263), Affine(1, 0, 980_000, 0, -1, 200_000), 10, 10)
    assert areas_m2(square, feet)[0] == pytest.approx(100 * 0.3048006096**2, rel=1e-9)
    assert np.isnan(areas_m2(square, GRIDS["no CRS"])).all()


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    with pytest.raises(VectorError, match=r"not written with this suffix; use one of .gpkg"):
        polygonize(raster, tmp_path / "p.xyz", CLASSES)
    with pytest.raises(OutputError, match="has no folder"):
        polygonize(raster, tmp_path / "no" / "p.gpkg", CLASSES)
    (tmp_path / "p.gpkg").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"p.gpkg exists.*--overwrite"):
        polygonize(raster, tmp_path / "p.gpkg", CLASSES)
    assert (tmp_path / "p.gpkg").read_bytes() == b"mine"
    assert polygonize(raster, tmp_path / "p.gpkg", CLASSES, overwrite=True) == 1
    assert len(geopandas.read_file(tmp_path / "p.gpkg")) == 1


def test_parquet_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(VectorError, match="pip install pyarrow"):
        vector_driver(Path("p.parquet"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert vector_driver(Path("p.parquet")) == "Parquet"


@pytest.mark.parametrize("suffix", [".csv", ".dxf", ".dbf", ".gpx", ".kml", ""])
def test_formats_that_hold_no_polygons_with_columns_are_refused_at_once(suffix: str) -> None:
    with pytest.raises(VectorError, match=r"not written with this suffix; use one of \.gpkg"):
        vector_driver(Path(f"p{suffix}"))


def test_json_is_geojson(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    assert polygonize(raster, tmp_path / "p.json", CLASSES) == 1
    assert list(geopandas.read_file(tmp_path / "p.json").value) == [1]


def test_a_late_failure_names_the_target_and_not_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    hidden, target = tmp_path / ".p.fgb.landseg" / "p.fgb", tmp_path / "p.fgb"
    hidden.parent.mkdir()

    def fail(_: Any, out: Path, **__: Any) -> None:
        raise pyogrio.errors.DataLayerError(f"{out}: 'refused'")

    monkeypatch.setattr(pyogrio, "write_arrow", fail)
    with pytest.raises(VectorError) as caught:
        polygonize(raster, hidden, CLASSES, called=target)
    assert str(caught.value).startswith(f"{target} cannot hold the polygons: {target}: 'refused'")
    assert ".landseg" not in str(caught.value)


def test_the_parts_of_another_shapefile_are_not_replaced(tmp_path: Path) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    (tmp_path / "p.dbf").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"p\.dbf exists"):
        polygonize(raster, tmp_path / "p.shp", CLASSES)
    assert (tmp_path / "p.dbf").read_bytes() == b"mine"


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raster = write_classes(tmp_path / "map.tif", GRIDS["north-up"], np.ones((23, 31), "uint8"))
    before = sorted(tmp_path.iterdir())

    def fail(*_: Any, **__: Any) -> None:
        raise pyogrio.errors.DataSourceError("no")

    monkeypatch.setattr(pyogrio, "write_arrow", fail)
    with pytest.raises(VectorError, match="cannot hold the polygons: no"):
        polygonize(raster, tmp_path / "p.shp", CLASSES)
    assert sorted(tmp_path.iterdir()) == before


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
