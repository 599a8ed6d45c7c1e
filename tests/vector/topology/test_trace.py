from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landseg.vector.topology import blocks
from landseg.vector.topology import trace as tracing
from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.regions import Regions
from landseg.vector.topology.trace import trace
from tests.parts.topology import assert_same, noise, rasters, strips, traced

TOUCHING = np.array([[1, 2], [2, 1]], np.uint8)


@settings(max_examples=60, deadline=None)
@given(rasters(), st.sampled_from([4, 8]), st.integers(1, 5))
def test_any_strip_height_gives_the_same(classes: np.ndarray, connectivity: int, height: int) -> None:
    whole = traced(classes, connectivity=connectivity)
    assert_same(traced(classes, height, connectivity=connectivity), whole)


def check_blocks(
    monkeypatch: pytest.MonkeyPatch, joined: Callable[..., np.ndarray] = tracing.find_components
) -> None:
    classes = noise(1, height=90, width=70)
    whole = traced(classes)
    monkeypatch.setattr(blocks, "BLOCK", 300)
    monkeypatch.setattr(tracing, "find_components", joined)
    assert_same(traced(classes), whole)


def test_blocks_and_files_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = noise(1, height=90, width=70)
    assert_same(traced(classes, 7, work=tmp_path), traced(classes))
    check_blocks(monkeypatch)


def test_twin_blocks_whose_parts_are_not_joined_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError):
        check_blocks(monkeypatch, lambda count, one, other: np.arange(count))


def test_twin_strips_that_are_not_joined_are_not_the_same() -> None:
    classes = noise(1)
    apart = classes.copy()
    apart[20] = 0  # as if nothing went on from row 19 to row 21
    with pytest.raises(AssertionError):
        assert_same(traced(apart, 20), traced(classes))


@settings(max_examples=60, deadline=None)
@given(rasters(), st.sampled_from([4, 8]))
def test_sides_values_and_counts(classes: np.ndarray, connectivity: int) -> None:
    check_sides(classes, *traced(classes, connectivity=connectivity))


def check_sides(classes: np.ndarray, regions: Regions, arcs: Arcs) -> None:
    """Pixels on both sides of every piece of an arc have the values of its regions; every border is drawn once."""
    framed = np.pad(classes, 1).astype(int)
    values = np.append(regions.value, 0).astype(int)
    drawn = 0
    for arc in range(len(arcs)):
        points = arcs.points[arcs.offsets[arc] : arcs.offsets[arc + 1]].astype(int)
        for (x, y), (to_x, to_y) in pairwise(points):
            step_x, step_y = np.sign([to_x - x, to_y - y])
            assert abs(step_x) + abs(step_y) == 1
            for _ in range(abs(to_x - x) + abs(to_y - y)):
                middle = np.array([x + step_x / 2, y + step_y / 2])
                column, row = np.floor(middle + 0.5 * np.array([step_y, -step_x])).astype(int)
                assert framed[row + 1, column + 1] == values[arcs.left[arc]]
                column, row = np.floor(middle - 0.5 * np.array([step_y, -step_x])).astype(int)
                assert framed[row + 1, column + 1] == values[arcs.right[arc]]
                x, y, drawn = x + step_x, y + step_y, drawn + 1
    borders = (framed[1:] != framed[:-1]).sum() + (framed[:, 1:] != framed[:, :-1]).sum()
    assert drawn == borders
    assert np.array_equal(classes.ravel()[regions.first], regions.value)
    for value in range(1, 4):
        assert regions.pixels[regions.value == value].sum() == (classes == value).sum()


def test_twin_arcs_the_other_way_have_other_sides() -> None:
    classes = noise(2)
    regions, arcs = traced(classes)
    check_sides(classes, regions, arcs)
    with pytest.raises(AssertionError):
        check_sides(classes, regions, Arcs(arcs.points, arcs.offsets, arcs.right, arcs.left))


def test_only_turns_and_nodes_are_points() -> None:
    regions, arcs = traced(noise(3), 7)
    ends = np.concatenate([arcs.points[arcs.offsets[:-1]], arcs.points[arcs.offsets[1:] - 1]])
    places, counts = np.unique(ends, axis=0, return_counts=True)
    single = {tuple(place) for place in places[counts == 2].tolist()}
    for begin, end in zip(arcs.offsets[:-1], arcs.offsets[1:], strict=True):
        points = arcs.points[begin:end]
        steps = np.diff(points, axis=0) != 0
        assert (steps[1:] != steps[:-1]).all()  # along x and y in turn
        if tuple(points[0].tolist()) in single:
            assert (points[0] == points[-1]).all()  # no node: the arc is closed
            assert (points[0] == min(points.tolist(), key=lambda point: (point[1], point[0]))).all()
    assert set(counts.tolist()) <= {2, 3, 4}
    assert len(regions) > 10


def test_pixels_that_touch_across() -> None:
    assert traced(TOUCHING)[0].pixels.tolist() == [1, 1, 1, 1]
    assert traced(TOUCHING, connectivity=8)[0].pixels.tolist() == [2, 2]


