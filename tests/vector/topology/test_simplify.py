import math
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS

from landseg.geo.grid import Grid
from landseg.geo.metres import longest_steps, pixel_steps
from landseg.vector.topology import coverage, linked_lists, simplify
from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.rings import build_polygons
from tests.parts.topology import assert_covers, assert_same, blotches, rasters, shapes_of, traced


def check_drawn(regions: Regions, arcs: Arcs, drawn: Arcs) -> NDArray:
    """A valid coverage of all regions and the same sides, whose ends stay; its shapes."""
    assert np.array_equal(drawn.left, arcs.left)
    assert np.array_equal(drawn.right, arcs.right)
    shapes = shapes_of(regions, drawn)
    assert not shapely.is_empty(shapes).any()
    assert_covers(shapes)
    if len(regions):
        assert shapely.area(shapely.union_all(shapes)) == pytest.approx(shapely.area(shapes).sum())
    return shapes


@settings(max_examples=40, deadline=None)
@given(rasters(16), st.sampled_from([4, 8]), st.sampled_from([0.75, 2.0, 6.0]))
def test_simplified_arcs_are_a_coverage(classes: np.ndarray, connectivity: int, tolerance: float) -> None:
    regions, arcs = traced(classes, connectivity=connectivity)
    check_drawn(regions, arcs, simplify.simplify(arcs, tolerance))


@settings(max_examples=40, deadline=None)
@given(rasters(16), st.sampled_from([4, 8]))
def test_smoothed_arcs_are_a_coverage(classes: np.ndarray, connectivity: int) -> None:
    regions, arcs = traced(classes, connectivity=connectivity)
    check_drawn(regions, arcs, simplify.smooth(arcs))


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_on_larger_rasters(seed: int, connectivity: int) -> None:
    regions, arcs = traced(blotches(seed), connectivity=connectivity)
    simple = simplify.simplify(arcs, 2.0)
    assert len(simple.points) < 0.8 * len(arcs.points)
    check_drawn(regions, arcs, simple)
    check_drawn(regions, arcs, simplify.smooth(simple))


def test_twin_without_the_check_it_is_no_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    regions, arcs = traced(blotches(0))
    check_drawn(regions, arcs, simplify.simplify(arcs, 2.0))
    monkeypatch.setattr(coverage, "_invalid", lambda drawn, framed, nests, count: np.zeros(count, bool))
    with pytest.raises(AssertionError):
        check_drawn(regions, arcs, simplify.simplify(arcs, 2.0))


def check_heavy(classes: np.ndarray, connectivity: int) -> None:
    """Faces with many rings are looked at in another way, which finds the same."""
    _, arcs = traced(classes, connectivity=connectivity)
    for draw in (lambda arcs: simplify.simplify(arcs, 3.0), simplify.smooth):
        with mock.patch.object(coverage, "HEAVY", 0), mock.patch.object(coverage, "PIECE", 3):
            found = draw(arcs)
        wanted = draw(arcs)
        assert np.array_equal(found.offsets, wanted.offsets) and np.array_equal(found.points, wanted.points)


@settings(max_examples=40, deadline=None)
@given(rasters(16), st.sampled_from([4, 8]))
def test_many_holes_are_checked_as_well_as_few(classes: np.ndarray, connectivity: int) -> None:
    check_heavy(classes, connectivity)


def test_twin_holes_that_are_not_looked_for_get_out() -> None:
    check_heavy(island(), 4)
    none = lambda arcs, nests: (np.zeros(len(nests.halves)), np.zeros(len(nests.halves)))  # noqa: E731
    with mock.patch.object(coverage, "_depths", none), pytest.raises(AssertionError):
        check_heavy(island(), 4)


def test_long_arcs_are_reduced_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    regions, arcs = traced(blotches(6))
    plain = simplify.simplify(arcs, 2.0)
    monkeypatch.setattr(simplify, "LENGTH", 9)
    pieces = simplify.simplify(arcs, 2.0)
    check_drawn(regions, arcs, pieces)
    check_distance(arcs, pieces, 2.0)
    assert len(plain.points) < len(pieces.points) < len(arcs.points)
    begins, _, _ = linked_lists.cut(arcs.offsets, 9)
    assert set(map(tuple, arcs.points[begins].tolist())) <= set(map(tuple, pieces.points.tolist()))
    for height in (3, 1000):
        again = simplify.simplify(traced(blotches(6), height)[1], 2.0)
        assert np.array_equal(again.points, pieces.points)


