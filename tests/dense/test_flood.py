"""The flood: equal to its definition, the same for any strips, and with memory for what is open alone."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseg.dense import basins
from landseg.dense import flood as flooding
from landseg.dense.basins import TOP, to_levels
from landseg.dense.flood import Flood, Instances, flood
from landseg.errors import PlanError
from landseg.vector.topology.linked_lists import find_components
from tests.parts.reference_flood import flood_slowly

RISES = (0.0, 0.1, 0.3, 0.5, 1.0, np.inf)
Map = tuple[NDArray[np.uint16], NDArray[np.bool_]]


@st.composite
def maps(draw: st.DrawFn, largest: int = 12) -> Map:
    """Draw a map with few levels, so with many ties, and a mask."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return random_map(draw(st.integers(0, 2**32 - 1)), height, width, draw(st.integers(1, 6)))


def random_map(seed: int, height: int = 12, width: int = 12, levels: int = 4) -> Map:
    random = np.random.default_rng(seed)
    energy = random.integers(0, levels, (height, width)) * (TOP // levels)
    return energy.astype(np.uint16), random.random((height, width)) < random.uniform(0.4, 1.1)


def in_strips(energy: NDArray[Any], mask: NDArray[np.bool_], heights: Sequence[int], rise: float) -> Any:
    """Return the ids and the instances of a map that comes in strips; the last height is used again and again."""
    rows, labels, top, turn = Flood(energy.shape[1], rise=rise), [], 0, 0
    while top < len(energy):
        bottom = top + heights[min(turn, len(heights) - 1)]
        labels.append(rows.add(energy[top:bottom], mask[top:bottom]))
        top, turn = bottom, turn + 1
    labels.append(rows.end())
    found = rows.instances()
    return found.table[np.concatenate(labels)], found


@pytest.fixture(autouse=True)
def merged_often() -> Iterator[None]:
    """Merge finished pieces after every strip, as large rasters do now and then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flooding, "EVENTS", -1)
        yield


@settings(max_examples=150, deadline=None)
@given(maps(), st.sampled_from(RISES), st.integers(1, 5))
def test_it_is_the_flood_of_the_definition(found: Map, rise: float, smallest: int) -> None:
    energy, mask = found
    ids = flood(energy, mask, rise=rise, smallest=smallest)
    assert ids.dtype == np.uint32
    assert np.array_equal(ids, flood_slowly(energy, mask, rise, smallest))


@settings(max_examples=150, deadline=None)
@given(
    maps(24),
    st.sampled_from(RISES),
    st.lists(st.integers(1, 9), min_size=1, max_size=12),
    st.sampled_from([-1, 30, 100, 1 << 17]),
)
def test_the_rows_may_come_in_any_strips(found: Map, rise: float, heights: list[int], events: int) -> None:
    energy, mask = found
    whole = flood(energy, mask, rise=rise)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flooding, "EVENTS", events)  # how often finished pieces are merged
        assert np.array_equal(in_strips(energy, mask, heights, rise)[0], whole)
        patch.setattr(flooding, "BLOCK", 24)
        patch.setattr(flooding, "FEWEST_ROWS", 1)
        assert np.array_equal(in_strips(energy, mask, heights, rise)[0], whole)


@pytest.mark.parametrize("height", [1, 7, 90])
def test_a_larger_map_whose_pieces_are_merged_now_and_then(height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    energy, mask = random_map(5, 300, 200, 5)
    whole = flood(energy, mask, rise=0.3)
    monkeypatch.setattr(flooding, "EVENTS", 5000)
    assert whole.max() > 1000 and np.array_equal(in_strips(energy, mask, (height,), 0.3)[0], whole)


def differing(seeds: range, heights: Sequence[int] = (3, 4, 5)) -> int:
    """Return how many random maps have other ids in strips than from the definition."""
    count = 0
    for seed in seeds:
        energy, mask = random_map(seed)
        count += not np.array_equal(in_strips(energy, mask, heights, 0.3)[0], flood_slowly(energy, mask, 0.3))
    return count


def test_twin_saddles_across_strips_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    assert differing(range(30)) == 0

    def of_the_strip_alone(found: NDArray[np.int64], levels: NDArray[np.int32], start: int) -> basins.Saddles:
        saddles = basins.find_saddles(found, levels, start)
        return saddles.chosen((saddles.place // 2 >= start + levels.shape[1]) | (saddles.place % 2 == 0))

    monkeypatch.setattr(flooding, "find_saddles", of_the_strip_alone)
    assert differing(range(30)) > 15


def test_twin_the_summit_of_a_strip_taken_for_that_of_the_raster(monkeypatch: pytest.MonkeyPatch) -> None:
    def within_the_strip(levels: NDArray[np.int32]) -> NDArray[np.int64]:
        alone = levels.copy()
        alone[[0, -1]] = basins.OUTSIDE
        return basins.uphill(alone)

    monkeypatch.setattr(flooding, "uphill", within_the_strip)
    assert differing(range(30)) > 15


def test_twin_ties_by_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_of_equals(levels: NDArray[np.int32]) -> NDArray[np.int64]:
        turned = basins.uphill(levels[::-1, ::-1])
        return levels.size - 1 - turned[::-1]

    monkeypatch.setattr(flooding, "uphill", last_of_equals)
    assert differing(range(30)) > 15


def test_twin_strips_flooded_apart() -> None:
    energy, mask = random_map(0, 12, 12)
    apart = np.concatenate([flood(energy[top : top + 4], mask[top : top + 4], rise=0.3) for top in (0, 4, 8)])
    assert not np.array_equal(apart, flood(energy, mask, rise=0.3))


def summits_of(ids: NDArray[Any], energy: NDArray[np.uint16]) -> list[int]:
    """Return the place of the summit of the instances 1 to n of a map."""
    return [
        max(np.flatnonzero(ids == one).tolist(), key=lambda at: (energy.flat[at], -at))
        for one in range(1, int(ids.max(initial=0)) + 1)
    ]


@settings(max_examples=60, deadline=None)
@given(maps(16), st.sampled_from(RISES))
def test_ids_are_1_to_n_in_reading_order_of_the_summits(found: Map, rise: float) -> None:
    energy, mask = found
    ids, instances = in_strips(energy, mask, (3,), rise)
    assert np.array_equal(ids > 0, mask)
    assert np.array_equal(np.unique(ids[mask]), np.arange(1, len(instances) + 1))
    tops = summits_of(ids, energy)
    assert tops == sorted(tops) == instances.place.tolist()
    assert instances.summit.tolist() == [energy.flat[at] for at in tops]
    assert instances.pixels.tolist() == np.bincount(ids[mask], minlength=1)[1:].tolist()
    assert all(np.ptp(components(ids == one)[ids == one]) == 0 for one in np.unique(ids[mask]))


def test_twin_numbers_by_height_are_in_another_order() -> None:
    energy, mask = random_map(3)
    ids, instances = in_strips(energy, mask, (3,), 0.0)
    by_height = np.append(0, np.argsort(np.argsort(-instances.summit, kind="stable")) + 1)[ids]
    tops = summits_of(by_height, energy)
    assert tops != sorted(tops) and sorted(tops) == instances.place.tolist()


def components(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the four-connected piece of each pixel (h, w), named by its first pixel; -1 outside the mask."""
    number = np.arange(mask.size).reshape(mask.shape)
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    both = [(one.ravel(), other.ravel()) for one, other in pairs]
    one, other = np.concatenate([pair[0] for pair in both]), np.concatenate([pair[1] for pair in both])
    inside = mask.ravel()[one] & mask.ravel()[other]
    pieces = find_components(mask.size, one[inside], other[inside]).reshape(mask.shape)
    return np.where(mask, pieces, -1)


def same_parts(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Return True where two label maps cut the same pixels into the same parts."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)


@settings(max_examples=60, deadline=None)
@given(maps(16))
def test_an_infinite_rise_gives_connected_components(found: Map) -> None:
    energy, mask = found
    assert same_parts(flood(energy, mask, rise=np.inf), components(mask))


def test_twin_a_finite_rise_does_not_give_them() -> None:
    energy, mask = random_map(2)
    assert not same_parts(flood(energy, mask, rise=0.1), components(mask))


@settings(max_examples=60, deadline=None)
@given(maps(16))
def test_no_rise_leaves_every_summit(found: Map) -> None:
    energy, mask = found
    assert all_summits(energy, mask) == in_strips(energy, mask, (2,), 0.0)[1].place.tolist()


def test_twin_a_rise_leaves_fewer_summits() -> None:
    energy, mask = random_map(4)
    assert all_summits(energy, mask) != in_strips(energy, mask, (2,), 0.3)[1].place.tolist()


def all_summits(energy: NDArray[np.uint16], mask: NDArray[np.bool_]) -> list[int]:
    """Return the places of pixels above their earlier neighbours and not below their later ones."""
    levels = np.pad(np.where(mask, energy.astype(int), -1), 1, constant_values=-1)
    inner, earlier, later = (
        levels[1:-1, 1:-1],
        (levels[:-2, 1:-1], levels[1:-1, :-2]),
        (levels[1:-1, 2:], levels[2:, 1:-1]),
    )
    summit = mask & np.all([inner > one for one in earlier], 0) & np.all([inner >= one for one in later], 0)
    return np.flatnonzero(summit).tolist()


def test_smaller_ones_are_gone_before_numbers_are_given() -> None:
    energy = np.array([[9, 0, 8, 8, 0, 7, 7, 7]], np.uint16)
    assert flood(energy, energy > 0, rise=0, smallest=2).tolist() == [[0, 0, 1, 1, 0, 2, 2, 2]]
    assert flood(energy, energy > 0, rise=0, smallest=4).max() == 0


def test_a_rise_is_less_than_the_height_above_the_saddle() -> None:
    energy = np.array([[60000, 100, 50000]], np.uint16)
    mask = np.ones((1, 3), bool)
    assert flood(energy, mask, rise=49900 / TOP).max() == 2
    assert flood(energy, mask, rise=49901 / TOP).max() == 1


def test_energies_are_rounded_to_levels() -> None:
    energy = np.linspace(0, 1, 700, dtype=np.float32).reshape(20, 35)
    mask = np.ones(energy.shape, bool)
    mask[3, 3], energy[3, 3] = False, np.nan
    levels = to_levels(energy, mask)
    assert levels[3, 3] == -1 and levels[mask].max() == TOP
    assert np.abs(levels[mask] - energy[mask].astype(float) * TOP).max() <= 0.5
    assert np.array_equal(
        flood(energy, mask, rise=0.1), flood(np.maximum(levels, 0).astype(np.uint16), mask, rise=0.1)
    )


def test_nothing_gives_nothing() -> None:
    rows = Flood(4, rise=0.1)
    assert rows.add(np.zeros((0, 4), np.uint16), np.zeros((0, 4), bool)).shape == (0, 4)
    assert rows.end().shape == (0, 4) and len(rows.instances()) == 0
    assert flood(np.zeros((0, 4)), np.zeros((0, 4), bool), rise=1).shape == (0, 4)
    assert flood(np.zeros((3, 0)), np.zeros((3, 0), bool), rise=1).shape == (3, 0)
    assert flood(np.ones((3, 4)), np.zeros((3, 4), bool), rise=1).max() == 0


def test_labels_come_one_row_behind() -> None:
    energy, mask = random_map(1)
    rows = Flood(12, rise=0.2)
    given_out = [len(rows.add(energy[:1], mask[:1])), len(rows.add(energy[1:7], mask[1:7])), len(rows.end())]
    assert given_out == [0, 6, 1]


def refused(energy: Any, mask: Any, rise: float = 0.1) -> str:
    with pytest.raises(ValueError) as error:
        flood(np.asarray(energy), np.asarray(mask), rise=rise)
    return str(error.value)


def test_other_arrays_are_refused() -> None:
    mask = np.ones((2, 2), bool)
    assert "one shape (h, w)" in refused(np.zeros((2, 3)), mask)
    assert "one shape (h, w)" in refused(np.zeros(2), np.ones(2, bool))
    assert "boolean mask" in refused(np.zeros((2, 2)), mask.astype(np.uint8))
    assert "uint16 or of floats, not of int32" in refused(np.zeros((2, 2), np.int32), mask)
    for wrong in (-0.1, 1.1, np.nan):
        assert "from 0 to 1" in refused(np.full((2, 2), wrong), mask)
    for rise in (-1.0, np.nan):
        assert "rise of 0 or more" in refused(np.zeros((2, 2)), mask, rise)


def test_rows_in_another_order_are_refused() -> None:
    rows = Flood(2, rise=0.1)
    with pytest.raises(ValueError, match="rows of 2 pixels, not of 3"):
        rows.add(np.zeros((1, 3)), np.ones((1, 3), bool))
    with pytest.raises(ValueError, match="one shape"):
        rows.add(np.zeros((64, 2)), np.ones((65, 2), bool))
    with pytest.raises(ValueError, match="has not ended"):
        rows.instances()
    rows.end()
    with pytest.raises(ValueError, match="has ended before"):
        rows.end()
    with pytest.raises(ValueError, match="rows come before end"):
        rows.add(np.zeros((1, 2)), np.ones((1, 2), bool))


def test_more_labels_than_there_are_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = np.array([[1, 0, 1, 0, 1]], np.uint16)
    monkeypatch.setattr(flooding, "MOST_LABELS", 3)
    assert flood(energy, energy > 0, rise=0.1).max() == 3
    monkeypatch.setattr(flooding, "MOST_LABELS", 2)
    with pytest.raises(PlanError, match="more than 2 basins"):
        flood(energy, energy > 0, rise=0.1)


def random_saddles(seed: int) -> tuple[NDArray[np.int32], NDArray[np.int64], basins.Saddles]:
    """Return summits (level, place) of ten basins and saddles between them, lower than both and with many ties."""
    random = np.random.default_rng(seed)
    summit, place = random.integers(4, 9, 10, dtype=np.int32), random.permutation(10)
    one, other = np.triu_indices(10, 1)
    some = random.random(len(one)) < 0.4
    one, other = one[some].astype(np.uint32), other[some].astype(np.uint32)
    level = random.integers(0, np.minimum(summit[one], summit[other]) + 1).astype(np.int32)
    return summit, place, basins.Saddles(one, other, level, random.permutation(len(one)))


def differing_forests(seeds: range, sign: int) -> int:
    """Return how often the spanning forest, with sign -1 that of the lowest, merges otherwise than all saddles."""
    count = 0
    for seed in seeds:
        summit, place, saddles = random_saddles(seed)
        turned = basins.Saddles(saddles.one, saddles.other, sign * saddles.level, saddles.place).spanning(10)
        forest = basins.Saddles(turned.one, turned.other, sign * turned.level, turned.place)
        both = [part.chosen(np.lexsort((part.place, -part.level))) for part in (forest, saddles)]
        assert len(forest) < 10
        few, all_ = (basins.merge_basins(summit, place, part, 3 / TOP) for part in both)
        count += not np.array_equal(few, all_)
    return count


def test_the_spanning_forest_decides_as_all_saddles_do() -> None:
    assert differing_forests(range(200), 1) == 0
    assert differing_forests(range(200), -1) > 100  # twin: the lowest saddles


def peak_of_blobs(height: int) -> tuple[int, Instances]:
    """Return the peak of memory in bytes while a raster of small pieces comes in strips, and its instances."""
    strip = np.zeros((50, 200), np.uint16)
    strip[np.ix_(np.arange(50) % 10 < 9, np.arange(200) % 10 < 9)] = 1
    strip[strip > 0] = np.random.default_rng(0).integers(1, TOP, np.count_nonzero(strip))
    tracemalloc.start()
    rows = Flood(200, rise=np.inf)
    for _ in range(height // 50):
        rows.add(strip, strip > 0)
    rows.end()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, rows.instances()


def test_memory_is_that_of_open_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    (low, few), (high, many) = peak_of_blobs(500), peak_of_blobs(4000)
    assert len(few) == 1000 and len(many) == 8000
    per_label = (high - low) / (len(many.table) - len(few.table))
    assert per_label < 20
    monkeypatch.setattr(flooding, "EVENTS", 1 << 30)  # twin: pieces are merged at the end alone
    assert (peak_of_blobs(4000)[0] - peak_of_blobs(500)[0]) / (len(many.table) - len(few.table)) > 100


def test_it_loads_no_torch() -> None:
    program = "import sys, landseg.dense.flood; sys.exit('torch' in sys.modules or 'rasterio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
