"""The confusion matrix: counts by hand, and the conventions for what does not occur."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseg.metrics.confusion import Confusion


def test_counts_and_figures_by_hand() -> None:
    c = Confusion(3)
    c.update(np.array([[0, 0, 1], [1, 255, 0]]), np.array([[0, 1, 1], [1, 0, 0]]))
    assert c.counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert c.iou()[:2].tolist() == [2 / 3, 2 / 3] and np.isnan(c.iou()[2])
    assert c.mean_iou() == 2 / 3
    assert (c.pixel_accuracy(), c.commonest_class_accuracy()) == (4 / 5, 3 / 5)


def test_nothing_counted_means_nan_and_predicted_but_absent_is_zero() -> None:
    c = Confusion(2)
    assert np.isnan([c.mean_iou(), c.pixel_accuracy(), c.commonest_class_accuracy()]).all()
    c.update(np.array([0]), np.array([1]))
    assert c.iou().tolist() == [0.0, 0.0]


def test_a_prediction_that_is_no_class_is_refused_where_it_counts() -> None:
    c = Confusion(2)
    c.update(np.array([255]), np.array([7]))
    with pytest.raises(ValueError, match=r"class indices 0\.\.1"):
        c.update(np.array([0]), np.array([7]))


labels = hnp.arrays(np.uint8, 12, elements=st.integers(0, 2))


@given(labels, labels, st.integers(0, 12))
def test_merging_parts_equals_updating_with_all(truth: np.ndarray, prediction: np.ndarray, cut: int) -> None:
    whole, first, second = Confusion(3), Confusion(3), Confusion(3)
    whole.update(truth, prediction)
    first.update(truth[:cut], prediction[:cut])
    second.update(truth[cut:], prediction[cut:])
    first.merge(second)
    assert np.array_equal(whole.counts, first.counts)
