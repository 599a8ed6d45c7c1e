"""Rectangles and georeferenced grids."""

import doctest
import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from landseg import geo
from landseg.errors import GridError
from landseg.geo.grid import ControlPoint, Grid, Rect

UTM = CRS.from_epsg(32633)
rects = st.builds(Rect, st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 9), st.integers(0, 9))


def pixels(rect: Rect) -> set[tuple[int, int]]:
    return {(row, col) for row in range(rect.top, rect.bottom) for col in range(rect.left, rect.right)}


@given(rects, rects)
def test_intersection_is_the_shared_pixels(one: Rect, other: Rect) -> None:
    shared = one.intersection(other)
    assert (pixels(shared) if shared else set()) == pixels(one) & pixels(other)
    assert one.contains(other) == (pixels(other) <= pixels(one)) or not other.area
    assert pixels(one) | pixels(other) <= pixels(one.union(other))


@given(rects, st.integers(-5, 5), st.integers(-5, 5))
def test_shifting_moves_every_pixel(rect: Rect, dy: int, dx: int) -> None:
    assert pixels(rect.shifted(dy, dx)) == {(row + dy, col + dx) for row, col in pixels(rect)}
    assert rect.shifted(dy, dx).relative_to(rect) == Rect(dy, dx, rect.height, rect.width)


def test_slices_index_an_array() -> None:
    assert np.arange(12).reshape(3, 4)[Rect(1, 2, 2, 1).slices].tolist() == [[6], [10]]


def test_impossible_rectangles_and_grids_are_refused() -> None:
    with pytest.raises(GridError):
        Rect(0, 0, -1, 2)
    with pytest.raises(GridError, match="1 x 1"):
        Grid(None, Affine.identity(), 0, 5)
    with pytest.raises(GridError, match="no inverse"):
        Grid(None, Affine(1, 1, 0, 1, 1, 0), 5, 5)
    with pytest.raises(GridError, match="no inverse"):
        Grid(None, Affine(math.nan, 0, 0, 0, 1, 0), 5, 5)


@pytest.mark.parametrize("angle", [0, 30, 180])
def test_resolution_of_a_projected_grid_whatever_its_orientation(angle: float) -> None:
    transform = Affine.translation(500_000, 5_400_000) @ Affine.rotation(angle) @ Affine.scale(10, -10)
    resolution = Grid(UTM, transform, 100, 100).resolution_m
    assert resolution is not None
    assert resolution == pytest.approx(10 / 0.9996, rel=1e-4)  # the scale on UTM's central meridian


@pytest.mark.parametrize("latitude", [0.0, 27.6, 60.0])
def test_web_mercator_and_degrees_are_measured_on_the_ground(latitude: float) -> None:
    y = 6378137 * math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    mercator = Grid(CRS.from_epsg(3857), Affine(0.15, 0, 9.5e6, 0, -0.15, y), 10, 10).resolution_m
    degrees = Grid(CRS.from_epsg(4326), Affine(1e-5, 0, 85, 0, -1e-5, latitude), 10, 10).resolution_m
    assert mercator == pytest.approx(0.15 * math.cos(math.radians(latitude)), rel=0.007)  # the ellipsoid
    assert degrees == pytest.approx(1.113 * math.sqrt(math.cos(math.radians(latitude))), rel=0.007)


def test_resolution_without_a_place_on_the_globe() -> None:
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["foot",0.3048]]')
    assert Grid(local, Affine(2, 0, 0, 0, -2, 0), 5, 5).resolution_m == pytest.approx(0.6096)
    assert Grid(None, Affine.identity(), 5, 5).resolution_m is None
    assert Grid(None, Affine.identity(), 5, 5).resolution_text == "unknown resolution"
    beyond = Grid(CRS.from_epsg(4326), Affine(1, 0, 0, 0, -1, 5000), 5, 5)
    assert beyond.resolution_m is None


def test_bounds_hold_all_corners() -> None:
    assert Grid(UTM, Affine(1, 0, 10, 0, 1, 20), 4, 3).bounds == (10, 20, 14, 23)  # south-up
    turned = Grid(None, Affine.rotation(90), 4, 3)
    assert turned.bounds == pytest.approx((-3, 0, 0, 4))


