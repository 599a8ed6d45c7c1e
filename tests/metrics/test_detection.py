"""Figures of objects: by hand, by slow references, and alike however the images come."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics import bootstrap
from landseg.metrics import detection as module
from landseg.metrics.detection import FIGURES, Detection, DetectionFigures
from landseg.metrics.matching import Verdict
from landseg.metrics.overlaps import IdCounts, Overlaps, objects
from landseg.metrics.ranking import IOUS, average_precision
from tests.parts.objects import Scene, matched_by_loops, random_scene


def _pairs(*shared: tuple[int, int, float], true: list[float], found: list[float], **places: Any) -> Overlaps:
    one = np.array(shared, float).reshape(-1, 3)
    sides = (objects(areas, place=places.get(side)) for side, areas in (("at", true), ("on", found)))
    return Overlaps(*sides, one[:, 0].astype(int), one[:, 1].astype(int), one[:, 2])


def _of(*scenes: Scene, **options: Any) -> Detection:
    detection = Detection(**options)
    for raster, scene in enumerate(scenes):
        detection.update(scene.overlaps(), scene.scores, raster=raster)
    return detection


BY_HAND = _pairs((0, 0, 10), (1, 1, 8), (2, 2, 4), true=[10, 10, 10, 10], found=[10, 10, 8, 5])
SCORES = [0.9, 0.6, 0.7, 0.2]


def test_by_hand() -> None:
    detection = Detection()
    detection.update(BY_HAND, SCORES)
    got = detection.compute(score=0.5)
    # From the highest score down: IoU 1, IoU 4/14, IoU 8/12, nothing. At 0.5: right, wrong, right, wrong of 4 truths.
    # Precision is 1 to a recall of 1/4 (26 recalls), 2/3 to 1/2 (25 more), 0 beyond.
    assert got.ap50 == pytest.approx((26 + 25 * 2 / 3) / 101) and got.ap75 == pytest.approx(26 / 101)
    high = np.where(IOUS <= 8 / 12, got.ap50, got.ap75)
    assert got.ap == pytest.approx(high.mean()) and got.ar == pytest.approx((4 * 0.5 + 6 * 0.25) / 10)
    assert (got.precision, got.recall, got.f1) == pytest.approx((2 / 3, 2 / 4, 4 / 7))
    assert (got.best_f1, got.best_score) == pytest.approx((4 / 7, 0.6))
    assert (got.pq, got.sq, got.rq) == pytest.approx(((1 + 8 / 12) / 3.5, (1 + 8 / 12) / 2, 2 / 3.5))
    assert (got.found, got.merged, got.split, got.missed, got.invented) == (2, 0, 0, 2, 1)
    assert (got.true_count, got.found_count, got.true_size, got.found_size) == (4, 3, 40, 28)
    assert np.isnan(got.boundary_ap) and got.ap_by_area == got.ar_by_area == got.ar_by_limit == ()
    every = detection.compute()
    assert (every.precision, every.found_count, every.invented, every.ap) == (0.5, 4, 2, got.ap)
    none = detection.compute(score=0.95)
    assert np.isnan(none.precision) and (none.recall, none.f1, none.pq, none.missed) == (0, 0, 0, 4)


def test_an_iou_of_exactly_half_is_a_hit_but_no_segment_of_pq() -> None:
    detection = Detection()
    detection.update(_pairs((0, 0, 5), true=[10], found=[5]), [0.5])
    got = detection.compute()
    assert (got.f1, got.pq, got.rq, got.found) == (1, 0, 0, 1) and np.isnan(got.sq)


def test_without_truth_figures_are_nan_and_counts_are_numbers() -> None:
    detection = Detection(areas=(5,), limits=(1,))
    for _ in range(2):
        got = detection.compute()
        ratios = [getattr(got, name) for name in (*FIGURES, "ar", "best_f1", "best_score")]
        assert np.isnan([*ratios, *got.ap_by_area, *got.ar_by_area, *got.ar_by_limit]).all()
        assert (got.true_count, got.found_count) == (0, len(detection.images)) and got.invented == got.found_count
        detection = Detection(areas=(5,), limits=(1,))
        detection.update(_pairs(true=[], found=[3]), [1.0])
    assert np.isnan(list(detection.intervals().values())).all()


def test_without_detections_figures_are_zero() -> None:
    detection = Detection()
    detection.update(_pairs(true=[3, 4], found=[]), [])
    got = detection.compute()
    assert (got.ap, got.ar, got.recall, got.f1, got.best_f1, got.pq, got.missed) == (0, 0, 0, 0, 0, 0, 2)
    assert np.isnan([got.precision, got.best_score, got.sq]).all()


def slow_ap(scenes: list[Scene], floor: float) -> float:
    """Average precision from the definition: for each recall the best precision of a cut that reaches it."""
    rows, total = [], 0
    for i, scene in enumerate(scenes):
        order = sorted(range(len(scene.scores)), key=lambda d: (-scene.scores[d], d))
        taken = matched_by_loops(scene.iou(), np.array(order, int), scene.crowd, scene.crowd, floor)
        total += (~scene.crowd).sum()
        for d in order:
            crowd = taken[d] >= 0 and scene.crowd[taken[d]]
            rows += [] if crowd else [(-scene.scores[d], i, d, taken[d] >= 0)]
    hits = [row[-1] for row in sorted(rows)]
    cuts = [(sum(hits[:n]) / total, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
    # A cut that reaches a recall exactly is held against the rounded recall, as pycocotools does.
    reached = [[right for recall, right in cuts if recall >= least] for least in np.linspace(0, 1, 101)]
    return float(np.mean([max(some, default=0) for some in reached]))


def _scenes(seed: int) -> list[Scene]:
    found = [random_scene(seed * 7 + i) for i in range(3)]
    return found if any((~one.crowd).any() for one in found) else _scenes(seed + 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_ap_is_that_of_the_definition(seed: int) -> None:
    scenes = _scenes(seed)
    got = _of(*scenes).compute()
    assert got.ap50 == pytest.approx(slow_ap(scenes, 0.5)) and got.ap75 == pytest.approx(slow_ap(scenes, 0.75))


def test_twin_ap_at_another_iou_is_not() -> None:
    scenes = _scenes(1)
    assert _of(*scenes).compute().ap50 != pytest.approx(slow_ap(scenes, 0.6))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_the_best_score_is_the_best_of_all(seed: int) -> None:
    detection = _of(*_scenes(seed))
    got = detection.compute()
    all_scores = np.unique(np.concatenate([scores for _, scores in detection.images.values()]))
    each = {score: detection.compute(score).f1 for score in all_scores}
    if each:
        assert got.best_f1 == max(each.values()) == each[got.best_score]
        assert got.best_score == max(score for score, f1 in each.items() if f1 == got.best_f1)


def same(one: DetectionFigures, two: DetectionFigures) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(astuple(one), astuple(two), strict=True))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)), st.integers(0, 4))
def test_merged_images_give_the_figures_of_one_pass(seed: int, order: list[int], cut: int) -> None:
    scenes = [random_scene(seed + i) for i in range(4)]
    options = {"areas": (50, 200), "limits": (3, 8), "block": 20}
    whole, parts = _of(*scenes, **options), [Detection(**options), Detection(**options)]
    for place, raster in enumerate(order):
        parts[place < cut].update(scenes[raster].overlaps(), scenes[raster].scores, raster=raster)
    parts[0].merge(parts[1])
    assert same(parts[0].compute(0.3), whole.compute(0.3))
    mine, theirs = parts[0].intervals(0.3, count=20), whole.intervals(0.3, count=20)
    assert all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in FIGURES)


def test_twin_images_in_another_order_give_others() -> None:
    scenes = [random_scene(i) for i in range(6)]
    # Equal scores stand in the order of the images, so other numbers are another order.
    assert not same(_of(*scenes).compute(), _of(*scenes[::-1]).compute())


def _half(value: float) -> Overlaps:
    return _pairs((0, 0, value), true=[10], found=[10])


def test_areas_and_limits() -> None:
    detection = Detection(areas=(10, 20), limits=(1, 2))
    one = _pairs((0, 0, 10), (1, 1, 20), (2, 2, 30), true=[10, 20, 30], found=[10, 20, 30])
    detection.update(one, [0.9, 0.8, 0.7])
    got = detection.compute()
    # The third detection is beyond the limit; both ends belong to a range, so each truth but the last is in two.
    assert got.ar_by_limit == pytest.approx((1 / 3, 2 / 3)) and got.ar == got.ar_by_limit[1]
    assert got.ar_by_area == pytest.approx((1, 1, 1 / 2)) and got.true_count == 3 and got.found_count == 2
    sizes = replace(one.true, size=np.array([1.0, 2, 3])), replace(one.found, size=np.array([1.0, 2, 3]))
    other = Detection(areas=(10, 20))
    other.update(replace(one, true=sizes[0], found=sizes[1]), [0.9, 0.8, 0.7])
    assert other.compute().ar_by_area[0] == 1 and np.isnan(other.compute().ar_by_area[1:]).all()


def test_what_lies_mostly_on_pixels_that_are_not_valid() -> None:
    truth, found, valid = (np.zeros((8, 20), kind) for kind in (int, int, bool))
    valid[:, :10] = True
    truth[0:3, 2:8], found[0:3, 2:8] = 1, 1  # a hit inside
    truth[4:6, 8:20], found[4:6, 7:16] = 2, 2  # both lie mostly outside: neither right nor wrong
    found[7, 9:13] = 3  # mostly outside, and matches nothing
    counts = IdCounts()
    counts.update(truth, found, valid=valid)
    assert counts.overlaps().true.ignored.tolist() == [False, True]
    assert counts.overlaps().found.ignored.tolist() == [False, True, True]
    detection = Detection()
    detection.update(counts.overlaps(), [0.5, 0.9, 0.9])
    got = detection.compute()
    assert (got.ap, got.f1, got.pq, got.true_count, got.found_count, got.invented) == pytest.approx(
        (1, 1, 1, 1, 1, 0)
    )
    one = counts.overlaps()
    judged = replace(one, found=replace(one.found, ignored=np.zeros(3, bool)))
    detection = Detection()
    detection.update(judged, [0.5, 0.9, 0.9])
    assert detection.compute().invented == 1 and detection.compute().ap < 1  # twin: all detections judged


def test_boundary_ap_judges_outlines() -> None:
    truth = np.zeros((30, 30), np.uint8)
    truth[5:25, 5:25] = 1
    found = np.roll(truth, 1, 1)
    counts = IdCounts(1)
    counts.update(truth, found)
    detection = Detection()
    detection.update(counts.overlaps(), [1.0])
    got = detection.compute()
    # Mask IoU 380 / 420 = .905; of the rims of 76 pixels 19 + 19 at top and bottom agree: 38 / 114.
    assert got.ap == pytest.approx(0.9) and got.boundary_ap == 0
    wide = IdCounts(4)
    wide.update(truth, found)
    detection = Detection()
    detection.update(wide.overlaps(), [1.0])
    assert 0 < detection.compute().boundary_ap < 0.9  # a wider band is milder


def slow_pq(truth: np.ndarray, found: np.ndarray) -> tuple[float, float, float]:
    """PQ, SQ and RQ of two rasters of ids, from the paper's formula."""
    ious, true_ids, found_ids = [], np.unique(truth[truth > 0]), np.unique(found[found > 0])
    for one in true_ids:
        for other in found_ids:
            a, b = truth == one, found == other
            if (iou := (a & b).sum() / (a | b).sum()) > 0.5:
                ious.append(iou)
    mean = len(ious) + (len(true_ids) - len(ious)) / 2 + (len(found_ids) - len(ious)) / 2
    return sum(ious) / mean, (np.mean(ious) if ious else np.nan), len(ious) / mean


