"""The 180th meridian and the poles: shapes are cut there, and rasters and labels on both sides of it meet."""

from __future__ import annotations

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
from landseg.evaluate import evaluate
from landseg.export import export
from landseg.geo import globe
from landseg.geo.globe import narrowest, on_globe, pole_points, through_poles, turns_of
from landseg.geo.grid import Grid
from landseg.geo.placed_shapes import PlacedShapes
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.warp import warp_onto
from landseg.geo.vectors.aoi import read_aoi
from landseg.labels.raster_labels import open_labels
from landseg.rasterize import rasterize
from landseg.report.viewer.map_tiles import open_viewed
from landseg.scenes.related import overlaps
from landseg.vector import crs as place

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
    "the world, 0..360": Grid(CRS.from_epsg(4326), Affine(11.25, 0, 0, 0, -11.25, 90), 32, 16),
    "the world": Grid(CRS.from_epsg(4326), Affine(11.25, 0, -180, 0, -11.25, 90), 32, 16),
    "mercator": around("EPSG:3857", 20037508.342789244, 1_000_000, 4000),
    "north pole": around("EPSG:3413", 0, 0, 40_000),
    "a pole on a pixel's edge": around("EPSG:3413", 0, 20_000, 40_000),
    "a pole inside a pixel": around("EPSG:3413", 13_000, 17_000, 40_000),
    "a pole at the raster's edge": around("EPSG:3413", 40_000 * SIZE / 2, 0, 40_000),
    "south pole": around("EPSG:3031", 0, 0, 40_000),
    "azimuthal": around("EPSG:9354", 0, 0, 40_000),
    "turned": Grid(CRS.from_epsg(3413), Affine.rotation(30) @ Affine(4e4, 0, -6e5, 0, -4e4, 7e5), 32, 32),
}


def write(path: Path, values: Any, grid: Grid, **profile: Any) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=grid.height,
        width=grid.width,
        dtype=values.dtype,
        crs=grid.crs,
        transform=grid.transform,
        **{"nodata": 0, **profile},
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
    assert left >= -180 and right <= 180 and bottom >= -90 and top <= 90
    assert frame.is_valid.all() and not frame.geometry.is_empty.any()
    sizes = pixel_areas(grid)
    for value in np.unique(values[values > 0]).tolist():
        wanted = sizes[values == value].sum()
        assert ground_area(frame.geometry[frame["value"] == value]) == pytest.approx(wanted, rel=1e-3), value


@pytest.mark.parametrize("name", GRIDS)
def test_shapes_across_180_and_over_the_poles_keep_their_area(name: str, tmp_path: Path) -> None:
    grid = GRIDS[name]
    for values in (disc(grid), scattered(grid)):
        check_export(grid, values, tmp_path / "map.gpkg", crs="EPSG:4326")
        check_export(grid, values, tmp_path / "map.geojson")
    check_export(grid, scattered(grid), tmp_path / "dissolved.gpkg", crs="EPSG:4326", dissolve=True)
    check_export(grid, scattered(grid), tmp_path / "corners.gpkg", crs="EPSG:4326", connectivity=8)


@pytest.mark.parametrize("name", GRIDS)
def test_what_was_exported_burns_back_onto_its_raster(name: str, tmp_path: Path) -> None:
    grid, values = GRIDS[name], scattered(GRIDS[name])
    source = write(tmp_path / "map.tif", values, grid)
    for out, options in (("map.geojson", {}), ("map.fgb", {"crs": "EPSG:4326"})):
        export(source, tmp_path / out, quiet=True, **options)
        wanted = dict(like=source, quiet=True, overwrite=True)
        rasterize(tmp_path / out, tmp_path / "back.tif", **wanted)
        with rasterio.open(tmp_path / "back.tif") as back:
            found = back.read(1)
        assert (found == values).all(), (out, int((found != values).sum()))