def island() -> np.ndarray:
    """A pixel of another class in a bay, which a simplified shore would jump over without touching it."""
    classes = np.ones((16, 24), np.uint8)
    classes[9:] = 2
    classes[9:12, 6:18] = 1
    classes[10, 12] = 3
    return classes


def test_islands_stay_in_their_bay() -> None:
    regions, arcs = traced(island())
    shapes = check_drawn(regions, arcs, simplify.simplify(arcs, 6.0))
    shore, pixel = shapes[regions.value == 2][0], shapes[regions.value == 3][0]
    assert not shore.intersects(pixel)


def test_twin_the_shore_alone_would_jump_over_the_island() -> None:
    regions, arcs = traced(island())
    drawn = simplify._reduced(arcs, np.full(len(arcs), 6.0), Affine.identity())
    shore = np.flatnonzero((arcs.left == 1) | (arcs.right == 1))
    lines = [drawn.points[drawn.offsets[arc] : drawn.offsets[arc + 1]] for arc in shore]
    assert len(regions) == 3
    assert any(len(line) == 2 and (line[:, 1] == 9).all() for line in lines)


def test_no_data_is_not_covered_either() -> None:
    classes = np.zeros((16, 24), np.uint8)
    classes[9:] = 2
    classes[9:12, 6:18] = 0
    classes[10, 12] = 3
    regions, arcs = traced(classes)
    shapes = check_drawn(regions, arcs, simplify.simplify(arcs, 8.0))
    assert not shapes[0].intersects(shapes[1])


Draw = Callable[[Arcs], Arcs]
DRAWN: list[Draw] = [lambda arcs: simplify.simplify(arcs, 1.5), simplify.smooth]


def check_any_height(draw: Callable[[Arcs, int], Arcs]) -> None:
    classes = blotches(5)
    results = []
    for height in (3, 1000):
        regions, arcs = traced(classes, height)
        results.append((regions, draw(arcs, height)))
    assert_same(*results)


@pytest.mark.parametrize("draw", DRAWN)
def test_any_strip_height_gives_the_same(draw: Draw) -> None:
    check_any_height(lambda arcs, height: draw(arcs))


@pytest.mark.parametrize("draw", DRAWN)
def test_twin_arcs_that_are_held_where_strips_meet_do_not(draw: Draw) -> None:
    def held(arcs: Arcs, height: int) -> Arcs:
        with mock.patch.object(simplify, "LENGTH", height + 2):
            return draw(arcs)

    with pytest.raises(AssertionError):
        check_any_height(held)


def test_nothing_is_further_than_the_tolerance_from_what_is_left() -> None:
    regions, arcs = traced(blotches(4))
    for tolerance in (1.0, 2.5):
        check_distance(arcs, simplify.simplify(arcs, tolerance), tolerance)
    with pytest.raises(AssertionError):  # the twin
        check_distance(arcs, simplify.simplify(arcs, 2.5), 1.0)
    assert len(regions) > 10


def check_distance(arcs: Arcs, drawn: Arcs, tolerance: float) -> None:
    for arc in range(len(arcs)):
        line = shapely.LineString(drawn.points[drawn.offsets[arc] : drawn.offsets[arc + 1]])
        points = shapely.points(arcs.points[arcs.offsets[arc] : arcs.offsets[arc + 1]])
        assert shapely.distance(points, line).max() <= tolerance + 1e-9


