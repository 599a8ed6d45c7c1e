"""Right-angled outlines: corners are right, outlines stay close, none overlaps another, order does not matter."""

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.features import rasterize, shapes

from landseg.export import export
from landseg.geo.grid import Grid
from landseg.geo.metres import metres_per_unit
from landseg.geo.ruler import Ruler
from landseg.vector.dissolve import Dissolver
from landseg.vector.outlines import Shaping, make_outlines
from landseg.vector.regularize import regularize
from tests.parts.topology import rasters, shapes_of, traced
from tests.parts.vector import read, write_classes

Geometries = NDArray[Any]


def cosines(polygons: Geometries) -> NDArray[np.float64]:
    """Of the angle at every corner."""
    found = []
    for ring in shapely.get_rings(polygons):
        points = shapely.get_coordinates(ring)[:-1]
        back, ahead = np.roll(points, 1, axis=0) - points, np.roll(points, -1, axis=0) - points
        found.append((back * ahead).sum(axis=1) / np.hypot(*back.T) / np.hypot(*ahead.T))
    return np.concatenate(found)


def iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    return float(shapely.area(one & other) / shapely.area(one | other))


def overlap(polygons: Geometries) -> float:
    """The largest area that two polygons share."""
    return max(shapely.area(a & b) for i, a in enumerate(polygons) for b in polygons[:i])


def pixels_of(polygons: list[shapely.Polygon], pixel: float = 0.5) -> Geometries:
    """Outlines along pixels, as a map shows them, each in one piece."""
    left, bottom, right, top = shapely.total_bounds(polygons).tolist()
    shape = (math.ceil((top - bottom) / pixel) + 4, math.ceil((right - left) / pixel) + 4)
    place = Affine(pixel, 0, left - 2 * pixel, 0, -pixel, top + 2 * pixel)
    numbers = rasterize(list(zip(polygons, range(1, 99), strict=False)), shape, transform=place, dtype="int32")
    best: dict[int, shapely.Polygon] = {}
    for geometry, number in shapes(numbers, mask=numbers > 0, transform=place):
        piece = shapely.geometry.shape(geometry)
        best[number] = max(piece, best.get(number, piece), key=lambda one: one.area)
    return np.array([best[number] for number in sorted(best)], dtype=object)


def turned(polygon: shapely.Polygon, degrees: float) -> shapely.Polygon:
    return shapely.affinity.rotate(polygon, degrees, origin=(0, 0))


L_SHAPE = shapely.Polygon([(0, 0), (24, 0), (24, 10), (11, 10), (11, 22), (0, 22)])


def check_restored(way: Callable[[Geometries], Geometries], real: shapely.Polygon) -> None:
    """What pixels made of a right-angled building gets its corners back, and comes nearer to it."""
    outline = pixels_of([real])
    made = way(outline)
    assert shapely.get_num_coordinates(made[0]) == shapely.get_num_coordinates(real)
    assert np.abs(cosines(made)).max() < 1e-6
    assert iou(made[0], real) >= max(0.9, iou(outline[0], real) - 0.01)


@settings(max_examples=50)
@given(st.floats(-45, 45), st.booleans())
def test_corners_come_back(degrees: float, angled: bool) -> None:
    real = L_SHAPE if angled else shapely.box(0, 0, 22, 13)
    check_restored(lambda outline: regularize(outline).polygons, turned(real, degrees))


def test_other_ways_do_not_bring_corners_back() -> None:
    real = turned(L_SHAPE, 20)
    check_restored(lambda outline: regularize(outline).polygons, real)
    for way in (lambda outline: shapely.simplify(outline, 1), shapely.oriented_envelope, lambda outline: outline):
        with pytest.raises(AssertionError):
            check_restored(way, real)


def row_of_houses(degrees: list[float]) -> Geometries:
    """Houses that nearly touch, each turned a little."""
    houses = [shapely.affinity.rotate(shapely.box(14 * i, 0, 14 * i + 13, 10 + i), d) for i, d in enumerate(degrees)]
    return pixels_of(houses)


def check_apart(way: Callable[[Geometries], Geometries], outlines: Geometries) -> None:
    assert overlap(outlines) == 0
    assert overlap(way(outlines)) < 1e-4