@pytest.mark.parametrize("name", ["utm", "degrees", "degrees, 0..360", "mercator", "azimuthal", "north pole"])
def test_labels_on_the_other_side_are_found(name: str, tmp_path: Path) -> None:
    """A truth raster in -180..180, and polygons, agree with a map in any coordinates of the same place."""
    grid = GRIDS[name]
    pred = write(tmp_path / "map.tif", disc(grid), grid)
    export(pred, tmp_path / "truth.gpkg", quiet=True, crs="EPSG:4326")
    (tmp_path / "classes.json").write_text('[{"value": 1, "name": "land"}, {"value": 2, "name": "sea"}]')
    naming: dict[str, Any] = {"classes": tmp_path / "classes.json", "class_field": "value"}
    options: dict[str, Any] = {**naming, "boundary": None, "tolerance": None, "samples": 0}
    found = evaluate(str(pred), str(tmp_path / "truth.gpkg"), **options)
    assert found.pixel_accuracy == 1 and found.confusion.sum() == SIZE * SIZE
    world = Grid(CRS.from_epsg(4326), Affine(0.1, 0, -180, 0, -0.1, 90), 3600, 1800)
    rasterize(
        tmp_path / "truth.gpkg",
        tmp_path / "world.tif",
        resolution=(0.1, 0.1),
        crs_units=True,
        bounds=world.bounds,
        class_field="value",
    )
    options: dict[str, Any] = {**naming, "class_field": None, "boundary": None, "tolerance": None, "samples": 0}
    found = evaluate(str(pred), str(tmp_path / "world.tif"), **options)
    assert found.pixel_accuracy > 0.8 and found.confusion.sum() > 0.95 * SIZE * SIZE


def test_a_class_raster_burnt_beyond_180_is_narrow(tmp_path: Path) -> None:
    """Polygons cut at 180 get a raster of their own width, not of the world's."""
    pred = write(tmp_path / "map.tif", disc(GRIDS["degrees"]), GRIDS["degrees"])
    export(pred, tmp_path / "map.geojson", quiet=True)
    for crs, pixel, width in (("EPSG:4326", 2 / SIZE, SIZE), ("EPSG:3857", 10_000, 23), ("EPSG:32701", 10_000, 24)):
        wanted = dict(resolution=(pixel, pixel), crs_units=True, crs=crs, overwrite=True, quiet=True)
        found = rasterize(tmp_path / "map.geojson", tmp_path / "back.tif", **wanted)
        assert abs(found.width - width) <= 1 and found.polygons == 2, crs
        if crs == "EPSG:4326":
            with rasterio.open(tmp_path / "back.tif") as back:
                assert back.bounds == pytest.approx((179, 9, 181, 11))
                assert (back.read(1) == disc(GRIDS["degrees"])).all()


@pytest.mark.parametrize(
    ("crs", "first", "second", "pixel"),
    [
        ("EPSG:4326", (179, 10), (-180, 10), 0.01),
        ("EPSG:4326", (-180, 10), (179, 10), 0.01),
        ("EPSG:4326", (179, 10), (-180, 10), 0.0101),
        ("EPSG:3857", (20037508.342789244 - 100_000, 10), (-20037508.342789244, 10), 1000),
    ],
)
def test_a_mosaic_takes_the_short_way(
    crs: str, first: tuple[float, float], second: tuple[float, float], pixel: float, tmp_path: Path
) -> None:
    paths = []
    for number, (left, top) in enumerate((first, second), start=1):
        size = round((1 if crs == "EPSG:4326" else 100_000) / pixel)
        grid = Grid(CRS.from_user_input(crs), Affine(pixel, 0, left, 0, -pixel, top), size, 20)
        paths.append(write(tmp_path / f"{number}.tif", np.full((20, size), number, np.uint8), grid))
    with open_source([str(path) for path in paths]) as mosaic:
        assert 2 * size <= mosaic.grid.width <= 2 * size + 2
        pixels, valid = mosaic.read(mosaic.grid.rect)
        assert valid.mean() > 0.97
        order = [1, 2] if first[0] > 0 else [2, 1]
        assert pixels[0, 5, size // 2] == order[0] and pixels[0, 5, size + size // 2] == order[1]


def test_three_members_around_the_seam_are_neighbours(tmp_path: Path) -> None:
    paths = []
    for number, left in enumerate((150, -180, 170), start=1):
        grid = Grid(CRS.from_epsg(4326), Affine(1, 0, left, 0, -1, 5), 10, 5)
        paths.append(str(write(tmp_path / f"{number}.tif", np.full((5, 10), number, np.uint8), grid)))
    with open_source(paths) as mosaic:
        assert mosaic.grid.bounds == (150, 0, 190, 5)
        pixels, valid = mosaic.read(mosaic.grid.rect)
    assert pixels[0, 0, [5, 25, 35]].tolist() == [1, 3, 2] and not valid[0, 15]


def test_utm_neighbours_meet_across_180(tmp_path: Path) -> None:
    """Zones 60 and 1: in one of them the other's tile lies beside, and in degrees of the first."""
    paths = []
    for number, (lon, epsg) in enumerate(((179.95, 32660), (-179.95, 32601)), start=1):
        x, y = pyproj.Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, 10.0)
        paths.append(
            str(
                write(
                    tmp_path / f"{number}.tif",
                    np.full((64, 64), number, np.uint8),
                    around(f"EPSG:{epsg}", x, y, 100, 64),
                )
            )
        )
    with open_source(paths) as mosaic:
        assert mosaic.grid.width < 200 and mosaic.grid.height < 80
        assert {1, 2} <= set(np.unique(mosaic.read(mosaic.grid.rect)[0]).tolist())
    lonlat = Grid(CRS.from_epsg(4326), Affine(0.001, 0, 179.95, 0, -0.001, 10), 50, 20)
    paths.insert(0, str(write(tmp_path / "0.tif", np.full((20, 50), 3, np.uint8), lonlat)))
    with open_source(paths) as mosaic:
        assert mosaic.grid.width < 400