@given(st.integers(1, 500), st.integers(1, 500), st.floats(0.05, 20))
def test_a_scaled_grid_covers_the_footprint_and_no_more_than_a_pixel_beyond(
    height: int, width: int, factor: float
) -> None:
    grid = Grid(UTM, Affine(0.5, 0, 5e5, 0, -0.5, 5e6), width, height)
    scaled = grid.scaled(factor)
    assert scaled.transform @ (0, 0) == grid.transform @ (0, 0)
    for was, now in ((height, scaled.height), (width, scaled.width)):
        assert was - 1e-4 * factor <= now * factor < was + factor or now == 1


def test_three_tenths_are_thirty() -> None:
    assert Grid(None, Affine.identity(), 3, 3).scaled(0.1).shape == (30, 30)
    with pytest.raises(GridError):
        Grid(None, Affine.identity(), 3, 3).scaled(0)


def test_crop_keeps_every_pixel_in_its_place() -> None:
    points = (ControlPoint(0, 0, 5, 9), ControlPoint(8, 0, 5, 1), ControlPoint(0, 8, 21, 9))
    grid = Grid.from_control_points(UTM, points, width=8, height=8)
    cropped = grid.crop(Rect(2, 3, 4, 5))
    assert cropped.transform @ (0, 0) == pytest.approx(grid.transform @ (3, 2))
    again = Grid.from_control_points(UTM, cropped.gcps or (), width=5, height=4)
    assert again.transform.almost_equals(cropped.transform, 1e-9)
    assert grid.offset_of(cropped) == (2, 3)
    half = grid.scaled(2)
    assert Grid.from_control_points(UTM, half.gcps or (), width=4, height=4).transform.almost_equals(
        half.transform, 1e-9
    )


@pytest.mark.parametrize("rows", [(), (0.0,), (0.0, 8.0), (0.0, 4.0, 8.0)])
def test_control_points_that_fix_nothing_are_refused(rows: tuple[float, ...]) -> None:
    with pytest.raises(GridError, match="at least 3"):
        Grid.from_control_points(None, tuple(ControlPoint(r, r, r, -r) for r in rows), width=8, height=8)


def test_offsets_are_whole_pixels_of_the_same_grid_or_none() -> None:
    grid = Grid(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 100, 80)
    moved = Grid(UTM, Affine(0.5, 0, 500_010.001, 0, -0.5, 5_400_005), 50, 50)
    assert grid.offset_of(moved) == (-10, 20)
    assert grid.offset_of(Grid(UTM, Affine(0.5, 0, 500_010.25, 0, -0.5, 5_400_005), 50, 50)) is None
    assert grid.offset_of(Grid(UTM, Affine(0.51, 0, 500_000, 0, -0.5, 5_400_000), 50, 50)) is None
    assert grid.offset_of(Grid(None, grid.transform, 100, 80)) is None
    assert grid.offset_of(Grid(CRS.from_epsg(32634), grid.transform, 100, 80)) is None
    assert grid.same_as(Grid(UTM, grid.transform, 100, 80))
    assert not grid.same_as(moved)


ROOM = Path(geo.__file__).parent
WITH_EXAMPLES = [
    "landseg.classes",
    *(
        ".".join(("landseg.geo", *file.relative_to(ROOM).with_suffix("").parts))
        for file in sorted(ROOM.rglob("*.py"))
        if ">>> " in file.read_text()
    ),
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted
    assert not result.failed


def test_a_grid_tells_what_it_is() -> None:
    grid = Grid(CRS.from_epsg(3857), Affine(0.149, 0, 9.5e6, 0, -0.149, 3.2e6), 10, 20)
    assert grid.describe().startswith("10 x 20 px, EPSG:3857, bounds 9500000, ")
    assert grid.describe().endswith("0.132 m")
    assert grid.to_json() == Grid(CRS.from_epsg(3857), grid.transform, 10, 20).to_json()


def test_a_raster_without_georeference_lies_below_the_axis_for_vectors() -> None:
    bare = Grid(None, Affine.identity(), 4, 3)
    assert bare.map_transform @ (2, 1) == (2, -1)
    placed = Grid(None, Affine.translation(5, 0), 4, 3)
    assert placed.map_transform == placed.transform


def test_a_grid_is_placed_by_a_crs_or_by_a_transform() -> None:
    assert not Grid(None, Affine.identity(), 4, 4).is_placed
    assert Grid(None, Affine.translation(1, 0), 4, 4).is_placed
    assert Grid(UTM, Affine.identity(), 4, 4).is_placed