@settings(max_examples=40)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=5))
def test_houses_do_not_overlap(degrees: list[float]) -> None:
    outlines = row_of_houses(degrees)
    made = regularize(outlines)
    check_apart(lambda given: regularize(given).polygons, outlines)
    assert shapely.is_valid(made.polygons).all() and (shapely.get_type_id(made.polygons) == 3).all()
    assert (made.iou[made.right_angled] >= 0.7).all()
    assert (made.polygons[~made.right_angled] == outlines[~made.right_angled]).all()


def test_smallest_rectangles_do_overlap() -> None:
    with pytest.raises(AssertionError):
        check_apart(shapely.oriented_envelope, row_of_houses([0, 18, -18, 18]))


def first_come(outlines: Geometries) -> Geometries:
    """Broken on purpose: what overlaps is cut from the later."""
    made = shapely.oriented_envelope(outlines)
    for index in range(1, len(made)):
        made[index] = shapely.difference(made[index], shapely.union_all(made[:index]))
    return np.asarray(made)


def check_any_order(way: Callable[[Geometries], Geometries], outlines: Geometries, order: list[int]) -> None:
    assert shapely.equals(way(outlines[order]), way(outlines)[order]).all()


@given(st.permutations(range(4)))
def test_order_does_not_matter(order: list[int]) -> None:
    check_any_order(lambda given: regularize(given).polygons, row_of_houses([0, 18, -18, 18]), order)


def test_order_matters_where_the_first_wins() -> None:
    with pytest.raises(AssertionError):
        check_any_order(first_come, row_of_houses([0, 18, -18, 18]), [3, 1, 2, 0])


def test_round_building_keeps_its_outline() -> None:
    outline = pixels_of([shapely.Point(0, 0).buffer(10)])
    made = regularize(outline, min_iou=0.95)
    assert not made.right_angled[0] and made.polygons[0].equals(outline[0]) and made.iou[0] == 1
    forced = regularize(outline, min_iou=0, max_shift=math.inf)
    assert forced.right_angled[0] and forced.iou[0] < 0.95 and np.abs(cosines(forced.polygons)).max() < 1e-6


def test_no_outline_moves_further_than_is_said() -> None:
    """A long house with a short wing at an angle of 45 degrees, which right angles would cut off or widen."""
    wing = shapely.affinity.rotate(shapely.box(60, -3, 78, 3), 45, origin=(60, 0))
    outline = pixels_of([shapely.box(0, 0, 60, 40) | wing])
    free = regularize(outline, max_shift=math.inf)
    assert free.right_angled[0] and free.iou[0] > 0.9
    assert shapely.hausdorff_distance(free.polygons[0], outline[0]) > 3.0  # what an IoU does not see
    made = regularize(outline)
    assert not made.right_angled[0] and made.polygons[0].equals(outline[0])


def test_courtyard_stays() -> None:
    real = turned(shapely.box(0, 0, 40, 30) - shapely.box(12, 10, 28, 20), 17)
    made = regularize(pixels_of([real])).polygons
    assert len(made[0].interiors) == 1 and shapely.get_num_coordinates(made[0]) == 10
    assert np.abs(cosines(made)).max() < 1e-6 and iou(made[0], real) > 0.95


def test_narrow_hole_and_speck_do_no_harm() -> None:
    pitted = shapely.box(0, 0, 10, 10) - shapely.box(4, 4, 4.3, 4.3)
    made = regularize(np.array([pitted, shapely.box(20, 0, 20.2, 0.1)], dtype=object))
    assert made.right_angled[0] and shapely.area(made.polygons).min() > 0
    assert not made.polygons[0].interiors  # smaller than the tolerance
    assert regularize(np.empty(0, object)).polygons.shape == (0,)


def check_right_on_ground(crs: Any) -> None:
    """A building drawn in degrees, far from the equator, that is right-angled on the ground."""
    onto = pyproj.Transformer.from_crs(32632, 4326, always_xy=True)
    east = 500_000  # the middle of the zone: north is up
    real = shapely.affinity.translate(turned(L_SHAPE, 27), east, 6_700_000)
    degrees = shapely.transform(real, lambda points: np.stack(onto.transform(*points.T), axis=1))
    tolerance = 1.0 if crs else 1e-5
    made = regularize(np.array([degrees], dtype=object), crs=crs, tolerance_m=tolerance, max_shift=math.inf).polygons
    back = pyproj.Transformer.from_crs(4326, 32632, always_xy=True)
    ground = shapely.transform(made, lambda points: np.stack(back.transform(*points.T), axis=1))
    assert shapely.get_num_coordinates(ground[0]) == shapely.get_num_coordinates(real)
    assert np.abs(cosines(ground)).max() < 1e-3