def _rasters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 9, (5, 5)), np.ones((5, 5), int))
    truth[0, 0] = 1
    return truth, np.where(rng.random(truth.shape) < 0.15, 0, np.roll(truth, 1, int(rng.integers(0, 2))))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_panoptic_quality_is_that_of_the_formula(seed: int) -> None:
    truth, found = _rasters(seed)
    counts = IdCounts()
    counts.update(truth, found)
    detection = Detection()
    detection.update(counts.overlaps(), np.full(len(counts.ids()[1]), 0.5))
    got = detection.compute()
    assert (got.pq, got.sq, got.rq) == pytest.approx(slow_pq(truth, found), nan_ok=True)
    assert got.rq == pytest.approx(got.pq / got.sq) or np.isnan(got.sq)


def test_verdicts_by_score_and_their_counts_agree() -> None:
    detection = Detection()
    detection.update(BY_HAND, SCORES, raster=3)
    true, found = detection.verdicts(3, score=0.5)
    kinds = Verdict.FOUND, Verdict.FOUND, Verdict.MISSED, Verdict.MISSED
    assert true.tolist() == [*kinds]
    assert found.tolist() == [Verdict.FOUND, Verdict.FOUND, Verdict.INVENTED, Verdict.BELOW]
    for seed in range(20):
        one = _of(random_scene(seed)).compute(0.4)
        assert one.found + one.merged + one.split + one.missed == one.true_count
        assert one.f1 * (one.true_count + one.found_count) == pytest.approx(2 * one.found) or not one.true_count


