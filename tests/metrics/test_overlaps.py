"""Pixels that objects share: equal to those of masks, however the raster is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics import overlaps as module
from landseg.metrics.overlaps import IdCounts, Overlaps, objects


def _scene(seed: int, height: int = 23, width: int = 31) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rasters of ids in blots, large ids among them, and validity with a hole and a strip that is not."""
    rng = np.random.default_rng(seed)

    def ids() -> np.ndarray:
        blots = np.kron(rng.integers(0, 4, (8, 8)), np.ones((4, 4), int))[:height, :width]
        return np.array([0, 1, 7, 4_294_967_294], np.uint32)[blots]

    valid = rng.random((height, width)) > 0.05
    valid[:, 25:] = False
    return ids(), ids(), valid


def _eroded(mask: np.ndarray, distance: int, *, border: bool = False) -> np.ndarray:
    """Return the pixels of a mask that have none of another kind within the distance.

    Beyond the edge lies nothing, or with ``border`` another kind, as in the published code.
    """
    inner, framed = mask.copy(), np.pad(mask, distance, constant_values=not border)
    for i, j in np.argwhere(mask):
        inner[i, j] = framed[i : i + 2 * distance + 1, j : j + 2 * distance + 1].all()
    return inner


def _by_masks(
    truth: np.ndarray, found: np.ndarray, valid: np.ndarray, width: int, *, border: bool = False
) -> dict[tuple[int, int], tuple]:
    """Return for each pair of ids its shared pixels and rim, from masks; for rims all must be valid."""
    pairs = {}
    for one in np.unique(truth[valid & (truth > 0)]):
        for other in np.unique(found[valid & (found > 0)]):
            a, b = truth == one, found == other
            rims = [one & ~_eroded(one, width, border=border) for one in (a, b)]
            rim = rims[0] & rims[1] if width else a & False
            if (a & b & valid).any():
                pairs[int(one), int(other)] = ((a & b & valid).sum(), rim.sum())
    return pairs