def test_right_on_the_ground() -> None:
    check_right_on_ground(4326)


def test_degrees_are_no_metres() -> None:
    with pytest.raises(AssertionError):
        check_right_on_ground(None)


def test_metres_per_unit() -> None:
    point = np.array([shapely.Point(500_000, 6_700_000)], dtype=object)
    assert metres_per_unit(point, 32632) == pytest.approx(np.full((1, 2), 1.0004), rel=1e-4)  # scale 0.9996
    assert metres_per_unit(point, None).tolist() == [[1, 1]]
    web = np.array([shapely.Point(0, 8_399_737.9)], dtype=object)  # 60 degrees north
    assert metres_per_unit(web, 3857) == pytest.approx(np.full((1, 2), 0.5), rel=0.01)
    pole = np.array([shapely.Point(0, 90)], dtype=object)
    assert np.isfinite(metres_per_unit(pole, 4326)).all()
    feet = 2263  # New York, US survey feet
    there = np.array([shapely.Point(1_000_000, 200_000)], dtype=object)
    assert metres_per_unit(there, feet) == pytest.approx(np.full((1, 2), 0.3048), rel=1e-3)
    assert metres_per_unit(np.empty(0, object), 4326).shape == (0, 2)


HOLED = np.array([[1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1], [1, 1, 1, 0, 1, 1], [0, 1, 1, 1, 1, 1]], np.uint8)
"""Holes that touch at a corner."""


def check_valid(outlines: Geometries, crs: Any = None, **options: Any) -> Geometries:
    """The new outlines are valid, of the kinds that they were, apart, and no area jumps."""
    made = regularize(outlines, crs=crs, **options)
    assert shapely.is_valid(made.polygons).all()
    assert (shapely.get_type_id(made.polygons) == shapely.get_type_id(outlines)).all()
    ratio = shapely.area(made.polygons) / shapely.area(outlines)
    assert ratio.min(initial=1) > 0.5 and ratio.max(initial=1) < 1.6
    kept = ~made.right_angled & (shapely.get_type_id(outlines) == 3)
    assert (made.polygons[kept] == outlines[kept]).all()
    return made.polygons


def test_holes_that_touch_at_a_corner_stay_valid() -> None:
    for tolerance in (0.01, 0.05, 0.1, 0.15, 0.5, 1.0):
        check_valid(shapes_of(*traced(HOLED)), tolerance_m=tolerance)


def test_twin_outlines_that_are_not_looked_at_are_not_valid() -> None:
    with pytest.raises(AssertionError):
        check_valid(shapes_of(*traced(HOLED)), tolerance_m=0.05, fits=lambda shapes: np.ones(len(shapes), bool))


TRANSFORMS = (
    Affine(1, 0, 333000, 0, -1, 3065000),
    Affine(5, 0, 333000, 0, -20, 3065000),
    Affine(2, 1.1, 333000, 0.4, -2, 3065000),
    Affine(0.4, 0.3, 333000, 0.3, -0.4, 3065000),
)


@settings(max_examples=120, deadline=None)
@given(
    rasters(14, 2),
    st.sampled_from([4, 8]),
    st.sampled_from([0.01, 0.05, 0.15, 0.5, 1.0, 3.0]),
    st.sampled_from(TRANSFORMS),
    st.sampled_from([0, 3]),
    st.sampled_from([0, 3]),
    st.sampled_from([0.0, 3.0]),
    st.sampled_from([0.0, 1.5, 6.0]),
    st.booleans(),
)
def test_every_outline_is_valid_whatever_else_is_asked_for(
    classes: NDArray[np.uint8],
    connectivity: int,
    tolerance: float,
    transform: Affine,
    majority: int,
    sieve: int,
    pixels: float,
    reach: float,
    smooth: bool,
) -> None:
    """In pixels: the least area, the reach of --simplify and the tolerance of right angles."""
    grid = Grid(CRS.from_epsg(32645), transform, classes.shape[1], classes.shape[0])
    pixel = abs(transform.determinant) ** 0.5
    shaping = Shaping(connectivity, majority, sieve, pixels * pixel**2, reach * pixel, smooth)
    ruler = Ruler.of(grid, geodesic=False)
    with tempfile.TemporaryDirectory() as work:
        parts = list(make_outlines([classes], grid, nodata=0, shaping=shaping, ruler=ruler, work=Path(work)))
    for part in parts:
        assert shapely.is_valid(part.shapes).all()
        check_valid(part.shapes, 32645, tolerance_m=tolerance * pixel)