def check_ids(ids: Callable[[Regions], np.ndarray]) -> None:
    """Regions that end above row 25 have the ids that they had, whatever becomes of the rows from 30 and up to 5."""
    classes = noise(4)
    before = traced(classes)[0]
    for rows in (slice(30, None), slice(0, 5)):
        changed = classes.copy()
        changed[rows] = noise(5)[rows]
        after = traced(changed)[0]
        assert not np.array_equal(before.first, after.first)
        own = {}
        for regions in (before, after):
            inside = (regions.first >= 10 * 50) & (regions.first < 25 * 50)
            own[len(own)] = dict(zip(regions.first[inside].tolist(), ids(regions)[inside].tolist(), strict=True))
        common = own[0].keys() & own[1].keys()
        assert len(common) > 20
        assert all(own[0][first] == own[1][first] for first in common)


def test_ids_do_not_change_with_what_happens_elsewhere() -> None:
    check_ids(lambda regions: regions.first + 1)


def test_twin_numbers_in_order_do_change() -> None:
    with pytest.raises(AssertionError):
        check_ids(lambda regions: np.arange(len(regions)))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32"])
def test_dtypes(dtype: str) -> None:
    classes = noise(6).astype(dtype)
    regions, arcs = traced(classes)
    plain = traced(noise(6))
    assert regions.value.dtype == classes.dtype
    assert np.array_equal(regions.value, plain[0].value)
    assert np.array_equal(arcs.points, plain[1].points)


def test_nodata_may_be_none_or_no_number_that_the_dtype_holds() -> None:
    classes = np.array([[0, 0, 255]], np.uint8)
    for nodata in (None, -1, 300, 1e9, 0.5):
        assert traced(classes, nodata=nodata)[0].value.tolist() == [0, 255]
    assert traced(classes, nodata=255)[0].value.tolist() == [0]


def test_what_is_not_a_number_is_no_data() -> None:
    regions, arcs = traced(np.array([[np.nan, 2.5, np.nan, np.nan]]), nodata=-1)
    assert regions.value.tolist() == [2.5]
    assert arcs.right.tolist() == [-1]


@pytest.mark.parametrize("classes", [np.zeros((3, 4), np.uint8), np.zeros((0, 4), np.uint8)])
def test_all_nodata_has_no_regions(classes: np.ndarray) -> None:
    regions, arcs = traced(classes, 2)
    assert len(regions) == len(arcs) == len(arcs.points) == 0
    assert arcs.offsets.tolist() == [0]


def test_another_connectivity_is_refused() -> None:
    with pytest.raises(ValueError, match="4 or 8, not 6"):
        traced(TOUCHING, connectivity=6)


confidences = arrays(np.float32, (9, 8), elements=st.floats(0, 1, width=32) | st.just(np.nan))


@settings(max_examples=25, deadline=None)
@given(arrays(np.uint8, (9, 8), elements=st.integers(0, 2)), confidences, st.integers(1, 5))
def test_statistics(classes: np.ndarray, confidence: np.ndarray, height: int) -> None:
    whole = trace([classes], nodata=0, measured=[confidence])
    assert_same(trace(strips(classes, height), nodata=0, measured=strips(confidence, height)), whole)
    check_statistics(classes, confidence, whole[0])


def check_statistics(classes: np.ndarray, confidence: np.ndarray, regions: Regions) -> None:
    assert regions.statistics is not None
    for value in np.unique(regions.value):
        own, pixels = regions.value == value, classes == value
        known = confidence[pixels & ~np.isnan(confidence)].astype(float)
        assert regions.statistics.counted[own].sum() == known.size
        assert regions.statistics.total[own].sum() == pytest.approx(known.sum(), abs=known.size * 2.0**-24)
        if known.size:
            assert np.nanmin(regions.statistics.minimum[own]) == known.min()
    none = regions.statistics.counted == 0
    assert np.isnan(regions.statistics.mean[none]).all()
    assert np.isnan(regions.statistics.minimum[none]).all()
    assert not np.isnan(regions.statistics.mean[~none]).any()


def test_twin_another_rasters_statistics_are_noticed() -> None:
    classes = noise(7)
    confidence = np.random.default_rng(7).random(classes.shape, np.float32)
    regions, _ = trace([classes], nodata=0, measured=[confidence])
    check_statistics(classes, confidence, regions)
    with pytest.raises(AssertionError):
        check_statistics(classes, confidence[::-1], regions)


def test_masked_and_integer_measures() -> None:
    classes = np.array([[1, 1, 2]], np.uint8)
    measured = np.ma.masked_equal(np.array([[100, 0, 0]], np.uint8), 0)
    statistics = trace([classes], nodata=0, measured=[measured])[0].statistics
    assert statistics is not None
    assert statistics.counted.tolist() == [1, 0]
    assert statistics.mean[0] == statistics.minimum[0] == 100
    assert np.isnan(statistics.mean[1])


def test_strips_of_two_rasters_agree() -> None:
    with pytest.raises(ValueError, match="agree in shape"):
        trace([TOUCHING], nodata=0, measured=[np.zeros((2, 3))])