def _pairs(counts: IdCounts) -> dict[tuple[int, int], tuple]:
    (true, found), one = counts.ids(), counts.overlaps()
    rim = np.zeros(len(one.shared)) if one.shared_rim is None else one.shared_rim
    keys = zip(true[one.true_index].tolist(), found[one.found_index].tolist(), strict=True)
    return dict(zip(keys, zip(one.shared, rim, strict=True), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_masks(seed: int) -> None:
    truth, found, valid = _scene(seed)
    counts = IdCounts()
    counts.update(truth, found, valid=valid)
    assert _pairs(counts) == _by_masks(truth, found, valid, 0)
    every = np.ones_like(valid)
    for border in (False, True):
        rims = IdCounts(2, border=border)
        rims.update(truth, found)
        assert _pairs(rims) == _by_masks(truth, found, every, 2, border=border)
        assert _pairs(rims) != _by_masks(truth, found, every, 1, border=border)  # twin: another width
        assert _pairs(rims) != _by_masks(truth, found, every, 2, border=not border)  # twin: another rule


def test_sides_by_hand() -> None:
    truth = np.array([[5, 5, 0, 0], [5, 5, 0, 9]])
    found = np.array([[0, 3, 3, 0], [0, 3, 3, 8]])
    valid = np.array([[True, True, True, True], [False, False, False, False]])
    valid[1, 1] = True
    counts = IdCounts()
    counts.update(truth, found, valid=valid, at=(10, 20))
    one = counts.overlaps(pixel=0.25)
    assert [ids.tolist() for ids in counts.ids()] == [[5], [3]]  # 9 and 8 have no pixel inside
    assert (one.true.area.tolist(), one.true.size.tolist()) == ([3], [0.75])
    assert not one.true.ignored[0] and not one.found.ignored[0]
    assert one.true.place.tolist() == [[10.5, 20.5]] and one.found.place.tolist() == [[10.5, 21.5]]
    assert one.shared.tolist() == [2] and one.iou().tolist() == [2 / 4]
    valid[:, 0] = valid[1, 1] = False
    counts = IdCounts()
    counts.update(truth, found, valid=valid)
    one = counts.overlaps()
    assert one.true.ignored.tolist() == [True]  # a quarter lies inside
    assert one.found.ignored.tolist() == [False]  # exactly half does
    assert one.iou().tolist() == [1 / 2]  # of the detection's area


def _cut(seed: int, width: int, halo: int, rows: list[int], columns: list[int], border: bool) -> tuple:
    """Return the whole's counts, and the merged ones of windows that are cut at rows and columns."""
    truth, found, valid = _scene(seed)
    whole, parts = IdCounts(width, border=border), [IdCounts(width, border=border) for _ in range(2)]
    whole.update(truth, found, valid=valid)
    height, across = truth.shape
    for i, (top, bottom) in enumerate(pairwise(sorted({0, height, *rows}))):
        for left, right in pairwise(sorted({0, across, *columns})):
            y, x = max(0, top - halo), max(0, left - halo)
            window = slice(y, min(height, bottom + halo)), slice(x, min(across, right + halo))
            core = slice(top - y, bottom - y), slice(left - x, right - x)
            parts[i % 2].update(truth[window], found[window], valid=valid[window], core=core, at=(y, x))
    parts[1].merge(parts[0])
    return whole._table(), parts[1]._table()


cuts = st.lists(st.integers(1, 22), max_size=4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 3), cuts, cuts, st.booleans())
def test_windows_count_what_the_whole_does(
    seed: int, width: int, rows: list[int], columns: list[int], border: bool
) -> None:
    whole, parts = _cut(seed, width, width, rows, columns, border)
    assert np.array_equal(whole[0], parts[0]) and np.array_equal(whole[1], parts[1])


def test_twin_windows_without_their_halo_do_not() -> None:
    whole, parts = _cut(1, 2, 1, [9], [9], False)
    assert np.array_equal(whole[0], parts[0]) and not np.array_equal(whole[1], parts[1])


def test_rims_at_the_edge_and_beside_what_is_not_valid() -> None:
    truth = np.ones((5, 6), np.uint8)
    valid = np.ones((5, 6), bool)
    valid[:, 5] = False
    for border, rim in ((False, 0), (True, 5 * 5 - 3 * 3)):
        counts = IdCounts(1, border=border)
        counts.update(truth, truth, valid=valid)
        one = counts.overlaps()
        assert one.true.rim.tolist() == one.found.rim.tolist() == [rim] and one.boundary_iou().tolist() == [1]


def test_boundary_iou_is_the_lesser_one_and_a_crowds_iou_stays() -> None:
    rims = objects([9, 9], rim=[8, 8], ignored=[False, True])
    one = Overlaps(rims, objects([9], rim=[8]), np.arange(2), np.zeros(2, int), np.full(2, 6.0), np.full(2, 4.0))
    assert one.boundary_iou().tolist() == [4 / 12, 6 / 9] and one.iou()[0] == 6 / 12
    with pytest.raises(ValueError, match="count with a width"):
        Overlaps(rims, rims, np.arange(2), np.arange(2), np.ones(2)).boundary_iou()


def test_the_objects_of_one_class() -> None:
    one = Overlaps(
        objects([4, 8, 2]), objects([6, 3]), np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([1.0, 2.0, 3.0])
    )
    part = one.only(np.array([False, True, True]), np.array([True, False]))
    assert part.true.area.tolist() == [8, 2] and part.found.area.tolist() == [6]
    assert (part.true_index.tolist(), part.found_index.tolist(), part.shared.tolist()) == ([0], [0], [2])


def test_equal_pairs_are_summed_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PENDING", 3)
    truth, found, _ = _scene(2)
    many, once = IdCounts(), IdCounts()
    for row in range(len(truth)):
        many.update(truth[row : row + 1], found[row : row + 1], at=(row, 0))
    assert sum(map(len, many._keys)) <= 2 * len(once._table()[0]) + 2 * 16 + 3
    once.update(truth, found)
    assert all(np.array_equal(a, b) for a, b in zip(many._table(), once._table(), strict=True))


def test_no_objects() -> None:
    counts = IdCounts(1)
    assert [len(ids) for ids in counts.ids()] == [0, 0] and len(counts.overlaps().shared) == 0
    counts.update(np.zeros((3, 3), int), np.zeros((3, 3), int))
    counts.update(np.zeros((0, 3), int), np.zeros((0, 3), int))
    assert len(counts.overlaps().true) == len(counts.overlaps().found) == 0


def test_refusals() -> None:
    zeros = np.zeros((2, 2), int)
    for bad, said in ((np.zeros((2, 2)), "whole numbers"), (zeros - 1, "0 or more"), (zeros[:1], "one shape")):
        with pytest.raises(ValueError, match=said):
            IdCounts().update(zeros, bad)
    with pytest.raises(ValueError, match="0 pixels or more"):
        IdCounts(-1)
    with pytest.raises(ValueError, match="one width"):
        IdCounts(1).merge(IdCounts(2))
    with pytest.raises(ValueError, match="areas above 0"):
        objects([1, 0])
    with pytest.raises(ValueError, match="of 2 objects"):
        objects([1, 1], size=[1])
