"""Calibration: bins by hand, the temperature that was put in, and parts that add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseg.metrics.calibration import ReliabilityCounts, Temperature, tempered


def test_bins_by_hand() -> None:
    probs = np.array([[0.9, 0.8, 0.3, 0.5, 0.6], [0.1, 0.2, 0.7, 0.5, 0.4]])
    found = ReliabilityCounts(2, bins=5, each_class=True)
    found.update(probs, np.array([0, 1, 1, 0, 255]))
    bins = found.compute().bins
    assert [(one.lower, one.upper, one.count) for one in bins[2:]] == [(0.4, 0.6, 1), (0.6, 0.8, 2), (0.8, 1.0, 1)]
    assert [one.accuracy for one in bins[2:]] == [1, 0.5, 1]  # a tie is called the first class
    assert [one.confidence for one in bins[2:]] == pytest.approx([0.5, 0.75, 0.9])
    assert bins[0].count == 0 and math.isnan(bins[0].accuracy) and math.isnan(bins[0].confidence)
    assert found.compute().ece == pytest.approx((0.5 + 2 * 0.25 + 0.1) / 4)
    first, second = found.by_class()
    assert [one.count for one in first.bins] == [0, 1, 1, 1, 1]
    assert first.ece == pytest.approx((0.1 + 0.8 + 0.3 + 0.5) / 4)
    assert second.ece == pytest.approx((abs(1 - 0.1 - 0.2) + 0.3 + 0.5) / 4)
    assert ReliabilityCounts(2).by_class() == ()


def test_ends_of_the_scale_are_in_a_bin() -> None:
    found = ReliabilityCounts(1, bins=4)
    found.update(np.array([[0.0, 0.25, 0.2500001, 1.0]]), np.zeros(4, int))
    assert [one.count for one in found.compute().bins] == [2, 1, 0, 1]


def test_pixels_without_probabilities_are_not_counted() -> None:
    found, fit = ReliabilityCounts(2), Temperature(2)
    for one in (found, fit):
        one.update(np.array([[np.nan, 0.5], [np.nan, 0.5]]), np.array([0, 255]))
    assert (
        math.isnan(found.compute().ece) and math.isnan(fit.compute()) and np.isnan(fit.negative_log_likelihood).all()
    )


def _scene(seed: int, temperature: float, size: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are too sure by a temperature, and truth drawn from the right ones."""
    rng = np.random.default_rng(seed)
    right = tempered(np.exp(rng.normal(0, 1.5, (4, size))), 1.0)
    target = (rng.random(size) > right.cumsum(0)[:-1]).sum(0)
    return tempered(right, 1 / temperature), target


@pytest.mark.parametrize("true", [0.5, 1.0, 1.7, 3.0])
def test_the_temperature_that_was_put_in_is_found(true: float) -> None:
    probs, target = _scene(1, true)
    fit = Temperature(4)
    fit.update(probs, target)
    assert fit.compute() == pytest.approx(true, rel=0.03) and not fit.at_end
    before, after = ReliabilityCounts(4), ReliabilityCounts(4)
    before.update(probs, target)
    after.update(tempered(probs, fit.compute()), target)
    assert after.compute().ece < 0.015
    assert true == 1.0 or before.compute().ece > 0.05  # twin: without the temperature


def test_losses_are_the_negative_log_likelihood() -> None:
    probs, target = _scene(2, 2.0, size=500)
    fit = Temperature(4, (0.5, 1.0, 2.0))
    fit.update(probs.reshape(4, 20, 25), target.reshape(20, 25))
    want = [-np.log(tempered(probs, t)[target, np.arange(500)]).mean() for t in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(fit.negative_log_likelihood, want, rtol=1e-6)


def test_the_parabola_is_as_good_as_a_fine_search() -> None:
    probs, target = _scene(3, 1.43, size=4000)
    fit, fine = Temperature(4), Temperature(4, np.geomspace(1.2, 1.7, 200).tolist())
    for one in (fit, fine):
        one.update(probs, target)
    assert fit.compute() == pytest.approx(fine.compute(), rel=5e-3)
    tried = fit.temperatures[fit.losses.argmin()]
    assert abs(tried - fine.compute()) > 5 * abs(fit.compute() - fine.compute())  # twin: the best of those tried


def test_a_temperature_outside_the_range_is_told() -> None:
    fit = Temperature(2)
    fit.update(np.array([[0.6, 0.6], [0.4, 0.4]]), np.array([0, 0]))  # always right: the surer the better
    assert fit.at_end and fit.compute() == fit.temperatures[0]


def test_certainty_that_is_wrong_stays_finite() -> None:
    fit = Temperature(2)
    fit.update(np.array([[1.0], [0.0]]), np.array([1]))
    assert np.isfinite(fit.losses).all()


probabilities = hnp.arrays(np.float64, (3, 11), elements=st.floats(0.01, 1))
targets = hnp.arrays(np.uint8, 11, elements=st.sampled_from([0, 1, 2, 255]))


@given(probabilities, targets, st.integers(0, 11))
def test_merging_parts_equals_updating_with_all(raw: np.ndarray, target: np.ndarray, cut: int) -> None:
    probs = raw / raw.sum(0)
    for make, read in (
        (lambda: ReliabilityCounts(3, each_class=True), "sums"),
        (lambda: Temperature(3, (0.5, 1.0, 2.0)), "losses"),
    ):
        whole, first, second = make(), make(), make()
        whole.update(probs, target)
        first.update(probs[:, :cut], target[:cut])
        second.update(probs[:, cut:], target[cut:])
        first.merge(second)
        np.testing.assert_allclose(getattr(first, read), getattr(whole, read), rtol=1e-6, atol=1e-9)
    assert first.pixels == whole.pixels == (target != 255).sum()


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"expected probabilities of shape \(2, 3\), got \(3, 3\)"):
        ReliabilityCounts(2).update(np.ones((3, 3)), np.zeros(3, int))
    with pytest.raises(ValueError, match="same classes and bins"):
        ReliabilityCounts(2).merge(ReliabilityCounts(2, 10))
    with pytest.raises(ValueError, match="same temperatures"):
        Temperature(2).merge(Temperature(2, (1, 2, 3)))
    for temperatures in ((1.0, 2.0), (0.0, 1.0, 2.0), (2.0, 1.0, 3.0)):
        with pytest.raises(ValueError, match="at least 3 temperatures"):
            Temperature(2, temperatures)
    with pytest.raises(ValueError, match="1 class and 1 bin"):
        ReliabilityCounts(2, 0)