def test_metres_hold_for_pixels_of_any_shape() -> None:
    tall = blotches(4)
    _, arcs = traced(tall)
    metric = Affine(0.5, 0, 7e5, 0, -2.0, 5e6)
    drawn = simplify.simplify(arcs, 1.5, metric=metric)
    scale = np.array([0.5, 2.0])
    placed = Arcs(arcs.points * scale, arcs.offsets, arcs.left, arcs.right)
    check_distance(placed, Arcs(drawn.points * scale, drawn.offsets, arcs.left, arcs.right), 1.5)
    with pytest.raises(AssertionError):  # the twin: as if pixels were square
        other = simplify.simplify(arcs, 1.5)
        check_distance(placed, Arcs(other.points * scale, other.offsets, arcs.left, arcs.right), 1.5)
    assert set(map(tuple, drawn.points.tolist())) <= set(map(tuple, arcs.points.tolist()))


def test_single_pixels_keep_their_corners() -> None:
    regions, arcs = traced(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], np.uint8))
    assert len(simplify.simplify(arcs, 50.0).points) >= 4
    smooth = simplify.smooth(arcs)
    [(_, [shape])] = list(build_polygons(regions, smooth))
    assert 0.6 < shape.area < 0.95
    assert smooth.closed.all()


def test_smoothing_rounds_a_staircase_and_keeps_straight_borders() -> None:
    step = np.add.outer(np.arange(40), np.arange(40)) < 40
    regions, arcs = traced(np.where(step, 1, 2).astype(np.uint8))
    shapes = check_drawn(regions, arcs, simplify.smooth(arcs))
    assert shapely.area(shapes).sum() == pytest.approx(1600, abs=4)  # the raster's own corners
    assert shapes[0].length < 40 * (2 + np.sqrt(2)) + 2
    assert shapes_of(regions, arcs)[0].length == pytest.approx(160, abs=4)


def test_without_arcs_there_is_nothing_to_draw() -> None:
    _, arcs = traced(np.zeros((2, 2), np.uint8))
    assert len(simplify.simplify(arcs, 1.0)) == len(simplify.smooth(arcs)) == 0


def drawn_on_frame(classes: NDArray, reach: float, smooth: bool, frame: bool = True) -> tuple[Regions, NDArray]:
    """Regions of a raster and their shapes, simplified and smoothed as for export."""
    size = (classes.shape[1], classes.shape[0]) if frame else None
    regions, arcs = traced(classes)
    if reach:
        arcs = simplify.simplify(arcs, reach, frame=size)
    if smooth:
        arcs = simplify.smooth(arcs, frame=size)
    shapes = shapes_of(regions, arcs)
    assert_covers(shapes)
    return regions, shapes


