"""Panoptic quality: that of the definition, alike however rasters are cut and images come."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics import panoptic as module
from landseg.metrics.overlaps import IdCounts, Overlaps, objects
from landseg.metrics.panoptic import GROUPS, Panoptic, PanopticFigures
from tests.parts.reference_panoptic import Side, mean, quality, random_pair

THINGS = (True, False, True, False)
FIGURES = ("pq", "sq", "rq")


def counted(truth: Side, found: Side, *, width: int = 0, cuts: list[int] | None = None) -> IdCounts:
    """Return the counts of two maps, of the whole or of strips between rows."""
    height, total = len(truth.ids), IdCounts(width)
    known = truth.ids > 0
    for top, bottom in pairwise(cuts or [0, height]):
        first, last = max(0, top - width), min(height, bottom + width)
        rows, core = slice(first, last), (slice(top - first, bottom - first), slice(None))
        part = IdCounts(width)
        part.update(truth.ids[rows], found.ids[rows], known=known[rows], core=core, at=(first, 0))
        total.merge(part)
    return total


def overlaid(truth: Side, found: Side, counts: IdCounts | None = None) -> tuple[Overlaps, list[int], list[int]]:
    """Return overlaps with the truth in the order of its segments, and the classes of both sides."""
    counts = counts or counted(truth, found)
    (true_ids, found_ids), one = counts.ids(), counts.overlaps()
    order = [true_ids.tolist().index(segment) for segment, _, _ in truth.segments]
    crowd = np.array([crowd for _, _, crowd in truth.segments], bool)
    back = np.argsort(order).astype(np.int64)
    true = replace(one.true.only(np.array(order, np.int64)), ignored=crowd)
    one = replace(one, true=true, true_index=back[one.true_index])
    of_found = {segment: kind for segment, kind, _ in found.segments}
    return one, [kind for _, kind, _ in truth.segments], [of_found[i] for i in found_ids.tolist()]


def measured(pairs: list[tuple[Side, Side]], **options: Any) -> Panoptic:
    made = Panoptic(THINGS, **options)
    for raster, pair in enumerate(pairs):
        made.update(*overlaid(*pair), raster=raster)
    return made


def _pairs(seed: int, count: int = 3) -> list[tuple[Side, Side]]:
    return [random_pair(seed * 11 + k, THINGS) for k in range(count)]


def _flat(found: PanopticFigures) -> list[float]:
    return [
        *np.ravel([astuple(found.groups[name]) for name in GROUPS]),
        *np.ravel([astuple(c) for c in found.classes]),
    ]


def _same(got: PanopticFigures, expected: dict[str, list[float]]) -> bool:
    """Return whether all figures are those of the reference, to 1e-12."""
    chosen = {"all": range(4), "things": (0, 2), "stuff": (1, 3)}
    mine = [[getattr(one, name) for one in got.classes] for name in (*FIGURES, "tp", "fp", "fn")]
    theirs = [expected[name] for name in (*FIGURES, "tp", "fp", "fn")]
    groups = [[getattr(got.groups[group], name) for name in FIGURES] for group in GROUPS]
    means = [[mean(expected[name], chosen[group]) for name in FIGURES] for group in GROUPS]
    close = [np.allclose(a, b, rtol=0, atol=1e-12, equal_nan=True) for a, b in ((mine, theirs), (groups, means))]
    return all(close)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_figures_are_those_of_the_definition(seed: int, count: int) -> None:
    pairs = _pairs(seed, count)
    assert _same(measured(pairs).compute(), quality(pairs, 4))


def test_the_random_maps_have_all_that_the_rules_are_about() -> None:
    pairs = _pairs(0, 40)
    found = quality(pairs, 4)
    assert min(found["tp"] + found["fp"] + found["fn"]) > 5
    several = [sum(crowd and kind == k for _, kind, crowd in truth.segments) for truth, _ in pairs for k in range(4)]
    assert max(several) > 1 and any((truth.ids == 0).any() for truth, _ in pairs)


def test_twins_are_not() -> None:
    pairs = _pairs(3, 30)
    got = measured(pairs).compute()
    assert _same(got, quality(pairs, 4))
    assert not _same(got, quality(pairs, 4, void_counts=True))
    assert not _same(got, quality(pairs, 4, least=0.55))
    without = [(replace(t, segments=[(i, k, False) for i, k, _ in t.segments]), f) for t, f in pairs]
    assert not _same(got, quality(without, 4))
    turned = [(replace(t, segments=t.segments[::-1]), f) for t, f in pairs]
    assert not _same(got, quality(turned, 4))  # of several crowds the first would stay


def _overlaps(*shared: tuple[int, int, float], true: list[float], found: list[float], **more: Any) -> Overlaps:
    one = np.array(shared, float).reshape(-1, 3)
    sides = objects(true, ignored=more.get("crowd"), place=more.get("at")), objects(found)
    return Overlaps(*sides, one[:, 0].astype(int), one[:, 1].astype(int), one[:, 2])


def test_by_hand() -> None:
    # Class 0: 6 of 10 + 8 - 6 px, of the prediction the other 2 on the second truth, which it shares 5 of 10 px with
    # another: exactly one half. Class 1: a prediction of which 4 of 12 px are void.
    one = _overlaps((0, 0, 6), (1, 0, 2), (1, 1, 5), (2, 2, 8), true=[10, 10, 10], found=[8, 5, 12])
    made = Panoptic([True, False])
    assert made.update(one, [0, 0, 1], [0, 0, 1]).tolist() == [False, False, False, True]
    made.update(_overlaps((0, 0, 6), (1, 0, 1), true=[9, 4], found=[7]), [0, 0], [0], raster=1)
    things, stuff = made.compute().classes
    assert (things.pq, things.sq, things.rq) == pytest.approx((0.6 / 3.5, 0.6, 1 / 3.5))
    assert (things.tp, things.fp, things.fn, things.precision, things.recall) == (1, 2, 3, 1 / 3, 1 / 4)
    assert (stuff.pq, stuff.sq, stuff.rq) == pytest.approx((0.8, 0.8, 1))
    groups = made.compute().groups
    assert groups["all"].pq == pytest.approx((0.6 / 3.5 + 0.8) / 2) and groups["all"].classes == 2
    assert groups["things"].pq == things.pq and groups["stuff"].rq == 1
    assert (things.true_size, things.found_size, things.matched_share) == (33, 20, 9 / 33)
    assert np.isnan(things.boundary_pq)


def test_an_iou_of_exactly_one_half_is_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    half = _overlaps((0, 0, 5), true=[10], found=[5])

    def at_least(overlaps: Overlaps, true_class: np.ndarray, found_class: np.ndarray, iou: np.ndarray) -> np.ndarray:
        return iou >= 0.5

    assert not Panoptic([True]).update(half, [0], [0]).any()
    assert Panoptic([True]).update(replace(half, shared=np.array([5.1]), found=objects([5.1])), [0], [0]).any()
    monkeypatch.setattr(module, "_matches", at_least)  # twin
    assert Panoptic([True]).update(half, [0], [0]).all()


def test_the_mean_of_pq_is_no_product() -> None:
    made = Panoptic([True, True])
    made.update(_overlaps((0, 0, 6), true=[10, 9, 9], found=[6]), [0, 1, 1], [0])
    everything = made.compute().groups["all"]
    assert everything.pq == pytest.approx(0.3) and everything.sq * everything.rq == pytest.approx(0.15)


def test_without_segments_figures_are_nan() -> None:
    made = Panoptic([True, False])
    assert np.isnan(astuple(made.compute().groups["all"])[:4]).all()
    made.update(_overlaps(true=[], found=[3]), [], [0])  # on void, and so no error
    assert np.isnan(astuple(made.compute().groups["all"])[:4]).all()
    made.update(_overlaps((0, 0, 3), true=[4], found=[3], crowd=[True]), [1], [0], raster=1)
    found = made.compute()
    assert (found.groups["all"].pq, found.groups["all"].sq, found.groups["all"].classes) == (0, 0, 1)
    assert np.isnan([found.groups["stuff"].pq, found.classes[1].rq, found.classes[0].recall]).all()
    for values in made.intervals()[0]["pq"].values():
        assert np.isnan(values).all()


def test_what_went_wrong_is_counted_in_each_class() -> None:
    # Truths 0 and 1 are covered by one prediction, 2 holds two; truth 3 is of another class than what covers it.
    pairs = (0, 0, 9), (1, 0, 9), (2, 1, 4), (2, 2, 4), (3, 3, 9)
    one = _overlaps(*pairs, true=[10, 10, 10, 10], found=[18, 4, 4, 9, 5])
    made = Panoptic([True, True])
    made.update(one, [0, 0, 0, 0], [0, 0, 0, 1, 0])
    first, second = made.compute().classes
    assert (first.tp, first.merged, first.split, first.missed, first.invented) == (0, 2, 1, 1, 0)
    assert (second.fp, second.invented) == (1, 1)  # the fifth prediction lies on void and is dropped


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 13), max_size=4), st.integers(0, 2))
def test_strips_give_the_whole(seed: int, rows: list[int], width: int) -> None:
    truth, found = random_pair(seed, THINGS)
    made = []
    for cuts in (None, sorted({0, *rows, len(truth.ids)})):
        made.append(Panoptic(THINGS))
        made[-1].update(*overlaid(truth, found, counted(truth, found, width=width, cuts=cuts)))
    np.testing.assert_array_equal(_flat(made[0].compute()), _flat(made[1].compute()))


def test_twin_strips_that_forget_their_neighbours_differ() -> None:
    differs = 0
    for seed in range(20):
        truth, found = random_pair(seed, THINGS)
        apart = measured([(_rows(truth, part), _rows(found, part)) for part in (slice(0, 7), slice(7, None))])
        whole = measured([(truth, found)])
        differs += _flat(apart.compute()) != _flat(whole.compute())
    assert differs > 15


def _rows(side: Side, part: slice) -> Side:
    ids = side.ids[part]
    return Side(ids, [one for one in side.segments if (ids == one[0]).any()])


@given(st.integers(0, 1000), st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_images_in_any_order_and_merged(seed: int, order: list[int]) -> None:
    pairs = _pairs(seed, 5)
    whole, parts = measured(pairs), [Panoptic(THINGS), Panoptic(THINGS)]
    for place, raster in enumerate(order):
        parts[place % 2].update(*overlaid(*pairs[raster]), raster=raster)
    parts[0].merge(parts[1])
    np.testing.assert_array_equal(_flat(parts[0].compute()), _flat(whole.compute()))
    ours, theirs = parts[0].intervals(count=50), whole.intervals(count=50)
    np.testing.assert_array_equal(ours[1]["pq"], theirs[1]["pq"])


def _boundary_by_masks(truth: Side, found: Side, width: int) -> float:
    """Return the sum of the lesser IoUs of matches, from masks; bands as of the outlines where the truth is known."""
    known, total = truth.ids > 0, 0.0

    def band(ids: np.ndarray, one: int) -> np.ndarray:
        mask, out = ids == one, np.zeros(ids.shape, bool)
        for i, j in np.argwhere(mask & known):
            near = (slice(max(0, i - width), i + width + 1), slice(max(0, j - width), j + width + 1))
            out[i, j] = (~mask[near] & known[near]).any()
        return out

    for t, kind, crowd in truth.segments:
        for d, other, _ in found.segments:
            mine, theirs = (truth.ids == t), (found.ids == d) & known
            if crowd or kind != other or not (mine & theirs).any():
                continue
            bands = band(truth.ids, t), band(found.ids, d)
            union = (bands[0] | bands[1]).sum()
            rims = (bands[0] & bands[1]).sum() / union if union else 1.0
            lesser = min((mine & theirs).sum() / (mine | theirs).sum(), rims)
            total += lesser if lesser > 0.5 else 0
    return total


def test_boundary_pq_is_that_of_masks() -> None:
    sums = []
    for seed in range(12):
        truth, found = random_pair(seed, THINGS)
        made, twin = Panoptic(THINGS), Panoptic(THINGS)
        made.update(*overlaid(truth, found, counted(truth, found, width=1)))
        beside_void = IdCounts(1)
        beside_void.update(truth.ids, found.ids)
        twin.update(*overlaid(truth, found, beside_void))
        tables = made.images[0].table, twin.images[0].table
        lesser = [table[:, module.BOUNDARY].sum() for table in tables]
        assert lesser[0] == pytest.approx(_boundary_by_masks(truth, found, 1), abs=1e-12)
        sums.append((*lesser, tables[0][:, module.IOU].sum()))
        assert not any(one.boundary_pq > one.pq for one in made.compute().classes)
    right, beside, masks = np.array(sums).T
    assert (right != beside).sum() > 3 and (right < masks).sum() > 6  # twins: bands beside void, and no bands


def test_one_image_without_bands_leaves_the_boundary_out() -> None:
    pairs, made = _pairs(1, 2), Panoptic(THINGS)
    made.update(*overlaid(*pairs[0], counted(*pairs[0], width=1)))
    assert made.compute().groups["all"].boundary_pq >= 0
    made.update(*overlaid(*pairs[1]), raster=1)
    assert np.isnan(made.compute().groups["all"].boundary_pq)


def test_intervals_draw_images(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = _pairs(5, 3)
    made = measured(pairs)
    weights = np.array([[1, 1, 1], [2, 0, 1], [0, 0, 3]])
    kept: list[np.ndarray] = []
    monkeypatch.setattr(module, "draws", lambda *_, **__: iter([weights[:2], weights[2:]]))
    monkeypatch.setattr(module, "interval", lambda values: kept.append(values) or np.zeros((2, *values.shape[1:])))
    made.intervals()
    expected = []
    for row in weights:
        drawn = [pair for pair, times in zip(pairs, row, strict=True) for _ in range(times)]
        expected.append(mean(quality(drawn, 4)["pq"], range(4)))
    np.testing.assert_allclose(kept[0], expected, rtol=1e-12)


def test_spatial_blocks_hold_things_alone() -> None:
    places = np.array([[0.0, 1], [0, 30], [50, 50]])
    one = _overlaps((0, 0, 9), (2, 1, 9), true=[10, 10, 10], found=[9, 9], at=places)
    made = Panoptic([True, False], block=10)
    made.update(one, [0, 0, 1], [0, 1])
    groups, classes = made.intervals(count=200)
    low, high = groups["rq"]["things"]
    assert low == 0 and high == 1  # one block is right, the other is missed
    assert np.isnan([*groups["rq"]["all"], *groups["rq"]["stuff"], *classes["rq"][:, 1]]).all()
    assert made._block_sums().shape == (2, 2, 4)


def test_bad_input() -> None:
    made, one = Panoptic([True]), _overlaps((0, 0, 1), true=[1], found=[1])
    with pytest.raises(ValueError, match="expected classes of 1 and 1 segments"):
        made.update(one, [0, 0], [0])
    with pytest.raises(ValueError, match="expected classes from 0 to 0"):
        made.update(one, [0], [1])
    made.update(one, [0], [0])
    with pytest.raises(ValueError, match="image 0 was added before"):
        made.update(one, [0], [0])
    with pytest.raises(ValueError, match="image 0 was added before"):
        made.merge(made)
    with pytest.raises(ValueError, match="same classes and blocks"):
        made.merge(Panoptic([False]))
    with pytest.raises(ValueError, match="block above 0"):
        Panoptic([True], block=0)