def test_parts_that_touch_at_a_corner_are_drawn_each_by_itself() -> None:
    """What --connectivity 8 makes multipolygons of ended the export."""
    classes = np.zeros((30, 30), np.uint8)
    classes[2:12, 2:14] = classes[12:24, 14:27] = 1
    outline = shapes_of(*traced(classes, connectivity=8))
    assert shapely.get_type_id(outline).tolist() == [6]
    made = regularize(outline, tolerance_m=2.0)
    assert made.right_angled.all() and shapely.get_num_geometries(made.polygons).tolist() == [2]
    assert shapely.area(made.polygons[0]) == pytest.approx(120 + 156)
    lone = regularize(np.array([shapely.box(40, 0, 60, 9)], dtype=object), tolerance_m=2.0)
    both = regularize(np.append(outline, [shapely.box(40, 0, 60, 9)]), tolerance_m=2.0)
    assert shapely.equals(both.polygons, np.append(made.polygons, lone.polygons)).all()


def export_squared(folder: Path, values: NDArray[np.uint8], grid: Grid, name: str, **options: Any) -> Any:
    raster = folder / "classes.tif"
    if not raster.exists():
        write_classes(raster, grid, values)
    export(raster, folder / name, regularize="building", quiet=True, overwrite=True, **options)
    return read(folder / name)


@pytest.mark.parametrize("name", ["o.gpkg", "o.geojson"])
@pytest.mark.parametrize(
    "options", [{}, {"connectivity": 8}, {"dissolve": True}, {"crs": "EPSG:3035"}, {"simplify": 1.0, "smooth": True}]
)
def test_every_polygon_of_a_file_is_valid(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    if name == "o.geojson" and "crs" in options:
        options = {**options, "crs": "EPSG:4326"}
    values = np.tile(HOLED, (5, 5))
    grid = Grid(CRS.from_epsg(32633), Affine(0.3, 0, 333000, 0, -0.3, 5065000), *values.shape[::-1])
    for tolerance in (0.01, 0.05, 0.3, 0.6):
        frame = export_squared(tmp_path, values, grid, name, right_angle_tolerance=tolerance, **options)
        assert frame.is_valid.all() and set(frame.geom_type) <= {"Polygon", "MultiPolygon"}
        share = frame["area_m2"].sum() / (0.09 * values.sum())
        assert len(frame) and 0.8 < share < 1.3  # holes below the tolerance go


def test_houses_that_share_a_wall_are_dissolved_into_one(tmp_path: Path) -> None:
    """Drawn each by itself they share an edge, along which a multipolygon is not valid."""
    rows, columns = np.mgrid[:60, :80]
    left = (columns + rows // 9 >= 8) & (columns + rows // 9 < 32)
    right = (columns + rows // 9 >= 32) & (columns < 70)
    values = np.where((rows > 5) & (rows < 50), np.where(left, 1, np.where(right, 1, 0)), 0).astype(np.uint8)
    values[28:30, 5:72] = 0
    parts = [shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)]
    columns_ = {"value": np.array([1, 1]), "area_m2": np.array([100.0, 100.0])}

    def dissolved(folder: Path, **options: Any) -> Any:
        folder.mkdir()
        pile = Dissolver(folder, **options)
        pile.add(columns_, np.array(parts, dtype=object), np.array([100, 100]))
        return next(iter(pile.features()))[1][0]

    assert not dissolved(tmp_path / "twin").is_valid
    shape = dissolved(tmp_path / "redrawn", redrawn=True)
    assert shape.is_valid and shape.area == 200
    grid = Grid(CRS.from_epsg(32633), Affine(1, 0, 333000, 0, -1, 5065000), 80, 60)
    frame = export_squared(tmp_path, values, grid, "o.gpkg", dissolve=True, right_angle_tolerance=6.0)
    assert frame.is_valid.all()