def test_a_mosaic_around_the_world_between_neighbours_is_refused(tmp_path: Path) -> None:
    sinusoidal = CRS.from_string("+proj=sinu +R=6371007.181")
    paths = []
    for number, left in enumerate((20015109.0 - 64_000, -20015109.0)):
        grid = Grid(sinusoidal, Affine(1000, 0, left, 0, -1000, 30_000), 60, 60)
        paths.append(str(write(tmp_path / f"{number}.tif", np.ones((60, 60), np.uint8), grid)))
    with pytest.raises(GridError, match=r"would make a mosaic of 40,0.. x 60 pixels .* do them apart"):
        open_source(paths)


def test_an_area_of_interest_is_found_beyond_180(tmp_path: Path) -> None:
    east = [shapely.box(179.5, 9, 180, 10.5), shapely.box(-180, 9, -179.5, 10.5)]
    geopandas.GeoDataFrame(geometry=[shapely.MultiPolygon(east)], crs=4326).to_file(tmp_path / "aoi.geojson")
    for name in ("degrees", "mercator"):
        aoi = read_aoi(tmp_path / "aoi.geojson", GRIDS[name])
        assert aoi.inside(GRIDS[name].rect).sum() > 0
        columns = np.flatnonzero(aoi.inside(GRIDS[name].rect).any(axis=0))
        assert columns.min() < SIZE / 2 <= columns.max()
        assert aoi.rect.width < SIZE
    east = GRIDS["degrees, 0..360"]
    assert read_aoi("-58,8,-52,12", east).rect == read_aoi("302,8,308,12", east).rect
    with pytest.raises(GridError, match="lies outside the raster"):
        read_aoi("-49,8,-48,12", east)


def test_images_on_both_sides_of_a_seam_overlap() -> None:
    plain = Grid(CRS.from_epsg(4326), Affine(2 / SIZE, 0, -181, 0, -2 / SIZE, 11), SIZE, SIZE)
    found = overlaps([GRIDS["degrees"], plain, GRIDS["degrees, 0..360"]])
    assert [(one.first, one.second) for one in found] == [(0, 1)] and found[0].share == pytest.approx(1)
    utm = overlaps([GRIDS["utm"], around("EPSG:4326", -180.0, -16.5, 1 / SIZE)])
    assert [one.share for one in utm] == pytest.approx([1])
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1]]')
    site = Grid(local, Affine(1, 0, 0, 0, -1, 0), 9, 9)
    assert [(one.first, one.second) for one in overlaps([site, GRIDS["utm"], site])] == [(0, 2)]