def check_frame(classes: NDArray, reach: float, smooth: bool, frame: bool = True) -> None:
    """Along each side of the raster every class covers what its pixels do; no data is outside as it was."""
    height, width = classes.shape
    regions, shapes = drawn_on_frame(classes, reach, smooth, frame)
    if not len(regions):
        return
    assert (shapely.bounds(shapes) >= 0).all() and (shapely.bounds(shapes) <= [width, height] * 2).all()
    sides = (
        (classes[0], lambda i: ((i, 0), (i + 1, 0))),
        (classes[-1], lambda i: ((i, height), (i + 1, height))),
        (classes[:, 0], lambda i: ((0, i), (0, i + 1))),
        (classes[:, -1], lambda i: ((width, i), (width, i + 1))),
    )
    for value in np.unique(regions.value):
        whole = shapely.union_all(shapes[regions.value == value])
        for pixels, edge in sides:
            edges = shapely.MultiLineString([edge(i) for i in np.flatnonzero(pixels == value).tolist()])
            side = shapely.LineString([edge(0)[0], edge(len(pixels) - 1)[1]])
            found = shapely.intersection(whole, side)
            assert shapely.length(shapely.symmetric_difference(found, edges)) < 1e-9
    if (classes > 0).all():
        assert shapely.area(shapes).sum() == pytest.approx(height * width, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(rasters(16), st.sampled_from([0.0, 0.75, 2.0, 6.0, 50.0]), st.booleans())
def test_the_rasters_edge_stays(classes: np.ndarray, reach: float, smooth: bool) -> None:
    check_frame(classes, reach, smooth)
    check_frame(classes + 1, reach, smooth)  # without no data


@pytest.mark.parametrize("seed", range(3))
def test_the_edge_of_larger_rasters_stays(seed: int) -> None:
    for reach, smooth in ((3.0, False), (0.0, True), (1.5, True)):
        check_frame(blotches(seed), reach, smooth)


@pytest.mark.parametrize(("reach", "smooth"), [(40.0, False), (0.0, True)])
def test_a_square_map_keeps_its_area_and_its_corners(reach: float, smooth: bool) -> None:
    for classes in (np.ones((20, 20), np.uint8), np.where(np.tri(20, dtype=bool), 1, 2).astype(np.uint8)):
        _, shapes = drawn_on_frame(classes, reach, smooth)
        assert shapely.area(shapes).sum() == pytest.approx(400, rel=1e-12)
        corners = {tuple(point) for point in shapely.get_coordinates(shapes).tolist()}
        assert {(0, 0), (20, 0), (0, 20), (20, 20)} <= corners
    with pytest.raises(AssertionError):  # the twin: an edge like any other
        check_frame(np.where(np.tri(20, dtype=bool), 1, 2).astype(np.uint8), reach, smooth, frame=False)
        check_frame(np.pad(np.ones((5, 5), np.uint8), ((0, 3), (0, 3))), 2.0, smooth, frame=False)


@settings(max_examples=40, deadline=None)
@given(rasters(14), st.integers(1, 13), st.sampled_from([0.0, 2.0, 6.0]), st.booleans())
def test_halves_of_a_map_meet(classes: np.ndarray, seam: int, reach: float, smooth: bool) -> None:
    """Drawn apart, each class meets itself along all of the seam where its pixels do."""
    if not (seam < classes.shape[1] and (reach or smooth)):
        return
    left, right = classes[:, :seam], classes[:, seam:]
    (ones, west), (others, east) = (drawn_on_frame(half, reach, smooth) for half in (left, right))
    east = shapely.transform(east, lambda points: points + np.array([seam, 0]))
    for value in np.unique(classes[classes > 0]):
        both = [shapely.union_all(some) for some in (west[ones.value == value], east[others.value == value])]
        rows = int(((left[:, -1] == value) & (right[:, 0] == value)).sum())
        assert shapely.length(shapely.intersection(*both)) == pytest.approx(rows)


@pytest.mark.parametrize("draw", [lambda arcs, size: simplify.simplify(arcs, 1.5, frame=size), None])
def test_any_strip_height_gives_the_same_on_the_edge(draw: Any) -> None:
    draw = draw or (lambda arcs, size: simplify.smooth(arcs, frame=size))
    classes = blotches(5)
    check_any_height(lambda arcs, height: draw(arcs, classes.shape[::-1]))


UTM60 = CRS.from_epsg(32633)
METRIC = {
    "square": Grid(UTM60, Affine(1, 0, 5e5, 0, -1, 66e5), 80, 60),
    "sheared": Grid(UTM60, Affine(2, 1.6, 5e5, 0, -2, 66e5), 80, 60),
    "rotated": Grid(UTM60, Affine(1.6, 1.2, 5e5, 1.2, -1.6, 66e5), 80, 60),
    "sheared and rotated": Grid(UTM60, Affine(3, -2, 5e5, 1, -1, 66e5), 80, 60),
    "high pixels": Grid(UTM60, Affine(5, 0, 5e5, 0, -20, 66e5), 80, 60),
    "degrees": Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 15, 0, -1e-5, 60), 80, 60),
    "sheared degrees": Grid(CRS.from_epsg(4326), Affine(2e-5, 1e-5, 15, 0, -1e-5, 60), 80, 60),
    "Mercator": Grid(CRS.from_epsg(3857), Affine(2, 0, 1669792, 0, -2, 8399738), 80, 60),
    "feet": Grid(CRS.from_epsg(2263), Affine(5, 1, 1e6, 0, -5, 2e5), 80, 60),
    "many degrees": Grid(CRS.from_epsg(4326), Affine(0.1, 0, 0, 0, -1, 60), 80, 60),
}


