"""RowGrouping: equal to the grouping of a whole picture for any strips, regions and classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.dense import flood as flooding
from landseg.dense import row_grouping
from landseg.dense.basins import find_saddles, join_saddles
from landseg.dense.grouping import Maps, group
from landseg.dense.row_grouping import Grouped, RowGrouping
from landseg.dense.small_things import pixel_pairs

THINGS = (0, 2)


def random_maps(seed: int, height: int = 12, width: int = 12, levels: int = 4) -> Maps:
    """Return maps with many ties, of two classes of things, one of stuff, and holes without data."""
    random = np.random.default_rng(seed)
    classes = random.choice([0, 1, 2, IGNORE_INDEX], (height, width), p=[0.5, 0.15, 0.25, 0.1]).astype(np.uint8)
    energy = (random.integers(0, levels, (height, width)) * (65535 // levels)).astype(np.uint16)
    probability, boundary = random.integers(0, 256, (2, height, width)).astype(np.uint8)
    return Maps(classes, energy, probability, boundary)


def rows_of(maps: Maps, top: int, bottom: int) -> Maps:
    return Maps(*(part[top:bottom] for part in vars(maps).values()))


def in_strips(
    maps: Maps,
    heights: Sequence[int],
    *,
    rise: float,
    units: NDArray[Any] | None = None,
    join: bool = False,
    **least: float,
) -> tuple[NDArray[np.uint32], Grouped]:
    """Return the ids (h, w) and the things of maps whose rows come in strips of these heights, again and again."""
    height, width = maps.classes.shape
    made = RowGrouping(THINGS, rise=rise, width=width, join=join)
    made.begin(0, 0, width)
    labels, top, turn = [], 0, 0
    while top < height:
        bottom = min(height, top + heights[turn % len(heights)])
        labels.append(made.add(rows_of(maps, top, bottom), None if units is None else units[top:bottom]))
        top, turn = bottom, turn + 1
    labels.append(made.end())
    found = made.grouped(**least)
    return found.table[np.concatenate(labels)], found


def same(
    maps: Maps, heights: Sequence[int], rise: float, score: float = 0.0, pixels: float = 0.0, join: bool = False
) -> bool:
    """Return whether strips give the ids, classes, sizes and scores of the whole picture, to the last bit."""
    ids, found = in_strips(maps, heights, rise=rise, least_score=score, least_area=pixels, join=join)
    whole, things = group(maps, THINGS, rise=rise, least_score=score, least_pixels=pixels, join=join)
    pairs = zip(vars(found.things).values(), vars(things).values(), strict=True)
    return np.array_equal(ids, whole) and all(np.array_equal(one, other) for one, other in pairs)


@pytest.fixture(autouse=True)
def merged_often() -> Iterator[None]:
    """Merge finished pieces after every strip, as large rasters do now and then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flooding, "EVENTS", 0)
        yield


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.integers(1, 14), st.integers(1, 14), st.lists(st.integers(1, 5), min_size=1),
    st.sampled_from([0.0, 0.1, 0.3, 1.0]), st.sampled_from([0.0, 0.1]), st.sampled_from([0.0, 3.0]), st.booleans(),
)  # fmt: skip
def test_any_strips_give_what_the_whole_picture_gives(
    seed: int, height: int, width: int, heights: list[int], rise: float, score: float, pixels: float, join: bool
) -> None:
    assert same(random_maps(seed, height, width), heights, rise, score, pixels, join)


def test_twin_borders_across_strips_that_are_forgotten_give_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def differing() -> int:
        return sum(not same(random_maps(seed), [1, 2], 0.1, pixels=5, join=True) for seed in range(30))

    assert differing() == 0
    monkeypatch.setattr(row_grouping, "pixel_pairs", lambda numbers, above: pixel_pairs(numbers, None))
    assert differing() > 10


def differing(rise: float = 0.3) -> int:
    return sum(not same(random_maps(seed), [3, 2], rise) for seed in range(30))