def test_projections_are_cut_at_their_own_seam_or_refused(tmp_path: Path) -> None:
    utm = write(tmp_path / "utm.tif", disc(GRIDS["utm"]), GRIDS["utm"])
    for crs in ("EPSG:3857", "+proj=sinu", "EPSG:6933"):
        export(utm, tmp_path / "a.gpkg", quiet=True, overwrite=True, crs=crs, geodesic=True)
        frame = geopandas.read_file(tmp_path / "a.gpkg", layer="a")
        assert frame.is_valid.all() and len(shapely.get_parts(frame.geometry[1])) == 2
        back = on_globe(np.array(frame.geometry), frame.crs, "EPSG:4326")
        sizes = pixel_areas(GRIDS["utm"])
        assert ground_area(back) == pytest.approx(sizes.sum(), rel=1e-3)
    pole = write(tmp_path / "pole.tif", disc(GRIDS["north pole"]), GRIDS["north pole"])
    with pytest.raises(GridError, match="a pole lies in the raster and has no place in EPSG:3857"):
        export(pole, tmp_path / "b.gpkg", quiet=True, crs="EPSG:3857")
    assert not (tmp_path / "b.gpkg").exists()
    export(pole, tmp_path / "c.gpkg", quiet=True, crs="EPSG:3571")  # another azimuth has no seam
    frame = geopandas.read_file(tmp_path / "c.gpkg", layer="c")
    assert frame.is_valid.all()
    assert frame.geometry.area.sum() == pytest.approx(pixel_areas(GRIDS["north pole"]).sum(), rel=1e-3)


def test_lines_and_points_are_cut_and_brought_back(tmp_path: Path) -> None:
    grid, values = GRIDS["degrees"], np.full((SIZE, SIZE), 2, np.uint8)
    values[10:12] = 1
    source = write(tmp_path / "map.tif", values, grid)
    export(source, tmp_path / "m.gpkg", quiet=True, crs="EPSG:4326", centerlines="1", centroids="2", spur=1)
    lines = geopandas.read_file(tmp_path / "m_1_lines.gpkg", layer="m_1_lines")
    points = geopandas.read_file(tmp_path / "m_2_points.gpkg", layer="m_2_points")
    assert {part.geom_type for part in lines.geometry} == {"MultiLineString"} and len(lines) == 1
    assert lines.total_bounds[0] == -180 and lines.total_bounds[2] == 180
    assert (np.abs(points.geometry.x) <= 180).all() and len(points) == 2


def test_without_a_wish_longitudes_stay_as_the_raster_has_them(tmp_path: Path) -> None:
    source = write(tmp_path / "map.tif", disc(GRIDS["degrees, 0..360"]), GRIDS["degrees, 0..360"])
    export(source, tmp_path / "m.gpkg", quiet=True)
    assert geopandas.read_file(tmp_path / "m.gpkg", layer="m").total_bounds.tolist() == [300, 5, 310, 15]


def test_a_view_of_both_sides(tmp_path: Path) -> None:
    grid = GRIDS["degrees"]
    other = Grid(grid.crs, Affine(2 / SIZE, 0, -181, 0, -2 / SIZE, 11), SIZE, SIZE)
    utm = around("EPSG:32701", *pyproj.Transformer.from_crs(4326, 32701, always_xy=True).transform(180, 10), 4000)
    paths = [write(tmp_path / f"{n}.tif", disc(one), one) for n, one in enumerate((grid, other, utm))]
    rasters = open_viewed(paths)
    try:
        assert rasters[1].rect == grid.rect and rasters[1].offset == (0, 0)
        assert rasters[2].rect.width < 2 * SIZE
    finally:
        for raster in rasters:
            raster.close()


