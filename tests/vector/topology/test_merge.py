from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize

from landseg.vector.topology import merge
from landseg.vector.topology.arcs import Arcs
from landseg.vector.topology.clean import sieve
from landseg.vector.topology.merge import merge_small
from landseg.vector.topology.regions import Regions
from tests.parts.topology import assert_same, noise, rasters, shapes_of, strips, traced

ROUNDS = 1 << 40  # so many borders for a region that goes there are not: never one by one


def numbered(classes: np.ndarray, connectivity: int) -> tuple[Regions, np.ndarray]:
    """Regions, and the number of each pixel's; -1 without data."""
    regions, arcs = traced(classes, connectivity=connectivity)
    found = np.full(classes.shape, -1)
    for number, shape in enumerate(shapes_of(regions, arcs)):
        found[rasterize([shape], out_shape=found.shape, dtype="uint8") == 1] = number
    return regions, found


def borders(number: np.ndarray, region: int) -> dict[int, int]:
    """Length of the border with each neighbour."""
    found: dict[int, int] = {}
    for one, other in ((number[:, :-1], number[:, 1:]), (number[:-1], number[1:])):
        for here, there in ((one, other), (other, one)):
            for neighbour in there[(here == region) & (there != region) & (there >= 0)].tolist():
                found[neighbour] = found.get(neighbour, 0) + 1
    return found


def one_by_one(
    classes: np.ndarray, least: int, connectivity: int, *, smallest: int = 1, longest: int = 1
) -> np.ndarray:
    """The merged raster, by the rule as it is said; -1 turns a part of it round."""
    regions, number = numbered(classes, connectivity)
    order, area, alone = merge._scrambled(regions.first), regions.pixels.astype(float), set()
    while True:
        small = [r for r in np.unique(number).tolist() if r >= 0 and area[r] < least and r not in alone]
        if not small:
            return np.where(number >= 0, np.append(regions.value, 0)[number], 0).astype(np.uint8)
        region = min(small, key=lambda r: (smallest * area[r], order[r]))
        found = borders(number, region)
        if not found:
            alone.add(region)
            continue
        taker = min(found, key=lambda other: (-longest * found[other], other))
        number[number == region] = taker
        area[taker] += area[region]


@settings(max_examples=60, deadline=None)
@given(rasters(10), st.sampled_from([4, 8]), st.integers(1, 8), st.sampled_from([0, 4, ROUNDS]))
def test_rounds_lead_where_one_by_one_does(classes: np.ndarray, connectivity: int, least: int, few: int) -> None:
    regions, arcs = traced(classes, connectivity=connectivity)
    with mock.patch.object(merge, "FEW", few):
        merged = merge_small(regions, arcs, regions.pixels.astype(float), least, connectivity=connectivity)
    assert_same(merged, traced(one_by_one(classes, least, connectivity), connectivity=connectivity))


@pytest.mark.parametrize("connectivity", [4, 8])
def test_the_same_on_a_larger_raster(connectivity: int, tmp_path: Path) -> None:
    classes = noise(1)
    regions, arcs = traced(classes, connectivity=connectivity, work=tmp_path)
    merged = merge_small(regions, arcs, regions.pixels * 1.0, 12, connectivity=connectivity, work=tmp_path)
    assert_same(merged, traced(one_by_one(classes, 12, connectivity), connectivity=connectivity))
    assert len(merged[0]) < len(regions) / 2
    assert merged[0].pixels.min() >= 12 or (classes == 0).any()


def rising(count: int) -> tuple[Regions, Arcs, np.ndarray]:
    """Pieces in a row, each larger than the one before: in each round, one of them goes."""
    regions, arcs = traced((np.arange(count) % 250 + 1).astype(np.uint8)[None])
    return regions, arcs, np.arange(1.0, count + 1)


def looks(count: int) -> int:
    """How many borders the rounds look at, in a row of so many pieces that all become one."""
    regions, arcs, areas = rising(count)
    seen, real = [], merge._round

    def looked(graph: merge._Graph, *rest: Any) -> Any:
        seen.append(len(graph.one))
        return real(graph, *rest)

    with mock.patch.object(merge, "_round", looked):
        merged, _ = merge_small(regions, arcs, areas, areas.sum())
    assert merged.pixels.tolist() == [count]
    return sum(seen)


def check_effort(count: int) -> None:
    """Four times the pieces cost about four times the looks."""
    assert looks(4 * count) < 5 * looks(count)


def test_a_long_row_of_rising_areas() -> None:
    check_effort(5_000)


def test_twin_in_rounds_alone_it_takes_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "FEW", ROUNDS)
    with pytest.raises(AssertionError):
        check_effort(200)


def test_a_row_goes_where_one_by_one_does() -> None:
    regions, arcs, areas = rising(40)
    with mock.patch.object(merge, "FEW", ROUNDS):
        wanted = merge_small(regions, arcs, areas, 30.0)
    assert_same(merge_small(regions, arcs, areas, 30.0), wanted)
    assert 5 < len(wanted[0]) < 30