def _town(seed: int, blocks: int, each: int, size: int = 100) -> Detection:
    """Return a row of blocks with ``each`` truths; in some blocks nearly all are found, in others few."""
    rng = np.random.default_rng(seed)
    rate = np.repeat(rng.choice([0.2, 0.9], blocks), each)
    at = np.stack([rng.random(blocks * each) * size, np.repeat(np.arange(blocks), each) * size + size / 2], 1)
    hit = np.flatnonzero(rng.random(len(rate)) < rate)
    one = Overlaps(
        objects(np.full(len(at), 10)), objects(np.full(len(hit), 10), place=at[hit] + 1), hit, np.arange(len(hit)),
        np.full(len(hit), 8.0),
    )  # fmt: skip
    detection = Detection(block=size)
    detection.update(replace(one, true=objects(np.full(len(at), 10), place=at)), rng.random(len(hit)))
    return detection


def _coverage(block: float, trials: int) -> float:
    """Return how often the interval of the recall holds the true 0.55."""
    inside = 0
    for trial in range(trials):
        town = _town(trial, 40, 12)
        town.block = block
        low, high = town.intervals(count=60, seed=trial)["recall"]
        inside += low <= 0.55 <= high
    return inside / trials


def test_intervals_of_blocks_cover_the_truth_and_those_of_objects_do_not() -> None:
    assert _coverage(100, 40) >= 0.85
    assert _coverage(1, 40) < 0.75  # twin: hardly two objects in a block