def test_imagery_of_the_world_lies_on_a_raster_across_its_edge(tmp_path: Path) -> None:
    world = np.tile(np.arange(1, 37, dtype=np.uint8), (18, 1))
    path = write(tmp_path / "world.tif", world, Grid(CRS.from_epsg(4326), Affine(10, 0, -180, 0, -10, 90), 36, 18))
    grid = Grid(CRS.from_epsg(4326), Affine(10, 0, 160, 0, -10, 20), 4, 2)
    with warp_onto(open_source(str(path)), grid, of="map.tif") as source:
        pixels, valid = source.read(grid.rect)
    assert pixels[0, 0].tolist() == [35, 36, 1, 2] and valid.all()
    values, known = open_labels(str(path), grid).read_known(grid.rect)
    assert values[0].tolist() == [35, 36, 1, 2] and known.all()


def test_stretches_of_a_circle() -> None:
    assert narrowest(np.array([0.0, 170, -180]), np.array([1.0, 180, -170]), 360) == (0, 190)
    assert narrowest(np.array([-180.0]), np.array([180.0]), 360) == (-180, 180)
    assert narrowest(np.array([10.0, 300]), np.array([20.0, 310]), 360) == (-60, 20)
    assert turns_of(np.array([-60.0, 300]), np.array([-50.0, 310]), 360).tolist() == [0, -1]
    assert turns_of(np.array([350.0, 5, 100]), np.array([370.0, 8, 110]), 360).tolist() == [0, 1, 1]


def half_of_the_arctic() -> tuple[Any, float]:
    """A rectangle with the pole in the middle of its long edge, in degrees, and its area on the ground."""
    ring = shapely.get_coordinates(shapely.segmentize(shapely.box(-640_000, -640_000, 0, 640_000), 30_000))
    far = (ring[:, 0] < 0) | (np.abs(ring[:, 1]) > 300_000)  # one edge of 600 km runs through the pole
    half = np.array([shapely.Polygon(ring[far])], dtype=object)
    grid = around("EPSG:3413", 0, 0, 10_000, 128)
    shapes = through_poles(half, pole_points("EPSG:3413", "EPSG:4326"))
    return on_globe(shapes, "EPSG:3413", "EPSG:4326"), pixel_areas(grid)[:, :64].sum()


def test_an_edge_through_a_pole_leaves_it_on_the_other_meridian() -> None:
    shapes, area = half_of_the_arctic()
    assert shapes[0].is_valid and ground_area(shapes) == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize("broken", ["through_poles", "POLE"])
def test_twin_a_pole_that_is_passed_unseen_is_noticed(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "through_poles", lambda shapes, poles: shapes) if broken != "POLE" else None
    monkeypatch.setattr(globe, "POLE", 91.0 if broken == "POLE" else globe.POLE)
    shapes, area = half_of_the_arctic()
    with pytest.raises(AssertionError):
        assert ground_area(shapes) == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize("broken", ["_wrapped", "_dense"])
def test_twin_what_is_not_cut_is_noticed(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globe if broken == "_wrapped" else place, broken, lambda shapes, *rest: shapes)
    grid = GRIDS["north pole" if broken != "_wrapped" else "utm"]
    with pytest.raises((AssertionError, shapely.errors.GEOSException)):
        check_export(grid, scattered(grid), tmp_path / "map.gpkg", crs="EPSG:4326")


def test_shapes_that_nothing_is_wrong_with_keep_their_corners() -> None:
    boxes = np.array([shapely.box(500_000, 5_400_000, 500_100, 5_400_100)], dtype=object)
    direct = pyproj.Transformer.from_crs(32633, 4326, always_xy=True).transform
    wanted = shapely.transform(boxes, lambda points: np.stack(direct(*points.T), axis=1))
    assert shapely.equals_exact(on_globe(boxes, "EPSG:32633", "EPSG:4326"), wanted, 0).all()
    grid = Grid(CRS.from_epsg(4326), Affine(1e-4, 0, 15, 0, -1e-4, 48.76), 50, 100)
    index, near = PlacedShapes(boxes, "EPSG:32633", grid.crs).near(grid)
    dense = shapely.segmentize(boxes, 1.0)
    assert index.tolist() == [0]
    assert shapely.equals_exact(near[0], shapely.transform(dense[0], lambda p: np.stack(direct(*p.T), axis=1)), 0)
    assert len(pole_points("EPSG:3857", "EPSG:4326")) == 0
    assert through_poles(boxes, np.empty((0, 2)))[0] is boxes[0]