def test_one_at_a_time_leads_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def single(graph: merge._Graph, area: np.ndarray, order: np.ndarray) -> tuple:
        going, taker = several(graph, area, order)
        return going[:1], taker[:1]

    several = merge._round
    monkeypatch.setattr(merge, "FEW", ROUNDS)
    regions, arcs = traced(noise(1))
    wanted = merge_small(regions, arcs, regions.pixels * 1.0, 12)
    monkeypatch.setattr(merge, "_round", single)
    assert_same(merge_small(regions, arcs, regions.pixels * 1.0, 12), wanted)


@pytest.mark.parametrize("rule", [{"longest": -1}, {"smallest": -1}])
def test_twin_other_rules_lead_elsewhere(rule: dict[str, int]) -> None:
    classes = noise(1)
    regions, arcs = traced(classes)
    with pytest.raises(AssertionError):
        assert_same(merge_small(regions, arcs, regions.pixels * 1.0, 12), traced(one_by_one(classes, 12, 4, **rule)))


def test_borders_are_measured_in_the_pixels_shape() -> None:
    classes = np.array([[1, 1, 1], [2, 3, 4], [5, 5, 5]], np.uint8)
    classes = classes.repeat(3, axis=1)[:, 2:7]  # 3 is three pixels wide, one high
    regions, arcs = traced(classes)
    areas = np.where(regions.value == 3, 1.0, 9.0)
    for units, value in (((1.0, 1.0), 1), ((1.0, 4.0), 2)):
        merged, _ = merge_small(regions, arcs, areas, 2, units=units)
        assert merged.pixels[merged.value == value] == regions.pixels[regions.value == value] + 3


def test_holes_go_and_no_data_takes_nothing() -> None:
    classes = np.zeros((7, 9), np.uint8)
    classes[1:6, 1:6] = 1
    classes[3, 3] = 2  # a hole
    classes[3, 7] = 3  # alone in no data
    regions, arcs = traced(classes)
    merged, left = merge_small(regions, arcs, regions.pixels * 1.0, 4)
    assert merged.value.tolist() == [1, 3]
    assert merged.pixels.tolist() == [25, 1]
    assert len(left) == 2


def test_what_grows_is_looked_at_again() -> None:
    classes = np.array([[1, 2, 3, 4, 4, 4]], np.uint8)
    regions, arcs = traced(classes)
    merged, _ = merge_small(regions, arcs, np.array([1.0, 2.0, 2.5, 9.0]), 3)
    assert merged.value.tolist() == [2, 4]  # 1 into 2, which is then as large as it must be; 3 into 2 or 4
    assert merged.pixels.tolist() in ([3, 3], [2, 4])


def test_regions_that_come_to_touch_are_one() -> None:
    classes = np.array([[1, 1, 2, 1, 1]], np.uint8)
    regions, arcs = traced(classes)
    merged, left = merge_small(regions, arcs, regions.pixels * 1.0, 2)
    assert merged.pixels.tolist() == [5]
    assert len(left) == 1


def check_any_height(way: Callable[[np.ndarray, int], tuple[Regions, Arcs]], height: int) -> tuple[Regions, Arcs]:
    found, whole = way(noise(2), height), way(noise(2), 1000)
    assert_same(found, whole)
    return whole


MEASURED = np.random.default_rng(2).integers(0, 100, noise(2).shape)


def merged_in_strips(classes: np.ndarray, height: int) -> tuple[Regions, Arcs]:
    regions, arcs = traced(classes, height, measured=strips(MEASURED, height))
    return merge_small(regions, arcs, regions.pixels * 0.1, 1.0)


@pytest.mark.parametrize("height", [1, 3, 11])
def test_any_strip_height_gives_the_same(height: int) -> None:
    regions, _ = check_any_height(merged_in_strips, height)
    statistics = regions.statistics
    assert statistics is not None
    assert statistics.total.sum() == MEASURED[noise(2) > 0].sum()
    assert np.array_equal(statistics.counted, regions.pixels)


def test_twin_strips_that_are_merged_one_by_one_do_not() -> None:
    def apart(classes: np.ndarray, height: int) -> tuple[Regions, Arcs]:
        merged = [np.concatenate(list(sieve([strip], 10, nodata=0))) for strip in strips(classes, height)]
        return traced(np.concatenate(merged))

    for height in (3, 11):
        with pytest.raises(AssertionError):
            check_any_height(apart, height)


def test_nothing_small_nothing_changed() -> None:
    whole = traced(noise(3))
    assert_same(merge_small(*whole, whole[0].pixels * 1.0, 0.0), whole)
    empty = traced(np.zeros((2, 2), np.uint8))
    assert_same(merge_small(*empty, np.zeros(0), 5.0), empty)
