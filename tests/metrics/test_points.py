"""Figures of points: by hand, by slow references, and alike however the images come."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics.matching import Verdict
from landseg.metrics.nearby import Nearby
from landseg.metrics.points import FIGURES, PointDetection, PointFigures

Scene = tuple[Nearby, np.ndarray]
RATIOS = ("ap", "precision", "recall", "f1", "rmse", "best_f1", "best_score")


def scene(seed: int, *, edges: bool = True) -> Scene:
    """Return detections that are moved truth or made up, with few scores; some points lie at the edge."""
    rng = np.random.default_rng(seed)
    true = rng.random((rng.integers(0, 25), 2)) * 40
    moved = true[rng.random(len(true)) < 0.8]
    found = np.concatenate([moved + rng.normal(0, 2, moved.shape), rng.random((rng.integers(0, 10), 2)) * 40])
    ends = [edges & ((side < 6) | (side > 34)).any(1) for side in (true, found)]
    near = Nearby.of(true, found, 6, true_edge=ends[0], found_edge=ends[1])
    return near, rng.integers(1, 6, len(found)) / 8


def of(*scenes: Scene, block: float = 15) -> PointDetection:
    made = PointDetection(block=block)
    for raster, one in enumerate(scenes):
        made.update(*one, raster=raster)
    return made


def test_by_hand() -> None:
    true = [[0, 0], [10, 0], [20, 0], [50, 0]]
    found = [[3, 0], [13, 0], [10, 4], [23, 4], [80, 0]]
    made = of((Nearby.of(true, found, 6), np.array([0.9, 0.8, 0.6, 0.5, 0.4])), block=30)
    got = made.compute(score=0.45)
    # (3, 4 or none, 5 metres): the pair of 3 m is shorter than that of 4 m.
    assert (got.matched, got.missed, got.invented) == (3, 1, 1)
    assert (got.precision, got.recall, got.f1) == (3 / 4, 3 / 4, 6 / 8)
    assert got.rmse == pytest.approx(np.sqrt((9 + 9 + 25) / 3))
    assert (got.true_count, got.found_count, got.blocks) == (4, 4, 2)
    # In blocks of 30 m three and one point of the truth, four and no detections.
    assert (got.count_bias, got.count_rmse) == (0, 1) and got.count_r2 == 1 - 2 / 2
    # Right, right, wrong, right, wrong of four: precision 1 to a recall of 1/2, 3/4 to 3/4.
    assert got.ap == pytest.approx((51 + 25 * 0.75) / 101)
    assert (got.best_f1, got.best_score) == (6 / 8, 0.5)
    assert made.compute().precision == 3 / 5
    verdicts = made.verdicts(0, 0.45)
    assert verdicts[0].tolist() == [Verdict.FOUND] * 3 + [Verdict.MISSED]
    want = [Verdict.FOUND, Verdict.FOUND, Verdict.INVENTED, Verdict.FOUND, Verdict.BELOW]
    assert verdicts[1].tolist() == want


def test_the_score_goes_first_in_ap_and_the_distance_in_f1() -> None:
    # The better score takes the one truth that the other needs.
    made = of((Nearby.of([[0, 0], [8, 0]], [[3.5, 0], [-4, 0]], 6), np.array([0.9, 0.5])))
    got = made.compute()
    assert got.matched == 2 and got.f1 == 1 and got.rmse == pytest.approx(np.sqrt((4.5**2 + 4**2) / 2))
    assert got.ap == pytest.approx(51 / 101)


def test_points_at_the_edge_count_only_in_pairs() -> None:
    edge = np.array([True, True, False])
    near = Nearby.of([[0, 0], [20, 0], [40, 0]], [[1, 0], [10, 10], [41, 0]], 6, true_edge=edge, found_edge=edge)
    got = of((near, np.array([0.9, 0.8, 0.7]))).compute()
    assert (got.matched, got.missed, got.invented, got.f1, got.ap, got.best_f1) == (2, 0, 0, 1, 1, 1)
    assert (got.true_count, got.found_count) == (3, 3)
    verdicts = of((near, np.array([0.9, 0.8, 0.7]))).verdicts(0)
    assert [one[1] for one in verdicts] == [Verdict.IGNORED, Verdict.IGNORED]
    inner = of((Nearby.of(near.true_place, near.found_place, 6), np.array([0.9, 0.8, 0.7]))).compute()
    assert (inner.matched, inner.missed, inner.invented) == (2, 1, 1)  # twin: none at the edge


def test_equally_near_the_later_is_taken() -> None:
    near = Nearby.of([[0, 0], [4, 0], [2, 3]], [[2, 0], [-5, 0]], 6)
    # All assigned: greedily the first detection takes the second truth of equal ones, so the other finds the first.
    assert of((near, np.array([0.9, 0.5]))).compute().ap == pytest.approx(67 / 101)


def test_without_truth_figures_are_nan_and_counts_are_numbers() -> None:
    for detections in ([], [[0, 0]]):
        made = of((Nearby.of([], detections, 6), np.ones(len(detections))))
        got = made.compute()
        assert np.isnan([getattr(got, name) for name in RATIOS if name != "best_score" or not detections]).all()
        assert (got.true_count, got.found_count, got.invented) == (0, len(detections), len(detections))
        assert np.isnan(list(made.intervals().values())).all()
    assert np.isnan([getattr(PointDetection().compute(), name) for name in RATIOS]).all()
    assert np.isnan(PointDetection().compute().count_bias)


def test_without_detections_figures_are_zero() -> None:
    got = of((Nearby.of([[0, 0], [9, 9]], [], 6), np.zeros(0))).compute()
    assert (got.ap, got.recall, got.f1, got.best_f1, got.missed) == (0, 0, 0, 0, 2)
    assert np.isnan([got.precision, got.rmse, got.best_score]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_the_best_score_is_the_best_of_all(seed: int, edges: bool) -> None:
    made = of(*(scene(seed * 3 + i, edges=edges) for i in range(3)))
    got = made.compute()
    scores = np.unique(np.concatenate([scores for _, scores in made.images.values()]))
    each = {score: made.compute(score).f1 for score in scores}
    if each and not np.isnan(got.best_f1):
        assert got.best_f1 == max(f1 for f1 in each.values() if f1 == f1) == each[got.best_score]
        assert got.best_score == max(score for score, f1 in each.items() if f1 == got.best_f1)


def slow_ap(scenes: list[Scene]) -> float:
    """Average precision from the definition: for each recall the best precision of a cut that reaches it."""
    rows, total = [], 0
    for i, (near, scores) in enumerate(scenes):
        apart = np.hypot(*np.moveaxis(near.true_place[:, None] - near.found_place, -1, 0))
        free = np.ones(len(apart), bool)
        for d in sorted(range(len(scores)), key=lambda d: (-scores[d], d)):
            there = [(apart[t, d], -t) for t in range(len(apart)) if free[t] and apart[t, d] <= 6]
            if there:
                free[-min(there)[1]] = False
            if there or not near.found_edge[d]:
                rows.append((-scores[d], i, d, bool(there)))
        total += int((~free | ~near.true_edge).sum())
    hits = [row[-1] for row in sorted(rows)]
    cuts = [(sum(hits[:n]) / total, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
    reached = [[right for recall, right in cuts if recall >= least] for least in np.linspace(0, 1, 101)]
    return float(np.mean([max(some, default=0) for some in reached]))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_ap_is_that_of_the_definition(seed: int, edges: bool) -> None:
    scenes = [scene(seed * 3 + i, edges=edges) for i in range(3)]
    if sum(len(near.true_place) for near, _ in scenes) > 3:
        assert of(*scenes).compute().ap == pytest.approx(slow_ap(scenes))


def test_twin_ap_of_detections_in_another_order_is_not() -> None:
    scenes = [scene(i) for i in range(3)]
    other = [(near, 1 - scores) for near, scores in scenes]
    assert of(*scenes).compute().ap != pytest.approx(slow_ap(other))


def same(one: PointFigures, two: PointFigures) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(astuple(one), astuple(two), strict=True))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(4)), st.integers(0, 4))
def test_merged_images_give_the_figures_of_one_pass(seed: int, order: list[int], cut: int) -> None:
    scenes = [scene(seed + i) for i in range(4)]
    whole, parts = of(*scenes), [PointDetection(block=15), PointDetection(block=15)]
    for place, raster in enumerate(order):
        parts[place < cut].update(*scenes[raster], raster=raster)
    parts[0].merge(parts[1])
    assert same(parts[0].compute(0.3), whole.compute(0.3))
    mine, theirs = parts[0].intervals(0.3, count=20), whole.intervals(0.3, count=20)
    assert all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in FIGURES)


def test_twin_a_merged_image_that_is_lost_shows() -> None:
    scenes = [scene(i) for i in range(4)]
    assert not same(of(*scenes[:3]).compute(), of(*scenes).compute())


def test_intervals_hold_the_figures_and_come_from_blocks() -> None:
    made = of(*(scene(i) for i in range(8)))
    figures, ends = made.compute(0.2), made.intervals(0.2, count=300)
    for name in FIGURES:
        assert ends[name][0] < getattr(figures, name) < ends[name][1], name
    whole = of(*(scene(i) for i in range(1)), block=1000)
    assert np.isnan(whole.intervals(count=10)["f1"]).all()


def test_all_blocks_once_are_the_figures() -> None:
    made = of(*(scene(i) for i in range(5)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("landseg.metrics.points.draws", lambda blocks, **_: iter([np.ones((1, blocks), np.int64)]))
        ends = made.intervals(0.3)
    figures = made.compute(0.3)
    for name in FIGURES:
        assert ends[name] == pytest.approx(getattr(figures, name)), name


def test_counts_by_block_are_those_of_all_points() -> None:
    scenes = [scene(i) for i in range(6)]
    scenes = [
        (replace(near, true_place=near.true_place + 99, found_place=near.found_place + 99), scores)
        for near, scores in scenes
    ]
    got = of(*scenes, block=1000).compute(0.3)  # a block an image
    true = np.array([len(near.true_place) for near, _ in scenes])
    found = np.array([(scores >= 0.3).sum() for _, scores in scenes])
    some = true + found > 0
    error = (found - true)[some]
    assert (got.blocks, got.count_bias) == (some.sum(), pytest.approx(error.mean()))
    assert got.count_rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert got.count_r2 == pytest.approx(1 - (error**2).sum() / ((true - true[some].mean())[some] ** 2).sum())
    assert np.isnan(of(scenes[1], block=1000).compute().count_r2)  # one block


def test_what_is_refused() -> None:
    made = of(scene(1))
    near, scores = scene(1)
    with pytest.raises(ValueError, match="image 0 was added before"):
        made.update(near, scores)
    with pytest.raises(ValueError, match="image 0 was added before"):
        made.merge(of(scene(2)))
    with pytest.raises(ValueError, match="a score for each"):
        made.update(near, scores[1:], raster=1)
    with pytest.raises(ValueError, match="from 0 to 1"):
        made.update(near, scores + 1, raster=1)
    with pytest.raises(ValueError, match="same blocks"):
        made.merge(PointDetection(block=3))
    with pytest.raises(ValueError, match="block above 0"):
        PointDetection(block=0)