def test_twins_of_strips_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert differing() == 0

    def inside(basins: NDArray[np.int64], levels: NDArray[np.int32], start: int) -> Any:
        return (
            find_saddles(basins[2:], levels[2:], start + 2 * basins.shape[1]) if len(basins) > 2 else join_saddles([])
        )

    with monkeypatch.context() as patch:  # saddles across strips are forgotten
        patch.setattr(flooding, "find_saddles", inside)
        assert differing() > 20
    with monkeypatch.context() as patch:  # the summit in a strip is taken for that of the raster
        patch.setattr(RowGrouping, "add", one_by_one(RowGrouping.add))
        assert differing() > 20
    with monkeypatch.context() as patch:  # a row that is not finished is not summed with the next
        patch.setattr(row_grouping._Region, "_sum", without_first_row(row_grouping._Region._sum))
        assert differing() > 20


def one_by_one(add: Any) -> Any:
    """Return the grouping of rows in which each strip is a region of its own."""

    def added(self: RowGrouping, maps: Maps, units: NDArray[Any] | None = None) -> Any:
        first, corner = add(self, maps, units), self._corner
        labels = np.concatenate([first, self.end()])
        self.begin(corner[0] + len(labels), 0, labels.shape[1])
        return labels

    return added


def without_first_row(add: Any) -> Any:
    def summed(self: Any, numbers: NDArray[np.uint32], columns: Any) -> None:
        add(self, numbers[1:], tuple(column[1:] for column in columns))

    return summed


def test_regions_are_numbered_together_in_reading_order() -> None:
    maps = random_maps(3, 20, 16)
    whole, things = group(maps, THINGS, rise=0.3)
    apart = Maps(maps.classes.copy(), *list(vars(maps).values())[1:])
    apart.classes[:, 8] = IGNORE_INDEX  # so that nothing goes from one region to the other
    whole, things = group(apart, THINGS, rise=0.3)
    made = RowGrouping(THINGS, rise=0.3, width=16)
    ids = np.zeros((20, 16), np.uint32)
    for left, right in ((8, 16), (0, 8)):
        made.begin(0, left, right - left)
        part = Maps(*(values[:, left:right] for values in vars(apart).values()))
        labels = [made.add(rows_of(part, top, top + 6)) for top in range(0, 20, 6)]
        ids[:, left:right] = np.concatenate([*labels, made.end()])
    found = made.grouped()
    assert np.array_equal(found.table[ids], whole) and np.array_equal(found.things.score, things.score)


def test_what_is_too_small_goes_before_what_has_a_low_score() -> None:
    classes = np.array([[0, 0, 1, 0, 1, 0, 0]], np.uint8)
    probability = np.array([[255] * 5 + [25] * 2], np.uint8)
    maps = Maps(classes, np.full(classes.shape, 65535, np.uint16), probability, np.zeros_like(classes))
    ids, found = in_strips(maps, [1], rise=1.0, least_score=0.5, least_area=2.0)
    assert ids.tolist() == [[1, 1, 0, 0, 0, 0, 0]]
    assert (len(found.things), found.below_area, found.below_score) == (1, 1, 1)
    ids, found = in_strips(maps, [1], rise=1.0, units=np.full((1, 7), 3), least_area=5.0)
    assert ids.tolist() == [[1, 1, 0, 0, 0, 2, 2]] and found.below_area == 1


def test_sizes_of_pixels_are_summed_exactly() -> None:
    maps, units = random_maps(5, 30, 20), np.random.default_rng(1).integers(1, 1 << 27, (30, 1)).astype(float)
    whole = in_strips(maps, [30], rise=0.3, units=units, least_area=4 * 2.0**26)
    for heights in ([1], [7, 2]):
        ids, found = in_strips(maps, heights, rise=0.3, units=units, least_area=4 * 2.0**26)
        assert np.array_equal(ids, whole[0]) and found.below_area == whole[1].below_area > 0


def test_nothing_gives_nothing() -> None:
    assert len(RowGrouping(THINGS, rise=0.3, width=4).grouped().things) == 0
    maps = Maps(np.ones((3, 4), np.uint8), *(np.zeros((3, 4), dtype) for dtype in ("uint16", "uint8", "uint8")))
    ids, found = in_strips(maps, [2], rise=0.3)
    assert ids.max() == 0 and len(found.things) == 0 and len(found.table) == 1
