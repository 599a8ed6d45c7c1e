from collections.abc import Callable
from unittest import mock

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.vector import chains, coverage, simplify
from landseg.vector.arcs import Arcs
from landseg.vector.regions import Regions
from landseg.vector.rings import polygons
from tests.topology import assert_covers, assert_same, blotches, rasters, shapes_of, traced


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
    begins, _, _ = chains.cut(arcs.offsets, 9)
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
    [(_, [shape])] = list(polygons(regions, smooth))
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
