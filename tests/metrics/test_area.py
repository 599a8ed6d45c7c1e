"""Stratified area estimates: the papers' worked examples, a simulation, and what cannot be known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseg.metrics.area import NORMAL_95, AreaEstimate, StratifiedArea, area_shares, stratified

# Olofsson et al. 2014, table 8: rows truth, columns map; mapped Landsat pixels of 0.09 ha.
PAPER = np.array([[66, 0, 1, 2], [0, 55, 0, 1], [5, 8, 153, 9], [4, 12, 11, 313]])
PAPER_MAPPED = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def assert_paper(found: AreaEstimate) -> None:
    """The numbers of the paper's section 5, which it prints rounded to these digits."""
    half = NORMAL_95 * found.share_error * found.pixels * 0.09
    assert found.areas(0.09).round().tolist() == [21158, 11686, 285770, 581386]
    np.testing.assert_allclose(half, [6158, 3756, 15510, 16281], atol=1)
    assert found.users_accuracy.round(2).tolist() == [0.88, 0.73, 0.93, 0.96]
    assert (NORMAL_95 * found.users_error).round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert found.producers_accuracy.round(2).tolist() == [0.75, 0.85, 0.93, 0.96]
    np.testing.assert_allclose(NORMAL_95 * found.producers_error, [0.21331, 0.25440, 0.03432, 0.01836], atol=1e-5)
    assert round(found.overall_accuracy, 2) == 0.95 and round(NORMAL_95 * found.overall_error, 2) == 0.02


def test_worked_example_of_2014() -> None:
    assert_paper(stratified(PAPER, PAPER_MAPPED))
    for broken in (
        stratified(PAPER.T, PAPER_MAPPED),
        stratified(PAPER, PAPER.sum(0)),
    ):  # twins: sides swapped, no map
        with pytest.raises(AssertionError):
            assert_paper(broken)


def test_worked_example_of_2013() -> None:
    found = stratified(np.array([[97, 3, 2], [0, 279, 1], [3, 18, 97]]), np.array([22353, 1122543, 610228]))
    assert found.areas(1)[0] == pytest.approx(45112.4, abs=0.1)
    assert found.share_error[0] * found.pixels == pytest.approx(10752, abs=1)
    assert found.users_accuracy.round(2).tolist() == [0.97, 0.93, 0.97]
    np.testing.assert_allclose(found.producers_accuracy, [0.48063, 0.99419, 0.89693], atol=1e-5)
    np.testing.assert_allclose(NORMAL_95 * found.producers_error, [0.22453, 0.01133, 0.04121], atol=1e-5)
    assert found.overall_accuracy == pytest.approx(0.94442, abs=1e-5)


def test_by_hand() -> None:
    found = stratified(np.array([[8, 1], [2, 4]]), np.array([100, 300]))
    # A quarter of the map is class 0, of which 8 in 10 are; of the rest 1 in 5 is.
    np.testing.assert_allclose(found.proportions, [[0.2, 0.15], [0.05, 0.6]])
    np.testing.assert_allclose(found.share, [0.35, 0.65])
    np.testing.assert_allclose(found.share_error**2, (0.25**2 * 0.16 / 9 + 0.75**2 * 0.16 / 4) * np.ones(2))
    np.testing.assert_allclose(found.producers_accuracy, [0.2 / 0.35, 0.6 / 0.65])
    own, other, right = 0.25**2 * 0.16 / 9, 0.75**2 * 0.16 / 4, 0.2 / 0.35
    assert found.producers_error[0] ** 2 == pytest.approx(((1 - right) ** 2 * own + right**2 * other) / 0.35**2)
    np.testing.assert_allclose(found.areas(2), [280, 520])
    low, high = found.area_intervals(2)[0]
    assert high - 280 == pytest.approx(280 - low) == pytest.approx(NORMAL_95 * np.sqrt(own + other) * 800)


def test_standard_errors_are_those_of_repeated_samples() -> None:
    rng = np.random.default_rng(0)
    within = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]])  # rows: map
    mapped, drawn = np.array([10_000, 30_000, 60_000]), (40, 60, 80)
    found = []
    for _ in range(1500):
        sample = np.stack([rng.multinomial(count, shares) for count, shares in zip(drawn, within, strict=True)])
        found.append(stratified(sample.T, mapped))
    true = mapped / mapped.sum() @ within
    np.testing.assert_allclose(np.mean([one.share for one in found], 0), true, atol=0.003)
    for value, error in (
        ("share", "share_error"),
        ("users_accuracy", "users_error"),
        ("producers_accuracy", "producers_error"),
        ("overall_accuracy", "overall_error"),
    ):
        spread = np.std([getattr(one, value) for one in found], 0)
        np.testing.assert_allclose(np.mean([getattr(one, error) for one in found], 0), spread, rtol=0.08)
    covered = [
        (one.area_intervals(1)[:, 0] <= true * 1e5) & (true * 1e5 <= one.area_intervals(1)[:, 1]) for one in found
    ]
    assert (np.abs(np.mean(covered, 0) - 0.95) < 0.02).all()


def test_what_is_not_sampled_is_named_and_left_out() -> None:
    found = stratified(np.array([[8, 0, 1], [0, 0, 0], [2, 0, 9]]), np.array([100, 50, 100]))
    assert found.unsampled == (1,) and found.pixels == 200 and not found.census
    np.testing.assert_allclose(found.share, [0.45, 0, 0.55])
    assert np.isnan(found.users_accuracy[1]) and np.isnan(found.producers_accuracy[1])
    single = stratified(np.array([[1, 2], [0, 3]]), np.array([10, 10]))
    assert np.isnan(single.share_error).all() and single.share.tolist() == [0.7, 0.3]


def test_nothing_labelled_is_nan() -> None:
    found = stratified(np.zeros((2, 2), int), np.array([5, 5]))
    assert np.isnan(found.share).all() and np.isnan(found.overall_accuracy) and found.pixels == 0


def test_a_fully_labelled_map_is_a_census() -> None:
    truth = np.array([[0, 0, 1, 1]], np.uint8)
    area = StratifiedArea(2)
    area.update(truth, np.array([[0, 1, 1, 1]], np.uint8))
    assert area.compute().census and area.compute().share.tolist() == [0.5, 0.5]
    area.update(np.array([[255]], np.uint8), np.array([[1]], np.uint8))
    assert not area.compute().census and area.mapped.tolist() == [1, 4]


labels = hnp.arrays(np.uint8, 14, elements=st.sampled_from([0, 1, 2, 255]))


@given(labels, labels, st.integers(0, 14))
def test_merging_parts_equals_updating_with_all(truth: np.ndarray, predicted: np.ndarray, cut: int) -> None:
    whole, first, second = StratifiedArea(3), StratifiedArea(3), StratifiedArea(3)
    whole.update(truth, predicted)
    first.update(truth[:cut], predicted[:cut])
    second.update(truth[cut:], predicted[cut:])
    first.merge(second)
    assert np.array_equal(whole.table, first.table) and np.array_equal(whole.mapped, first.mapped)
    assert whole.mapped.tolist() == [(predicted == k).sum() for k in range(3)]
    other = StratifiedArea(3)
    other.update(truth.astype(np.int64), predicted.astype(np.int64))
    assert np.array_equal(other.mapped, whole.mapped)
    for wide in (whole.table, whole.table[:, :3]):
        np.testing.assert_allclose(area_shares(wide, whole.mapped), whole.compute().share)