def test_intervals_hold_the_figures_and_have_their_seed() -> None:
    town = _town(3, 30, 6)
    got, ends = town.compute(0.2), town.intervals(0.2, count=200, seed=1)
    assert set(ends) == set(FIGURES)
    assert all(low - 1e-9 <= getattr(got, name) <= high + 1e-9 for name, (low, high) in ends.items())
    assert ends["recall"][0] < got.recall < ends["recall"][1] <= 1
    again, other = (town.intervals(0.2, count=200, seed=seed)["ap"] for seed in (1, 2))
    assert np.array_equal(ends["ap"], again) and not np.array_equal(again, other)
    whole = _town(3, 30, 6)
    whole.block = 1e6
    assert np.isnan(list(whole.intervals().values())).all()  # one block


def test_a_draw_of_each_block_once_is_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draws", lambda blocks, **_: iter([np.ones((1, blocks), np.int64)]))
    detection = _of(*(random_scene(seed) for seed in range(5)), block=10)
    got, ends = detection.compute(0.3), detection.intervals(0.3)
    assert {name: pytest.approx(getattr(got, name)) for name in FIGURES} == {name: e[0] for name, e in ends.items()}


def _drawn(monkeypatch: pytest.MonkeyPatch, detection: Detection, *weights: list[int]) -> dict[str, list[float]]:
    """Return each figure of samples in which each block stands as often as its weight says."""
    monkeypatch.setattr(module, "draws", lambda blocks, **_: iter([np.array(weights)]))
    monkeypatch.setattr(module, "interval", lambda values: values)
    return {name: values.tolist() for name, values in detection.intervals().items()}