def on_ground(arcs: Arcs, grid: Grid) -> Arcs:
    """The arcs in metres of a plane that touches the ellipsoid in the raster's middle, by pyproj."""
    crs = pyproj.CRS.from_user_input(grid.crs)
    points = np.asarray(arcs.points, np.float64)
    t = grid.transform
    xy = points @ np.array([[t.a, t.d], [t.b, t.e]]) + [t.c, t.f]
    degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
    lon, lat = degrees.transform(*xy.T)
    middle = degrees.transform(*(t @ (grid.width / 2, grid.height / 2)))
    plane = pyproj.CRS.from_dict({"proj": "aeqd", "lon_0": middle[0], "lat_0": middle[1]})
    flat = pyproj.Transformer.from_crs(plane.geodetic_crs, plane, always_xy=True).transform(lon, lat)
    return Arcs(np.stack(flat, axis=1), arcs.offsets, arcs.left, arcs.right)


def check_ground(grid: Grid, tolerance: float, metric: Affine, seed: int = 4) -> None:
    _, arcs = traced(blotches(seed))
    drawn = simplify.simplify(arcs, tolerance, metric=metric, frame=(grid.width, grid.height))
    assert len(drawn.points) < len(arcs.points)
    check_distance(on_ground(arcs, grid), on_ground(drawn, grid), tolerance * 1.0015)


@pytest.mark.parametrize("name", [name for name in METRIC if name != "many degrees"])
@pytest.mark.parametrize("pixels", [1.0, 2.5])
def test_no_line_leaves_by_more_than_its_tolerance_on_the_ground(name: str, pixels: float) -> None:
    grid = METRIC[name]
    height, width = grid.pixel_size_m or (1, 1)
    for seed in (4, 7):
        check_ground(grid, pixels * max(height, width), longest_steps(grid), seed)


@pytest.mark.parametrize("name", ["sheared", "sheared and rotated", "sheared degrees"])
def test_twin_edges_of_pixels_taken_for_right_angled_do(name: str) -> None:
    height, width = METRIC[name].pixel_size_m or (1, 1)
    with pytest.raises(AssertionError):
        for pixels in (1.0, 1.5, 2.5):
            check_ground(METRIC[name], pixels * max(height, width), Affine.scale(width, height))


@settings(max_examples=25, deadline=None)
@given(st.floats(0.2, 5), st.floats(-2, 2), st.floats(-2, 2), st.floats(0.2, 20), st.floats(1, 4), st.integers(0, 5))
def test_any_affine_grid_keeps_the_tolerance(
    across: float, shear: float, turn: float, down: float, pixels: float, seed: int
) -> None:
    transform = Affine(across, shear, 5e5, turn, -down, 66e5)
    if abs(transform.determinant) < 0.2 * max(across, down, abs(shear), abs(turn)) ** 2:
        return
    grid = Grid(UTM60, transform, 80, 60)
    # A tolerance below the length of a step, which shear and turn make longer, takes nothing away.
    longest = max(math.hypot(across, turn), math.hypot(shear, down))
    check_ground(grid, pixels * longest, longest_steps(grid), seed)


def test_steps_on_the_ground() -> None:
    assert longest_steps(METRIC["square"]) == Affine.scale(*METRIC["square"].pixel_size_m[::-1])
    sheared = longest_steps(METRIC["sheared"])
    assert sheared.a == pytest.approx(2, rel=1e-3)
    assert math.hypot(sheared.b, sheared.e) == pytest.approx(math.hypot(1.6, 2), rel=1e-3)
    assert sheared.determinant == pytest.approx(4, rel=1e-3)
    assert longest_steps(Grid(None, Affine(2, 1, 0, 0, -2, 0), 9, 9)) == Affine.identity()
    many = METRIC["many degrees"]  # from the equator to 60 degrees north a pixel is up to twice as wide
    assert longest_steps(many).a == pytest.approx(11132, rel=1e-3) and pixel_steps(many).a < 9700
    local = CRS.from_wkt('LOCAL_CS["here",UNIT["metre",1]]')
    assert longest_steps(Grid(local, Affine(2, 2, 0, 0, -2, 0), 9, 9)).determinant == pytest.approx(4)
