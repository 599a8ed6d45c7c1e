"""Corners of polygons: smallest rectangles and simplified outlines, clockwise on the map."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.errors import VectorError
from landseg.vector.corners import check_corners, outline_corners, rectangle_corners


def turned(width: float, height: float, angle: float) -> shapely.Polygon:
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return shapely.Polygon(corners @ turn)


def same_corners(one: np.ndarray, other: np.ndarray, within: float = 1e-6) -> bool:
    """Return whether corners (k, 2) are equal in one cyclic order."""
    return one.shape == other.shape and any(
        np.allclose(np.roll(one, shift, axis=0), other, atol=within) for shift in range(len(one))
    )


@given(st.floats(5, 50), st.floats(5, 50), st.floats(0, 3.1))
@settings(max_examples=40, deadline=None)
def test_a_rectangle_has_its_own_corners_clockwise(width: float, height: float, angle: float) -> None:
    shape = turned(width, height, angle)
    expected = shapely.get_coordinates(shape)[:4][::-1]
    (found,) = rectangle_corners(np.array([shape]))
    assert same_corners(found, expected)
    assert not same_corners(found[::-1], expected)  # the twin: counter-clockwise
    (outline,) = outline_corners(np.array([shape]), tolerance_m=0.5)
    assert same_corners(outline, expected)


def test_the_rectangle_is_the_smallest_on_the_ground() -> None:
    shape = turned(30, 10, 0.6)
    in_metres = geopandas.GeoSeries([shapely.affinity.translate(shape, 500_000, 6_650_000)], crs=32633)
    in_degrees = in_metres.to_crs(4326)
    (found,) = rectangle_corners(np.asarray(in_degrees), crs=4326)
    back = geopandas.GeoSeries([shapely.Polygon(found)], crs=4326).to_crs(32633)
    assert back.area[0] == pytest.approx(300, rel=1e-3)
    (plane,) = rectangle_corners(np.asarray(in_degrees))  # the twin: smallest in degrees at 60 degrees north
    assert geopandas.GeoSeries([shapely.Polygon(plane)], crs=4326).to_crs(32633).area[0] > 310


def test_an_outline_forgets_points_on_its_walls_also_its_first() -> None:
    ring = [(10, 0), (20, 0), (20, 6), (12, 6), (12, 12), (0, 12), (0, 0)]  # begins in the middle of a wall
    (found,) = outline_corners(np.array([shapely.Polygon(ring)]), tolerance_m=0.5)
    expected = np.array([[0, 0], [0, 12], [12, 12], [12, 6], [20, 6], [20, 0]], float)
    assert same_corners(found, expected)


def test_of_many_parts_the_largest_counts_and_holes_do_not() -> None:
    parts = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(10, 0, 20, 10) - shapely.box(12, 2, 14, 4)])
    (found,) = outline_corners(np.array([parts]), tolerance_m=0.5)
    assert same_corners(found, np.array([[10, 0], [10, 10], [20, 10], [20, 0]], float))


def test_a_tolerance_in_metres_holds_in_degrees() -> None:
    shape = geopandas.GeoSeries([shapely.Point(500_000, 6_650_000).buffer(20)], crs=32633)
    counts = [len(outline_corners(np.asarray(shape.to_crs(crs)), tolerance_m=1, crs=crs)[0]) for crs in (32633, 4326)]
    assert 6 <= counts[0] <= 20 and abs(counts[0] - counts[1]) <= 2
    assert len(outline_corners(np.asarray(shape.to_crs(4326)), tolerance_m=1)[0]) < 6  # the twin: 1 degree


def test_outlines_of_a_town(sample_tiles: Path) -> None:
    frame = geopandas.read_file(sample_tiles / "buildings" / "buildings.gpkg")
    shapes = np.asarray(frame.geometry)
    found = outline_corners(shapes, tolerance_m=0.5, crs=frame.crs)
    assert len(found) == len(shapes) and sum(len(one) == 4 for one in found) > len(found) / 2
    largest = np.array([max(shapely.get_parts(shape), key=shapely.area) for shape in shapes])
    made = np.array([shapely.Polygon(one) for one in found])
    good = shapely.is_valid(made)
    assert good.mean() > 0.99
    assert shapely.hausdorff_distance(largest[good], made[good]).max() < 2  # twice the tolerance, in Mercator metres


def test_nothing_gives_nothing() -> None:
    none = np.zeros(0, object)
    assert rectangle_corners(none).shape == (0, 4, 2) and outline_corners(none, tolerance_m=1) == []


def test_too_few_corners_and_a_bad_tolerance_are_refused() -> None:
    corners = outline_corners(np.array([shapely.box(0, 0, 9, 9), shapely.Point(0, 0).buffer(9)]), tolerance_m=0.5)
    check_corners(corners, 4, name="houses.gpkg", tolerance_m=0.5)
    with pytest.raises(VectorError, match=r"houses.gpkg: 1 of 2 polygons has fewer than 5 corners.* of 0.5 m"):
        check_corners(corners, 5, name="houses.gpkg", tolerance_m=0.5)
    for tolerance in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="a tolerance above 0 m"):
            outline_corners(np.array([shapely.box(0, 0, 1, 1)]), tolerance_m=tolerance)