def test_a_drawn_block_brings_its_truth_its_hits_and_its_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.array([[0.0, 0], [0, 15], [0, 25]])
    detection = Detection(block=10)
    # Blocks of a full match, of one with IoU 0.6 and a higher score, and of a detection of nothing.
    one = _pairs((0, 0, 10), (1, 1, 6), true=[10, 10], found=[10, 6, 5], at=places[:2], on=places)
    detection.update(one, [0.8, 0.9, 0.1])
    got = _drawn(monkeypatch, detection, [1, 1, 1], [2, 0, 1], [0, 3, 0], [0, 0, 3])
    assert got["recall"] == pytest.approx([1, 1, 1, np.nan], nan_ok=True)
    assert got["precision"] == pytest.approx([2 / 3, 2 / 3, 1, np.nan], nan_ok=True)
    assert got["sq"] == pytest.approx([0.8, 1, 0.6, np.nan], nan_ok=True)
    assert got["ap50"] == pytest.approx([1, 1, 1, np.nan], nan_ok=True)
    # At 0.75 the second is an error of its own block: before the hit, absent, alone.
    assert got["ap75"] == pytest.approx([51 / 101 / 2, 1, 0, np.nan], nan_ok=True)


def test_a_hit_is_of_the_block_of_its_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    detection = Detection(block=10)
    places = np.array([[0.0, 9], [0, 30]]), np.array([[0.0, 11], [0, 30]])
    detection.update(_pairs((0, 0, 8), true=[10, 10], found=[10, 10], at=places[0], on=places[1]), [0.9, 0.5])
    got = _drawn(monkeypatch, detection, [2, 0, 0], [0, 2, 0], [0, 0, 2])
    # The second block holds the detection's centroid and nothing that is counted there at 0.5.
    assert got["recall"] == pytest.approx([1, np.nan, 0], nan_ok=True) and max(got["recall"][::2]) <= 1


def test_above_the_limit_four_blocks_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "BLOCKS", 3)
    cells = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 2, 0], [1, 0, 0]])
    assert bootstrap.number_blocks(cells).tolist() == [0, 0, 0, 1, 2]
    many = np.stack([np.arange(9), np.zeros(9), np.zeros(9)], 1).astype(np.int64)
    assert len(set(bootstrap.number_blocks(many).tolist())) <= 3  # rasters join


def test_a_weight_of_two_is_two_detections() -> None:
    weights, twice = np.array([2.0, 0, 1]), np.array([1.0, 1, 0, 1])
    one = average_precision(weights, np.array([0, 1.0, 0]), 4.0)
    assert one == average_precision(twice, np.array([0, 0, 1.0, 0]), 4.0)


def test_refusals() -> None:
    detection = Detection()
    detection.update(_half(8), [0.5], raster=1)
    for scores, said in (([0.5, 0.5], "for each of 1"), ([1.5], "from 0 to 1"), ([np.nan], "from 0 to 1")):
        with pytest.raises(ValueError, match=said):
            detection.update(_half(8), scores)
    with pytest.raises(ValueError, match="image 1 was added"):
        detection.update(_half(8), [0.5], raster=1)
    with pytest.raises(ValueError, match="image 1 was added"):
        detection.merge(detection)
    with pytest.raises(ValueError, match="same areas"):
        detection.merge(Detection(areas=(1,)))
    for options, said in (
        ({"areas": (2, 1)}, "ascending"),
        ({"block": 0}, "above 0"),
        ({"limits": (0,)}, "at least"),
    ):
        with pytest.raises(ValueError, match=said):
            Detection(**options)
