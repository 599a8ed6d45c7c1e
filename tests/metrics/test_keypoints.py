"""Figures of keypoints: those of pycocotools on random people, distances by hand, and symmetry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseg.metrics.keypoints import FIGURES, KeypointDetection
from landseg.metrics.oks import COCO_SIGMAS, Keypoints, oks, similarities
from tests.parts.coco_keypoints import IMAGES, People, by_pycocotools, classes_of, people

CYCLES = [[1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]


def by_landseg(
    classes: dict[int, list[People]], sigmas: np.ndarray, change: Callable[[People], People] = lambda one: one
) -> np.ndarray:
    """Return the ten figures, each the mean over the classes that have one."""
    figures = []
    for scenes in classes.values():
        made = KeypointDetection.coco()
        for i in reversed(range(IMAGES)):  # no order of updates shows
            one = change(scenes[i])
            made.update(similarities(one.true, one.found, sigmas), one.scores, raster=i)
        figures.append(made.compute().coco())
    table = np.array(figures)
    some = np.isfinite(table).any(0)
    means = np.full(10, np.nan)
    means[some] = np.nanmean(table[:, some], axis=0)
    return means


def sigmas_of(seed: int) -> np.ndarray:
    if seed % 3 == 0:
        return COCO_SIGMAS
    return np.random.default_rng(seed).uniform(0.02, 0.15, (4, 11)[seed % 2])


@pytest.mark.parametrize("seed", range(9))
def test_the_ten_figures_are_those_of_pycocotools(seed: int) -> None:
    sigmas = sigmas_of(seed)
    classes = classes_of(seed, len(sigmas))
    want, each = by_pycocotools(classes, sigmas)
    np.testing.assert_allclose(by_landseg(classes, sigmas), want, rtol=0, atol=1e-12)
    for (image, kind), matrix in each.items():
        one = classes[kind - 1][image - 1]
        order = np.argsort(-one.scores, kind="stable")[:20]
        pairs = np.indices((len(one.true), len(order))).reshape(2, -1)
        if len(pairs[0]):
            mine = oks(one.true, one.found, (pairs[0], order[pairs[1]]), sigmas)
            np.testing.assert_allclose(mine.reshape(len(one.true), -1).T, matrix, rtol=0, atol=1e-12)


def test_the_people_have_what_the_rules_are_about() -> None:
    every = [one for seed in range(9) for some in classes_of(seed, 4).values() for one in some]
    assert sum(one.true.crowd.sum() for one in every) > 20
    assert sum((~one.true.visible.any(1)).sum() for one in every) > 20
    assert max(len(one.scores) for one in every) > 20  # the limit cuts
    assert sum(len(one.scores) - len(set(one.scores)) for one in every) > 100
    areas = np.concatenate([one.true.area for one in every])
    assert min(np.histogram(areas, [0, 32**2, 96**2, np.inf])[0]) > 20


def _no_crowds(one: People) -> People:
    return replace(one, true=replace(one.true, crowd=np.zeros(len(one.true), bool)))


def _all_visible(one: People) -> People:
    return replace(one, true=replace(one.true, visible=np.ones(one.true.visible.shape, bool)))


def _other_areas(one: People) -> People:
    return replace(one, true=replace(one.true, area=one.true.area / 2))


def _backwards(one: People) -> People:
    found = one.found
    turned = Keypoints.of(found.place[::-1]) if len(found) else found
    return replace(one, found=turned, scores=one.scores[::-1])


@pytest.mark.parametrize("change", [_no_crowds, _all_visible, _other_areas, _backwards])
def test_twin_without_a_rule_they_are_not(change: Callable[[People], People]) -> None:
    classes = classes_of(0, 17)
    want = by_pycocotools(classes, COCO_SIGMAS)[0]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(by_landseg(classes, COCO_SIGMAS, change), want, rtol=0, atol=1e-12)


SQUARE = np.array([[[0, 0], [10, 0], [10, 10], [0, 10]]], float)
CORNER = np.full(4, 0.05)


def test_by_hand() -> None:
    true = Keypoints.of(np.concatenate([SQUARE, SQUARE + 50]), visible=[[1, 1, 1, 0], [1, 1, 1, 1]])
    found = Keypoints.of(SQUARE + np.array([[0, 0], [0.6, 0.8], [0, 0.5], [9, 9]]))
    pairs = similarities(true, found, CORNER, unit_m=2.0)
    # Of three visible corners: 0, 1 and 0.5 units off; 2 (2 sigma)² area = 2.
    assert pairs.iou().tolist() == pytest.approx([(1 + np.exp(-1 / 2) + np.exp(-0.25 / 2)) / 3])
    np.testing.assert_allclose(pairs.apart, [[0, 2, 1, np.nan]])
    made = KeypointDetection(within=(0.5, 1, 2))
    made.update(pairs, [0.9])
    got = made.compute(0.5)
    assert (got.ap50, got.precision, got.recall, got.true_count) == (pytest.approx(51 / 101), 1, 0.5, 2)
    assert (got.keypoints, got.matched_keypoints) == (7, 3)
    assert got.distance_rms == pytest.approx(np.sqrt(5 / 3)) and got.distance_median == 1
    assert got.pck == pytest.approx((1 / 3, 2 / 3, 1)) and got.found_within == pytest.approx((1 / 7, 2 / 7, 3 / 7))
    below = made.compute(0.95)
    assert below.matched_keypoints == 0 and np.isnan([below.distance_rms, *below.pck]).all()
    assert below.found_within == (0, 0, 0)


@pytest.mark.parametrize("turns", range(4))
def test_with_symmetry_the_first_corner_means_nothing(turns: int) -> None:
    true, found = Keypoints.of(SQUARE), Keypoints.of(np.roll(SQUARE, turns, axis=1) + np.array([0.3, 0.4]))
    pairs = similarities(true, found, CORNER, symmetry=CYCLES)
    assert pairs.iou().tolist() == [pytest.approx(np.exp(-0.25 / 2))]
    np.testing.assert_allclose(pairs.apart, 0.5)
    # Twin: without symmetry another corner is another corner, so nothing matches. And the way round still counts:
    # of the corners the other way round two lie right at best.
    assert len(similarities(true, found, CORNER).iou()) == (turns == 0)
    assert similarities(true, Keypoints.of(SQUARE[:, ::-1]), CORNER, symmetry=CYCLES).iou().tolist() == [0.5]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_pairs_are_all_with_an_oks_of_a_half(seed: int) -> None:
    one = people(seed, 4, 10)
    every = np.indices((len(one.true), len(one.found))).reshape(2, -1)
    value = oks(one.true, one.found, (every[0], every[1]), CORNER)
    pairs = similarities(one.true, one.found, CORNER)
    assert np.array_equal(np.stack([pairs.true_index, pairs.found_index]), every[:, value >= 0.5])
    assert np.array_equal(pairs.iou(), value[value >= 0.5])
    kept = np.arange(len(one.true)) % 2 == 0, np.arange(len(one.found)) % 3 > 0
    part = pairs.only(*kept)
    rows = kept[0][pairs.true_index] & kept[1][pairs.found_index]
    assert np.array_equal(part.apart, pairs.apart[rows], equal_nan=True) and len(part.seen) == kept[0].sum()


def test_merged_images_give_the_figures_of_one_pass() -> None:
    def of(numbers: list[int]) -> KeypointDetection:
        made = KeypointDetection(areas=(500,), block=60)
        for number in numbers:
            one = people(number, 4, 12)
            made.update(similarities(one.true, one.found, CORNER), one.scores, raster=number)
        return made

    parts = of([3, 1]), of([2, 0])
    parts[0].merge(parts[1])
    pairs = zip(astuple(parts[0].compute(0.2)), astuple(of([0, 1, 2, 3]).compute(0.2)), strict=True)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
    assert astuple(parts[0].compute(0.2)) != astuple(of([0, 1, 2]).compute(0.2))
    ends, figures = parts[0].intervals(0.2, count=100), parts[0].compute(0.2)
    assert set(ends) == set(FIGURES)
    assert all(low <= getattr(figures, name) <= high for name, (low, high) in ends.items())


def test_nothing_is_nothing() -> None:
    none = Keypoints.of(np.zeros((0, 4, 2)))
    made = KeypointDetection.coco()
    assert np.isnan(made.compute().coco()).all()
    made.update(similarities(Keypoints.of(SQUARE), none, CORNER), [])
    got = made.compute()
    assert (got.ap, got.ar50, got.recall, got.found_within) == (0, 0, 0, (0, 0, 0)) and np.isnan(got.distance_rms)


def test_what_is_refused() -> None:
    square = Keypoints.of(SQUARE)
    with pytest.raises(ValueError, match="4 sigmas above 0"):
        similarities(square, square, CORNER[:3])
    with pytest.raises(ValueError, match="4 sigmas above 0"):
        similarities(square, square, [0, 1, 1, 1])
    with pytest.raises(ValueError, match="numbers 0 to 3"):
        similarities(square, square, CORNER, symmetry=[[0, 1, 2, 2]])
    with pytest.raises(ValueError, match="4 keypoints of each detection"):
        similarities(square, Keypoints.of(SQUARE[:, :3]), CORNER)
    with pytest.raises(ValueError, match=r"keypoints \(N, K, 2\)"):
        Keypoints.of(SQUARE[0])
    with pytest.raises(ValueError, match="of 1 objects"):
        Keypoints.of(SQUARE, area=[1, 2])
    with pytest.raises(ValueError, match="distances above 0"):
        KeypointDetection(within=[0])
    with pytest.raises(ValueError, match="same distances"):
        KeypointDetection(within=[1]).merge(KeypointDetection(within=[2]))
