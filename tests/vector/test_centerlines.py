"""Skeletons keep what hangs together; lines lie in the middle, meet, and do not depend on the cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rasterio.features import shapes

import landseg.vector.centerlines
from landseg.vector.centerlines import _GOES, Centerlines, draw_centerlines, thin
from landseg.vector.centroids import find_centroids
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.trace import trace

Mask = NDArray[np.uint8]
masks = arrays(np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, 1))
STEPS = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]


def blobs(mask: Mask, times: int = 1) -> Mask:
    """The mask, a pixel wider all around, on a larger raster: regions that have something to lose."""
    for _ in range(times):
        wide = np.pad(mask, 1)
        mask = np.max([np.roll(wide, step, (0, 1)) for step in [*STEPS, (0, 0)]], axis=0)
    return np.pad(mask, 1)


def thinned(mask: Mask) -> Mask:
    made = np.pad(mask, 1)
    thin(made)
    return made[1:-1, 1:-1]


def plainly(mask: Mask, rule: Callable[[Mask, int], NDArray[np.bool_]]) -> Mask:
    """All pixels looked at in every round, until nothing changes twice."""
    made, quiet, side = np.pad(mask, 1), 0, 0
    while quiet < 2:
        code = sum(np.roll(made, (-y, -x), (0, 1)) << bit for bit, (y, x) in enumerate(STEPS))
        gone = (made > 0) & rule(code.astype(np.uint8), side)
        made[gone] = 0
        quiet, side = 0 if gone.any() else quiet + 1, 1 - side
    return made[1:-1, 1:-1]


def topology(mask: Mask) -> tuple[int, int]:
    """Pieces (8-connected) and holes with the outside (4-connected)."""
    framed = np.pad(mask, 1)
    pieces = sum(1 for _ in shapes(framed, mask=framed > 0, connectivity=8))
    return pieces, sum(1 for _ in shapes(framed, mask=framed == 0, connectivity=4))


def check_skeleton(way: Callable[[Mask], Mask], mask: Mask) -> None:
    found = way(mask)
    assert not (found > mask).any()
    assert topology(found) == topology(mask)
    assert np.array_equal(way(found), found)


@settings(max_examples=60)
@given(masks, st.integers(0, 2))
def test_skeleton(mask: Mask, times: int) -> None:
    check_skeleton(thinned, blobs(mask, times))


@settings(max_examples=60)
@given(masks, st.integers(0, 2))
def test_looking_at_changes_alone_is_enough(mask: Mask, times: int) -> None:
    wide = blobs(mask, times)
    with mock.patch.object(landseg.vector.centerlines, "STRIP_PIXELS", 20):
        assert np.array_equal(thinned(wide), plainly(wide, lambda code, side: _GOES[side][code]))


def test_both_sides_at_once_tear_lines() -> None:
    road = np.zeros((6, 20), np.uint8)
    road[2:4, 2:18] = 1
    check_skeleton(thinned, road)
    with pytest.raises(AssertionError):
        check_skeleton(lambda mask: plainly(mask, lambda code, side: _GOES.any(axis=0)[code]), road)


def lines_of(mask: Mask, heights: int | None = None, **options: Any) -> Centerlines:
    strips = [mask[top : top + (heights or len(mask))] for top in range(0, len(mask), heights or len(mask))]
    return draw_centerlines(strips, 1, shape=mask.shape, **options)


def canvas(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (60, 80)) -> Mask:
    mask = np.zeros(size, np.uint8)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_a_road_is_one_line_in_its_middle(width: int) -> None:
    made = lines_of(canvas((20, 10, 20 + width, 70)), spur_m=width)
    assert len(made.lines) == 1
    points = shapely.get_coordinates(made.lines)
    inner = points[(points[:, 0] > 10 + width) & (points[:, 0] < 70 - width)]
    assert np.abs(inner[:, 1] - (20 + width / 2)).max() <= 0.5
    assert 59 - width <= made.length_m[0] <= 60


def test_a_single_pixel_and_an_empty_raster_have_no_line() -> None:
    assert len(lines_of(canvas((3, 3, 4, 4))).lines) == 0
    assert len(lines_of(canvas()).lines) == 0 and lines_of(canvas()).length_m.shape == (0,)


def test_crossing_roads_meet() -> None:
    made = lines_of(canvas((28, 5, 31, 75), (5, 38, 55, 41)), spur_m=4, tolerance_m=1)
    ends = shapely.get_coordinates(shapely.boundary(made.lines))
    _, degree = np.unique(ends, axis=0, return_counts=True)
    assert len(made.lines) == 4 and sorted(degree) == [1, 1, 1, 1, 4]
    assert shapely.union_all(made.lines).length == pytest.approx(made.length_m.sum())


def test_a_ring_stays_a_ring() -> None:
    mask = canvas((10, 10, 50, 60))
    mask[16:44, 16:54] = 0
    made = lines_of(mask, spur_m=10)
    assert len(made.lines) == 1 and made.lines[0].is_ring
    simple = lines_of(mask, spur_m=10, tolerance_m=2)
    assert simple.lines[0].is_ring and shapely.get_num_coordinates(simple.lines[0]) < 12


def comb() -> Mask:
    """A road with short side arms, and a fork at its end."""
    return canvas((20, 5, 23, 75), (10, 20, 20, 21), (23, 40, 31, 41), (14, 60, 20, 61), (20, 0, 21, 5))


def check_without_spurs(made: Centerlines, shortest: float) -> None:
    ends = shapely.get_coordinates(shapely.boundary(made.lines)).reshape(-1, 2, 2)
    _, node, degree = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True)
    free = (degree[node] == 1).reshape(-1, 2).any(axis=1)
    assert (made.length_m[free] >= shortest).all()


def test_spurs_go() -> None:
    check_without_spurs(lines_of(comb(), spur_m=15), 15)
    assert len(lines_of(comb(), spur_m=15).lines) == 1
    assert lines_of(comb(), spur_m=15).length_m.sum() > 65  # the road is all there
    with pytest.raises(AssertionError):
        check_without_spurs(lines_of(comb()), 15)
    assert len(lines_of(comb(), spur_m=500).lines) == 0


def test_metres() -> None:
    flat = lines_of(canvas((20, 10, 21, 70)), pixel_m=(2.0, 0.5))
    steep = lines_of(canvas((10, 20, 50, 21)), pixel_m=(2.0, 0.5))
    assert flat.length_m.tolist() == [29.5] and steep.length_m.tolist() == [78]
    assert shapely.bounds(flat.lines[0]).tolist() == [10.5, 20.5, 69.5, 20.5]


def check_any_cut(way: Callable[[Mask, int | None], Centerlines], mask: Mask, height: int) -> None:
    whole, cut = way(mask, None), way(mask, height)
    assert len(whole.lines) == len(cut.lines) and shapely.equals_identical(whole.lines, cut.lines).all()


@settings(max_examples=40)
@given(masks, st.integers(1, 6), st.sampled_from([0.0, 3.0]))
def test_the_cut_makes_no_difference(mask: Mask, height: int, spur: float) -> None:
    with mock.patch.object(landseg.vector.centerlines, "STRIP_PIXELS", 30):
        check_any_cut(lambda mask, rows: lines_of(mask, rows, spur_m=spur), blobs(mask, 2), height)


def by_strip(mask: Mask, height: int | None) -> Centerlines:
    """Broken on purpose: each strip has a skeleton of its own."""
    parts = []
    for top in range(0, len(mask), height or len(mask)):
        made = lines_of(mask[top : top + (height or len(mask))])
        parts += shapely.transform(made.lines, lambda points, top=top: points + np.array([0, top])).tolist()
    return Centerlines(np.array(parts, dtype=object), shapely.length(parts))


def test_strips_with_their_own_skeletons_do() -> None:
    with pytest.raises(AssertionError):
        check_any_cut(by_strip, comb(), 11)


def test_on_disk_as_in_memory(tmp_path: Path) -> None:
    memory, disk = lines_of(comb()), lines_of(comb(), work=tmp_path)
    assert shapely.equals_identical(memory.lines, disk.lines).all() and not list(tmp_path.iterdir())


HORSESHOE = shapely.box(0, 0, 30, 30) - shapely.box(5, 5, 25, 30)


def check_inside(points: Any, polygons: Any) -> None:
    assert shapely.contains_properly(polygons, points).all()


def test_points_lie_inside() -> None:
    polygons = np.array([shapely.box(0, 0, 4, 4), HORSESHOE, shapely.MultiPolygon([HORSESHOE])], dtype=object)
    found = find_centroids(polygons)
    check_inside(found.points, polygons)
    assert found.moved.tolist() == [False, True, True] and found.points[0].equals(shapely.Point(2, 2))
    assert found.area_m2.tolist() == [16, 400, 400]
    assert found.diameter_m[0] == pytest.approx(4 * 2 / np.sqrt(np.pi))
    with pytest.raises(AssertionError):
        check_inside(shapely.centroid(polygons), polygons)


def check_points_of(mask: Mask, place: Callable[[Any], Any]) -> None:
    """Every region of a raster, and every no data in it, has its point inside."""
    regions, arcs = trace([mask + np.uint8(1)], nodata=0)
    made = np.concatenate([shapes for _, shapes in build_polygons(regions, arcs)])
    points = place(made)
    check_inside(points, made)
    columns, rows = np.floor(shapely.get_coordinates(points)).astype(int).T
    on_edge = (shapely.get_coordinates(points) % 1 == 0).any(axis=1)
    assert (mask[rows, columns] + 1 == regions.value)[~on_edge].all()


@settings(max_examples=60)
@given(masks)
def test_points_of_any_region_lie_in_it(mask: Mask) -> None:
    check_points_of(mask, lambda shapes: find_centroids(shapes).points)


def test_twin_plain_centroids_and_other_regions_do_not() -> None:
    ring = canvas((10, 10, 50, 60))
    ring[16:44, 16:54] = 0
    check_points_of(ring, lambda shapes: find_centroids(shapes).points)
    for broken in (shapely.centroid, lambda shapes: find_centroids(shapes[::-1]).points):
        with pytest.raises(AssertionError):
            check_points_of(ring, broken)


def test_sizes_on_the_ground() -> None:
    degrees = np.array([shapely.Point(10, 60).buffer(1e-5)], dtype=object)
    assert find_centroids(degrees, crs=4326).area_m2[0] == pytest.approx(np.pi * 1.114 * 0.558, rel=0.02)
    told = find_centroids(degrees, crs=4326, areas_m2=np.array([np.pi]))
    assert told.diameter_m.tolist() == [2.0]
    assert find_centroids(np.empty(0, object)).points.shape == (0,)
