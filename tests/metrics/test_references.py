"""The figures are the field's: equal to those of scikit-learn and torchmetrics on random labels with void."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, f1_score, jaccard_score, precision_score, recall_score
from torchmetrics.classification import MulticlassCalibrationError, MulticlassJaccardIndex
from torchmetrics.detection import PanopticQuality

from landseg.metrics import figures
from landseg.metrics.calibration import ReliabilityCounts
from landseg.metrics.confusion import pairs
from landseg.metrics.overlaps import IdCounts
from landseg.metrics.panoptic import Panoptic
from tests.parts.reference_panoptic import Side, random_pair


def _random(seed: int, classes: int, size: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Truth with void and predictions that are right half the time; one class absent, one only predicted."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes - 2, size).astype(np.uint8)
    predicted = np.where(rng.random(size) < 0.5, truth, rng.integers(0, classes - 1, size)).astype(np.uint8)
    truth[rng.random(size) < 0.1] = 255
    return truth, predicted


def assert_as_sklearn(table: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> None:
    kept, labels = truth != 255, list(range(len(table)))
    for ours, theirs in (
        (figures.iou, jaccard_score),
        (figures.f1, f1_score),
        (figures.precision, precision_score),
        (figures.recall, recall_score),
    ):
        # jaccard_score takes no nan for a class without pixels: compare it where it is defined.
        undefined = 0.0 if theirs is jaccard_score else np.nan
        want = theirs(truth[kept], predicted[kept], labels=labels, average=None, zero_division=undefined)
        got = ours(table)
        seen = np.isfinite(got) if theirs is jaccard_score else np.ones(len(labels), bool)
        np.testing.assert_allclose(got[seen], want[seen], rtol=0, atol=1e-12)
    assert figures.kappa(table) == pytest.approx(cohen_kappa_score(truth[kept], predicted[kept]), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_scikit_learns(seed: int) -> None:
    truth, predicted = _random(seed, 7)
    table = pairs(truth, predicted, 7)
    assert_as_sklearn(table, truth, predicted)
    assert np.isnan(figures.iou(table)[6]) and figures.iou(table)[5] == 0 and figures.averaged_over(table) == 6
    with pytest.raises(AssertionError):  # twin: void counted as class 0
        assert_as_sklearn(pairs(np.where(truth == 255, 0, truth), predicted, 7), truth, predicted)


@pytest.mark.parametrize("seed", range(5))
def test_iou_equals_torchmetrics(seed: int) -> None:
    truth, predicted = _random(seed, 7)
    table = pairs(truth, predicted, 7)
    tensors = torch.from_numpy(predicted).long(), torch.from_numpy(truth).long()
    each = MulticlassJaccardIndex(7, average="none", ignore_index=255)(*tensors).numpy()
    seen = np.isfinite(figures.iou(table))
    np.testing.assert_allclose(figures.iou(table)[seen], each[seen], rtol=0, atol=1e-6)
    mean = MulticlassJaccardIndex(7, average="macro", ignore_index=255)(*tensors)
    assert figures.mean_iou(table) == pytest.approx(float(mean), abs=1e-6)
    without_only_predicted = np.nanmean(figures.iou(table)[:5])
    assert without_only_predicted != pytest.approx(float(mean), abs=1e-3)  # twin: that class left out of the mean


def test_kappa_takes_no_data_for_one_more_answer() -> None:
    table = pairs(np.array([0, 0, 1, 1]), np.array([0, 255, 1, 1]), 2)
    assert figures.kappa(table) == pytest.approx(cohen_kappa_score([0, 0, 1, 1], [0, 2, 1, 1], labels=[0, 1, 2]))


def test_calibration_error_equals_torchmetrics() -> None:
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.ones(5), 3000).T.astype(np.float32)
    target = np.where(rng.random(3000) < 0.5, probs.argmax(0), rng.integers(0, 5, 3000))
    target[rng.random(3000) < 0.1] = 255
    ours = ReliabilityCounts(5)
    ours.update(probs, target)
    theirs = MulticlassCalibrationError(5, n_bins=15, norm="l1", ignore_index=255)
    want = float(theirs(torch.from_numpy(probs.T.copy()), torch.from_numpy(target)))
    assert ours.compute().ece == pytest.approx(want, abs=1e-6)
    ours.update(probs, np.where(target == 255, 0, target))  # twin: void counted
    assert ours.compute().ece != pytest.approx(want, abs=1e-6)


def _panoptic_tensor(side: Side) -> torch.Tensor:
    """Return class and id (1, h, w, 2); void is a class of its own."""
    kinds = np.full(side.ids.shape, 99)
    for one, kind, _ in side.segments:
        kinds[side.ids == one] = kind
    return torch.from_numpy(np.stack([kinds, side.ids], -1)[None])


def _panoptic_counts(truth: Side, found: Side, things: tuple[bool, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return PQ, SQ and RQ of each class, (K, 3), by landseg and by torchmetrics."""
    counts, made = IdCounts(), Panoptic(things)
    counts.update(truth.ids, found.ids)
    of = [dict((one, kind) for one, kind, _ in side.segments) for side in (truth, found)]
    made.update(counts.overlaps(), *([of[side][one] for one in counts.ids()[side].tolist()] for side in (0, 1)))
    ours = np.array([[one.pq, one.sq, one.rq] for one in made.compute().classes])
    metric = PanopticQuality(
        things={k for k, thing in enumerate(things) if thing},
        stuffs={k for k, thing in enumerate(things) if not thing},
        allow_unknown_preds_category=True,
        return_sq_and_rq=True,
        return_per_class=True,
    )
    metric.update(_panoptic_tensor(found), _panoptic_tensor(truth))
    order = list(metric.cat_id_to_continuous_id)  # things, then stuff
    theirs = metric.compute().numpy().reshape(-1, 3)[np.argsort(order)]
    return np.nan_to_num(ours), np.nan_to_num(theirs)


def test_panoptic_quality_equals_torchmetrics_where_it_has_no_void_and_the_truth_no_crowd() -> None:
    things, apart = (True, False, True, False), 0
    for seed in range(40):
        truth, found = random_pair(seed, things)
        truth = Side(truth.ids, [(one, kind, False) for one, kind, _ in truth.segments])
        whole = Side(np.where(found.ids == 0, 61, found.ids), [*found.segments, (61, 0, False)])
        if not (whole.ids == 61).any():
            whole = found
        ours, theirs = _panoptic_counts(truth, whole, things)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)  # they add up in single precision
        ours, theirs = _panoptic_counts(truth, found, things)
        apart += not np.allclose(ours, theirs, atol=1e-6)
    assert apart > 10  # where the prediction has void
