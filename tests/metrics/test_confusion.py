"""The confusion matrix: counts by hand, and the conventions for what does not occur."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from landseg.metrics import confusion as module
from landseg.metrics import figures
from landseg.metrics.confusion import Confusion, pairs


def test_counts_and_figures_by_hand() -> None:
    c = Confusion(3)
    c.update(np.array([[0, 0, 1], [1, 255, 0]]), np.array([[0, 1, 1], [1, 0, 0]]))
    assert c.counts.tolist() == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert c.iou()[:2].tolist() == [2 / 3, 2 / 3] and np.isnan(c.iou()[2])
    assert c.mean_iou() == 2 / 3 and c.averaged_over() == 2
    assert (c.pixel_accuracy(), c.commonest_class_accuracy(), c.commonest_class()) == (4 / 5, 3 / 5, 0)
    assert c.precision()[:2].tolist() == [1, 2 / 3] and c.recall()[:2].tolist() == [2 / 3, 1]
    assert c.f1()[:2].tolist() == [0.8, 0.8] and np.isnan([c.f1()[2], c.precision()[2], c.recall()[2]]).all()
    assert c.frequency_weighted_iou() == pytest.approx(2 / 3)
    assert c.kappa() == pytest.approx((4 / 5 - 12 / 25) / (1 - 12 / 25))  # by chance: 3/5 * 2/5 + 2/5 * 3/5


def test_nothing_counted_means_nan_and_predicted_but_absent_is_zero() -> None:
    c = Confusion(2)
    nothing = [c.mean_iou(), c.pixel_accuracy(), c.commonest_class_accuracy(), c.kappa(), c.frequency_weighted_iou()]
    assert np.isnan(nothing).all() and c.averaged_over() == 0 and c.commonest_class() is None
    c.update(np.array([0]), np.array([1]))
    assert c.iou().tolist() == [0.0, 0.0] and c.averaged_over() == 2
    assert np.isnan(c.recall()[1]) and c.precision()[1] == 0 and np.isnan(c.precision()[0]) and c.f1()[1] == 0


def test_a_labelled_pixel_without_a_prediction_is_an_error_of_its_class() -> None:
    c = Confusion(2)
    c.update(np.array([0, 0, 1, 1, 255]), np.array([0, 255, 1, 1, 255]))
    assert c.counts.tolist() == [[1, 0], [0, 2]] and c.missed.tolist() == [1, 0]
    assert c.iou().tolist() == [0.5, 1.0] and c.recall().tolist() == [0.5, 1.0] and c.precision().tolist() == [1, 1]
    assert c.pixel_accuracy() == 3 / 4
    assert c.kappa() == pytest.approx((3 / 4 - 6 / 16) / (1 - 6 / 16))  # "no data" is an answer truth never gives


def test_a_prediction_that_is_no_class_is_refused_where_it_counts() -> None:
    c = Confusion(2)
    c.update(np.array([255]), np.array([7]))
    with pytest.raises(ValueError, match=r"class indices 0\.\.1"):
        c.update(np.array([0]), np.array([7]))
    with pytest.raises(ValueError, match=r"class indices 0\.\.1"):
        c.update(np.array([0]), np.array([-1]))
    with pytest.raises(ValueError, match="do not match"):
        c.update(np.array([0]), np.array([0, 1]))
    assert c.counts.sum() == 0


labels = hnp.arrays(np.uint8, 12, elements=st.sampled_from([0, 1, 2, 255]))


@given(labels, labels, st.integers(0, 12))
def test_merging_parts_equals_updating_with_all(truth: np.ndarray, prediction: np.ndarray, cut: int) -> None:
    whole, first, second = Confusion(3), Confusion(3), Confusion(3)
    whole.update(truth, prediction)
    first.update(truth[:cut], prediction[:cut])
    second.update(truth[cut:], prediction[cut:])
    first.merge(second)
    assert np.array_equal(whole.table, first.table)


def _one_by_one(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    table = np.zeros((classes, classes + 1), int)
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if 0 <= t < classes:
            table[t, classes if p == 255 else p] += 1
    return table


any_dtype = st.sampled_from([np.uint8, np.int16, np.int32, np.int64, np.uint16])


@given(st.data(), any_dtype, any_dtype, st.sampled_from([1, 3, 15, 16, 254]), st.integers(0, 3))
def test_counts_equal_those_of_a_loop(data: st.DataObject, one: type, two: type, classes: int, dims: int) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=4)) if dims else ()
    truths = [0, classes - 1, classes, 254, 255] + ([] if one is np.uint8 else [300])
    truth = data.draw(hnp.arrays(one, shape, elements=st.sampled_from(truths)))
    prediction = data.draw(hnp.arrays(two, shape, elements=st.sampled_from([0, classes - 1, 255])))
    assert np.array_equal(pairs(truth, prediction, classes), _one_by_one(truth, prediction, classes))


@pytest.mark.parametrize("classes", [4, 15, 16])
def test_pieces_of_an_update_make_up_the_whole(monkeypatch: pytest.MonkeyPatch, classes: int) -> None:
    truth, prediction = np.random.default_rng(0).integers(0, classes, (2, 37, 11), dtype=np.uint8)
    truth[3], prediction[5] = 255, 255
    want = _one_by_one(truth, prediction, classes)
    for chunk in (1, 30, 100, 10_000):
        monkeypatch.setattr(module, "CHUNK", chunk)
        assert np.array_equal(pairs(truth, prediction, classes), want)


@pytest.mark.parametrize("size", [1 << 14, 1 << 16, (1 << 16) + 1, (1 << 19) + 3])
@pytest.mark.parametrize("classes", [7, 8, 15])  # of 3 bits, and of 4
def test_two_pixels_counted_at_once_are_two(size: int, classes: int) -> None:
    rng = np.random.default_rng(size)
    truth, prediction = rng.choice([0, 1, 2, classes - 1, 255], (2, size)).astype(np.uint8)
    truth[-1], prediction[-1] = 2, classes - 1
    want = module._joint(truth, prediction)[:classes]
    found = pairs(truth, prediction, classes)
    assert np.array_equal(found[:, :-1], want[:, :classes]) and np.array_equal(found[:, -1], want[:, 255])
    prediction[truth == 255] = 99  # what truth ignores may be anything
    assert np.array_equal(pairs(truth, prediction, classes), found)
    assert not np.array_equal(pairs(truth[:-1], prediction[:-1], classes), found)  # twin: the odd one left out


EVERY: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    figures.iou,
    figures.precision,
    figures.recall,
    figures.f1,
    figures.mean_iou,
    figures.averaged_over,
    figures.frequency_weighted_iou,
    figures.pixel_accuracy,
    figures.kappa,
    figures.commonest_class,
    figures.commonest_class_accuracy,
)


@given(hnp.arrays(np.int64, (2, 3, 3, 4), elements=st.integers(0, 5)))
def test_many_matrices_at_once_are_as_one_by_one(stack: np.ndarray) -> None:
    for figure in EVERY:
        at_once = figure(stack)
        for i, j in np.ndindex(2, 3):
            np.testing.assert_array_equal(at_once[i, j], figure(stack[i, j]))


def test_matrices_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"K x \(K \+ 1\), got 3 x 5"):
        figures.iou(np.zeros((3, 5), int))
